"""What an observer is told of calls, as they go well, are repeated, fail, or are cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import (
    AuthenticationError,
    ClientStateError,
    DeadlineError,
    DiallerClient,
    NotFoundError,
    PoolConfig,
    RetryPolicy,
    ServerError,
    Timeouts,
)
from dialler_async.observer import ObservedCall, Observer
from dialler_async.sandbox import Sandbox
from dialler_async.testing import Reset, StallBeforeHeaders, Status, instant_waits

if TYPE_CHECKING:
    from tests.conftest import HeldRequest


class Notebook(Observer):
    """Writes everything down."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.calls: list[ObservedCall] = []
        self.waited: list[float] = []
        self.seconds: list[float] = []

    def call_started(self, call: ObservedCall) -> None:
        self.calls.append(call)
        call.note = f"call {len(self.calls)}"
        self.told.append("started")

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        self.waited.append(waited)
        self.told.append(("attempt", call.attempts))

    def attempt_ended(self, call: ObservedCall) -> None:
        self.told.append(("off the wire", call.status))

    def call_retried(self, call: ObservedCall, error: Exception, wait: float) -> None:
        self.told.append(("repeated", type(error).__name__, wait))

    def call_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        self.seconds.append(seconds)
        self.told.append(("ended", error))


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
async def dialler(sandbox: Sandbox, notebook: Notebook) -> AsyncIterator[DiallerClient]:
    retry = RetryPolicy(attempts=3, base_delay=0)
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=retry, observer=notebook) as dialler:
        yield dialler


@pytest.fixture
def id(sandbox: Sandbox) -> int:
    return next(iter(sandbox.campaigns))


async def test_a_call_that_works(dialler: DiallerClient, notebook: Notebook, sandbox: Sandbox, id: int) -> None:
    await dialler.campaigns.get(id)
    assert notebook.told == ["started", ("attempt", 1), ("off the wire", 200), ("ended", None)]
    [call] = notebook.calls
    assert str(call.request) == "GET /dialler/campaigns/{DiallerCampaignsID}"
    assert call.base_url == sandbox.base_url
    assert call.note == "call 1"


async def test_each_repeat_and_why(dialler: DiallerClient, notebook: Notebook, sandbox: Sandbox, id: int) -> None:
    sandbox.faults.next(Reset(), Status(503, retry_after=5))
    with instant_waits():
        await dialler.campaigns.get(id)
    assert notebook.told == [
        "started",
        ("attempt", 1),
        ("off the wire", None),
        ("repeated", "NoReplyError", 0.0),
        ("attempt", 2),
        ("off the wire", 503),
        ("repeated", "ServerError", 5.0),
        ("attempt", 3),
        ("off the wire", 200),
        ("ended", None),
    ]
    assert notebook.calls[0].attempts == 3
    assert notebook.seconds[0] >= 5
    # The wait between attempts was not one at the gate.
    assert max(notebook.waited) < 5


async def test_the_error_that_the_caller_gets(
    dialler: DiallerClient, notebook: Notebook, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(*[Status(500)] * 3)
    with pytest.raises(ServerError) as failed:
        await dialler.campaigns.get(id)
    assert notebook.told[-2:] == [("off the wire", 500), ("ended", failed.value)]
    assert notebook.told.count(("repeated", "ServerError", 0.0)) == 2
    with pytest.raises(NotFoundError) as absent:
        await dialler.campaigns.delete(404404)
    assert notebook.told[-1] == ("ended", absent.value)
    assert notebook.calls[-1].status == 404


async def test_a_new_token_is_a_repeat(sandbox: Sandbox, notebook: Notebook, id: int) -> None:
    tokens = ["stale", sandbox.token]
    async with DiallerClient(sandbox.base_url, lambda: tokens.pop(0), observer=notebook) as dialler:
        await dialler.campaigns.get(id)
    assert notebook.told[2:5] == [
        ("off the wire", 401),
        ("repeated", AuthenticationError.__name__, 0.0),
        ("attempt", 2),
    ]


async def test_a_call_that_is_cancelled_on_the_wire_ends(
    dialler: DiallerClient, notebook: Notebook, sandbox: Sandbox, id: int, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    asking = asyncio.create_task(dialler.campaigns.get(id))
    await held.arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    *before, (ended, error) = notebook.told
    assert before == ["started", ("attempt", 1), ("off the wire", None)]
    assert ended == "ended"
    assert isinstance(error, asyncio.CancelledError)


async def test_a_call_that_is_cancelled_at_the_gate_was_never_sent(
    sandbox: Sandbox, notebook: Notebook, id: int, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    pool = PoolConfig(limit=1)
    async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, observer=notebook) as dialler:
        first = asyncio.create_task(dialler.campaigns.get(id))
        await held.arrived.wait()
        second = asyncio.create_task(dialler.campaigns.get(id))
        # A turn for it to get to the gate; it can get no further.
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        held.release.set()
        await first
    assert [call.attempts for call in notebook.calls] == [1, 0]
    assert [told[0] for told in notebook.told if told != "started"].count("ended") == 2


async def test_the_time_at_the_gate_is_told(
    sandbox: Sandbox, notebook: Notebook, id: int, monkeypatch: pytest.MonkeyPatch, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    pool = PoolConfig(limit=1)
    with instant_waits() as waits:
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, observer=notebook) as dialler:
            first = asyncio.create_task(dialler.campaigns.get(id))
            await held.arrived.wait()
            second = asyncio.create_task(dialler.campaigns.get(id))
            await asyncio.sleep(0)
            waits.append(60)
            held.release.set()
            await asyncio.gather(first, second)
    assert [waited > 59 for waited in notebook.waited] == [False, True]
    assert [seconds > 59 for seconds in notebook.seconds] == [True, True]


async def test_a_deadline_is_what_the_caller_gets(sandbox: Sandbox, notebook: Notebook, id: int) -> None:
    sandbox.faults.next(StallBeforeHeaders())
    timeouts = Timeouts(deadline=0.05)
    async with DiallerClient(sandbox.base_url, sandbox.token, timeouts=timeouts, observer=notebook) as dialler:
        with pytest.raises(DeadlineError) as failed:
            await dialler.campaigns.get(id)
    assert notebook.told[-1] == ("ended", failed.value)


async def test_a_closed_client(dialler: DiallerClient, notebook: Notebook, id: int) -> None:
    await dialler.aclose()
    with pytest.raises(ClientStateError) as failed:
        await dialler.campaigns.get(id)
    assert notebook.told == ["started", ("ended", failed.value)]


async def test_another_account_on_the_same_pool_is_watched_too(
    dialler: DiallerClient, notebook: Notebook, sandbox: Sandbox
) -> None:
    with pytest.raises(AuthenticationError):
        await dialler.for_account(2, "another-token").campaigns.list()
    assert notebook.calls[0].base_url.endswith("/2")


async def test_the_methods_do_nothing_by_themselves(sandbox: Sandbox, id: int) -> None:
    sandbox.faults.next(Status(500))
    retry = RetryPolicy(base_delay=0)
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=retry, observer=Observer()) as dialler:
        assert await dialler.campaigns.get(id)


class Broken(Observer):
    """Fails at every step."""

    def call_started(self, call: ObservedCall) -> None:
        raise ZeroDivisionError("with the token: s3cret")

    attempt_started = attempt_ended = call_retried = call_ended = call_started


async def test_an_observer_that_raises_harms_nothing_and_is_logged(
    sandbox: Sandbox, id: int, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.faults.next(Status(500))
    retry = RetryPolicy(base_delay=0)
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=retry, observer=Broken()) as dialler:
        assert await dialler.campaigns.get(id)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert errors[0].getMessage() == "call_started of the observer raised ZeroDivisionError"
    assert len(errors) == 7
    assert "s3cret" not in caplog.text
