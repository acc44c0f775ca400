"""Timeouts and deadlines in each phase of a call."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import msgspec
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
from dialler_async._http.aiohttp_internals import CheckingConnector
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox.faults import Reset, StallBeforeHeaders, StallInBody, Status, Trickle

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock, Until
    from tests.http.conftest import AdvanceClock, Listening

NAME = "Spring 26"
COPY = "Monday"
ID = 535
READS = ("list", "get", "find", "result_codes")
WRITES = ("delete", "clone", "clone, exist_ok", "delete_by_name")
CALLS = READS + WRITES
NOT_IDEMPOTENT = ("clone", "delete_by_name")

ONCE = RetryPolicy(attempts=1)
STALLS = [StallBeforeHeaders(), StallBeforeHeaders(carried_out=True), StallInBody()]


async def wait_forever(_: float = 0) -> Any:
    await asyncio.get_running_loop().create_future()


@pytest.fixture
def endless_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait forever before a retry."""
    monkeypatch.setattr(CLOCK, "sleep", wait_forever)


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


async def failure_after(
    call: Awaitable[Any], advance_clock: AdvanceClock, seconds: float, when: Callable[[], object] = lambda: True
) -> DiallerError:
    """Return the error of a call after the clock has advanced by some seconds, as soon as `when` is true."""
    failing = asyncio.create_task(failure(call))
    await advance_clock(seconds, when=when)
    return await failing


@pytest.fixture
async def unreachable_url() -> AsyncIterator[str]:
    """A base URL whose server neither accepts nor refuses connections, because its backlog is full."""
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
async def test_every_call_raises_connect_error_after_connect_timeout(
    unreachable_url: str, advance_clock: AdvanceClock, call: str, server: CampaignServer
) -> None:
    async with DiallerClient(unreachable_url, "t", timeouts=Timeouts(connect=7), retry=ONCE) as dialler:
        error = await failure_after(server.send(call, dialler), advance_clock, 7.01)
    assert type(error) is ConnectError
    assert "within 7 s; nothing was sent" in str(error)


@pytest.mark.parametrize("call", CALLS)
async def test_deadline_while_connecting_raises_deadline_error_for_every_call(
    unreachable_url: str, advance_clock: AdvanceClock, call: str, server: CampaignServer
) -> None:
    async with DiallerClient(unreachable_url, "t", timeouts=Timeouts(deadline=9)) as dialler:
        error = await failure_after(server.send(call, dialler), advance_clock, 9.01)
    assert type(error) is DeadlineError
    assert "the deadline of 9 s expired while connecting" in str(error)
    assert error.attempts == 1


@pytest.mark.parametrize("fault", STALLS, ids=repr)
@pytest.mark.parametrize("call", CALLS)
async def test_read_timeout_error_says_how_long_the_server_sent_nothing(
    server: CampaignServer, advance_clock: AdvanceClock, call: str, fault: StallBeforeHeaders | StallInBody
) -> None:
    server.faults.next(fault)
    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(read=20), retry=ONCE) as dialler:
        error = await failure_after(server.send(call, dialler), advance_clock, 20.01, lambda: server.journal)
    assert type(error) is (OutcomeUnknownError if call in WRITES else DeadlineError)
    assert "no further part of the response arrived for 20 s" in str(error)
    if call in WRITES:
        assert server.arrived(call) == [server.is_done(call)]


async def test_connecting_does_not_count_against_the_read_timeout(
    unreachable_url: str, advance_clock: AdvanceClock
) -> None:
    timeouts = Timeouts(connect=60, read=5)
    async with DiallerClient(unreachable_url, "t", timeouts=timeouts, retry=ONCE) as dialler:
        calling = asyncio.create_task(failure(dialler.campaigns.list()))
        await advance_clock(50)
        await advance_clock(0)
        assert not calling.done()
        await advance_clock(10.01)
        assert "within 60 s; nothing was sent" in str(await calling)


async def test_task_is_not_being_cancelled_after_a_read_timeout(
    server: CampaignServer, advance_clock: AdvanceClock
) -> None:
    async def call_twice(dialler: DiallerClient) -> tuple[int, int]:
        with pytest.raises(DeadlineError):
            await dialler.campaigns.list()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling(), len(await dialler.campaigns.list())

    server.faults.next(StallInBody())
    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(read=20), retry=ONCE) as dialler:
        calling = asyncio.create_task(call_twice(dialler))
        await advance_clock(20.01, when=lambda: server.journal)
        assert await calling == (0, 3)


