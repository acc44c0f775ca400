"""Adaptive concurrency: its samples, and fan-outs against a loopback server."""

import asyncio
import itertools
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialler_async import (
    AutoConcurrency,
    ConfigurationError,
    DeadlineError,
    DiallerClient,
    NotFoundError,
    PoolConfig,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    fan_out,
)
from dialler_async._bulk.concurrency import ITEM_LATENCY, ItemLatency, is_refusal
from dialler_async.sandbox import Received, Sandbox
from dialler_async.sandbox.faults import Status


def test_burst_of_refusals_lowers_the_level_once() -> None:
    auto = AutoConcurrency(64)
    auto.level = 40
    for _ in range(40):
        auto.refused(10.0, 0.02)
    assert auto.level == 28


def test_refusals_of_later_calls_lower_the_level_down_to_one() -> None:
    auto = AutoConcurrency(64)
    auto.level = 40
    for second in range(1, 30):
        auto.refused(float(second), 0.02)
    assert auto.level == 1


def test_level_does_not_rise_while_too_few_calls_are_in_flight() -> None:
    auto = AutoConcurrency(64)
    for call in range(2000):
        auto.finished(0.1 * call, 0.02, 1)
    assert auto.level == 2


@given(
    st.integers(1, 40),
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 10), st.floats(0, 50), st.booleans()),
        max_size=300,
    ),
)
def test_level_stays_between_one_and_the_limit_for_any_sample(limit: int, calls: list[Any]) -> None:
    auto = AutoConcurrency(limit)
    now = 0.0
    for passed, latency, in_flight, refused in calls:
        now += passed
        if refused:
            auto.refused(now, latency)
        else:
            auto.finished(now, latency, in_flight)
        assert 1 <= auto.level <= limit


@pytest.mark.parametrize("limit", [0, -1, True, 2.5])
def test_limit_that_is_not_a_positive_int_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError):
        AutoConcurrency(limit)


@pytest.mark.parametrize(
    ("error", "is_refusal_expected"),
    [
        (RateLimitedError(status=429), True),
        (ServerError(status=503), True),
        (ServerError(status=504), True),
        (DeadlineError("late"), True),
        (TimeoutError(), True),
        (ServerError(status=500), False),
        (NotFoundError(status=404), False),
        (LookupError(), False),
    ],
)
def test_is_refusal_for_429_503_504_and_timeouts_only(error: Exception, is_refusal_expected: bool) -> None:
    assert is_refusal(error) is is_refusal_expected


@pytest.mark.parametrize(
    ("waits", "expected"),
    [([2.0, 4.0], [(10 - 2 - 4, 5 * 0.4)]), ([], []), (None, [(10, 5)])],
    ids=["two attempts", "cached response", "no call of a client"],
)
def test_latency_of_an_item_is_its_duration_without_the_waits_of_its_calls(
    waits: list[float] | None, expected: list[tuple[float, float]]
) -> None:
    auto = AutoConcurrency(8)
    reported: list[tuple[float, float]] = []
    auto.finished = lambda now, latency, in_flight: reported.append((latency, in_flight))
    item = ItemLatency(auto, iter([100.0, 110.0]).__next__)
    if waits is not None:
        item.call_started()
        for wait in waits:
            item.attempt_started(wait)
    item.response_received(5)
    assert reported == expected


def test_timeout_before_the_first_request_is_no_refusal() -> None:
    auto = AutoConcurrency(8)
    refused: list[float] = []
    auto.refused = lambda now, latency: refused.append(latency)
    item = ItemLatency(auto, iter([0.0, 10.0]).__next__)
    item.call_started()
    item.failed(DeadlineError("the deadline expired in the queue"))
    item.attempt_started(4.0)
    item.failed(DeadlineError("late"))
    assert refused == [6]


async def test_latency_of_an_item_is_measured_only_in_a_fan_out_with_auto_concurrency(sandbox: Sandbox) -> None:
    async def one(campaign: int) -> bool:
        await dialler.campaigns.get(campaign)
        return ITEM_LATENCY.get() is None

    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        campaign = min(sandbox.campaigns)
        assert await one(campaign)
        assert [outcome.value async for outcome in fan_out(one, [campaign], concurrency=1)] == [True]
        assert [outcome.value async for outcome in fan_out(one, [campaign], concurrency="auto")] == [False]


@pytest.mark.parametrize("concurrency", ["Auto", 0, -1, None, 2.5, True])
async def test_invalid_concurrency_is_refused_also_by_auto(concurrency: Any) -> None:
    async def nothing(item: int) -> None:
        pass

    with pytest.raises(ConfigurationError):
        await anext(fan_out(nothing, [1], concurrency=concurrency))


async def test_raised_level_starts_more_calls_while_the_reader_is_busy() -> None:
    auto = AutoConcurrency(8)
    started: list[int] = []
    release = asyncio.Semaphore(1)

    async def function(item: int) -> None:
        started.append(item)
        await release.acquire()

    outcomes = fan_out(function, itertools.count(), concurrency=auto)
    async with aclosing(outcomes):
        await anext(outcomes)
        auto.level = 6
        release.release()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(started) == 2 + 6


def in_flight(sandbox: Sandbox) -> int:
    return sum(received.status is None for received in sandbox.journal[-200:])


