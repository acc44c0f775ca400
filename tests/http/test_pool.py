"""The session's life and the gate before it: who goes when, who closes what, and who may use it."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest

from dialler_async import (
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
from dialler_async._http.fork import PROCESS
from dialler_async._http.pool import Pool
from dialler_async._http.rate_limit import rate_limiter
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.exchange import Exchange
from dialler_async.sandbox.faults import CannedResponse, Fault, HangUp, Meanwhile, Status
from dialler_async.sandbox.response import Response

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock, Until
    from tests.http.conftest import Leap, Settle

NAME = "Spring 26"
COPY = "Monday"
ID = 535
RECORDS = ({"ID": 535, "Name": "Spring 26"}, {"ID": 536, "Name": "Autumn"}, {"ID": 537, "Name": "spring 26 (old)"})


@attrs.frozen
class Held(Fault):
    """An honest answer, as soon as the test says so."""

    release: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def play(self, exchange: Exchange) -> Response:
        await self.release.wait()
        return await exchange.carry_out()


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


REFUSED = 7
"""What a forked child ends with that may not use its parent's client."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def forked(attempt: Callable[[], object]) -> int:
    """A child that tries something; its ID."""
    with warnings.catch_warnings():
        # That other threads run is what newer Pythons warn of; the child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            attempt()
        except ClientStateError as error:
            os._exit(REFUSED if "used before a fork" in str(error) else 1)
        finally:
            os._exit(2)
    return child


