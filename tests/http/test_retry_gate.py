"""The retry gate: only retries wait while a server fails every request, and one of them at a time is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from dialler_async import (
    ConnectError,
    DiallerClient,
    DiallerError,
    NoReplyError,
    NotFoundError,
    PayloadError,
    PoolConfig,
    RetryPolicy,
    ServerError,
    StatusError,
)
from dialler_async._api.endpoints import Request, get_campaign, list_campaigns
from dialler_async._http.retry_gate import FAILURES_TO_SHUT, RetryGate
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Fault, Reset, StallBeforeHeaders, Status
from dialler_async.sandbox.in_flight_request import InFlightRequest
from dialler_async.sandbox.response import SandboxResponse

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock, Until
    from tests.http.conftest import Settle

ID = 535
DOWN = ConnectError("no connection")
DEFAULT = RetryPolicy()
LIST = list_campaigns()


@attrs.define(eq=False)
class GatedCall:
    """A call at the gate."""

    request: Request[Any] = LIST
    policy: RetryPolicy = DEFAULT
    waited: float = 0.0


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


def shut_gate(error: DiallerError = DOWN) -> RetryGate:
    """Return a gate that has just shut. With the default policy, the first retry is sent after 0.1875 s."""
    gate = RetryGate()
    for _ in range(FAILURES_TO_SHUT):
        assert not gate.is_shut
        gate.failed(GatedCall(), error)
    assert gate.is_shut
    return gate


class TestGate:
    async def test_open_gate_sends_each_retry_at_once(self, clock: Clock) -> None:
        assert await RetryGate().wait(GatedCall())
        assert clock.slept == []

    async def test_failures_with_a_success_between_them_do_not_shut_the_gate(self) -> None:
        gate = RetryGate()
        for _ in range(10):
            for _ in range(FAILURES_TO_SHUT - 1):
                gate.failed(GatedCall(), DOWN)
            gate.succeeded()
        assert not gate.is_shut

    @pytest.mark.parametrize("error", [NotFoundError(status=404), PayloadError(path="count")])
    async def test_error_that_a_retry_would_not_change_opens_the_gate(self, error: DiallerError) -> None:
        gate = shut_gate()
        gate.failed(GatedCall(), error)
        assert not gate.is_shut

    async def test_one_retry_is_sent_after_the_backoff_and_the_others_wait(
        self, virtual_time: None, settle: Settle
    ) -> None:
        gate, loop = shut_gate(), asyncio.get_running_loop()
        begun = loop.time()
        first, second = GatedCall(), GatedCall()
        waiting = [asyncio.create_task(gate.wait(call)) for call in (first, second)]
        assert await waiting[0]
        assert 0.124 <= loop.time() - begun <= 0.251
        await settle()
        assert not waiting[1].done()
        gate.leave(first)
        assert await waiting[1]

    async def test_failed_retry_doubles_the_backoff(self, clock: Clock) -> None:
        gate = shut_gate()
        for delay in (0.1875, 0.375, 0.75):
            begun, call = clock.seconds, GatedCall()
            assert await gate.wait(call)
            assert clock.seconds - begun == delay
            gate.failed(call, DOWN)

    async def test_failed_first_attempts_do_not_postpone_the_next_retry(self, clock: Clock) -> None:
        gate, begun = shut_gate(), clock.seconds
        clock.seconds += 0.1
        for _ in range(100):
            gate.failed(GatedCall(), DOWN)
        assert await gate.wait(GatedCall())
        assert clock.seconds - begun == pytest.approx(0.1875)

    async def test_success_of_any_call_sends_all_retries(self, virtual_time: None, settle: Settle) -> None:
        gate = shut_gate()
        assert await gate.wait(GatedCall())
        waiting = [asyncio.create_task(gate.wait(GatedCall())) for _ in range(5)]
        await settle()
        assert not any(task.done() for task in waiting)
        gate.succeeded()
        await settle()
        assert all(task.result() for task in waiting)

    @pytest.mark.parametrize(
        ("policy", "longest"), [(DEFAULT, 1.75), (RetryPolicy.patient(), 75.5), (RetryPolicy(attempts=2), 0.25)]
    )
    async def test_call_waits_as_long_as_its_own_policy_allows(
        self, virtual_time: None, policy: RetryPolicy, longest: float
    ) -> None:
        gate, loop = shut_gate(), asyncio.get_running_loop()
        assert await gate.wait(GatedCall())
        begun = loop.time()
        assert not await gate.wait(GatedCall(policy=policy))
        assert loop.time() - begun == pytest.approx(longest, abs=0.01)

    async def test_several_waits_of_a_call_count_together(self, clock: Clock) -> None:
        gate, call = shut_gate(), GatedCall(waited=1.7)
        assert await gate.wait(GatedCall())
        assert not await gate.wait(call)
        assert clock.slept[1:] == [pytest.approx(0.05)]

    async def test_retry_after_postpones_the_retry_and_the_end_of_the_wait(self, clock: Clock) -> None:
        gate, begun = shut_gate(ServerError(status=503, retry_after=5.0)), clock.seconds
        assert await gate.wait(GatedCall())
        assert clock.seconds - begun == 5
        assert not await gate.wait(GatedCall())
        assert clock.seconds - begun == 5 + 1.75 + 3 * 5

    async def test_retry_after_beyond_the_maximum_is_ignored(self, clock: Clock) -> None:
        gate, begun = shut_gate(ServerError(status=503, retry_after=3600.0)), clock.seconds
        assert await gate.wait(GatedCall())
        assert clock.seconds - begun == 0.1875

    async def test_500_of_one_record_does_not_shut_the_gate(self) -> None:
        gate, error = RetryGate(), ServerError(status=500)
        for _ in range(100):
            gate.failed(GatedCall(get_campaign(7)), error)
        assert not gate.is_shut
        for number in range(1, FAILURES_TO_SHUT):
            gate.failed(GatedCall(get_campaign(number)), error)
        assert gate.is_shut

    async def test_cancelled_wait_leaves_nothing_behind(self, virtual_time: None, settle: Settle) -> None:
        gate = shut_gate()
        waiting = asyncio.create_task(gate.wait(GatedCall()))
        await settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert gate._changes == {}
        assert await gate.wait(GatedCall())


class TestServerThatIsDown:
    async def test_server_gets_at_most_1_35_requests_per_call_one_after_another(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.chance(1, [Status(503)])
        errors = [await failure(dialler.campaigns.list()) for _ in range(200)]
        assert {type(error) for error in errors} == {ServerError}
        assert 200 < len(server.journal) <= 270

    async def test_server_gets_at_most_1_1_requests_per_concurrent_call(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.chance(1, [Reset()])
        errors = await asyncio.gather(*(failure(dialler.campaigns.get(ID)) for _ in range(200)))
        assert {type(error) for error in errors} == {NoReplyError}
        assert 200 < len(server.journal) <= 220

    async def test_fan_out_sends_little_more_than_its_calls_in_flight(self, virtual_time: None) -> None:
        async with Sandbox(60) as sandbox, DiallerClient(sandbox.base_url, sandbox.token) as dialler:
            sandbox.faults.chance(1, [Status(503)])
            lookups = dialler.result_codes.for_campaigns(range(1, 1000), concurrency=8)
            outcomes = [await anext(lookups) for _ in range(8)]
            await lookups.aclose()
            assert [type(outcome.error) for outcome in outcomes] == [ServerError] * 8
            assert len(sandbox.journal) <= 8 + 8 + 4

    async def test_clients_of_other_accounts_on_the_same_pool_share_the_gate(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.chance(1, [Status(503)])
        for _ in range(10):
            await failure(dialler.campaigns.list())
        server.journal.clear()
        error = await failure(dialler.for_account(2, "another").campaigns.list())
        assert len(server.journal) == error.attempts <= 2
        assert re.search(r"\(\d attempts?; no more, because all requests of this client failed for \d", str(error))

    async def test_single_call_uses_all_its_attempts(self, server: CampaignServer, clock: Clock) -> None:
        server.faults.chance(1, [Status(503)])
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=9)) as dialler:
            error = await failure(dialler.campaigns.list())
        assert error.attempts == len(server.journal) == 9
        assert str(error).endswith("(9 attempts)")

    async def test_call_that_gives_up_is_logged(
        self, server: CampaignServer, dialler: DiallerClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.faults.chance(1, [Status(503)])
        for _ in range(10):
            await failure(dialler.campaigns.list())
        assert re.search(r"gave up after attempt \d: all requests failed for \d+\.\d s", caplog.messages[-1])

    async def test_end_of_the_wait_is_by_the_policy_of_with_options(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.chance(1, [Status(503)])
        for _ in range(10):
            await failure(dialler.campaigns.list())
        begun = clock.seconds
        await failure(dialler.with_options(retry=RetryPolicy.patient()).campaigns.list())
        assert clock.seconds - begun >= 37


class TestServerThatIsBack:
    @pytest.fixture
    async def failing(self, server: CampaignServer, dialler: DiallerClient) -> Iterator[DiallerClient]:
        """Return a client whose server has failed for a long time."""
        server.faults.chance(1, [Status(503)])
        for _ in range(100):
            await failure(dialler.campaigns.list())
        server.faults.clear()
        server.journal.clear()
        return dialler

    async def test_first_new_read_succeeds_at_once(
        self, failing: DiallerClient, server: CampaignServer, clock: Clock
    ) -> None:
        clock.slept.clear()
        for _ in range(50):
            await failing.campaigns.get(ID)
        assert clock.slept == []
        assert len(server.journal) == 50

    async def test_success_lets_the_waiting_retries_go(
        self, server: CampaignServer, dialler: DiallerClient, virtual_time: None, settle: Settle, until: Until
    ) -> None:
        server.faults.next(*[Status(503)] * 10)
        patient = dialler.with_options(retry=RetryPolicy(attempts=3, base_delay=50, max_delay=50))
        calls = [asyncio.create_task(patient.campaigns.get(ID)) for _ in range(10)]
        await until(lambda: patient._shared.pool.gate.is_shut)
        assert (await dialler.campaigns.get(ID)).id == ID
        assert len({campaign.id for campaign in await asyncio.gather(*calls)}) == 1

    async def test_gate_that_shuts_and_opens_is_logged_once(
        self, server: CampaignServer, dialler: DiallerClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.faults.next(*[Status(503)] * 6)
        assert type(await failure(dialler.campaigns.list())) is ServerError
        await dialler.campaigns.list()
        await dialler.campaigns.list()
        assert len(server.journal) == 4 + 3 + 1
        lines = [message for message in caplog.messages if "retry in" not in message]
        assert lines[0] == "the latest 5 requests failed: retries wait until one succeeds"
        assert re.fullmatch(r"the server works again after \d+\.\d s: retries are sent", lines[1])
        assert len(lines) == 2

    async def test_another_retry_is_sent_after_a_retry_is_cancelled(
        self, server: CampaignServer, until: Until, settle: Settle
    ) -> None:
        server.faults.next(*[Status(503)] * FAILURES_TO_SHUT, StallBeforeHeaders(), Status(503))
        policy = RetryPolicy(attempts=60_000, base_delay=0.001, max_delay=0.001)
        async with DiallerClient(server.base_url, server.token, retry=policy) as dialler:
            first = asyncio.create_task(dialler.campaigns.list())
            await until(lambda: len(server.journal) == FAILURES_TO_SHUT + 1)
            other = asyncio.create_task(dialler.campaigns.list())
            await until(lambda: len(server.journal) == FAILURES_TO_SHUT + 2)
            await settle()
            assert not other.done()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            assert len(await other) == 3

    async def test_another_retry_is_sent_after_a_retry_is_cancelled_before_it_was_sent(
        self, server: CampaignServer, until: Until, settle: Settle
    ) -> None:
        class Limiter:
            """Blocks the first retry that the gate sends."""

            acquired = 0

            async def acquire(self) -> None:
                self.acquired += 1
                if self.acquired == FAILURES_TO_SHUT + 1:
                    await asyncio.Event().wait()

        server.faults.next(*[Status(503)] * (FAILURES_TO_SHUT + 1))
        policy, limiter = RetryPolicy(attempts=60_000, base_delay=0.001, max_delay=0.001), Limiter()
        async with DiallerClient(server.base_url, server.token, retry=policy, max_rate=limiter) as dialler:
            first = asyncio.create_task(dialler.campaigns.list())
            await until(lambda: limiter.acquired == FAILURES_TO_SHUT + 1)
            other = asyncio.create_task(dialler.campaigns.list())
            await until(lambda: len(server.journal) == FAILURES_TO_SHUT + 1)
            await settle()
            assert not other.done()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            async with asyncio.timeout(10):
                assert len(await other) == 3


class Poisoned(Fault):
    """Answer 500 for one campaign. Other requests are answered, each first one of a campaign by a 503 if so asked."""

    def __init__(self, path: str, *, healthy_fail_first: bool) -> None:
        self._path = path
        self._healthy_fail_first = healthy_fail_first
        self._has_failed: set[str] = set()

    async def apply(self, request: InFlightRequest) -> SandboxResponse | None:
        path = request.received.path
        if path.endswith(self._path):
            return await Status(500).apply(request)
        if self._healthy_fail_first and path not in self._has_failed:
            self._has_failed.add(path)
            return await Status(503).apply(request)
        return await request.carry_out()


class TestPoisonedRecord:
    """One record always gets a 500. Reads of other records, next to it, do not suffer."""

    @pytest.mark.parametrize("healthy_fail_first", [False, True])
    @pytest.mark.parametrize("tasks", [2, 8])
    async def test_healthy_reads_next_to_a_poisoned_record_succeed_without_delay(
        self, virtual_time: None, tasks: int, healthy_fail_first: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        async with (
            Sandbox(40) as sandbox,
            DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(limit=20)) as dialler,
        ):
            first, *others = sorted(sandbox.campaigns)
            sandbox.faults.chance(1, [Poisoned(f"/{first}", healthy_fail_first=healthy_fail_first)])
            healthy = dialler.for_account(1, sandbox.token)

            async def poll() -> None:
                while True:
                    assert isinstance(await failure(dialler.campaigns.get(first)), StatusError)

            polling = [asyncio.create_task(poll()) for _ in range(tasks)]
            # The polls have failed often before the first healthy read.
            await asyncio.sleep(20)
            seconds = []
            for id in others:
                begun = loop.time()
                assert (await healthy.campaigns.get(id)).id == id
                seconds.append(loop.time() - begun)
            for task in polling:
                task.cancel()
            await asyncio.gather(*polling, return_exceptions=True)
        # A retry comes after the first delay, which is at most 0.25 s.
        assert sorted(seconds)[len(seconds) // 2] < (0.3 if healthy_fail_first else 0.1)