async def test_response_that_arrived_while_the_event_loop_was_blocked_is_read(
    listening: Listening, advance_clock: AdvanceClock
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"records":[{"Name":"a"}],"count":1,"status":200}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        advance_clock.block(21)
        await wait_forever()

    async with (
        listening(handler) as base_url,
        DiallerClient(base_url, "t", timeouts=Timeouts(read=20), retry=ONCE) as dialler,
    ):
        assert len(await dialler.campaigns.list()) == 1


async def test_queued_call_is_not_sent_after_its_deadline_when_the_event_loop_was_blocked(
    listening: Listening, advance_clock: AdvanceClock
) -> None:
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await reader.readuntil(b"\r\n\r\n")
            requests += 1
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"status":200}')
            advance_clock.block(121)

    async with listening(handler) as base_url, DiallerClient(base_url, "t", pool=PoolConfig(limit=1)) as dialler:
        calls = [dialler.campaigns.delete(number) for number in (1, 2)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert type(outcomes[1]) is DeadlineError
    assert requests == 1


async def test_read_timeout_starts_again_with_the_headers(listening: Listening, advance_clock: AdvanceClock) -> None:
    go_on = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in (b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n", b'{"records":[],', b'"status":200} '):
            await go_on.wait()
            go_on.clear()
            writer.write(part)

    async with (
        listening(handler) as base_url,
        DiallerClient(base_url, "t", timeouts=Timeouts(read=20), retry=ONCE) as dialler,
    ):
        calling = asyncio.create_task(dialler.campaigns.list())
        for _ in range(3):
            await advance_clock(15)
            # An expired timeout would cancel the call now.
            await advance_clock(1)
            await advance_clock(1)
            go_on.set()
        assert len(await calling) == 0


async def test_deadline_error_is_a_timeout_error_without_context(
    server: CampaignServer, dialler: DiallerClient, advance_clock: AdvanceClock
) -> None:
    server.faults.next(StallBeforeHeaders())
    error = await failure_after(dialler.campaigns.list(), advance_clock, 121, lambda: server.journal)
    assert isinstance(error, TimeoutError)
    # The frames of the cancellation hold the request, so the cancellation must not be the context.
    assert error.__context__ is None


async def test_read_timeout_starts_again_with_each_part_of_a_response(
    listening: Listening, advance_clock: AdvanceClock
) -> None:
    body = b'{"records":[{"Name":"a"}],"count":1,"status":200}'
    next_part = [asyncio.Event() for _ in body]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for byte, event in zip(body, next_part, strict=True):
            await event.wait()
            writer.write(bytes((byte,)))

    async with (
        listening(handler) as base_url,
        DiallerClient(base_url, "t", timeouts=Timeouts(read=20), retry=ONCE) as dialler,
    ):
        calling = asyncio.create_task(dialler.campaigns.list())
        for event in next_part:
            await advance_clock(2)
            event.set()
        assert [one.name for one in await calling] == ["a"]


async def test_slow_response_does_not_exceed_the_read_timeout(server: CampaignServer) -> None:
    server.faults.next(Trickle())
    async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(read=5), retry=ONCE) as dialler:
        assert len(await dialler.campaigns.list()) == 3


@pytest.mark.parametrize("call", CALLS)
async def test_deadline_in_flight_leaves_the_outcome_of_a_write_unknown(
    server: CampaignServer, advance_clock: AdvanceClock, call: str
) -> None:
    timeouts = Timeouts(read=60, deadline=50)
    for fault in STALLS:
        server.restore()
        server.faults.next(fault)
        async with DiallerClient(server.base_url, server.token, timeouts=timeouts) as dialler:
            error = await failure_after(server.send(call, dialler), advance_clock, 50.01, lambda: server.journal)
        assert type(error) is (OutcomeUnknownError if call in WRITES else DeadlineError)
        assert "the deadline of 50 s expired while waiting for the response" in str(error)
        assert error.attempts == len(server.journal) == 1
        if call in WRITES:
            assert server.arrived(call) == [server.is_done(call)]


@pytest.mark.parametrize("call", CALLS)
async def test_deadline_in_the_queue_sends_nothing(
    server: CampaignServer, advance_clock: AdvanceClock, call: str
) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
        pool = dialler._shared.pool
        await pool.enter()
        error = await failure_after(server.send(call, dialler), advance_clock, 120.01)
        pool.leave()
    assert type(error) is DeadlineError
    assert "the deadline of 120 s expired while waiting in the client's queue" in str(error)
    assert error.attempts == 0
    assert server.journal == []


@pytest.mark.parametrize("call", CALLS)
async def test_deadline_ends_the_wait_before_a_retry(
    server: CampaignServer, dialler: DiallerClient, endless_backoff: None, advance_clock: AdvanceClock, call: str
) -> None:
    server.faults.next(Status(503, retry_after=1))
    error = await failure_after(server.send(call, dialler), advance_clock, 120.01, lambda: server.journal)
    # The server refused the attempt, so the outcome is known, also for a write.
    assert type(error) is DeadlineError
    assert "expired while waiting for the next retry" in str(error)
    assert error.attempts == len(server.journal) == 1


@pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
async def test_deadline_before_the_retry_of_a_lost_write_leaves_its_outcome_unknown(
    server: CampaignServer, dialler: DiallerClient, endless_backoff: None, advance_clock: AdvanceClock, call: str
) -> None:
    server.faults.next(Reset(carried_out=True))
    error = await failure_after(server.send(call, dialler), advance_clock, 120.01, lambda: server.journal)
    assert type(error) is OutcomeUnknownError
    assert "expired while waiting for the next retry" in str(error)


@pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
async def test_deadline_in_the_retry_of_a_lost_write_leaves_its_outcome_unknown(
    server: CampaignServer, dialler: DiallerClient, advance_clock: AdvanceClock, call: str
) -> None:
    server.faults.next(Reset(carried_out=True), StallBeforeHeaders())
    error = await failure_after(server.send(call, dialler), advance_clock, 120.01, lambda: len(server.journal) == 2)
    assert type(error) is OutcomeUnknownError
    assert error.attempts == 2


async def test_pause_after_429_counts_against_the_deadline(
    server: CampaignServer, advance_clock: AdvanceClock, endless_backoff: None
) -> None:
    async with DiallerClient(server.base_url, server.token, retry=ONCE) as dialler:
        server.faults.next(Status(429, retry_after=30))
        await failure(dialler.campaigns.list())
        error = await failure_after(dialler.campaigns.delete(ID), advance_clock, 120.01)
    assert type(error) is DeadlineError
    assert "expired while waiting for the end of the pause that the server requested" in str(error)
    assert len(server.journal) == 1


async def test_deadline_error_says_that_the_call_waited_for_the_token(
    server: CampaignServer, advance_clock: AdvanceClock
) -> None:
    async with DiallerClient(server.base_url, never_returned_token) as dialler:
        error = await failure_after(dialler.campaigns.delete(ID), advance_clock, 120.01)
    assert type(error) is DeadlineError
    assert "expired while waiting for the token" in str(error)
    assert error.attempts == 0


async def test_deadline_error_says_that_the_call_waited_for_a_renewed_token(
    server: CampaignServer, advance_clock: AdvanceClock
) -> None:
    tokens = [server.token]

    async def slow_at_the_second_call() -> str:
        return tokens.pop() if tokens else await never_returned_token()

    server.faults.next(Status(401))
    async with DiallerClient(server.base_url, slow_at_the_second_call) as dialler:
        error = await failure_after(dialler.campaigns.delete(ID), advance_clock, 120.01, lambda: server.journal)
    assert type(error) is DeadlineError
    assert "expired while waiting for the token" in str(error)


async def never_returned_token() -> str:
    await wait_forever()
    return "never"


async def test_deadline_while_decoding_leaves_the_outcome_of_a_write_unknown(
    server: CampaignServer, dialler: DiallerClient, advance_clock: AdvanceClock
) -> None:
    def decode_forever(body: bytes) -> Any:
        while True:
            yield

    request = msgspec.structs.replace(endpoints.clone_campaign(NAME, COPY), decoder=decode_forever)
    send = dialler.campaigns._transport.send(request)
    error = await failure_after(send, advance_clock, 120.01, lambda: server.is_done("clone"))
    assert type(error) is OutcomeUnknownError
    assert "while decoding the response" in str(error)


async def test_waiting_for_a_slot_counts_against_neither_connect_nor_read(
    server: CampaignServer, advance_clock: AdvanceClock
) -> None:
    timeouts = Timeouts(connect=1, read=1)
    async with DiallerClient(
        server.base_url, server.token, pool=PoolConfig(limit=1), timeouts=timeouts, retry=ONCE
    ) as dialler:
        pool = dialler._shared.pool
        await pool.enter()
        waiting = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(10)]
        await advance_clock(100)
        pool.leave()
        await asyncio.gather(*waiting)
    assert len(server.journal) == 10


