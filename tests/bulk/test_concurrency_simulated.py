"""Adaptive concurrency against a simulated server with a queue, in simulated time."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialler_async._bulk.concurrency import AutoConcurrency

WORK = 0.020
"""Seconds that the server works for each call."""
NETWORK = 0.001
"""Round-trip time of the network in seconds."""


@attrs.frozen
class FinishedCall:
    """A call that got a response or was refused."""

    at: float
    latency: float
    refused: bool = False


@attrs.define
class Simulation:
    """A server with a queue, and a client that keeps `level()` calls in flight.

    With more calls, the server works longer on each call: at `crowding` calls, twice as long. `changes` has times, and
    the attributes to set then. With `refuse_above` calls in the server, further calls are refused.
    """

    capacity: int
    work: Callable[[Random], float] = lambda random: WORK
    changes: Iterable[tuple[float, dict[str, object]]] = ()
    refuse_above: int | None = None
    crowding: float | None = None
    seed: int = 1
    levels: list[tuple[float, int]] = attrs.field(factory=list)
    """The start time and the value of each level of the client."""

    def run(
        self,
        seconds: float,
        level: Callable[[], int],
        finished: Callable[[float, float, float], None] = lambda now, latency, in_flight: None,
        refused: Callable[[float, float], None] = lambda now, latency: None,
    ) -> list[FinishedCall]:
        """Return the calls that finish within a number of seconds."""
        random = Random(self.seed)
        numbers = itertools.count()
        events: list[tuple[float, int, str, object]] = []
        queue: deque[object] = deque()
        busy = in_flight = 0
        done: list[FinishedCall] = []

        def schedule(at: float, what: str, payload: object) -> None:
            heapq.heappush(events, (at, next(numbers), what, payload))

        for at, change in self.changes:
            schedule(at, "change", change)
        now = 0.0
        while now <= seconds:
            if not self.levels or self.levels[-1][1] != level():
                self.levels.append((now, level()))
            while in_flight < level():
                in_flight += 1
                schedule(now + NETWORK / 2, "arrive", now)
            now, _, what, payload = heapq.heappop(events)
            match what:
                case "change":
                    for name, value in payload.items():
                        setattr(self, name, value)
                case "arrive" if self.refuse_above is not None and busy + len(queue) >= self.refuse_above:
                    schedule(now + NETWORK / 2, "refused", payload)
                case "arrive":
                    queue.append(payload)
                case "served":
                    busy -= 1
                    schedule(now + NETWORK / 2, "finished", payload)
                case "finished" | "refused":
                    latency = now - payload
                    done.append(FinishedCall(now, latency, refused=what == "refused"))
                    if what == "refused":
                        refused(now, latency)
                    else:
                        finished(now, latency, in_flight)
                    in_flight -= 1
            while queue and busy < self.capacity:
                busy += 1
                slowdown = 1 if self.crowding is None else 1 + busy / self.crowding
                schedule(now + self.work(random) * slowdown, "served", queue.popleft())
        return done


def throughput(done: Iterable[FinishedCall], since: float, until: float) -> float:
    """Return the successful calls per second."""
    return sum(since <= one.at < until and not one.refused for one in done) / (until - since)


def p95(done: Iterable[FinishedCall], since: float, until: float) -> float:
    """Return the 95th percentile of the latency."""
    latencies = sorted(one.latency for one in done if since <= one.at < until)
    return latencies[int(0.95 * len(latencies))]


UNLOADED = WORK + NETWORK


def jitter(random: Random) -> float:
    return WORK * random.uniform(0.8, 1.2)


def exponential(random: Random) -> float:
    return random.expovariate(1 / WORK)


def run(simulation: Simulation, seconds: float, limit: int = 256) -> list[FinishedCall]:
    auto = AutoConcurrency(limit)
    return simulation.run(seconds, lambda: auto.level, auto.finished, auto.refused)


def best_fixed(capacity: int, work: Callable[[Random], float]) -> float:
    """Return the throughput at the best fixed level."""
    levels = {capacity, capacity + 1, 5 * capacity // 4 + 1, 2 * capacity}
    runs = [Simulation(capacity, work).run(3, lambda level=level: level) for level in levels]
    return max(throughput(done, 1, 3) for done in runs)


@pytest.mark.slow
@pytest.mark.parametrize("work", [lambda random: WORK, jitter], ids=["constant", "20 % jitter"])
@pytest.mark.parametrize("capacity", [2, 8, 32, 128])
def test_auto_settles_at_the_best_throughput_with_low_latency(capacity: int, work: Callable[[Random], float]) -> None:
    best = best_fixed(capacity, work)
    done = run(Simulation(capacity, work), 13)
    assert throughput(done, 2, 13) >= 0.95 * best
    assert throughput(done, 0, 6) >= 0.9 * best
    assert p95(done, 2, 13) <= 3 * UNLOADED


@pytest.mark.slow
@pytest.mark.parametrize("capacity", [8, 32, 128])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_auto_keeps_throughput_with_calls_of_very_different_length(capacity: int, seed: int) -> None:
    done = run(Simulation(capacity, exponential, seed=seed), 20)
    assert throughput(done, 3, 20) >= 0.92 * capacity / WORK


@pytest.mark.parametrize("capacity", [8, 32])
@pytest.mark.parametrize("seed", [13, 19])
def test_auto_recovers_from_first_calls_that_are_faster_than_the_average(capacity: int, seed: int) -> None:
    done = run(Simulation(capacity, exponential, seed=seed), 10)
    assert throughput(done, 0, 10) >= 0.85 * capacity / WORK


@pytest.mark.parametrize("capacity", [8, 32, 128])
def test_auto_follows_a_capacity_that_halves_and_recovers(capacity: int) -> None:
    done = run(Simulation(capacity, changes=[(5, {"capacity": capacity // 2}), (10, {"capacity": capacity})]), 15)
    assert throughput(done, 6, 10) >= 0.97 * capacity / 2 / WORK
    assert p95(done, 6, 10) <= 2 * UNLOADED
    assert throughput(done, 11, 15) >= 0.97 * capacity / WORK


@pytest.mark.parametrize("work", [lambda random: WORK, jitter])
def test_auto_uses_the_throughput_of_a_server_without_a_sharp_limit(work: Callable[[Random], float]) -> None:
    done = run(Simulation(256, work, crowding=40), 25)
    at_twice_the_latency = 40 / (2 * WORK)
    assert throughput(done, 5, 25) >= 0.9 * at_twice_the_latency
    assert p95(done, 12, 25) <= 4 * UNLOADED


def test_longer_calls_are_not_mistaken_for_a_queue() -> None:
    def twice(random: Random) -> float:
        return 2 * WORK

    done = run(Simulation(32, changes=[(5, {"work": twice})]), 30)
    assert throughput(done, 7, 30) >= 0.97 * 32 / (2 * WORK)
    assert p95(done, 7, 30) <= 2 * (2 * WORK + NETWORK)


def test_standing_queue_never_becomes_part_of_the_base_latency() -> None:
    simulation = Simulation(8)
    done = run(simulation, 120)
    assert p95(done, 100, 120) <= 2 * UNLOADED
    assert max(level for at, level in simulation.levels if at > 5) <= 20


@pytest.mark.parametrize(("capacity", "capacity_limit"), [(8, 8), (32, 20), (128, 40)])
def test_level_stays_below_the_refused_level(capacity: int, capacity_limit: int) -> None:
    simulation = Simulation(capacity, refuse_above=capacity_limit)
    done = run(simulation, 30)
    assert sum(one.refused for one in done) < 0.005 * len(done)
    assert throughput(done, 3, 30) >= 0.9 * capacity_limit / UNLOADED
    schedule = [level for at, level in simulation.levels if at > 3]
    assert max(schedule) > capacity_limit, "the level must rise above the limit now and then, to find a higher capacity"


@settings(max_examples=10, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 64), st.integers(1, 1000), st.sampled_from([jitter, exponential, lambda _: WORK])
)
def test_any_server_is_kept_busy_or_the_limit_is_reached(
    capacity: int, limit: int, seed: int, work: Callable[[Random], float]
) -> None:
    simulation = Simulation(capacity, work, seed=seed)
    done = run(simulation, 30, limit)
    assert max(level for _, level in simulation.levels) <= limit
    assert throughput(done, 15, 30) >= 0.8 * min(capacity / WORK, limit / UNLOADED)
