"""Time and room: what runs out where, who waits for whom, and what is told of it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import ExitStack
from typing import Any

import aiohttp
import attrs
import pytest
from bad_days import (
    AS_IS,
    CALLS,
    COPY,
    ID,
    NAME,
    READS,
    WRITES,
    Clock,
    arrived,
    clock,
    is_done,
    listening,
    narrow,
    server,
    until,
)

from dialler_async import (
    ConfigurationError,
    ConnectError,
    DeadlineError,
    DiallerClient,
    DiallerError,
    OutcomeUnknownError,
    RetryPolicy,
    Timeouts,
    endpoints,
)
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Reset, StallBeforeHeaders, StallInBody, Status, Trickle
from dialler_async.transport import SURROUNDINGS

__all__ = ["clock", "server"]

ONCE = RetryPolicy(attempts=1)
SOON = RetryPolicy(base_delay=0.001)


async def not_held_up() -> bool:
    return False


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


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
async def test_no_connection_in_time_is_a_connect_error_for_every_call(deaf: str, call: str) -> None:
    async with DiallerClient(deaf, "t", timeouts=Timeouts(connect=0.02), retry=ONCE) as dialler:
        error = await failure(CALLS[call](dialler))
    assert type(error) is ConnectError
    assert "no connection within 0.02 s; nothing was sent" in str(error)


@pytest.mark.parametrize("call", CALLS)
async def test_a_deadline_that_runs_out_while_connecting_leaves_nothing_unknown(deaf: str, call: str) -> None:
    async with DiallerClient(deaf, "t", timeouts=Timeouts(deadline=0.02)) as dialler:
        error = await failure(CALLS[call](dialler))
    assert type(error) is DeadlineError
    assert "the deadline of 0.02 s ran out while connecting" in str(error)
    assert error.attempts == 1


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("fault", [StallBeforeHeaders(), StallInBody()], ids=repr)
async def test_a_silent_server_is_a_deadline_error_that_says_for_how_long(
    server: Sandbox, call: str, fault: StallBeforeHeaders | StallInBody
) -> None:
    server.faults.next(fault)
    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(read=0.03), retry=ONCE) as dialler:
        error = await failure(CALLS[call](dialler))
    assert type(error) is DeadlineError
    assert isinstance(error, TimeoutError)
    assert "the server sent nothing for 0.03 s" in str(error)


async def test_a_slow_answer_is_no_silent_one(server: Sandbox) -> None:
    server.faults.next(Trickle())
    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(read=2), retry=ONCE) as dialler:
        assert len(await dialler.campaigns.list()) == 3


@pytest.mark.parametrize("fault", [StallBeforeHeaders(), StallBeforeHeaders(carried_out=True), StallInBody()], ids=repr)
@pytest.mark.parametrize("call", CALLS)
async def test_a_deadline_in_flight_leaves_the_outcome_of_a_write_unknown(
    server: Sandbox, call: str, fault: StallBeforeHeaders | StallInBody
) -> None:
    server.faults.next(fault)
    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(deadline=0.05)) as dialler:
        error = await failure(CALLS[call](dialler))
    assert type(error) is (OutcomeUnknownError if call in WRITES else DeadlineError)
    assert "the deadline of 0.05 s ran out while waiting for the reply" in str(error)
    assert error.attempts == len(server.journal) == 1
    if call in WRITES:
        assert arrived(server, call) == [is_done(server, call)]


@pytest.mark.parametrize("call", CALLS)
async def test_a_deadline_at_the_gate_sends_nothing(server: Sandbox, call: str) -> None:
    timeouts = Timeouts(deadline=0.05)
    async with DiallerClient(server.base_url, server.token, timeouts=timeouts, pool=narrow(1)) as dialler:
        pool = dialler._shared.pool
        await pool.enter(not_held_up)
        error = await failure(CALLS[call](dialler))
        pool.leave()
    assert type(error) is DeadlineError
    assert "ran out while waiting at the gate" in str(error)
    assert error.attempts == 0
    assert server.journal == []


@pytest.mark.parametrize("call", CALLS)
async def test_a_deadline_while_waiting_to_repeat_ends_the_wait(
    server: Sandbox, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    async def for_ever(seconds: float) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(SURROUNDINGS, "sleep", for_ever)
    server.faults.next(Status(503, retry_after=0))
    async with DiallerClient(server.base_url, server.token, retry=SOON, timeouts=Timeouts(deadline=0.1)) as dialler:
        error = await failure(CALLS[call](dialler))
    # It was turned away, so nothing is unknown even of a write.
    assert type(error) is DeadlineError
    assert "ran out while waiting to repeat it" in str(error)
    assert error.attempts == len(server.journal) == 1


@pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
async def test_a_deadline_while_waiting_to_repeat_a_write_that_was_lost_leaves_its_outcome_unknown(
    server: Sandbox, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    async def for_ever(seconds: float) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(SURROUNDINGS, "sleep", for_ever)
    server.faults.next(Reset(carried_out=True))
    async with DiallerClient(server.base_url, server.token, retry=SOON, timeouts=Timeouts(deadline=0.1)) as dialler:
        error = await failure(CALLS[call](dialler))
    assert type(error) is OutcomeUnknownError
    assert "ran out while waiting to repeat it" in str(error)


@pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
async def test_so_does_a_deadline_in_the_repeat_itself(server: Sandbox, clock: Clock, call: str) -> None:
    server.faults.next(Reset(carried_out=True), StallBeforeHeaders())
    async with DiallerClient(server.base_url, server.token, retry=SOON, timeouts=Timeouts(deadline=0.1)) as dialler:
        error = await failure(CALLS[call](dialler))
    assert type(error) is OutcomeUnknownError
    assert error.attempts == 2


async def test_a_pause_that_the_server_asked_for_counts_against_the_deadline(
    server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def for_ever(seconds: float) -> None:
        await asyncio.get_running_loop().create_future()

    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(deadline=0.05), retry=ONCE) as dialler:
        server.faults.next(Status(429, retry_after=30))
        await failure(dialler.campaigns.list())
        monkeypatch.setattr(SURROUNDINGS, "sleep", for_ever)
        error = await failure(dialler.campaigns.delete(ID))
    assert type(error) is DeadlineError
    assert len(server.journal) == 1


async def test_a_source_of_tokens_that_takes_too_long_is_told_as_that(server: Sandbox) -> None:
    async def slow() -> str:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with DiallerClient(server.base_url, slow, timeouts=Timeouts(deadline=0.02)) as dialler:
        error = await failure(dialler.campaigns.delete(ID))
    assert type(error) is DeadlineError
    assert "ran out while asking for the token" in str(error)
    assert error.attempts == 0

    tokens = [server.token]

    async def slow_the_second_time() -> str:
        return tokens.pop() if tokens else await slow()

    server.faults.next(Status(401))
    timeouts = Timeouts(deadline=0.1)
    async with DiallerClient(server.base_url, slow_the_second_time, timeouts=timeouts) as dialler:
        error = await failure(dialler.campaigns.delete(ID))
    assert type(error) is DeadlineError
    assert "ran out while asking for a new token" in str(error)


async def test_a_deadline_after_the_answer_came_still_leaves_a_write_unknown(server: Sandbox) -> None:
    """An answer so large that reading it takes its time; that of a clone has no reason to be."""

    class Slow:
        def decode(self, body: bytes) -> Any:
            while True:
                yield

    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(deadline=0.1)) as dialler:
        request = attrs.evolve(endpoints.clone_campaign(NAME, COPY), answer=Slow())
        error = await failure(dialler.campaigns._transport.send(request))
    assert type(error) is OutcomeUnknownError
    assert "while reading" in str(error)
    assert is_done(server, "clone")


async def test_those_who_queue_behind_a_full_pool_run_out_of_neither_connect_nor_read(server: Sandbox) -> None:
    server.latency = 0.02
    timeouts = Timeouts(connect=0.05, read=0.05)
    async with DiallerClient(server.base_url, server.token, pool=narrow(1), timeouts=timeouts, retry=ONCE) as dialler:
        # The last of them waits four times as long as either.
        await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(10)))
    assert len(server.journal) == 10


async def test_nor_do_those_who_queue_behind_a_brought_session_with_less_room_than_the_gate(server: Sandbox) -> None:
    server.latency = 0.02
    timeouts = Timeouts(connect=0.05, read=0.05)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        DiallerClient(server.base_url, server.token, session=session, timeouts=timeouts, retry=ONCE) as dialler,
    ):
        await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(10)))
    assert len(server.journal) == 10
    assert server.connections.peak == 1


@pytest.mark.parametrize("call", AS_IS)
async def test_a_deadline_behind_a_brought_session_without_room_leaves_nothing_unknown(
    server: Sandbox, call: str
) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        DiallerClient(server.base_url, server.token, session=session, timeouts=Timeouts(deadline=0.05)) as dialler,
    ):
        server.faults.next(StallBeforeHeaders())
        holding = asyncio.create_task(session.get(server.base_url))
        await until(lambda: server.journal)
        error = await failure(CALLS[call](dialler))
        holding.cancel()
    assert type(error) is DeadlineError
    assert len(server.journal) == 1


async def test_a_session_that_was_brought_has_its_own_timeouts_overruled(server: Sandbox) -> None:
    server.latency = 0.05
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.01)) as session,
        DiallerClient(server.base_url, server.token, session=session) as dialler,
    ):
        await dialler.campaigns.get(ID)
    assert len(server.journal) == 1


async def test_other_protocols_are_told_as_what_they_are() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()

    async with listening(greet) as base_url, DiallerClient(base_url, "t", retry=ONCE) as dialler:
        error = await failure(dialler.campaigns.list())
    assert "not HTTP" in str(error) or "connection was lost" in str(error)


@pytest.mark.parametrize("name", ["connect", "read", "deadline"])
@pytest.mark.parametrize("seconds", [0, -1])
def test_a_time_that_has_run_out_before_it_begins_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Timeouts(**{name: seconds})