@attrs.define
class FullSession:
    """A session with a connection limit of one, and a request that uses the connection."""

    session: aiohttp.ClientSession
    holding_request: asyncio.Task[Any]


@pytest.fixture
async def full_session(server: CampaignServer, until: Until) -> AsyncIterator[FullSession]:
    server.faults.next(StallBeforeHeaders())
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as session:
        holding_request = asyncio.create_task(session.get(server.base_url))
        await until(lambda: server.journal)
        yield FullSession(session, holding_request)
        holding_request.cancel()


async def test_waiting_for_a_connection_of_a_user_session_counts_against_neither_connect_nor_read(
    server: CampaignServer, full_session: FullSession, advance_clock: AdvanceClock
) -> None:
    timeouts = Timeouts(connect=1, read=1)
    async with DiallerClient(
        server.base_url, server.token, session=full_session.session, timeouts=timeouts, retry=ONCE
    ) as dialler:
        waiting = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(10)]
        await advance_clock(100)
        full_session.holding_request.cancel()
        await asyncio.gather(*waiting)
    assert len(server.journal) == 1 + 10


@pytest.mark.parametrize("call", NOT_IDEMPOTENT)
async def test_deadline_while_waiting_for_a_connection_of_a_user_session_raises_deadline_error(
    server: CampaignServer, full_session: FullSession, advance_clock: AdvanceClock, call: str
) -> None:
    async with DiallerClient(server.base_url, server.token, session=full_session.session) as dialler:
        error = await failure_after(server.send(call, dialler), advance_clock, 120.01)
    assert type(error) is DeadlineError
    assert len(server.journal) == 1


