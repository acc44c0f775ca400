"""The pool: its limit, its rate limiter, its session, and its event loop and process."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest
import trustme

from dialler_async import (
    ClientClosedError,
    ClientStateError,
    ConfigurationError,
    ConnectError,
    DiallerClient,
    DiallerError,
    NotFoundError,
    ObservedCall,
    Observer,
    OutcomeUnknownError,
    PoolConfig,
    RetryPolicy,
)
from dialler_async._http.clock import CLOCK
from dialler_async._http.pool import PROCESS, Pool, _close_forgotten, rate_limiter
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Fault, HangUp, Meanwhile, Raw, Status
from dialler_async.sandbox.in_flight_request import InFlightRequest
from dialler_async.sandbox.response import SandboxResponse

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock, Until
    from tests.http.conftest import AdvanceClock, Settle

NAME = "Spring 26"
COPY = "Monday"
ID = 535
RECORDS = ({"ID": 535, "Name": "Spring 26"}, {"ID": 536, "Name": "Autumn"}, {"ID": 537, "Name": "spring 26 (old)"})


@attrs.frozen
class Held(Fault):
    """Responds normally, but only after `release` is set."""

    release: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        await self.release.wait()
        return await request.carry_out()


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


REFUSED_EXIT_CODE = 7
"""The exit code of a forked child whose call raises ClientStateError."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def fork_child(attempt: Callable[[], object]) -> int:
    """Return the process ID of a forked child that makes an attempt."""
    with warnings.catch_warnings():
        # Newer Pythons warn about a fork with other threads. The child does not need the threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            attempt()
        except ClientStateError as error:
            os._exit(REFUSED_EXIT_CODE if "used before a fork" in str(error) else 1)
        finally:
            os._exit(2)
    return child