class TestGate:
    async def test_ten_calls_one_after_the_other_open_one_connection(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            for _ in range(10):
                await dialler.campaigns.get(ID)
        assert server.connections.opened == 1

    async def test_two_hundred_at_once_keep_to_the_limit_in_calls_and_in_connections(
        self, server: CampaignServer
    ) -> None:
        at_once: list[int] = []
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=8)) as dialler:
            server.faults.chance(1, [Meanwhile(lambda: at_once.append(dialler._shared.pool.in_flight))])
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(200)))
        assert len(at_once) == 200
        assert max(at_once) == 8
        assert server.connections.opened == server.connections.peak == 8

    async def test_first_come_first_served(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
            languages = list(range(1, 31))
            await asyncio.gather(*(dialler.result_codes.list(ID, language=language) for language in languages))
        assert [int(received.query["languagesID"]) for received in server.journal] == languages

    async def test_a_call_that_failed_gives_its_place_back(self, server: CampaignServer, clock: Clock) -> None:
        once = RetryPolicy(attempts=1)
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1), retry=once) as dialler:
            server.faults.next(HangUp(), Status(503))
            for _ in range(2):
                await failure(dialler.campaigns.list())
            await failure(dialler.campaigns.get(999))
            assert dialler._shared.pool.in_flight == 0
            await dialler.campaigns.list()

    async def test_one_that_waits_to_repeat_leaves_its_place_to_others(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        server.faults.next(Status(503))
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
            clock.meanwhile = dialler.campaigns.list
            await dialler.campaigns.get(ID)
        assert [received.call for received in server.journal] == ["get", "list", "get"]

    @pytest.mark.parametrize("limit", [0, -1, True, 2.0, "8", None])
    def test_a_limit_that_can_not_be_is_refused(self, limit: Any) -> None:
        with pytest.raises(ConfigurationError, match="limit"):
            PoolConfig(limit=limit)

    @pytest.mark.parametrize("max_body", [0, True, 1.5, "8", None])
    def test_no_room_for_any_answer_is_refused(self, max_body: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_body"):
            PoolConfig(max_body=max_body)

    @pytest.mark.parametrize("ssl", [True, False, "ca.pem"])
    def test_what_is_no_context_is_refused(self, ssl: Any) -> None:
        with pytest.raises(ConfigurationError, match="ssl"):
            PoolConfig(ssl=ssl)


class Starts(Observer):
    """When attempts begin, seen from the client: a slow machine would space them out on their way to the server."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        self.at.append(asyncio.get_running_loop().time())


class TestRate:
    async def test_calls_are_evenly_spaced_whoever_makes_them(self, server: CampaignServer) -> None:
        loop, starts = asyncio.get_running_loop(), Starts()
        async with DiallerClient(server.base_url, server.token, max_rate=100, observer=starts) as dialler:
            begun = loop.time()
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(3)), dialler.campaigns.list())
            await dialler.for_account(1, server.token).campaigns.list()
        assert [moment - begun >= (interval - 1) / 100 - 0.001 for interval, moment in enumerate(starts.at)] == [
            True
        ] * 5

    @pytest.mark.parametrize("rate", [10, 50, 200, 1000])
    async def test_late_timers_do_not_lower_the_rate(self, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
        loop, now = asyncio.get_running_loop(), 1000.0

        def late(when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
            nonlocal now
            # Half a period, which is what a timer is late by at 1000 calls a second.
            now = max(now, when) + 0.5 / rate
            loop.call_soon(callback, *args)
            return asyncio.TimerHandle(when, callback, args, loop)

        monkeypatch.setattr(loop, "time", lambda: now)
        monkeypatch.setattr(loop, "call_at", late)
        limiter = rate_limiter(rate)
        for _ in range(rate + 1):
            await limiter.acquire()
        assert 1 - 1 / rate <= now - 1000 <= 1 + 0.5 / rate

    async def test_repeats_count_too(self, server: CampaignServer, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        server.faults.next(*[Status(503)] * 3)
        async with DiallerClient(server.base_url, server.token, max_rate=50) as dialler:
            begun = loop.time()
            await dialler.campaigns.list()
            took = loop.time() - begun
        assert len(server.journal) == 4
        assert took >= 2 / 50 - 0.001

    async def test_those_who_queued_at_the_gate_do_not_burst_out_of_it(
        self, server: CampaignServer, leap: Leap, until: Until
    ) -> None:
        held, loop, starts = Held(), asyncio.get_running_loop(), Starts()
        server.faults.next(held)
        async with DiallerClient(
            server.base_url, server.token, pool=PoolConfig(limit=1), max_rate=100, observer=starts
        ) as dialler:
            first = asyncio.create_task(dialler.campaigns.get(ID))
            await until(lambda: server.journal)
            others = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(4)]
            # Long enough for all of them to be due.
            await leap(0.06)
            starts.at.clear()
            begun = loop.time()
            held.release.set()
            await asyncio.gather(first, *others)
        # Two of them were due long ago.
        assert [moment - begun >= (interval - 1) / 100 - 0.001 for interval, moment in enumerate(starts.at)] == [
            True
        ] * 4

    async def test_those_held_up_by_the_server_do_not_burst_either(
        self, server: CampaignServer, clock: Clock, monkeypatch: pytest.MonkeyPatch, until: Until
    ) -> None:
        over, held_up = asyncio.Event(), []

        async def sleep(seconds: float) -> None:
            held_up.append(seconds)
            await over.wait()
            clock.seconds += seconds

        loop, starts = asyncio.get_running_loop(), Starts()
        once = RetryPolicy(attempts=1)
        async with DiallerClient(server.base_url, server.token, max_rate=20, retry=once, observer=starts) as dialler:
            server.faults.next(Status(429, retry_after=30))
            await failure(dialler.campaigns.list())
            monkeypatch.setattr(CLOCK, "sleep", sleep)
            starts.at.clear()
            waiting = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(4)]
            await until(lambda: len(held_up) == 4)
            begun = loop.time()
            over.set()
            await asyncio.gather(*waiting)
        # The first two of them may have been due by then.
        assert [moment - begun >= (interval - 1) / 20 - 0.001 for interval, moment in enumerate(starts.at)] == [
            True
        ] * 4

    async def test_a_limiter_of_ones_own_is_asked_before_each_attempt(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        class Counting:
            asked = 0

            async def acquire(self) -> None:
                assert len(server.journal) == self.asked
                self.asked += 1

        limiter = Counting()
        server.faults.next(Status(503))
        async with DiallerClient(server.base_url, server.token, max_rate=limiter) as dialler:
            await dialler.campaigns.list()
            await dialler.for_account(1, server.token).campaigns.list()
        assert limiter.asked == len(server.journal) == 3

    @pytest.mark.parametrize("max_rate", [0, -1, float("inf"), float("nan"), True, "50"])
    def test_a_rate_that_can_not_be_is_refused(self, max_rate: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_rate"):
            DiallerClient("http://localhost/rest/v1.0/1", "t", max_rate=max_rate)

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "aiolimiter", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'dialler-async\[rate\]'"):
            DiallerClient("http://localhost/rest/v1.0/1", "t", max_rate=1)


class TestClosing:
    async def test_calls_in_flight_finish_and_all_others_are_refused(
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
        assert type(await failure(dialler.campaigns.list())) is ClientStateError
        held.release.set()
        await in_flight
        await closing
        assert {type(error) for error in await asyncio.gather(*waiting)} == {ClientStateError}
        assert server.is_done("delete")
        assert len(server.journal) == 1
        await until(lambda: server.connections.open == 0)

    async def test_twice_and_at_the_same_time_is_as_once(
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

    async def test_before_anything_was_opened_it_refuses_all_the_same(self, server: CampaignServer) -> None:
        dialler = DiallerClient(server.base_url, server.token)
        await dialler.aclose()
        error = await failure(dialler.campaigns.list())
        assert type(error) is ClientStateError
        assert "closed" in str(error)
        assert server.journal == []

    async def test_cancelled_it_waits_no_longer_and_cuts_the_calls_in_flight(
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
        assert type(await reading) is ClientStateError
        assert type(await cloning) is OutcomeUnknownError
        await until(lambda: server.connections.open == 0)
        await dialler.aclose()
        held.release.set()
        assert len(server.journal) == 2

    async def test_a_call_held_up_by_the_server_is_refused_when_its_turn_comes(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        once = RetryPolicy(attempts=1)
        dialler = DiallerClient(server.base_url, server.token, retry=once)
        server.faults.next(Status(429, retry_after=30))
        await failure(dialler.campaigns.list())
        clock.meanwhile = dialler.aclose
        assert type(await failure(dialler.campaigns.delete(ID))) is ClientStateError
        assert server.arrived("delete") == []

    async def test_the_client_of_another_account_on_the_same_pool_closes_nothing(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            async with dialler.for_account(1, server.token) as sibling:
                await sibling.campaigns.list()
            await dialler.campaigns.list()
        assert type(await failure(sibling.campaigns.list())) is ClientStateError
        assert server.connections.opened == 1


class TestBroughtSession:
    async def test_it_is_never_closed(self, server: CampaignServer) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with DiallerClient(server.base_url, server.token, session=session) as dialler:
                    await dialler.campaigns.list()
                await dialler.aclose()
                assert type(await failure(dialler.campaigns.list())) is ClientStateError
                assert not session.closed
            del dialler
            gc.collect()
            assert not session.closed
        assert server.connections.opened == 1

    async def test_it_is_not_closed_when_closing_the_client_is_cancelled_either(
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

    async def test_one_that_is_closed_is_told_as_that_at_once_and_at_the_gate(
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
        assert type(await in_flight) is ClientStateError
        assert type(await waiting) is ClientStateError
        assert type(await failure(dialler.campaigns.list())) is ClientStateError
        held.release.set()

    async def test_it_is_used_in_its_own_loop_only(self, server: CampaignServer) -> None:
        async with aiohttp.ClientSession() as session:
            dialler = DiallerClient(server.base_url, server.token, session=session)

            async def elsewhere() -> DiallerError:
                return await failure(dialler.campaigns.delete(ID))

            error = await asyncio.to_thread(asyncio.run, elsewhere())
            assert type(error) is ClientStateError
            assert "another event loop" in str(error)
            await dialler.campaigns.list()
        assert server.arrived("delete") == []

    async def test_its_own_view_of_statuses_and_urls_does_not_count(self, server: CampaignServer) -> None:
        async with (
            aiohttp.ClientSession(base_url="https://elsewhere.example/", raise_for_status=True) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            assert type(await failure(dialler.campaigns.delete(999))) is NotFoundError
        assert server.arrived("delete") == [False]

    async def test_its_headers_go_along_but_for_the_token(self, server: CampaignServer) -> None:
        headers = {"X-Team": "billing", "Authorization": "Bearer wrong"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            await dialler.campaigns.list()
        assert server.journal[0].headers["X-Team"] == "billing"

    async def test_what_belongs_to_the_session_is_not_given_to_the_client(self) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ConfigurationError, match="trace_configs"):
                Pool(PoolConfig(), session, [aiohttp.TraceConfig()])

    @pytest.mark.filterwarnings("ignore:.*auth:DeprecationWarning")
    async def test_one_with_credentials_of_its_own_is_refused(self) -> None:
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


async def test_cookies_of_the_server_are_not_kept(server: CampaignServer) -> None:
    body = b'{"records":[],"count":0,"status":200}'
    server.faults.next(CannedResponse(200, body, {"Content-Type": "application/json", "Set-Cookie": "session=1"}))
    # By a name: of an address, aiohttp would keep none anyway.
    async with DiallerClient(server.base_url.replace("127.0.0.1", "localhost"), server.token) as dialler:
        await dialler.campaigns.list()
        await dialler.campaigns.list()
    assert "Cookie" not in server.journal[1].headers


class TestPlace:
    """A client belongs to one event loop in one process."""

    async def test_another_loop_is_refused_and_harms_nothing(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            await dialler.campaigns.list()

            async def elsewhere() -> list[DiallerError]:
                return [await failure(dialler.campaigns.list()), await failure(dialler.aclose())]

            for error in await asyncio.to_thread(asyncio.run, elsewhere()):
                assert type(error) is ClientStateError
                assert "another event loop" in str(error)
            await dialler.campaigns.list()
        assert server.connections.opened == 1

    async def test_entering_it_binds_it_to_the_loop(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:

            async def elsewhere() -> DiallerError:
                return await failure(dialler.campaigns.list())

            assert type(await asyncio.to_thread(asyncio.run, elsewhere())) is ClientStateError

    def test_one_that_was_never_used_may_be_closed_anywhere(self) -> None:
        dialler = DiallerClient("http://localhost/rest/v1.0/1", "t")
        asyncio.run(dialler.aclose())
        asyncio.run(dialler.aclose())

    async def test_another_process_is_told_before_anything_else(
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
    async def test_a_forked_child_is_refused_and_harms_nothing(self, server: CampaignServer) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            await dialler.campaigns.list()
            child = forked(lambda: asyncio.run(dialler.campaigns.list()))
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            assert os.waitstatus_to_exitcode(status) == REFUSED
            await dialler.campaigns.list()
        assert len(server.journal) == 2
        assert server.connections.opened == 1

    @needs_fork
    @pytest.mark.parametrize("in_a_task", [True, False])
    def test_so_is_a_child_that_goes_on_in_the_loop_of_its_parent(self, in_a_task: bool) -> None:
        dialler = DiallerClient("http://127.0.0.1:1/rest/v1.0/1", "t", retry=RetryPolicy(attempts=1))

        async def fork() -> int:
            return forked(lambda: dialler.campaigns.list().send(None))

        with asyncio.Runner() as runner:
            # It comes to nothing, but the client belongs to the loop from then on.
            assert type(runner.run(failure(dialler.campaigns.list()))) is ConnectError
            child = runner.run(fork()) if in_a_task else forked(lambda: runner.run(dialler.campaigns.list()))
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == REFUSED
            runner.run(dialler.aclose())


class TestCollectedUnclosed:
    @pytest.fixture(autouse=True)
    def _nothing_else_to_collect(self) -> Iterator[None]:
        gc.collect()
        yield
        gc.collect()

    async def test_it_warns_once_with_the_place_it_was_made_at_and_closes_its_connections(
        self, server: CampaignServer, caplog: pytest.LogCaptureFixture, until: Until
    ) -> None:
        dialler = DiallerClient(server.base_url, server.token)
        made_at = f"{__file__}:{sys._getframe().f_lineno - 1}"
        await dialler.campaigns.list()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del dialler
            gc.collect()
            await until(lambda: server.connections.open == 0)
            gc.collect()
        assert [str(warning.message) for warning in caught] == [
            f"a DiallerClient was never closed; it was made at {made_at}"
        ]
        assert caught[0].category is ResourceWarning
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    async def test_for_account_is_not_the_place_it_was_made_at(self, server: CampaignServer, until: Until) -> None:
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

    def test_it_warns_after_its_loop_is_gone_too(self, caplog: pytest.LogCaptureFixture) -> None:
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
        told = [str(warning.message) for warning in caught]
        # Another one is asyncio's, of a socket whose loop is gone.
        assert sum("a DiallerClient was never closed" in message for message in told) == 1
        assert not any("Unclosed" in message for message in told)
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    async def test_what_was_closed_or_never_opened_or_brought_is_collected_in_silence(
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

    async def test_a_forked_child_does_not_warn_of_its_parents_client(
        self, server: CampaignServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dialler = DiallerClient(server.base_url, server.token)
        await dialler.campaigns.list()
        pool = dialler._shared.pool
        with monkeypatch.context() as child, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            child.setattr(PROCESS, "pid", os.getpid() + 1)
            pool.__del__()
        assert caught == []
        await dialler.aclose()
