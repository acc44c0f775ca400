"""Time and room: what runs out where, who waits for whom, and what is told of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest

from dialler_async import (
    ConfigurationError,
    ConnectError,
    DeadlineError,
    DiallerClient,
    DiallerError,
    OutcomeUnknownError,
    PoolConfig,
    RetryPolicy,
    Timeouts,
)
from dialler_async._api import endpoints
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox.faults import Reset, StallBeforeHeaders, StallInBody, Status, Trickle

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock, Until
    from tests.http.conftest import Leap

NAME = "Spring 26"
COPY = "Monday"
ID = 535
READS = ("list", "get", "find", "result_codes")
WRITES = ("delete", "clone", "clone, exist_ok", "delete_by_name")
CALLS = READS + WRITES
AS_IS = ("clone", "delete_by_name")

ONCE = RetryPolicy(attempts=1)
STALLS = [StallBeforeHeaders(), StallBeforeHeaders(carried_out=True), StallInBody()]


def no_pause() -> float:
    return 0.0


async def for_ever(_: float = 0) -> Any:
    await asyncio.get_running_loop().create_future()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits to repeat a call waits for good."""
    monkeypatch.setattr(CLOCK, "sleep", for_ever)


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


async def failure_after(
    call: Awaitable[Any], leap: Leap, seconds: float, when: Callable[[], object] = lambda: True
) -> DiallerError:
    """How a call fails when so many seconds go by as soon as something is so."""
    failing = asyncio.create_task(failure(call))
    await leap(seconds, when=when)
    return await failing


@pytest.fixture
async def deaf() -> AsyncIterator[str]:
    """A base URL whose host takes no connection and refuses none: its queue of them is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        host, port = listener.getsockname()
        yield f"http://{host}:{port}/rest/v1.0/1"


@pytest.mark.parametrize("call", CALLS)
async def test_no_connection_in_time_is_a_connect_error_for_every_call(
    deaf: str, leap: Leap, call: str, server: CampaignServer
) -> None:
    async with DiallerClient(deaf, "t", timeouts=Timeouts(connect=7), retry=ONCE) as dialler:
        error = await failure_after(server.send(call, dialler), leap, 7.01)
    assert type(error) is ConnectError
    assert "within 7 s; nothing was sent" in str(error)


@pytest.mark.parametrize("call", CALLS)
async def test_a_deadline_that_runs_out_while_connecting_leaves_nothing_unknown(
    deaf: str, leap: Leap, call: str, server: CampaignServer
) -> None:
    async with DiallerClient(deaf, "t", timeouts=Timeouts(deadline=9)) as dialler:
        error = await failure_after(server.send(call, dialler), leap, 9.01)
    assert type(error) is DeadlineError
    assert "the deadline of 9 s ran out while connecting" in str(error)
    assert error.attempts == 1


@pytest.mark.parametrize("fault", STALLS, ids=repr)
@pytest.mark.parametrize("call", CALLS)
async def test_a_silent_server_is_told_with_how_long_it_was_silent(
    server: CampaignServer, leap: Leap, call: str, fault: StallBeforeHeaders | StallInBody
) -> None:
    server.faults.next(fault)
    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(read=20), retry=ONCE) as dialler:
        error = await failure_after(server.send(call, dialler), leap, 20.01, lambda: server.journal)
    assert type(error) is (OutcomeUnknownError if call in WRITES else DeadlineError)
    assert "the server sent nothing for 20 s" in str(error)
    if call in WRITES:
        assert server.arrived(call) == [server.is_done(call)]


async def test_a_deadline_error_is_a_timeout_error_too(
    server: CampaignServer, dialler: DiallerClient, leap: Leap
) -> None:
    server.faults.next(StallBeforeHeaders())
    error = await failure_after(dialler.campaigns.list(), leap, 121, lambda: server.journal)
    assert isinstance(error, TimeoutError)
    # Not the cancellation that it comes of, whose frames hold what was sent.
    assert error.__context__ is None


async def test_a_slow_answer_is_no_silent_one(server: CampaignServer) -> None:
    server.faults.next(Trickle())
    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(read=5), retry=ONCE) as dialler:
        assert len(await dialler.campaigns.list()) == 3


@pytest.mark.parametrize("call", CALLS)
async def test_a_deadline_in_flight_leaves_the_outcome_of_a_write_unknown(
    server: CampaignServer, leap: Leap, call: str
) -> None:
    timeouts = Timeouts(read=60, deadline=50)
    for fault in STALLS:
        server.restore()
        server.faults.next(fault)
        async with DiallerClient(server.base_url, server.token, timeouts=timeouts) as dialler:
            error = await failure_after(server.send(call, dialler), leap, 50.01, lambda: server.journal)
        assert type(error) is (OutcomeUnknownError if call in WRITES else DeadlineError)
        assert "the deadline of 50 s ran out while waiting for the response" in str(error)
        assert error.attempts == len(server.journal) == 1
        if call in WRITES:
            assert server.arrived(call) == [server.is_done(call)]


@pytest.mark.parametrize("call", CALLS)
async def test_a_deadline_at_the_gate_sends_nothing(server: CampaignServer, leap: Leap, call: str) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
        pool = dialler._shared.pool
        await pool.enter(no_pause)
        error = await failure_after(server.send(call, dialler), leap, 120.01)
        pool.leave()
    assert type(error) is DeadlineError
    assert "the deadline of 120 s ran out while waiting in the client's queue" in str(error)
    assert error.attempts == 0
    assert server.journal == []


@pytest.mark.parametrize("call", CALLS)
async def test_a_deadline_while_waiting_to_repeat_ends_the_wait(
    server: CampaignServer, dialler: DiallerClient, endless: None, leap: Leap, call: str
) -> None:
    server.faults.next(Status(503, retry_after=1))
    error = await failure_after(server.send(call, dialler), leap, 120.01, lambda: server.journal)
    # It was turned away, so nothing is unknown even of a write.
    assert type(error) is DeadlineError
    assert "ran out while waiting for the next retry" in str(error)
    assert error.attempts == len(server.journal) == 1


@pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
async def test_a_deadline_while_waiting_to_repeat_a_write_that_was_lost_leaves_its_outcome_unknown(
    server: CampaignServer, dialler: DiallerClient, endless: None, leap: Leap, call: str
) -> None:
    server.faults.next(Reset(carried_out=True))
    error = await failure_after(server.send(call, dialler), leap, 120.01, lambda: server.journal)
    assert type(error) is OutcomeUnknownError
    assert "ran out while waiting for the next retry" in str(error)


@pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
async def test_so_does_a_deadline_in_the_repeat_itself(
    server: CampaignServer, dialler: DiallerClient, leap: Leap, call: str
) -> None:
    server.faults.next(Reset(carried_out=True), StallBeforeHeaders())
    error = await failure_after(server.send(call, dialler), leap, 120.01, lambda: len(server.journal) == 2)
    assert type(error) is OutcomeUnknownError
    assert error.attempts == 2


async def test_a_pause_that_the_server_asked_for_counts_against_the_deadline(
    server: CampaignServer, leap: Leap, endless: None
) -> None:
    async with DiallerClient(server.base_url, server.token, retry=ONCE) as dialler:
        server.faults.next(Status(429, retry_after=30))
        await failure(dialler.campaigns.list())
        error = await failure_after(dialler.campaigns.delete(ID), leap, 120.01)
    assert type(error) is DeadlineError
    assert "ran out while waiting for the end of the pause that the server asked for" in str(error)
    assert len(server.journal) == 1


async def test_a_source_of_tokens_that_takes_too_long_is_told_as_that(server: CampaignServer, leap: Leap) -> None:
    async with DiallerClient(server.base_url, for_ever_a_token) as dialler:
        error = await failure_after(dialler.campaigns.delete(ID), leap, 120.01)
    assert type(error) is DeadlineError
    assert "ran out while waiting for the token" in str(error)
    assert error.attempts == 0


async def test_so_is_one_that_does_so_when_asked_once_more(server: CampaignServer, leap: Leap) -> None:
    tokens = [server.token]

    async def slow_the_second_time() -> str:
        return tokens.pop() if tokens else await for_ever_a_token()

    server.faults.next(Status(401))
    async with DiallerClient(server.base_url, slow_the_second_time) as dialler:
        error = await failure_after(dialler.campaigns.delete(ID), leap, 120.01, lambda: server.journal)
    assert type(error) is DeadlineError
    assert "ran out while waiting for the token" in str(error)


async def for_ever_a_token() -> str:
    await for_ever()
    return "never"


async def test_a_deadline_after_the_answer_came_still_leaves_a_write_unknown(
    server: CampaignServer, dialler: DiallerClient, leap: Leap
) -> None:
    def decode_forever(body: bytes) -> Any:
        while True:
            yield

    request = attrs.evolve(endpoints.clone_campaign(NAME, COPY), decoder=decode_forever)
    send = dialler.campaigns._transport.send(request)
    error = await failure_after(send, leap, 120.01, lambda: server.is_done("clone"))
    assert type(error) is OutcomeUnknownError
    assert "while decoding the response" in str(error)


async def test_those_who_queue_behind_a_full_pool_run_out_of_neither_connect_nor_read(
    server: CampaignServer, leap: Leap
) -> None:
    timeouts = Timeouts(connect=1, read=1)
    async with DiallerClient(
        server.base_url, server.token, pool=PoolConfig(limit=1), timeouts=timeouts, retry=ONCE
    ) as dialler:
        pool = dialler._shared.pool
        await pool.enter(no_pause)
        waiting = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(10)]
        await leap(100)
        pool.leave()
        await asyncio.gather(*waiting)
    assert len(server.journal) == 10


@attrs.define
class Full:
    """A session with room for one, which is taken."""

    session: aiohttp.ClientSession
    taken: asyncio.Task[Any]


@pytest.fixture
async def full(server: CampaignServer, until: Until) -> AsyncIterator[Full]:
    server.faults.next(StallBeforeHeaders())
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as session:
        taken = asyncio.create_task(session.get(server.base_url))
        await until(lambda: server.journal)
        yield Full(session, taken)
        taken.cancel()


async def test_nor_do_those_who_queue_behind_a_brought_session_with_less_room_than_the_gate(
    server: CampaignServer, full: Full, leap: Leap
) -> None:
    timeouts = Timeouts(connect=1, read=1)
    async with DiallerClient(
        server.base_url, server.token, session=full.session, timeouts=timeouts, retry=ONCE
    ) as dialler:
        waiting = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(10)]
        await leap(100)
        full.taken.cancel()
        await asyncio.gather(*waiting)
    assert len(server.journal) == 1 + 10


@pytest.mark.parametrize("call", AS_IS)
async def test_a_deadline_behind_a_brought_session_without_room_leaves_nothing_unknown(
    server: CampaignServer, full: Full, leap: Leap, call: str
) -> None:
    async with DiallerClient(server.base_url, server.token, session=full.session) as dialler:
        error = await failure_after(server.send(call, dialler), leap, 120.01)
    assert type(error) is DeadlineError
    assert len(server.journal) == 1


async def test_a_session_that_was_brought_has_its_own_timeouts_overruled(
    server: CampaignServer, leap: Leap, until: Until
) -> None:
    server.faults.next(StallBeforeHeaders())
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1, sock_read=1)) as session,
        DiallerClient(server.base_url, server.token, session=session, retry=ONCE) as dialler,
    ):
        calling = asyncio.create_task(failure(dialler.campaigns.get(ID)))
        await until(lambda: server.journal)
        await leap(25)
        await leap(0)
        assert not calling.done()
        await leap(6)
        assert "sent nothing for 30 s" in str(await calling)


@pytest.mark.parametrize("call", READS)
async def test_a_call_that_was_done_in_time_is_not_cut_afterwards(
    server: CampaignServer, dialler: DiallerClient, clock: Clock, leap: Leap, call: str
) -> None:
    await server.send(call, dialler)
    await leap(1000)
    await asyncio.sleep(0)
    await server.send(call, dialler)


@pytest.mark.parametrize("name", ["connect", "read", "deadline"])
async def test_infinity_sets_no_limit(name: str, server: CampaignServer) -> None:
    timeouts = Timeouts(**{name: float("inf")})
    async with DiallerClient(server.base_url, server.token, timeouts=timeouts) as dialler:
        assert (await dialler.campaigns.get(ID)).name == NAME


@pytest.mark.parametrize("name", ["connect", "read", "deadline"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), True, "5", None])
def test_a_time_that_has_run_out_before_it_begins_or_is_none_is_refused(name: str, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Timeouts(**{name: seconds})
