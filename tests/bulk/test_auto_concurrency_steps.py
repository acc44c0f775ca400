"""The steps of adaptive concurrency: the level after each window of calls, all with the same latency."""

from dialler_async import AutoConcurrency


class Calls:
    """Calls that keep all of the level in flight, one a millisecond."""

    def __init__(self, auto: AutoConcurrency, now: float = 0.0) -> None:
        self._auto = auto
        self.now = now

    def next_level(self, latency: float) -> int:
        """Return the level to which calls with this latency lead."""
        before = self._auto.level
        # The first of them start after the step before.
        self.now += latency
        for _ in range(10_000):
            self.now += 0.001
            self._auto.finished(self.now, latency, before)
            if self._auto.level != before:
                return self._auto.level
        raise AssertionError(f"the level stayed at {before}")


def held() -> Calls:
    """Return the calls of a run that has found a capacity of 10 calls of 0.1 s, and holds the level 14."""
    calls = Calls(AutoConcurrency(1000))
    assert [calls.next_level(0.1) for _ in range(3)] == [4, 8, 16]
    # 1.6 times the latency: the first queue. The probe runs at 0.8 of the capacity.
    assert calls.next_level(0.16) == 8
    assert calls.next_level(0.1) == 14
    return calls


def test_level_goes_on_doubling_when_the_probe_finds_that_there_was_no_queue() -> None:
    calls = Calls(AutoConcurrency(1000))
    assert [calls.next_level(0.1) for _ in range(3)] == [4, 8, 16]
    assert calls.next_level(0.16) == 8
    # The first calls were faster than the average.
    assert calls.next_level(0.15) == 30


def test_probe_goes_on_at_a_lower_level_while_the_latency_falls_with_it() -> None:
    calls = held()
    assert calls.next_level(0.7) == 1
    calls = Calls(AutoConcurrency(1000))
    assert [calls.next_level(latency) for latency in (0.1, 0.1, 0.1, 0.16)] == [4, 8, 16, 8]
    assert calls.next_level(0.05) == 4
    assert calls.next_level(0.05) == 7


def test_level_far_above_the_target_is_lowered_by_a_probe_only() -> None:
    calls = held()
    # The same latency as at twice the capacity, which may also mean that calls take longer.
    assert calls.next_level(0.2) == 5
    assert calls.next_level(0.2) == 20


def test_held_level_follows_a_capacity_that_grows() -> None:
    calls = held()
    assert [calls.next_level(0.1) for _ in range(3)] == [20, 28, 40]


def test_probe_is_repeated_after_ten_seconds_at_last() -> None:
    calls = held()
    seconds = []
    for _ in range(6):
        ended_at = calls.now
        assert calls.next_level(0.14) in (7, 8)
        seconds.append(calls.now - ended_at)
        assert calls.next_level(0.1) in (14, 15)
    assert seconds[0] < 4
    assert 10 < seconds[-1] < 10.5


def test_level_rises_in_small_steps_below_a_refused_level_for_ten_seconds() -> None:
    auto = AutoConcurrency(1000)
    auto.level = 40
    auto.refused(0.0, 0.02)
    assert auto.level == 28
    calls = Calls(auto)
    assert [calls.next_level(0.1) for _ in range(3)] == [31, 35, 39]
    calls.now = 10.0
    assert calls.next_level(0.1) == 55


def test_single_call_has_no_queue_of_its_own() -> None:
    auto = AutoConcurrency(1)
    calls = Calls(auto)
    for latency in (0.1, 0.3, 0.3, 0.3, 0.3):
        for _ in range(100):
            calls.now += latency
            auto.finished(calls.now, latency, 1)
    auto.limit = 8  # type: ignore[misc]  the limit is raised to see what the level would be
    assert calls.next_level(0.3) == 2


def calls_until_the_level_changes(auto: AutoConcurrency) -> int:
    """Return how many calls with very different latencies, begun after the last step, change the level."""
    before = auto.level
    for count in range(1, 1000):
        auto.finished(1000.0 + count, 0.01 if count % 2 else 0.19, before)
        if auto.level != before:
            return count
    raise AssertionError(f"the level stayed at {before}")


def test_climbing_level_is_judged_by_32_calls_if_their_latencies_differ() -> None:
    # The first two calls, as many as the level, do not count.
    assert calls_until_the_level_changes(AutoConcurrency(1000)) == 2 + 32


def test_held_level_is_judged_by_64_calls_if_their_latencies_differ() -> None:
    auto = AutoConcurrency(1000)
    auto.level = 10
    auto.refused(0.0, 0.02)
    assert calls_until_the_level_changes(auto) == 7 + 64
