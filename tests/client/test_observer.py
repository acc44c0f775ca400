"""The events of an observer, for calls that succeed, are retried, fail, or are cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
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
from dialler_async.errors import ResponseInfo
from dialler_async.observer import ObservedCall, Observer
from dialler_async.sandbox import Sandbox
from dialler_async.testing import CannedResponse, Reset, StallBeforeHeaders, Status, instant_waits

if TYPE_CHECKING:
    from tests.conftest import HeldRequest


class Recorder(Observer):
    """An observer that records all events."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.calls: list[ObservedCall] = []
        self.waited: list[float] = []
        self.seconds: list[float] = []
        self.attempt_seconds: list[float] = []
        self.responses: list[ResponseInfo] = []
        self.headers: Mapping[str, str] = {}

    def call_started(self, call: ObservedCall) -> None:
        self.calls.append(call)
        call.note = f"call {len(self.calls)}"
        self.events.append("started")

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        self.waited.append(waited)
        self.events.append(("attempt", call.attempts))

    def attempt_headers(self, call: ObservedCall) -> Mapping[str, str]:
        return self.headers

    def response_received(self, call: ObservedCall, response: ResponseInfo) -> None:
        self.responses.append(response)

    def attempt_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        self.attempt_seconds.append(seconds)
        self.events.append(("attempt ended", call.status if error is None else type(error).__name__))

    def call_retried(self, call: ObservedCall, error: Exception, delay: float) -> None:
        self.events.append(("retried", type(error).__name__, delay))

    def call_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        self.seconds.append(seconds)
        self.events.append(("ended", error))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def dialler(sandbox: Sandbox, recorder: Recorder) -> AsyncIterator[DiallerClient]:
    retry = RetryPolicy(attempts=3, base_delay=0)
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=retry, observer=recorder) as dialler:
        yield dialler


@pytest.fixture
def id(sandbox: Sandbox) -> int:
    return next(iter(sandbox.campaigns))


async def test_observer_gets_the_events_of_a_successful_call(
    dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox, id: int
) -> None:
    await dialler.campaigns.get(id)
    assert recorder.events == ["started", ("attempt", 1), ("attempt ended", 200), ("ended", None)]
    [call] = recorder.calls
    assert str(call.request) == "GET /dialler/campaigns/{DiallerCampaignsID}"
    assert call.base_url == sandbox.base_url
    assert call.note == "call 1"