async def test_timeouts_of_the_client_override_those_of_a_user_session(
    server: CampaignServer, advance_clock: AdvanceClock, until: Until
) -> None:
    server.faults.next(StallBeforeHeaders())
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1, sock_read=1)) as session,
        DiallerClient(server.base_url, server.token, session=session, retry=ONCE) as dialler,
    ):
        calling = asyncio.create_task(failure(dialler.campaigns.get(ID)))
        await until(lambda: server.journal)
        await advance_clock(25)
        await advance_clock(0)
        assert not calling.done()
        await advance_clock(6)
        assert "for 30 s" in str(await calling)


async def test_finished_call_that_connected_twice_is_not_cancelled_at_its_read_timeout(
    server: CampaignServer, dialler: DiallerClient, advance_clock: AdvanceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = CheckingConnector.connect

    async def connect_twice(self: CheckingConnector, request: Any, *args: Any, **kwargs: Any) -> Any:
        (await connect(self, request, *args, **kwargs)).close()
        return await connect(self, request, *args, **kwargs)

    monkeypatch.setattr(CheckingConnector, "connect", connect_twice)
    assert await dialler.campaigns.list()
    for seconds in (31, 1):
        # The timeout cancels its task a little later.
        await advance_clock(seconds)
        await asyncio.sleep(0)
    assert await dialler.campaigns.list()


@pytest.mark.parametrize("call", READS)
async def test_finished_call_is_not_cancelled_at_its_deadline(
    server: CampaignServer, dialler: DiallerClient, clock: Clock, advance_clock: AdvanceClock, call: str
) -> None:
    await server.send(call, dialler)
    await advance_clock(1000)
    await asyncio.sleep(0)
    await server.send(call, dialler)


@pytest.mark.parametrize("name", ["connect", "read", "deadline"])
async def test_infinite_timeout_sets_no_limit(name: str, server: CampaignServer) -> None:
    timeouts = Timeouts(**{name: float("inf")})
    async with DiallerClient(server.base_url, server.token, timeouts=timeouts) as dialler:
        assert (await dialler.campaigns.get(ID)).name == NAME


@pytest.mark.parametrize("name", ["connect", "read", "deadline"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), True, "5", None])
def test_timeout_that_is_not_a_positive_number_is_refused(name: str, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Timeouts(**{name: seconds})