@pytest.mark.usefixtures("virtual_time")
async def test_auto_climbs_to_the_limit_of_the_pool_and_not_above() -> None:
    in_flight_counts: list[int] = []

    def record_in_flight(received: Received) -> bool:
        in_flight_counts.append(in_flight(sandbox))
        return False

    async with Sandbox(60, latency=0.1) as sandbox:
        sandbox.faults.chance(0, [Status(500)], match=record_in_flight)
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(limit=5)) as dialler:
            outcomes = [outcome async for outcome in dialler.result_codes.for_campaigns(list(sandbox.campaigns))]
        assert sandbox.connections.peak == 5
    assert not [outcome for outcome in outcomes if outcome.error]
    assert len(outcomes) == 120
    assert in_flight_counts[0] == 1
    assert max(in_flight_counts) == 5


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("attempts", [1, 20])
async def test_auto_backs_off_when_the_server_refuses_calls(status: int, attempts: int) -> None:
    capacity = 3
    async with Sandbox(60, latency=0.05) as sandbox:
        sandbox.faults.chance(1, [Status(status)], match=lambda received: in_flight(sandbox) > capacity)
        # The delays are long enough for the other calls to finish, with any jitter.
        policy = RetryPolicy(attempts=attempts, base_delay=0.05, max_delay=0.1)
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=policy) as dialler:
            outcomes = [outcome async for outcome in dialler.result_codes.for_campaigns(list(sandbox.campaigns))]
        refused = sum(received.status == status for received in sandbox.journal)
    assert 1 <= refused <= 15, "the server would refuse 32 concurrent calls all the time"
    assert sum(outcome.error is not None for outcome in outcomes) == (refused if attempts == 1 else 0)


@pytest.mark.usefixtures("virtual_time")
async def test_wait_for_a_pool_slot_does_not_count_as_latency() -> None:
    auto = AutoConcurrency(8)
    samples: list[tuple[float, float]] = []
    auto.level = 8
    auto.finished = lambda now, latency, in_flight: samples.append((latency, in_flight))
    async with (
        Sandbox(12, latency=0.1) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(limit=2)) as dialler,
    ):
        async for _ in dialler.result_codes.for_campaigns(list(sandbox.campaigns), concurrency=auto):
            pass
    latencies = sorted(latency for latency, _ in samples)
    assert len(samples) == 24
    assert latencies[12] < 0.2, "with its wait, each call takes 0.4 s"
    assert sum(in_flight for _, in_flight in samples) / 24 < 4


SAMPLES = st.lists(
    st.tuples(
        st.booleans(),
        st.one_of(st.sampled_from([0.0, 0.0, 1e-9, 0.001]), st.floats(-1, 30)),
        st.one_of(st.sampled_from([0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")]), st.floats()),
        st.one_of(st.sampled_from([0.0, 1.0, -1.0, float("nan"), float("inf")]), st.floats()),
        st.integers(1, 80),
    ),
    max_size=30,
)
"""Groups of samples: whether they are responses, seconds since the last group, latency, calls in flight, count."""


@settings(deadline=None, max_examples=300)
@given(limit=st.integers(1, 200), samples=SAMPLES)
def test_no_sample_makes_auto_concurrency_raise_or_leave_its_range(
    limit: int, samples: list[tuple[bool, float, float, float, int]]
) -> None:
    auto = AutoConcurrency(limit)
    now = 0.0
    for answered, seconds, latency, in_flight, count in samples:
        now += seconds
        for _ in range(count):
            if answered:
                auto.finished(now, latency, in_flight)
            else:
                auto.refused(now, latency)
            assert 1 <= auto.level <= limit


@pytest.mark.parametrize("latency", [0.0, -0.5])
def test_auto_concurrency_climbs_to_its_limit_while_the_clock_stands_still(latency: float) -> None:
    auto = AutoConcurrency(50)
    for _ in range(5000):
        auto.finished(7.0, latency, auto.level)
    assert auto.level == 50


def test_auto_concurrency_accepts_zero_latencies_after_a_queue() -> None:
    auto = AutoConcurrency(64)
    now = 0.0
    for latency in (0.02, 0.2, 0.0, 0.02, 0.0):
        for _ in range(2000):
            now += 0.01
            auto.finished(now, latency, auto.level)
    assert 1 <= auto.level <= 64


async def test_auto_concurrency_fails_no_item_while_the_clock_of_the_loop_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    async def cached(item: int) -> int:
        return item

    outcomes = [outcome async for outcome in fan_out(cached, range(1000), concurrency="auto")]
    assert [outcome.error for outcome in outcomes] == [None] * 1000
    assert sorted(outcome.item for outcome in outcomes) == list(range(1000))


async def test_auto_concurrency_accepts_a_clock_that_goes_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    times = itertools.count(loop.time(), -0.01)
    monkeypatch.setattr(loop, "time", lambda: next(times))

    async def cached(item: int) -> int:
        return item

    outcomes = [outcome async for outcome in fan_out(cached, range(300), concurrency="auto")]
    assert [outcome.error for outcome in outcomes] == [None] * 300


async def test_error_in_auto_concurrency_fails_no_item_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("defect")

    monkeypatch.setattr(AutoConcurrency, "finished", broken)
    monkeypatch.setattr(AutoConcurrency, "refused", broken)

    async def function(item: int) -> int:
        if item % 3 == 0:
            raise RateLimitedError("refused", status=429)
        return item

    outcomes = [outcome async for outcome in fan_out(function, range(90), concurrency="auto")]
    failed = {outcome.item for outcome in outcomes if outcome.error}
    assert failed == set(range(0, 90, 3))
    assert {type(outcome.error) for outcome in outcomes} == {type(None), RateLimitedError}
    logged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert logged == ["AutoConcurrency failed; the level stays at 2"]