async def test_observer_gets_each_retry_with_its_error_and_delay(
    dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(Reset(), Status(503, retry_after=5))
    with instant_waits():
        await dialler.campaigns.get(id)
    assert recorder.events == [
        "started",
        ("attempt", 1),
        ("attempt ended", "NoReplyError"),
        ("retried", "NoReplyError", 0.0),
        ("attempt", 2),
        ("attempt ended", 503),
        ("retried", "ServerError", 5.0),
        ("attempt", 3),
        ("attempt ended", 200),
        ("ended", None),
    ]
    assert recorder.calls[0].attempts == 3
    assert recorder.seconds[0] >= 5
    # The delay before a retry does not count as a wait for the limiter.
    assert max(recorder.waited) < 5


async def test_observer_gets_the_error_that_the_call_raises(
    dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(*[Status(500)] * 3)
    with pytest.raises(ServerError) as failed:
        await dialler.campaigns.get(id)
    assert recorder.events[-2:] == [("attempt ended", 500), ("ended", failed.value)]
    assert recorder.events.count(("retried", "ServerError", 0.0)) == 2
    with pytest.raises(NotFoundError) as absent:
        await dialler.campaigns.delete(404404)
    assert recorder.events[-1] == ("ended", absent.value)
    assert recorder.calls[-1].status == 404


async def test_renewed_token_counts_as_a_retry(sandbox: Sandbox, recorder: Recorder, id: int) -> None:
    tokens = ["stale", sandbox.token]
    async with DiallerClient(sandbox.base_url, lambda: tokens.pop(0), observer=recorder) as dialler:
        await dialler.campaigns.get(id)
    assert recorder.events[2:5] == [
        ("attempt ended", 401),
        ("retried", AuthenticationError.__name__, 0.0),
        ("attempt", 2),
    ]


async def test_call_cancelled_in_flight_ends_with_the_cancellation(
    dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox, id: int, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    call_task = asyncio.create_task(dialler.campaigns.get(id))
    await held.arrived.wait()
    call_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call_task
    *before, (ended, error) = recorder.events
    assert before == ["started", ("attempt", 1), ("attempt ended", "CancelledError")]
    assert ended == "ended"
    assert isinstance(error, asyncio.CancelledError)


async def test_call_cancelled_in_the_queue_has_no_attempt(
    sandbox: Sandbox, recorder: Recorder, id: int, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    pool = PoolConfig(limit=1)
    async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, observer=recorder) as dialler:
        first = asyncio.create_task(dialler.campaigns.get(id))
        await held.arrived.wait()
        second = asyncio.create_task(dialler.campaigns.get(id))
        # After one iteration of the event loop, the call is in the queue.
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        held.release.set()
        await first
    assert [call.attempts for call in recorder.calls] == [1, 0]
    assert [event[0] for event in recorder.events if event != "started"].count("ended") == 2


async def test_observer_gets_the_wait_for_the_limiter(
    sandbox: Sandbox, recorder: Recorder, id: int, monkeypatch: pytest.MonkeyPatch, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    pool = PoolConfig(limit=1)
    with instant_waits() as waits:
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, observer=recorder) as dialler:
            first = asyncio.create_task(dialler.campaigns.get(id))
            await held.arrived.wait()
            second = asyncio.create_task(dialler.campaigns.get(id))
            await asyncio.sleep(0)
            waits.append(60)
            held.release.set()
            await asyncio.gather(first, second)
    assert [waited > 59 for waited in recorder.waited] == [False, True]
    assert [seconds > 59 for seconds in recorder.seconds] == [True, True]


@pytest.mark.usefixtures("virtual_time")
async def test_observer_gets_the_deadline_error(sandbox: Sandbox, recorder: Recorder, id: int) -> None:
    sandbox.faults.next(StallBeforeHeaders())
    timeouts = Timeouts(deadline=0.05)
    async with DiallerClient(sandbox.base_url, sandbox.token, timeouts=timeouts, observer=recorder) as dialler:
        with pytest.raises(DeadlineError) as failed:
            await dialler.campaigns.get(id)
    assert recorder.events[-2:] == [("attempt ended", "DeadlineError"), ("ended", failed.value)]


async def test_call_on_a_closed_client_ends_without_an_attempt(
    dialler: DiallerClient, recorder: Recorder, id: int
) -> None:
    await dialler.aclose()
    with pytest.raises(ClientStateError) as failed:
        await dialler.campaigns.get(id)
    assert recorder.events == ["started", ("ended", failed.value)]


async def test_client_for_another_account_has_the_same_observer(
    dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox
) -> None:
    with pytest.raises(AuthenticationError):
        await dialler.for_account(2, "another-token").campaigns.list()
    assert recorder.calls[0].base_url.endswith("/2")


async def test_base_observer_does_nothing(sandbox: Sandbox, id: int) -> None:
    sandbox.faults.next(Status(500))
    retry = RetryPolicy(base_delay=0)
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=retry, observer=Observer()) as dialler:
        assert await dialler.campaigns.get(id)


class RaisingObserver(Observer):
    """An observer that raises an error in every method."""

    def call_started(self, *_: Any) -> None:
        raise ZeroDivisionError("with the token: s3cret")

    attempt_started = attempt_ended = call_retried = call_ended = call_started  # type: ignore[assignment]  all raise
    attempt_headers = response_received = call_started  # type: ignore[assignment]  all raise


async def test_observer_that_raises_is_logged_and_has_no_effect(
    sandbox: Sandbox, id: int, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.faults.next(Status(500))
    retry = RetryPolicy(base_delay=0)
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=retry, observer=RaisingObserver()) as dialler:
        assert await dialler.campaigns.get(id)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert errors[0].getMessage() == "the observer's call_started raised ZeroDivisionError"
    assert len(errors) == 11
    assert "s3cret" not in caplog.text


async def test_attempt_seconds_exclude_waits_in_the_client(
    dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(Status(503, retry_after=30))
    with instant_waits():
        await dialler.campaigns.get(id)
    assert len(recorder.attempt_seconds) == 2
    assert max(recorder.attempt_seconds) < 30 <= recorder.seconds[0]


class TestHeaders:
    async def test_headers_of_the_observer_are_sent_with_each_attempt(
        self, dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox, id: int
    ) -> None:
        recorder.headers = {"X-Trace": "t-1"}
        sandbox.faults.next(Status(500))
        await dialler.campaigns.get(id)
        assert [received.headers.get("X-Trace") for received in sandbox.journal] == ["t-1", "t-1"]

    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": "Bearer other"},
            {"authorization": "Bearer other"},
            {"Content-Length": "7"},
            {"X-Trace": "a\r\nAuthorization: Bearer other"},
            {"X-Trace": "\u00fc"},
            {"X Trace": "a"},
            {"X-Trace": None},
            ["X-Trace"],
            5,
        ],
        ids=repr,
    )
    async def test_invalid_headers_of_the_observer_are_logged_and_not_sent(
        self,
        dialler: DiallerClient,
        recorder: Recorder,
        sandbox: Sandbox,
        id: int,
        caplog: pytest.LogCaptureFixture,
        headers: Any,
    ) -> None:
        recorder.headers = headers
        await dialler.campaigns.get(id)
        [received] = sandbox.journal
        assert received.authorised
        assert "X-Trace" not in received.headers
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert errors == ["the observer's attempt_headers raised ConfigurationError"]
        assert "other" not in caplog.text


class TestResponses:
    async def test_observer_gets_each_response_without_secrets(
        self, dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox, id: int
    ) -> None:
        headers = {
            "Content-Type": "application/json",
            "X-Request-ID": "r-17",
            "Set-Cookie": "session=s3cret",
            "X-Echo": f"Bearer {sandbox.token}",
            "Location": "https://user:s3cret@elsewhere/",
        }
        sandbox.faults.next(CannedResponse(503, b"{}", headers))
        await dialler.campaigns.get(id)
        failed, worked = recorder.responses
        assert (failed.status, failed.request_id) == (503, "r-17")
        assert failed.headers["content-type"] == "application/json"
        assert failed.headers["set-cookie"] == failed.headers["location"] == "***"
        assert failed.headers["x-echo"] == "Bearer ***"
        assert (worked.status, worked.request_id) == (200, None)
        assert failed.received_at <= worked.received_at
        assert worked.received_at.utcoffset() == timedelta()
        assert "s3cret" not in repr(recorder.responses)
        assert sandbox.token not in repr(recorder.responses)

    async def test_attempt_without_a_response_has_no_response_event(
        self, dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox, id: int
    ) -> None:
        sandbox.faults.next(Reset())
        await dialler.campaigns.get(id)
        assert [response.status for response in recorder.responses] == [200]

    async def test_error_has_the_response_that_was_observed(
        self, dialler: DiallerClient, recorder: Recorder, sandbox: Sandbox
    ) -> None:
        with pytest.raises(NotFoundError) as failed:
            await dialler.campaigns.get(404404)
        assert failed.value.response is recorder.responses[0]
