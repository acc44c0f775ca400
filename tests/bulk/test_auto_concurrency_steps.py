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


def probing_for_throughput() -> Calls:
    """Return the calls of a run that has just raised its level from 20 to 30 to see whether the throughput grows."""
    calls = Calls(AutoConcurrency(1000))
    assert [calls.next_level(0.1) for _ in range(4)] == [4, 8, 16, 32]
    # Twice the latency without a queue ends the climb, and a short queue is worth a try.
    assert calls.next_level(0.2) == 20
    assert calls.next_level(0.125) == 30
    return calls


def test_level_returns_when_the_throughput_does_not_grow_with_it() -> None:
    assert probing_for_throughput().next_level(0.1875) == 20


def test_level_stays_raised_when_the_throughput_grows_with_it() -> None:
    # The next probe begins at 30.
    assert probing_for_throughput().next_level(0.15) == 45


def test_failed_throughput_probe_is_repeated_after_twice_the_time() -> None:
    calls = probing_for_throughput()
    for seconds in (0.5, 1, 2, 4):
        assert calls.next_level(0.1875) == 20
        failed_at = calls.now
        assert calls.next_level(0.125) == 30
        # A probe begins at the end of a window of calls, which takes 0.2 s at most.
        assert seconds < calls.now - failed_at < seconds + 0.2


def test_successful_throughput_probe_shortens_the_time_to_the_next() -> None:
    calls = probing_for_throughput()
    assert calls.next_level(0.1875) == 20
    assert calls.next_level(0.125) == 30
    assert calls.next_level(0.15) == 45
    assert calls.next_level(0.3) == 30
    failed_at = calls.now
    assert calls.next_level(0.15) == 45
    assert 0.5 < calls.now - failed_at < 0.5 + 0.3


def test_level_grows_ever_faster_after_the_time_in_which_it_avoids_a_refused_level() -> None:
    auto = AutoConcurrency(1000)
    auto.level = 40
    auto.refused(0.0, 0.02)
    assert auto.level == 28
    calls = Calls(auto, now=10.0)
    assert [calls.next_level(0.1) for _ in range(4)] == [35, 55, 108, 216]


def calls_until_the_level_changes(auto: AutoConcurrency) -> int:
    """Return how many calls with very different latencies, begun after the last step, change the level."""
    before = auto.level
    for count in range(1, 1000):
        auto.finished(1000.0 + count, 0.01 if count % 2 else 0.19, before)
        if auto.level != before:
            return count
    raise AssertionError(f"the level stayed at {before}")


def test_climbing_level_is_judged_by_sixteen_calls_if_their_latencies_differ() -> None:
    # The first two calls, as many as the level, do not count.
    assert calls_until_the_level_changes(AutoConcurrency(1000)) == 2 + 16


def test_held_level_is_judged_by_64_calls_if_their_latencies_differ() -> None:
    auto = AutoConcurrency(1000)
    auto.level = 10
    auto.refused(0.0, 0.02)
    assert calls_until_the_level_changes(auto) == 7 + 64
