"""Concurrency that adapts to the measured latency. Pure: samples and times are passed in.

The *level* is the number of calls that may be in flight. By Little's law, calls in flight = throughput x latency. Up to
the server's capacity, more calls bring more throughput at the same latency. Beyond the capacity, calls only queue. So
the target level is the throughput of a busy server, times the latency without a queue, times 1.25. The extra quarter
keeps the server busy and keeps a short queue measurable.

- If there is no queue, the server has spare capacity. The level doubles at the start. Later it grows by a quarter, and
  then faster while no queue forms.
- If the level is far above the target, the server has less capacity now, or each call takes more work. The *latency
  probe* finds out: it lowers the level until no queue can form, and measures the latency there.
- The latency probe also runs every few seconds while there is a queue. Otherwise the queue would slowly become part of
  the measured latency without a queue.
- The *throughput probe* raises the level now and then. Many servers have no sharp limit: with more calls, each call
  becomes a little slower. If the throughput grows enough, the level stays, until the latency is 1.75 times the latency
  without a queue.
- A refusal (429, 503, 504 or a timeout) lowers the level to 70 %. For ten seconds, the level stays below the refused
  level.

Each step is measured on calls that started after it. The first calls are skipped, since they include new connections
and the old queue. A measurement window ends when the standard error of the mean is small enough. The ideas come from
TCP Vegas, BBR and Netflix's concurrency-limits. Those algorithms compare with the smallest latency ever measured, or
with an average that a long queue distorts.
"""

import logging
from enum import Enum
from math import ceil, inf, isfinite, sqrt
from typing import Final, final

from .._public import public
from ..errors import require

START_LEVEL: Final = 2
"""The first level, in calls."""
HEADROOM: Final = 1.25
"""The target level as a multiple of the server's capacity. Also the factor of a small step up."""
MAX_HEADROOM: Final = 1.75
"""The highest target level as a multiple of the capacity, for a server that still gains throughput from more calls."""
MAX_GROWTH: Final = 2.0
"""The factor of the largest step up."""
NO_QUEUE_RATIO: Final = 1.1
"""Up to this multiple of the latency without a queue, there is no queue."""
QUEUE_RATIO: Final = 1.5
"""From this multiple of the latency without a queue, there certainly is a queue, and the mode CLIMB ends."""
TOO_HIGH_RATIO: Final = 1.25
"""From this multiple of the target level, the level is too high."""
IN_USE_RATIO: Final = 0.8
"""If a smaller part of the level is in flight, something else limits the calls."""
BASE_LATENCY_SAMPLES: Final = 100
"""Number of calls in the average of the latency without a queue. Later calls replace earlier calls."""

LATENCY_PROBE_RATIO: Final = 0.8
"""The level of the latency probe as a multiple of the server's capacity."""
LATENCY_PROBE_SECONDS: Final = 10.0
"""Shortest time from one latency probe to the next."""
LATENCY_PROBE_PAUSE: Final = 20
"""Shortest time from one latency probe to the next, as a multiple of the probe's duration: probes cost about 1 %."""
THROUGHPUT_PROBE_RATIO: Final = 1.5
"""The level of the throughput probe as a multiple of the level before it."""
THROUGHPUT_PROBE_GAIN: Final = 0.35
"""The smallest growth of the throughput that is worth a longer queue, as a part of the growth of the level."""
FIRST_THROUGHPUT_PROBE_SECONDS: Final = 0.5
"""Time from a failed throughput probe to the next. The time doubles with each failure."""
MAX_THROUGHPUT_PROBE_SECONDS: Final = 4.0

REFUSED_RATIO: Final = 0.7
"""The level after a refusal as a multiple of the level before it."""
AVOID_REFUSED_SECONDS: Final = 10.0
"""Time for which the level stays below a refused level."""

MIN_LATENCY_SECONDS: Final = 0.001
"""Smaller latencies count as one millisecond, the resolution of uvloop's clock."""
MAX_LATENCY_SECONDS: Final = 86_400.0
MIN_IN_FLIGHT: Final = 0.001
"""Smaller numbers of calls in flight count as this number, since a division by a throughput of zero would fail."""

_log = logging.getLogger("dialler_async")


class _Mode(Enum):
    """The state of `AutoConcurrency`."""

    CLIMB = "raising the level in large steps until there is a queue"
    HOLD = "staying near the target level"
    LATENCY_PROBE = "measuring the latency without a queue"
    THROUGHPUT_PROBE = "measuring whether a higher level brings more throughput"


@final
class _Window:
    """A measurement window: means over the calls that started after a step, except the first calls."""

    __slots__ = ("_count", "_in_flight", "_latencies", "_level", "_mode", "_skipped", "_squares", "started_at")

    def __init__(self, started_at: float, level: int, mode: _Mode) -> None:
        self.started_at = started_at
        self._level = self._skipped = level
        self._mode = mode
        self._count = 0
        self._latencies = self._squares = self._in_flight = 0.0

    def add(self, began: float, latency: float, in_flight: float) -> None:
        if began < self.started_at:
            return
        if self._skipped:
            self._skipped -= 1
            return
        latency = min(max(latency, MIN_LATENCY_SECONDS), MAX_LATENCY_SECONDS)
        self._count += 1
        self._latencies += latency
        self._squares += latency * latency
        self._in_flight += max(in_flight, MIN_IN_FLIGHT)

    @property
    def is_full(self) -> bool:
        """Whether the standard error of the mean latency is small enough, or the number of calls is large enough."""
        max_calls, error = (16, 0.1) if self._mode is _Mode.CLIMB else (64, 0.03)
        if self._count < max(8, self._level):
            return False
        return self._count >= max(max_calls, 2 * self._level) or self._standard_error < error * self.latency

    @property
    def count(self) -> int:
        """Number of measured calls."""
        return self._count

    @property
    def latency(self) -> float:
        """Mean latency in seconds."""
        return self._latencies / self._count

    @property
    def in_flight(self) -> float:
        """Mean number of calls in flight."""
        return self._in_flight / self._count

    @property
    def throughput(self) -> float:
        """Calls per second."""
        return self.in_flight / self.latency

    @property
    def _standard_error(self) -> float:
        return sqrt(max(0.0, self._squares / self._count - self.latency**2) / self._count)


@final
class _BaseLatency:
    """The latency without a queue: a moving average over windows.

    Attributes:
        seconds: the average; 0 before the first window.
    """

    __slots__ = ("_samples", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._samples = 0

    def add(self, window: _Window) -> None:
        self._samples = min(BASE_LATENCY_SAMPLES, self._samples + window.count)
        self.seconds += (window.latency - self.seconds) * min(1.0, window.count / self._samples)

    def replace(self, window: _Window) -> None:
        self.seconds, self._samples = window.latency, window.count

    def ratio(self, window: _Window) -> float:
        """Return a window's latency as a multiple of the latency without a queue; 1 before the first window."""
        return window.latency / self.seconds if self._samples else 1.0


@final
class _LatencyProbe:
    """Lowers the level until no queue can form, and measures the latency there."""

    __slots__ = ("_due_at",)

    def __init__(self) -> None:
        self._due_at = 0.0

    def is_due(self, now: float) -> bool:
        return now > self._due_at

    def postpone(self, now: float, took: float = 0.0) -> None:
        self._due_at = now + max(LATENCY_PROBE_SECONDS, LATENCY_PROBE_PAUSE * took)

    def level(self, capacity: float) -> int:
        return int(LATENCY_PROBE_RATIO * capacity)

    def found_lower(self, window: _Window, base: _BaseLatency) -> bool:
        """Return whether the latency became lower with the level, so that there still was a queue."""
        return window.latency < 0.9 * base.seconds


@final
class _ThroughputProbe:
    """Raises the level, and measures whether the throughput grows enough to be worth a longer queue.

    Attributes:
        headroom: the target level as a multiple of the capacity, according to the last probe.
    """

    __slots__ = ("_due_at", "_interval", "headroom")

    def __init__(self) -> None:
        self.headroom = HEADROOM
        self._interval = FIRST_THROUGHPUT_PROBE_SECONDS
        self._due_at = 0.0

    def is_due(self, now: float) -> bool:
        return now > self._due_at

    def restart(self, now: float) -> None:
        self._interval, self._due_at = FIRST_THROUGHPUT_PROBE_SECONDS, now

    def level(self, level: int) -> int:
        return ceil(level * THROUGHPUT_PROBE_RATIO)

    def is_worth_it(self, step: float, gain: float) -> bool:
        return step > 0 and gain > THROUGHPUT_PROBE_GAIN * step

    def succeeded(self, latency_ratio: float) -> None:
        self._interval = FIRST_THROUGHPUT_PROBE_SECONDS
        self.headroom = min(MAX_HEADROOM, max(HEADROOM, latency_ratio))

    def failed(self, now: float) -> None:
        self.headroom = max(HEADROOM, self.headroom / NO_QUEUE_RATIO)
        self._due_at = now + self._interval
        self._interval = min(2 * self._interval, MAX_THROUGHPUT_PROBE_SECONDS)


@public
@final
class AutoConcurrency:
    """A limit of concurrent calls that adapts to the latency of earlier calls.

    `concurrency=AutoConcurrency(64)` is `concurrency="auto"` with another limit.

    Args:
        limit: the highest level, at least 1.

    Attributes:
        limit: the highest level.
        level: number of calls that may be in flight now.

    Raises:
        ConfigurationError: `limit` is not a positive int.
    """

    def __init__(self, limit: int) -> None:
        require(type(limit) is int and limit >= 1, "AutoConcurrency(limit=…) must be a positive int")
        self.limit: Final = limit
        self.level: int = min(START_LEVEL, limit)
        self._mode = _Mode.CLIMB
        self._growth = MAX_GROWTH
        self._base = _BaseLatency()
        self._latency_probe = _LatencyProbe()
        self._throughput_probe = _ThroughputProbe()
        self._held_level = 0
        self._held_throughput = 0.0
        self._was_too_high = False
        self._refused_level = 0
        self._avoid_until = -inf
        self._window = _Window(-inf, self.level, self._mode)
        self._has_failed = False

    def finished(self, now: float, latency: float, in_flight: float) -> None:
        """Add the sample of a call that got a response, of any status.

        A sample that is not finite is ignored. A negative latency counts as zero.

        Args:
            now: the time in seconds, from any clock that never goes backward.
            latency: duration of the call in seconds, without the time that it waited in the client.
            in_flight: number of calls in flight, with this call, without calls that wait in the client.
        """
        if not (isfinite(now) and isfinite(latency) and isfinite(in_flight)):
            return
        self._window.add(now - max(0.0, latency), latency, min(in_flight, self.limit))
        if self._window.is_full:
            self._evaluate(now, self._window)

    def refused(self, now: float, latency: float) -> None:
        """Lower the level after a call that was refused (429, 503, 504) or timed out.

        Args:
            now: the same as for `finished`.
            latency: the same as for `finished`.
        """
        if not (isfinite(now) and isfinite(latency)):
            return
        if now - latency < self._window.started_at and now < self._avoid_until:
            # The call started before the last step down, so it does not show whether the present level is too high.
            return
        self._refused_level = self.level
        self._avoid_until = now + AVOID_REFUSED_SECONDS
        self._hold()
        self._set_level(now, int(self.level * REFUSED_RATIO))

    def log_failure(self) -> None:
        """Log the current exception, the first time only. The level does not change."""
        if not self._has_failed:
            self._has_failed = True
            _log.exception("AutoConcurrency failed; the level stays at %d", self.level)

    def _evaluate(self, now: float, window: _Window) -> None:
        """Choose the next step after a full window."""
        match self._mode:
            case _Mode.LATENCY_PROBE:
                self._evaluate_latency_probe(now, window)
            case _Mode.THROUGHPUT_PROBE:
                self._evaluate_throughput_probe(now, window)
            case _Mode.CLIMB | _Mode.HOLD:
                self._evaluate_level(now, window)

    def _evaluate_level(self, now: float, window: _Window) -> None:
        is_climbing = self._mode is _Mode.CLIMB
        ratio = self._base.ratio(window)
        target = self._throughput_probe.headroom * window.in_flight / ratio
        has_queue = ratio > (QUEUE_RATIO if is_climbing else NO_QUEUE_RATIO)
        if not has_queue and ratio <= HEADROOM:
            self._base.add(window)
        if window.in_flight < IN_USE_RATIO * self.level:
            self._set_level(now, self.level)
        elif not has_queue:
            self._grow(now)
        elif is_climbing:
            self._hold()
            self._set_level(now, ceil(target))
        else:
            self._evaluate_held_level(now, window, target, ratio)

    def _evaluate_held_level(self, now: float, window: _Window, target: float, ratio: float) -> None:
        self._held_throughput, self._held_level = window.throughput, self.level
        is_too_high = ceil(target) * TOO_HIGH_RATIO < self.level
        if (is_too_high and self._was_too_high) or self._latency_probe.is_due(now):
            self._start_latency_probe(now)
        elif not is_too_high and self._throughput_probe.is_due(now) and ratio < MAX_HEADROOM:
            self._mode = _Mode.THROUGHPUT_PROBE
            self._set_level(now, self._throughput_probe.level(self.level))
        else:
            self._was_too_high = is_too_high
            self._set_level(now, self.level)

    def _evaluate_latency_probe(self, now: float, window: _Window) -> None:
        still_falls = self._latency_probe.found_lower(window, self._base)
        self._base.replace(window)
        if still_falls and self.level > 1:
            self._start_latency_probe(now)
            return
        self._hold()
        self._was_too_high = False
        self._throughput_probe.restart(now)
        self._latency_probe.postpone(now, now - window.started_at)
        target = ceil(self._throughput_probe.headroom * self._capacity)
        if target > self._held_level:
            # There was no queue at the held level: the latency without a queue was set too low.
            self._climb(MAX_GROWTH)
        self._set_level(now, target)

    def _evaluate_throughput_probe(self, now: float, window: _Window) -> None:
        probe = self._throughput_probe
        self._hold()
        if probe.is_worth_it(self.level / self._held_level - 1, window.throughput / self._held_throughput - 1):
            probe.succeeded(window.latency / self._base.seconds)
            target = ceil(probe.headroom * window.throughput * self._base.seconds)
            self._set_level(now, min(self.level, target))
        else:
            probe.failed(now)
            self._set_level(now, self._held_level)

    def _start_latency_probe(self, now: float) -> None:
        self._mode = _Mode.LATENCY_PROBE
        self._set_level(now, self._latency_probe.level(self._capacity))

    @property
    def _capacity(self) -> float:
        """Number of calls that the server handles at once, from the throughput at the held level."""
        return self._held_throughput * self._base.seconds

    def _grow(self, now: float) -> None:
        growth = self._growth
        self._latency_probe.postpone(now)
        if now >= self._avoid_until:
            self._climb(min(MAX_GROWTH, growth * HEADROOM))
        self._set_level(now, ceil(self.level * growth))

    def _climb(self, growth: float) -> None:
        self._mode, self._growth = _Mode.CLIMB, growth

    def _hold(self) -> None:
        self._mode, self._growth = _Mode.HOLD, HEADROOM

    def _set_level(self, now: float, level: int) -> None:
        limit = self.limit if now >= self._avoid_until else self._refused_level - 1
        self.level = max(1, min(level, limit))
        self._window = _Window(now, self.level, self._mode)