async def test_connection_that_changes_its_protocol_is_closed(server: CampaignServer) -> None:
    server.faults.next(Raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"))
    async with DiallerClient(server.base_url, server.token) as dialler:
        with pytest.raises(DiallerError):
            await dialler.campaigns.list()
        assert await dialler.campaigns.list()
        assert server.connections.open == 1


class TestLimit:
    async def test_consecutive_calls_share_one_connection(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            for _ in range(10):
                await dialler.campaigns.get(ID)
        assert server.connections.opened == 1

    async def test_concurrent_calls_and_connections_do_not_exceed_the_limit(self, server: CampaignServer) -> None:
        in_flight_counts: list[int] = []
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=8)) as dialler:
            server.faults.chance(1, [Meanwhile(lambda: in_flight_counts.append(dialler._shared.pool.in_flight))])
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(200)))
        assert len(in_flight_counts) == 200
        assert max(in_flight_counts) == 8
        assert server.connections.opened == server.connections.peak == 8

    async def test_waiting_calls_are_sent_in_their_order(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
            languages = list(range(1, 31))
            await asyncio.gather(*(dialler.result_codes.list(ID, language=language) for language in languages))
        assert [int(received.query["languagesID"]) for received in server.journal] == languages

    async def test_failed_call_releases_its_slot(self, server: CampaignServer, clock: Clock) -> None:
        once = RetryPolicy(attempts=1)
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1), retry=once) as dialler:
            server.faults.next(HangUp(), Status(503))
            for _ in range(2):
                await failure(dialler.campaigns.list())
            await failure(dialler.campaigns.get(999))
            assert dialler._shared.pool.in_flight == 0
            await dialler.campaigns.list()

    async def test_call_in_backoff_releases_its_slot(self, server: CampaignServer, clock: Clock) -> None:
        server.faults.next(Status(503))
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
            clock.meanwhile = dialler.campaigns.list
            await dialler.campaigns.get(ID)
        assert [received.call for received in server.journal] == ["get", "list", "get"]

    @pytest.mark.parametrize("limit", [0, -1, True, 2.0, "8", None])
    def test_limit_that_is_not_a_positive_int_is_refused(self, limit: Any) -> None:
        with pytest.raises(ConfigurationError, match="limit"):
            PoolConfig(limit=limit)

    @pytest.mark.parametrize("max_body", [0, True, 1.5, "8", None])
    def test_max_body_that_is_not_a_positive_int_is_refused(self, max_body: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_body"):
            PoolConfig(max_body=max_body)

    @pytest.mark.parametrize("ssl", [True, False, "ca.pem"])
    def test_ssl_that_is_not_a_context_is_refused(self, ssl: Any) -> None:
        with pytest.raises(ConfigurationError, match="ssl"):
            PoolConfig(ssl=ssl)


class AttemptTimes(Observer):
    """Records the start times of attempts in the client. In the server, a slow machine would change the intervals."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        self.at.append(asyncio.get_running_loop().time())


class TestRate:
    async def test_max_rate_spaces_the_calls_of_all_accounts(self, server: CampaignServer) -> None:
        loop, attempt_times = asyncio.get_running_loop(), AttemptTimes()
        async with DiallerClient(server.base_url, server.token, max_rate=100, observer=attempt_times) as dialler:
            started_at = loop.time()
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(3)), dialler.campaigns.list())
            await dialler.for_account(1, server.token).campaigns.list()
        assert [
            moment - started_at >= (interval - 1) / 100 - 0.001 for interval, moment in enumerate(attempt_times.at)
        ] == [True] * 5

    @pytest.mark.parametrize("rate", [10, 50, 200, 1000])
    async def test_late_timers_do_not_lower_the_rate(self, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
        loop, now = asyncio.get_running_loop(), 1000.0

        def call_late(when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
            nonlocal now
            # Each timer is late by half a period, as real timers are at 1000 calls per second.
            now = max(now, when) + 0.5 / rate
            loop.call_soon(callback, *args)
            return asyncio.TimerHandle(when, callback, args, loop)

        monkeypatch.setattr(loop, "time", lambda: now)
        monkeypatch.setattr(loop, "call_at", call_late)
        limiter = rate_limiter(rate)
        for _ in range(rate + 1):
            await limiter.acquire()
        assert 1 - 1 / rate <= now - 1000 <= 1 + 0.5 / rate

    async def test_retries_count_against_max_rate(self, server: CampaignServer, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        server.faults.next(*[Status(503)] * 3)
        async with DiallerClient(server.base_url, server.token, max_rate=50) as dialler:
            started_at = loop.time()
            await dialler.campaigns.list()
            took = loop.time() - started_at
        assert len(server.journal) == 4
        assert took >= 2 / 50 - 0.001

    async def test_calls_that_waited_for_a_slot_do_not_exceed_max_rate(
        self, server: CampaignServer, advance_clock: AdvanceClock, until: Until
    ) -> None:
        held, loop, attempt_times = Held(), asyncio.get_running_loop(), AttemptTimes()
        server.faults.next(held)
        async with DiallerClient(
            server.base_url, server.token, pool=PoolConfig(limit=1), max_rate=100, observer=attempt_times
        ) as dialler:
            first = asyncio.create_task(dialler.campaigns.get(ID))
            await until(lambda: server.journal)
            others = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(4)]
            # After this time, all calls are due.
            await advance_clock(0.06)
            attempt_times.at.clear()
            started_at = loop.time()
            held.release.set()
            await asyncio.gather(first, *others)
        # The bucket allows two calls without a wait.
        assert [
            moment - started_at >= (interval - 1) / 100 - 0.001 for interval, moment in enumerate(attempt_times.at)
        ] == [True] * 4

    async def test_calls_that_waited_for_a_pause_do_not_exceed_max_rate(
        self, server: CampaignServer, clock: Clock, monkeypatch: pytest.MonkeyPatch, until: Until
    ) -> None:
        pause_is_over, pauses = asyncio.Event(), []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await pause_is_over.wait()
            clock.seconds += seconds

        loop, attempt_times = asyncio.get_running_loop(), AttemptTimes()
        once = RetryPolicy(attempts=1)
        async with DiallerClient(
            server.base_url, server.token, max_rate=20, retry=once, observer=attempt_times
        ) as dialler:
            server.faults.next(Status(429, retry_after=30))
            await failure(dialler.campaigns.list())
            monkeypatch.setattr(CLOCK, "sleep", sleep)
            attempt_times.at.clear()
            waiting = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(4)]
            await until(lambda: len(pauses) == 4)
            started_at = loop.time()
            pause_is_over.set()
            await asyncio.gather(*waiting)
        # The bucket allows two calls without a wait.
        assert [
            moment - started_at >= (interval - 1) / 20 - 0.001 for interval, moment in enumerate(attempt_times.at)
        ] == [True] * 4

    async def test_custom_rate_limiter_is_acquired_before_each_attempt(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        class CountingLimiter:
            acquired = 0

            async def acquire(self) -> None:
                assert len(server.journal) == self.acquired
                self.acquired += 1

        limiter = CountingLimiter()
        server.faults.next(Status(503))
        async with DiallerClient(server.base_url, server.token, max_rate=limiter) as dialler:
            await dialler.campaigns.list()
            await dialler.for_account(1, server.token).campaigns.list()
        assert limiter.acquired == len(server.journal) == 3

    @pytest.mark.parametrize("max_rate", [0, -1, float("inf"), float("nan"), True, "50"])
    def test_max_rate_that_is_not_a_positive_number_is_refused(self, max_rate: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_rate"):
            DiallerClient("http://localhost/rest/v1.0/1", "t", max_rate=max_rate)

    def test_max_rate_without_aiolimiter_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "aiolimiter", None)
        with pytest.raises(ConfigurationError, match="max_rate=… needs the extra “rate”: "):
            DiallerClient("http://localhost/rest/v1.0/1", "t", max_rate=1)


class TestClosing:
    async def test_aclose_waits_for_calls_in_flight_and_refuses_all_others(
        self, server: CampaignServer, until: Until, settle: Settle
    ) -> None:
        held = Held()
        server.faults.next(held)
        dialler = DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1))
        in_flight = asyncio.create_task(dialler.campaigns.delete(ID))
        await until(lambda: server.journal)
        waiting = [asyncio.create_task(failure(dialler.campaigns.list())) for _ in range(3)]
        await settle()
        closing = asyncio.create_task(dialler.aclose())
        await settle()
        assert not closing.done()
        assert type(await failure(dialler.campaigns.list())) is ClientClosedError
        held.release.set()
        await in_flight
        await closing
        assert {type(error) for error in await asyncio.gather(*waiting)} == {ClientClosedError}
        assert server.is_done("delete")
        assert len(server.journal) == 1
        await until(lambda: server.connections.open == 0)

    async def test_concurrent_and_repeated_aclose_is_allowed(
        self, server: CampaignServer, until: Until, settle: Settle
    ) -> None:
        held = Held()
        server.faults.next(held)
        dialler = DiallerClient(server.base_url, server.token)
        in_flight = asyncio.create_task(dialler.campaigns.list())
        await until(lambda: server.journal)
        closing = [asyncio.create_task(dialler.aclose()) for _ in range(3)]
        await settle()
        assert not any(task.done() for task in closing)
        held.release.set()
        await asyncio.gather(in_flight, *closing)
        await dialler.aclose()
        assert len(await in_flight) == 3

    async def test_client_closed_before_its_first_call_refuses_calls(self, server: CampaignServer) -> None:
        dialler = DiallerClient(server.base_url, server.token)
        await dialler.aclose()
        error = await failure(dialler.campaigns.list())
        assert type(error) is ClientClosedError
        assert "closed" in str(error)
        assert server.journal == []

    async def test_cancelled_aclose_closes_the_connections_of_calls_in_flight(
        self, server: CampaignServer, clock: Clock, until: Until, settle: Settle
    ) -> None:
        held = Held()
        server.faults.next(held, held)
        dialler = DiallerClient(server.base_url, server.token)
        reading = asyncio.create_task(failure(dialler.campaigns.list()))
        cloning = asyncio.create_task(failure(dialler.campaigns.clone(NAME, COPY)))
        await until(lambda: len(server.journal) == 2)
        closing = asyncio.create_task(dialler.aclose())
        await settle()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert type(await reading) is ClientClosedError
        assert type(await cloning) is OutcomeUnknownError
        await until(lambda: server.connections.open == 0)
        await dialler.aclose()
        held.release.set()
        assert len(server.journal) == 2

    async def test_paused_call_is_refused_when_the_client_is_closed_meanwhile(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        once = RetryPolicy(attempts=1)
        dialler = DiallerClient(server.base_url, server.token, retry=once)
        server.faults.next(Status(429, retry_after=30))
        await failure(dialler.campaigns.list())
        clock.meanwhile = dialler.aclose
        assert type(await failure(dialler.campaigns.delete(ID))) is ClientClosedError
        assert server.arrived("delete") == []

    async def test_closing_the_client_of_another_account_keeps_the_pool_open(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            async with dialler.for_account(1, server.token) as sibling:
                await sibling.campaigns.list()
            await dialler.campaigns.list()
        assert type(await failure(sibling.campaigns.list())) is ClientClosedError
        assert server.connections.opened == 1


class TestUserSession:
    async def test_user_session_is_never_closed(self, server: CampaignServer) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with DiallerClient(server.base_url, server.token, session=session) as dialler:
                    await dialler.campaigns.list()
                await dialler.aclose()
                assert type(await failure(dialler.campaigns.list())) is ClientClosedError
                assert not session.closed
            del dialler
            gc.collect()
            assert not session.closed
        assert server.connections.opened == 1

    async def test_user_session_stays_open_when_aclose_is_cancelled(
        self, server: CampaignServer, until: Until, settle: Settle
    ) -> None:
        held = Held()
        server.faults.next(held)
        async with aiohttp.ClientSession() as session:
            dialler = DiallerClient(server.base_url, server.token, session=session)
            in_flight = asyncio.create_task(dialler.campaigns.list())
            await until(lambda: server.journal)
            closing = asyncio.create_task(dialler.aclose())
            await settle()
            closing.cancel()
            await asyncio.wait([closing])
            held.release.set()
            assert len(await in_flight) == 3

    async def test_calls_with_a_closed_user_session_raise_client_state_error(
        self, server: CampaignServer, until: Until, settle: Settle
    ) -> None:
        held = Held()
        server.faults.next(held)
        async with aiohttp.ClientSession() as session:
            dialler = DiallerClient(server.base_url, server.token, session=session, pool=PoolConfig(limit=1))
            in_flight = asyncio.create_task(failure(dialler.campaigns.list()))
            await until(lambda: server.journal)
            waiting = asyncio.create_task(failure(dialler.campaigns.list()))
            await settle()
        assert type(await in_flight) is ClientClosedError
        assert type(await waiting) is ClientClosedError
        assert type(await failure(dialler.campaigns.list())) is ClientClosedError
        held.release.set()

    async def test_user_session_of_another_loop_is_refused(self, server: CampaignServer) -> None:
        async with aiohttp.ClientSession() as session:
            dialler = DiallerClient(server.base_url, server.token, session=session)

            async def call_in_other_loop() -> DiallerError:
                return await failure(dialler.campaigns.delete(ID))

            error = await asyncio.to_thread(asyncio.run, call_in_other_loop())
            assert type(error) is ClientStateError
            assert "another event loop" in str(error)
            await dialler.campaigns.list()
        assert server.arrived("delete") == []

    async def test_raise_for_status_and_base_url_of_a_user_session_are_ignored(self, server: CampaignServer) -> None:
        async with (
            aiohttp.ClientSession(base_url="https://elsewhere.example/", raise_for_status=True) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            assert type(await failure(dialler.campaigns.delete(999))) is NotFoundError
        assert server.arrived("delete") == [False]

    async def test_headers_of_a_user_session_are_sent_except_authorization(self, server: CampaignServer) -> None:
        headers = {"X-Team": "billing", "Authorization": "Bearer wrong"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            await dialler.campaigns.list()
        assert server.journal[0].headers["X-Team"] == "billing"

    async def test_trace_configs_with_a_user_session_are_refused(self) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ConfigurationError, match="trace_configs"):
                Pool(PoolConfig(), session, [aiohttp.TraceConfig()])

    @pytest.mark.filterwarnings("ignore:.*auth:DeprecationWarning")
    async def test_user_session_with_credentials_is_refused(self) -> None:
        async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "password")) as session:
            with pytest.raises(ConfigurationError, match="credentials") as caught:
                DiallerClient("http://localhost/rest/v1.0/1", "t", session=session)
        assert "password" not in str(caught.value)


async def test_trace_configs_see_every_attempt(server: CampaignServer, clock: Clock) -> None:
    seen: list[str] = []

    async def on_request_start(session: Any, context: Any, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(params.method)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_request_start)
    server.faults.next(Status(503))
    async with DiallerClient(server.base_url, server.token, trace_configs=[trace]) as dialler:
        await dialler.campaigns.delete(ID)
    assert seen == ["DELETE", "DELETE"]


async def test_cookies_of_the_server_are_not_stored(server: CampaignServer) -> None:
    body = b'{"records":[],"count":0,"status":200}'
    server.faults.next(CannedResponse(200, body, {"Content-Type": "application/json", "Set-Cookie": "session=1"}))
    # The host is a name, because aiohttp stores no cookies for an IP address.
    async with DiallerClient(server.base_url.replace("127.0.0.1", "localhost"), server.token) as dialler:
        await dialler.campaigns.list()
        await dialler.campaigns.list()
    assert "Cookie" not in server.journal[1].headers


class TestLoopAndProcess:
    """A client belongs to one event loop in one process."""

    async def test_call_from_another_loop_is_refused_without_harm(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            await dialler.campaigns.list()

            async def call_in_other_loop() -> list[DiallerError]:
                return [await failure(dialler.campaigns.list()), await failure(dialler.aclose())]

            for error in await asyncio.to_thread(asyncio.run, call_in_other_loop()):
                assert type(error) is ClientStateError
                assert "another event loop" in str(error)
            await dialler.campaigns.list()
        assert server.connections.opened == 1

    async def test_entering_the_client_binds_it_to_the_loop(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:

            async def call_in_other_loop() -> DiallerError:
                return await failure(dialler.campaigns.list())

            assert type(await asyncio.to_thread(asyncio.run, call_in_other_loop())) is ClientStateError

    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    def test_client_is_closed_quietly_after_its_loop_was_closed(self, tls: bool) -> None:
        context, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
        authority.issue_cert("127.0.0.1").configure_cert(context)
        trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        with Sandbox(RECORDS, ssl_context=context if tls else None) as server:
            dialler = DiallerClient(server.base_url, server.token, pool=PoolConfig(ssl=trusting))
            asyncio.run(dialler.campaigns.list())
            with pytest.raises(ClientStateError, match=r"asyncio\.run\(\).* has ended.*asyncio\.Runner"):
                asyncio.run(dialler.campaigns.list())
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                asyncio.run(dialler.aclose())
                asyncio.run(dialler.aclose())
                del dialler
                gc.collect()
            assert caught == []

    def test_unused_client_can_be_closed_in_any_loop(self) -> None:
        dialler = DiallerClient("http://localhost/rest/v1.0/1", "t")
        asyncio.run(dialler.aclose())
        asyncio.run(dialler.aclose())

    async def test_call_in_another_process_says_that_the_process_forked(
        self, server: CampaignServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            with monkeypatch.context() as child:
                child.setattr(PROCESS, "pid", os.getpid() + 1)
                error = await failure(dialler.campaigns.list())
        assert type(error) is ClientStateError
        assert "before a fork" in str(error)
        assert server.journal == []

    @needs_fork
    async def test_call_in_a_forked_child_is_refused_without_harm(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            await dialler.campaigns.list()
            child = fork_child(lambda: asyncio.run(dialler.campaigns.list()))
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            assert os.waitstatus_to_exitcode(status) == REFUSED_EXIT_CODE
            await dialler.campaigns.list()
        assert len(server.journal) == 2
        assert server.connections.opened == 1

    @needs_fork
    @pytest.mark.parametrize("in_a_task", [True, False])
    def test_call_in_a_forked_child_is_refused_in_the_loop_of_the_parent(self, in_a_task: bool) -> None:
        dialler = DiallerClient("http://127.0.0.1:1/rest/v1.0/1", "t", retry=RetryPolicy(attempts=1))

        async def fork() -> int:
            return fork_child(lambda: dialler.campaigns.list().send(None))

        with asyncio.Runner() as runner:
            # The call fails, but binds the client to the loop.
            assert type(runner.run(failure(dialler.campaigns.list()))) is ConnectError
            child = runner.run(fork()) if in_a_task else fork_child(lambda: runner.run(dialler.campaigns.list()))
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == REFUSED_EXIT_CODE
            runner.run(dialler.aclose())


class TestGarbageCollection:
    @pytest.fixture(autouse=True)
    def _collect_garbage(self) -> Iterator[None]:
        gc.collect()
        yield
        gc.collect()

    async def test_unclosed_client_warns_once_with_its_location_and_closes_its_connections(
        self, server: CampaignServer, caplog: pytest.LogCaptureFixture, until: Until
    ) -> None:
        dialler = DiallerClient(server.base_url, server.token)
        created_at = f"{__file__}:{sys._getframe().f_lineno - 1}"
        await dialler.campaigns.list()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del dialler
            gc.collect()
            await until(lambda: server.connections.open == 0)
            gc.collect()
        assert [str(warning.message) for warning in caught] == [
            f"a DiallerClient was never closed; it was made at {created_at}"
        ]
        assert caught[0].category is ResourceWarning
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    async def test_warning_of_unclosed_client_shows_the_caller_of_for_server(
        self, server: CampaignServer, until: Until
    ) -> None:
        origin = server.base_url.removesuffix("/rest/v1.0/1")
        dialler = DiallerClient.for_server(origin, 1, server.token)
        line = sys._getframe().f_lineno - 1
        await dialler.campaigns.list()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del dialler
            gc.collect()
        assert [str(warning.message).rpartition(" ")[2] for warning in caught] == [f"{__file__}:{line}"]
        await until(lambda: server.connections.open == 0)

    def test_unclosed_client_warns_after_its_loop_was_closed(self, caplog: pytest.LogCaptureFixture) -> None:
        clients: list[DiallerClient] = []

        async def use() -> None:
            async with Sandbox(RECORDS) as server:
                clients.append(DiallerClient(server.base_url, server.token))
                await clients[0].campaigns.list()

        asyncio.run(use())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            clients.clear()
            gc.collect()
        messages = [str(warning.message) for warning in caught]
        assert len(messages) == 1
        assert "a DiallerClient was never closed" in messages[0]
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    async def test_closed_unused_and_user_session_clients_are_collected_without_a_warning(
        self, server: CampaignServer
    ) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with DiallerClient(server.base_url, server.token) as dialler:
                await dialler.campaigns.list()
            dialler = DiallerClient(server.base_url, server.token)
            async with aiohttp.ClientSession() as session:
                dialler = DiallerClient(server.base_url, server.token, session=session)
                await dialler.campaigns.list()
            del dialler
            with pytest.raises(ConfigurationError):
                Pool(PoolConfig(), session, [aiohttp.TraceConfig()])
            gc.collect()
        assert caught == []

    async def test_forked_child_does_not_warn_about_the_client_of_its_parent(
        self, server: CampaignServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            await dialler.campaigns.list()
            pool = dialler._shared.pool
            with monkeypatch.context() as child, warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                child.setattr(PROCESS, "pid", os.getpid() + 1)
                _close_forgotten(pool._connectors, pool._sessions, asyncio.get_running_loop(), os.getpid(), "here")
            assert caught == []
            await dialler.campaigns.list()
        assert server.connections.opened == 1

    async def test_unclosed_client_in_a_reference_cycle_has_only_one_warning(
        self, server: CampaignServer, until: Until
    ) -> None:
        async def use_in_cycle() -> None:
            dialler = DiallerClient(server.base_url, server.token)
            await dialler.campaigns.list()
            await dialler.campaigns.delete(535)
            cycle: list[object] = [dialler, dialler._shared.pool._opened]
            cycle.append(cycle)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await use_in_cycle()
            gc.collect()
        assert ["a DiallerClient was never closed" in str(warning.message) for warning in caught] == [True]
        await until(lambda: server.connections.open == 0)

    def test_unclosed_client_leaves_no_task_behind_after_run_until_complete(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def use() -> None:
            async with Sandbox(RECORDS) as server:
                dialler = DiallerClient(server.base_url, server.token)
                await dialler.campaigns.list()
                await dialler.campaigns.delete(535)
                del dialler
                gc.collect()

        loop = asyncio.new_event_loop()
        with pytest.warns(ResourceWarning, match="a DiallerClient was never closed"):
            loop.run_until_complete(use())
        loop.close()
        gc.collect()
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []
