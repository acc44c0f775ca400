"""Calls with `max_age`: which responses they share, for how long, and what removes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import (
    AutoConcurrency,
    Campaign,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    DeadlineError,
    DiallerClient,
    HeaderSource,
    Language,
    NotFoundError,
    OutcomeUnknownError,
    Records,
    ResultCode,
    RetryPolicy,
    ServerError,
    StatusError,
    Timeouts,
)
from dialler_async._api.endpoints import list_result_codes
from dialler_async._http import cache
from dialler_async._http.cache import Cache
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Reset, Status

if TYPE_CHECKING:
    from tests.conftest import HeldRequest
    from tests.http.conftest import AdvanceClock


class Clock:
    """A monotonic clock that only the test advances."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(CLOCK, "monotonic", clock)
    return clock


@pytest.fixture
async def dialler(sandbox: Sandbox, clock: Clock) -> AsyncIterator[DiallerClient]:
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=RetryPolicy(attempts=1)) as dialler:
        yield dialler


@pytest.fixture
def id(sandbox: Sandbox) -> int:
    return next(iter(sandbox.campaigns))


@pytest.fixture
def held(sandbox: Sandbox, hold: type[HeldRequest]) -> HeldRequest:
    """A fault that holds the first request for result codes."""
    held = hold(carried_out=True)
    sandbox.faults.next(held, match="result_codes")
    return held


async def test_200_concurrent_callers_share_one_request(dialler: DiallerClient, sandbox: Sandbox, id: int) -> None:
    responses = await asyncio.gather(*(dialler.result_codes.list(id, max_age=60) for _ in range(200)))
    assert [code.wire for code in responses[0]] == sandbox.result_codes(id)
    assert all(response is responses[0] for response in responses)
    assert len(sandbox.journal) == 1


async def test_response_is_reused_within_each_callers_max_age(
    dialler: DiallerClient, sandbox: Sandbox, clock: Clock, id: int
) -> None:
    first = await dialler.result_codes.list(id, max_age=60)
    clock.now += 60
    assert await dialler.result_codes.list(id, max_age=60) is first
    assert await dialler.result_codes.list(id, max_age=59) is not first
    assert len(sandbox.journal) == 2
    clock.now += 61
    await dialler.result_codes.list(id, max_age=60)
    assert len(sandbox.journal) == 3


async def test_age_counts_from_the_moment_of_the_request(
    dialler: DiallerClient, sandbox: Sandbox, clock: Clock, id: int, held: HeldRequest
) -> None:
    call = asyncio.create_task(dialler.result_codes.list(id, max_age=10))
    await held.arrived.wait()
    clock.now += 9
    held.release.set()
    await call
    clock.now += 2
    await dialler.result_codes.list(id, max_age=10)
    assert len(sandbox.journal) == 2


async def test_calls_without_max_age_send_requests_and_cache_nothing(
    dialler: DiallerClient, sandbox: Sandbox, id: int
) -> None:
    await asyncio.gather(*(dialler.result_codes.list(id) for _ in range(3)))
    assert len(sandbox.journal) == 3
    await dialler.result_codes.list(id, max_age=60)
    assert len(sandbox.journal) == 4
    await dialler.result_codes.list(id)
    assert len(sandbox.journal) == 5


async def test_responses_are_cached_by_campaign_and_language(dialler: DiallerClient, sandbox: Sandbox, id: int) -> None:
    english = await dialler.result_codes.list(id, max_age=60)
    assert await dialler.result_codes.list(await dialler.campaigns.get(id), language=1, max_age=60) is english
    german = await dialler.result_codes.list(id, language=Language.GERMAN, max_age=60)
    assert [code.wire for code in german] == sandbox.result_codes(id, 2)
    other = next(other for other in sandbox.campaigns if other != id)
    await dialler.result_codes.list(other, max_age=60)
    assert [received.call for received in sandbox.journal] == ["result_codes", "get", "result_codes", "result_codes"]


async def test_error_is_raised_by_its_own_caller_and_not_cached(
    dialler: DiallerClient, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(Status(500))
    first, *others = await asyncio.gather(
        *(dialler.result_codes.list(id, max_age=60) for _ in range(3)), return_exceptions=True
    )
    assert type(first) is ServerError
    assert [[code.wire for code in codes] for codes in others] == [sandbox.result_codes(id)] * 2
    assert len(sandbox.journal) == 3


async def test_each_caller_of_a_failing_read_raises_its_own_error(
    dialler: DiallerClient, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.chance(1.0, [Status(500)])

    async def add_note() -> None:
        try:
            await dialler.result_codes.list(id, max_age=60)
        except ServerError as error:
            error.add_note("for the first user only")
            raise

    patient = dialler.with_options(retry=RetryPolicy(attempts=3, base_delay=0))
    calls = (add_note(), dialler.result_codes.list(id, max_age=60), patient.result_codes.list(id, max_age=60))
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [ServerError] * 3
    assert [getattr(error, "attempts", 0) for error in errors] == [1, 1, 3]
    assert ["first user" in str(getattr(error, "__notes__", "")) for error in errors] == [True, False, False]


async def test_headers_of_one_user_do_not_fail_the_request_of_another(
    sandbox: Sandbox, id: int, hold: type[HeldRequest]
) -> None:
    user = ContextVar("user", default="")
    sandbox.faults.next(Status(431), match="result_codes")

    async def codes_for(name: str) -> Records[ResultCode]:
        user.set(name)
        return await dialler.result_codes.list(id, max_age=60)

    async with DiallerClient(sandbox.base_url, sandbox.token, headers=lambda: {"X-Request-ID": user.get()}) as dialler:
        first, *others = await asyncio.gather(
            *(codes_for(name) for name in ("x" * 5000, "b", "c")), return_exceptions=True
        )
    assert isinstance(first, StatusError)
    assert [len(codes) for codes in others if isinstance(codes, Records)] == [len(sandbox.result_codes(id))] * 2


async def test_caller_that_shares_a_request_keeps_its_own_deadline(
    dialler: DiallerClient, id: int, held: HeldRequest, advance_clock: AdvanceClock
) -> None:
    patient = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
    await held.arrived.wait()
    impatient = dialler.with_options(timeouts=Timeouts(deadline=2))
    call = asyncio.create_task(impatient.result_codes.list(id, max_age=60))
    await advance_clock(2.1)
    with pytest.raises(DeadlineError, match="2 s expired while waiting for the response to an equal request") as caught:
        await call
    assert caught.value.about == f"campaign {id}"
    held.release.set()
    assert await patient


async def test_caller_outlives_the_deadline_of_the_request_that_it_shares(
    dialler: DiallerClient, sandbox: Sandbox, id: int, held: HeldRequest, advance_clock: AdvanceClock
) -> None:
    impatient = dialler.with_options(timeouts=Timeouts(deadline=2))
    first = asyncio.create_task(impatient.result_codes.list(id, max_age=60))
    await held.arrived.wait()
    second = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
    await advance_clock(2.1)
    with pytest.raises(DeadlineError):
        await first
    assert len(await second) == len(sandbox.result_codes(id))


async def test_request_in_flight_that_is_older_than_max_age_is_not_shared(
    dialler: DiallerClient, sandbox: Sandbox, clock: Clock, id: int, held: HeldRequest
) -> None:
    first = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
    await held.arrived.wait()
    clock.now += 0.6
    second = await dialler.result_codes.list(id, max_age=0.5)
    held.release.set()
    assert await first is not second
    # The newer response stays, although the older one was received later.
    assert await dialler.result_codes.list(id, max_age=60) is second


async def test_caller_does_not_wait_for_a_response_until_it_is_older_than_max_age(
    dialler: DiallerClient, sandbox: Sandbox, clock: Clock, id: int, held: HeldRequest, advance_clock: AdvanceClock
) -> None:
    first = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
    await held.arrived.wait()
    clock.now += 0.1
    others = [asyncio.create_task(dialler.result_codes.list(id, max_age=0.5)) for _ in range(5)]
    await advance_clock(0)
    clock.now += 0.45
    await advance_clock(0.45)
    responses = await asyncio.gather(*others)
    assert all(response is responses[0] for response in responses)
    assert len(sandbox.journal) == 2
    held.release.set()
    assert await first is not responses[0]


async def test_responses_are_shared_only_between_clients_with_equal_headers(
    dialler: DiallerClient, sandbox: Sandbox, id: int
) -> None:
    def own() -> dict[str, str]:
        return {"X-Own": "1"}

    fixed: list[HeaderSource | None] = [None, {"X-Own": "1"}, {"x-own": "1"}, {"X-Own": "2"}]
    sources = [*fixed, own, own, UnhashableHeaders()]
    clients = [dialler.with_options(headers=source) for source in sources]
    for _ in range(2):
        await asyncio.gather(*(client.result_codes.list(id, max_age=60) for client in clients))
    assert [received.headers.get("X-Own", "") for received in sandbox.journal] == ["", "1", "2", "1", ""]


class UnhashableHeaders:
    """A function that returns headers, and that can't be a key."""

    __hash__ = None  # type: ignore[assignment]  as in each class with `__eq__` only

    def __call__(self) -> dict[str, str]:
        return {}


async def test_request_continues_for_other_callers_when_one_is_cancelled(
    dialler: DiallerClient, sandbox: Sandbox, id: int, held: HeldRequest
) -> None:
    callers = [asyncio.create_task(dialler.result_codes.list(id, max_age=60)) for _ in range(3)]
    await held.arrived.wait()
    callers[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    held.release.set()
    assert await callers[1] is await callers[2]
    assert len(sandbox.journal) == 1


async def test_last_cancelled_caller_cancels_the_request(
    dialler: DiallerClient, sandbox: Sandbox, id: int, held: HeldRequest
) -> None:
    before = asyncio.all_tasks()
    callers = [asyncio.create_task(dialler.result_codes.list(id, max_age=60)) for _ in range(3)]
    await held.arrived.wait()
    for caller in callers:
        caller.cancel()
    # The late caller calls while the others are being cancelled, so it gets its own request.
    late_caller = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
    await asyncio.wait(callers)
    assert all(caller.cancelled() for caller in callers)
    assert await late_caller
    await held.hung_up.wait()
    assert len(sandbox.journal) == 2
    # Tasks of the sandbox may run, but no task of the client.
    left = [task for task in asyncio.all_tasks() - before if "dialler_async/_http/cache" in repr(task)]
    assert not left


async def test_next_caller_sends_a_request_after_the_shared_request_was_cancelled(
    dialler: DiallerClient, id: int, held: HeldRequest
) -> None:
    caller = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
    await held.arrived.wait()
    request = next(task for task in asyncio.all_tasks() if "Cache._fetch" in repr(task))
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await dialler.result_codes.list(id, max_age=60)


WRITES: dict[str, Callable[[DiallerClient, Campaign], Awaitable[Any]]] = {
    "delete": lambda dialler, campaign: dialler.campaigns.delete(campaign),
    "delete_by_name": lambda dialler, campaign: dialler.campaigns.delete_by_name(campaign.name),
    "delete_by_name, inexact": lambda dialler, campaign: dialler.campaigns.delete_by_name(campaign.name, exact=False),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_delete_removes_cached_result_codes_of_the_campaign(
    dialler: DiallerClient, id: int, write: Callable[[DiallerClient, Campaign], Awaitable[Any]]
) -> None:
    campaign = await dialler.campaigns.get(id)
    for language in Language:
        await dialler.result_codes.list(id, language=language, max_age=60)
    await write(dialler, campaign)
    for language in Language:
        with pytest.raises(NotFoundError):
            await dialler.result_codes.list(id, language=language, max_age=60)


async def test_delete_keeps_result_codes_of_other_campaigns(dialler: DiallerClient, sandbox: Sandbox) -> None:
    one, other = list(sandbox.campaigns)[:2]
    cached = await dialler.result_codes.list(other, max_age=60)
    await dialler.campaigns.delete(one)
    assert await dialler.result_codes.list(other, max_age=60) is cached


async def test_delete_with_unknown_outcome_removes_cached_responses(
    dialler: DiallerClient, sandbox: Sandbox, id: int
) -> None:
    await dialler.result_codes.list(id, max_age=60)
    sandbox.faults.next(Reset(carried_out=True))
    with pytest.raises(Exception, match="The write may have run"):
        await dialler.campaigns.delete(id)
    with pytest.raises(NotFoundError):
        await dialler.result_codes.list(id, max_age=60)


async def test_response_requested_before_a_delete_is_not_cached_after_it(
    dialler: DiallerClient, id: int, held: HeldRequest
) -> None:
    caller = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
    await held.arrived.wait()
    await dialler.campaigns.delete(id)
    with pytest.raises(NotFoundError):
        await dialler.result_codes.list(id, max_age=60)
    held.release.set()
    assert await caller
    with pytest.raises(NotFoundError):
        await dialler.result_codes.list(id, max_age=60)


async def test_cancelled_caller_of_a_forgotten_request_cancels_only_that_request(
    dialler: DiallerClient, sandbox: Sandbox, id: int, held: HeldRequest, hold: type[HeldRequest]
) -> None:
    caller = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
    await held.arrived.wait()
    dialler.forget(id)
    held_again = hold()
    sandbox.faults.next(held_again)
    others = [asyncio.create_task(dialler.result_codes.list(id, max_age=60)) for _ in range(2)]
    await held_again.arrived.wait()
    caller.cancel()
    await held.hung_up.wait()
    held_again.release.set()
    assert await others[0] is await others[1]
    assert len(sandbox.journal) == 2


async def test_clone_removes_cached_result_codes_of_a_reused_id(
    dialler: DiallerClient, sandbox: Sandbox, id: int
) -> None:
    # A server may reuse an ID.
    name = sandbox.campaigns[id]["Name"]
    new = max(sandbox.campaigns) + 1
    sandbox.load({"ID": new, "Name": "Gone soon"}, codes={1: []})
    assert len(await dialler.result_codes.list(new, max_age=60)) == 0
    sandbox.remove(new)
    sandbox.store._next_campaign_id = new
    assert (await dialler.campaigns.clone(name, "New")).id == new
    assert len(await dialler.result_codes.list(new, max_age=60)) == len(sandbox.result_codes(id))


async def test_refused_clone_keeps_result_codes(dialler: DiallerClient, sandbox: Sandbox, id: int) -> None:
    cached = await dialler.result_codes.list(id, max_age=60)
    name = sandbox.campaigns[id]["Name"]
    with pytest.raises(ConflictError):
        await dialler.campaigns.clone(name, name)
    assert await dialler.result_codes.list(id, max_age=60) is cached


async def test_forget_removes_responses_that_others_changed(dialler: DiallerClient, sandbox: Sandbox) -> None:
    one, other = list(sandbox.campaigns)[:2]

    async def requested() -> list[bool]:
        sandbox.journal.clear()
        for id in (one, other):
            await dialler.result_codes.list(id, max_age=60)
        return [str(id) in received.target for id in (one, other) for received in sandbox.journal]

    await requested()
    dialler.forget(one)
    assert await requested() == [True, False]
    dialler.forget(await dialler.campaigns.get(other))
    assert await requested() == [False, True]
    dialler.forget()
    assert await requested() == [True, False, False, True]
    assert await requested() == []


READS: dict[str, Callable[[DiallerClient, Campaign], Awaitable[Any]]] = {
    "list": lambda dialler, campaign: dialler.campaigns.list(max_age=60),
    "find": lambda dialler, campaign: dialler.campaigns.find(campaign.name, max_age=60),
    "get": lambda dialler, campaign: dialler.campaigns.get(campaign, max_age=60),
    "result_codes": lambda dialler, campaign: dialler.result_codes.list(campaign, max_age=60),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
class TestEveryRead:
    async def test_concurrent_reads_share_a_request_and_later_reads_share_its_response(
        self, dialler: DiallerClient, sandbox: Sandbox, id: int, read: Callable[..., Awaitable[Any]]
    ) -> None:
        campaign = await dialler.campaigns.get(id)
        sandbox.journal.clear()
        responses = await asyncio.gather(*(read(dialler, campaign) for _ in range(20)))
        responses.append(await read(dialler, campaign))
        assert all(response is responses[0] for response in responses)
        assert len(sandbox.journal) == 1

    async def test_response_is_requested_again_after_max_age(
        self, dialler: DiallerClient, sandbox: Sandbox, clock: Clock, id: int, read: Callable[..., Awaitable[Any]]
    ) -> None:
        campaign = await dialler.campaigns.get(id)
        sandbox.journal.clear()
        await read(dialler, campaign)
        clock.now += 61
        await read(dialler, campaign)
        assert len(sandbox.journal) == 2

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    async def test_delete_removes_responses_about_the_campaign_and_all_lists(
        self,
        dialler: DiallerClient,
        sandbox: Sandbox,
        id: int,
        read: Callable[..., Awaitable[Any]],
        write: Callable[..., Awaitable[Any]],
    ) -> None:
        campaign = await dialler.campaigns.get(id)
        before = await read(dialler, campaign)
        await write(dialler, campaign)
        with contextlib.suppress(NotFoundError):
            after = await read(dialler, campaign)
            assert len(after) == len(before) - 1

    async def test_forget_removes_responses_about_the_campaign(
        self, dialler: DiallerClient, sandbox: Sandbox, id: int, read: Callable[..., Awaitable[Any]]
    ) -> None:
        campaign = await dialler.campaigns.get(id)
        before = await read(dialler, campaign)
        dialler.forget(campaign)
        assert await read(dialler, campaign) is not before


@pytest.mark.parametrize("outcome", ["cloned", "exists", "unknown"])
@pytest.mark.parametrize("read", ["list", "find"])
async def test_clone_removes_lists_with_any_outcome(
    dialler: DiallerClient, sandbox: Sandbox, id: int, read: str, outcome: str
) -> None:
    campaign = await dialler.campaigns.get(id)
    before = await READS[read](dialler, campaign)
    copy = f"{campaign.name} b"
    if outcome == "exists":
        sandbox.load({"ID": 900, "Name": copy})
    if outcome == "unknown":
        sandbox.faults.next(Reset(carried_out=True))
    with contextlib.suppress(ConflictError, OutcomeUnknownError):
        await dialler.campaigns.clone(campaign.name, copy)
    assert len(await READS[read](dialler, campaign)) == len(before) + 1


@pytest.mark.parametrize("read", ["get", "result_codes"])
async def test_clone_keeps_responses_about_other_campaigns(
    dialler: DiallerClient, sandbox: Sandbox, id: int, read: str
) -> None:
    campaign = await dialler.campaigns.get(id)
    before = await READS[read](dialler, campaign)
    await dialler.campaigns.clone(campaign.name, "New")
    assert await READS[read](dialler, campaign) is before


async def test_for_campaigns_shares_responses_with_list(dialler: DiallerClient, sandbox: Sandbox) -> None:
    campaigns = await dialler.campaigns.list()
    cached = await dialler.result_codes.list(campaigns[0], max_age=60)
    sandbox.journal.clear()
    for _ in range(2):
        outcomes = [
            outcome
            async for outcome in dialler.result_codes.for_campaigns(campaigns, languages=[1], max_age=60, in_order=True)
        ]
        assert [outcome.item.campaign for outcome in outcomes] == campaigns
        assert outcomes[0].value is cached
        assert all(outcome.error is None for outcome in outcomes)
    assert len(sandbox.journal) == len(campaigns) - 1


async def test_for_campaigns_without_max_age_ignores_cached_responses(
    dialler: DiallerClient, sandbox: Sandbox, id: int
) -> None:
    cached = await dialler.result_codes.list(id, max_age=60)
    [outcome] = [outcome async for outcome in dialler.result_codes.for_campaigns([id], languages=[1])]
    assert outcome.value is not cached
    assert len(sandbox.journal) == 2


async def test_for_campaigns_adapts_to_the_latency_of_requests_only(
    dialler: DiallerClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    latencies: list[float] = []
    monkeypatch.setattr(AutoConcurrency, "finished", lambda auto, now, latency, in_flight: latencies.append(latency))
    campaigns = await dialler.campaigns.list()
    await dialler.result_codes.list(campaigns[0], max_age=60)
    # Each campaign occurs twice in a row, so the second lookup shares the request of the first.
    twice = [campaign for campaign in campaigns for _ in range(2)]
    outcomes = dialler.result_codes.for_campaigns(twice, languages=[1], max_age=60)
    assert [outcome.error async for outcome in outcomes] == [None] * 10
    assert len(latencies) == 4


async def test_for_campaigns_refuses_a_negative_max_age(dialler: DiallerClient, id: int) -> None:
    with pytest.raises(ConfigurationError, match="max_age"):
        dialler.result_codes.for_campaigns([id], max_age=-1)


async def test_search_without_a_match_is_cached(dialler: DiallerClient, sandbox: Sandbox) -> None:
    sandbox.faults.next(CannedResponse(404, b'{"status": 404, "error": "Dialler campaign not found"}'))
    assert [await dialler.campaigns.find("nowhere", max_age=60) for _ in range(2)] == [[], []]
    assert len(sandbox.journal) == 1


async def test_lookups_before_a_write_ignore_cached_responses(
    dialler: DiallerClient, sandbox: Sandbox, id: int
) -> None:
    campaign = await dialler.campaigns.get(id, max_age=60)
    await dialler.campaigns.find(campaign.name, max_age=60)
    sandbox.change(id, Name="Renamed")
    with pytest.raises(NotFoundError):
        await dialler.campaigns.delete_by_name(campaign.name)
    assert id in sandbox.campaigns


@pytest.mark.parametrize("max_age", [-1, float("nan")])
async def test_invalid_max_age_is_refused(dialler: DiallerClient, id: int, max_age: float) -> None:
    with pytest.raises(ConfigurationError, match="max_age"):
        await dialler.result_codes.list(id, max_age=max_age)


async def test_invalid_id_is_refused_with_max_age(dialler: DiallerClient, sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError):
        await dialler.result_codes.list(0, max_age=60)
    assert not sandbox.journal


async def test_max_age_0_shares_only_requests_that_begin_at_the_same_time_or_later(
    dialler: DiallerClient, sandbox: Sandbox, clock: Clock, id: int
) -> None:
    await asyncio.gather(*(dialler.result_codes.list(id, max_age=0) for _ in range(3)))
    clock.now += 0.001
    await dialler.result_codes.list(id, max_age=0)
    assert len(sandbox.journal) == 2


def records(count: int) -> Records[ResultCode]:
    return Records(items=[ResultCode()] * count, total=count)


async def test_memory_is_bounded_and_the_least_recently_used_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_RECORDS", 20)
    cached = Cache()
    requested: list[str] = []

    async def get(key: str, count: int = 4) -> None:
        async def fetch() -> Records[ResultCode]:
            requested.append(key)
            return records(count)

        await cached.get(list_result_codes(ord(key[0]), 1), 60, fetch)

    for key in "abcd":
        await get(key)
    await get("a")
    assert requested == ["a", "b", "c", "d"]
    # The cache holds four responses, and "b" is the least recently used.
    await get("e")
    requested.clear()
    for key in "acde":
        await get(key)
    assert requested == []
    await get("b")
    assert requested == ["b"]
    # A response that is larger than the bound evicts all others, and is not cached.
    await get("huge", 20)
    requested.clear()
    await get("huge", 20)
    await get("c")
    assert requested == ["huge", "c"]


async def test_newer_response_replaces_an_older_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_RECORDS", 20)
    cached = Cache()
    requested = 0

    async def fetch() -> Records[ResultCode]:
        nonlocal requested
        requested += 1
        return records(4)

    await cached.get(list_result_codes(2, 1), 60, fetch)
    for _ in range(10):
        cached.forget(1)
        await cached.get(list_result_codes(1, 1), 60, fetch)
        await cached.get(list_result_codes(1, 1), 0, fetch)
    assert requested == 21
    await cached.get(list_result_codes(2, 1), 60, fetch)
    assert requested == 21


async def test_deadline_error_of_a_callers_own_request_is_raised_unchanged(id: int) -> None:
    cached, request, waiting = Cache(), list_result_codes(id, 1), asyncio.Event()

    async def failing_first() -> Records[ResultCode]:
        await waiting.wait()
        raise LookupError

    async def late() -> Records[ResultCode]:
        raise DeadlineError("the read timeout of my request")

    first = asyncio.create_task(cached.get(request, 60, failing_first))
    await asyncio.sleep(0)
    second = asyncio.create_task(cached.get(request, 60, late, deadline=60))
    await asyncio.sleep(0)
    waiting.set()
    with pytest.raises(LookupError):
        await first
    with pytest.raises(DeadlineError, match="my request"):
        await second


async def test_error_of_another_library_is_raised_unchanged(id: int) -> None:
    cached = Cache()

    async def fetch() -> Records[ResultCode]:
        raise OSError("the file with the token is gone")

    with pytest.raises(OSError, match="gone"):
        await cached.get(list_result_codes(id, 1), 60, fetch)


def test_call_from_another_loop_raises_while_a_request_is_in_flight(hold: type[HeldRequest]) -> None:
    async def first() -> None:
        held = hold()
        async with Sandbox(campaigns=1) as sandbox:
            [id] = sandbox.campaigns
            sandbox.faults.next(held)
            async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
                caller = asyncio.create_task(dialler.result_codes.list(id, max_age=60))
                await held.arrived.wait()

                def second() -> None:
                    with pytest.raises(ClientStateError, match="another event loop"):
                        asyncio.run(asyncio.wait_for(dialler.result_codes.list(id, max_age=60), 10))

                await asyncio.to_thread(second)
                held.release.set()
                assert await caller

    asyncio.run(first())
