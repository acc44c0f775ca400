"""Concurrency that adapts to the measured latency. Pure: samples and times are passed in.

The *level* is the number of calls that may be in flight. By Little's law, calls in flight = throughput x latency. Up to
the server's capacity, more calls bring more throughput at the same latency. Beyond the capacity, calls only queue. So
the level follows this target:

    factor x throughput x base latency

The *base latency* is the latency without a queue. The factor is 2 until the first queue, so that the level doubles.
Then it is 1.4: this keeps the server busy, keeps a short queue measurable, and lets the level grow with the capacity.

Only a probe or a refusal lowers the level.

- A *probe* sets the level to 0.8 of the capacity, so that no queue can form, and measures the base latency there. It
  runs after the first queue, and when the level stays far above the target: the server has less capacity now, or each
  call takes longer. It also runs every few seconds while there is a queue, because the queue would slowly become part
  of the base latency.
- A *refusal* (429, 503, 504 or a timeout) lowers the level to 70 %. For ten seconds, the level rises in small steps,
  and stays below the refused level.

Each level is measured on calls that began after it was set. The first calls are skipped, because they include new
connections and the old queue. The ideas come from TCP Vegas, BBR and Netflix's concurrency-limits. Those algorithms
compare with the smallest latency ever measured, or with an average that a long queue distorts.
"""

import logging
from math import ceil, inf, isfinite, sqrt
from typing import Final, final

from .._public import public
from ..errors import require

START_LEVEL: Final = 2
"""The first level, in calls."""
CLIMB: Final = 2.0
"""The factor until the first queue."""
HEADROOM: Final = 1.4
"""The factor after the first queue."""
QUEUE_RATIO: Final = 1.5
"""From this multiple of the base latency, a climbing level probably has a queue. A probe confirms it."""
NO_QUEUE_RATIO: Final = 1.1
"""Up to this multiple of the base latency, there is no queue."""
GROWTH_RATIO: Final = 1.1
"""The factor of the smallest step up. A smaller step would follow the noise of the latencies."""
TOO_HIGH_RATIO: Final = 1.25
"""From this multiple of the target, the level is too high."""
IN_USE_RATIO: Final = 0.8
"""If a smaller part of the level is in flight, something else limits the calls."""
BASE_LATENCY_SAMPLES: Final = 200
"""Number of calls in the average of the base latency. Later calls replace earlier calls."""
SAME_LATENCY_RATIO: Final = 0.75
"""From this ratio of two latencies on, their difference may be noise."""

PROBE_RATIO: Final = 0.8
"""The level of a probe as a multiple of the server's capacity."""
FIRST_PROBE_SECONDS: Final = 1.0
"""Shortest time from the first probe to the next. The time doubles with each probe. The first probes correct a base
latency that a few fast calls set too low, and approach the level of a server without a sharp limit."""
MAX_PROBE_SECONDS: Final = 10.0
PROBE_PAUSE: Final = 20
"""Shortest time from one probe to the next, as a multiple of the probe's duration: probes cost about 1 %."""
REFUSED_RATIO: Final = 0.7
"""The level after a refusal as a multiple of the level before it."""
AVOID_REFUSED_SECONDS: Final = 10.0
"""Time for which the level rises in small steps, and stays below a refused level."""

MIN_LATENCY_SECONDS: Final = 0.001
"""Smaller latencies count as one millisecond, the resolution of uvloop's clock."""
MAX_LATENCY_SECONDS: Final = 86_400.0
MIN_IN_FLIGHT: Final = 0.001
"""Smaller numbers of calls in flight count as this number, because a throughput of zero would give a level of zero."""

_log = logging.getLogger("dialler_async")


@final
class _Window:
    """A measurement window: means over the calls that began after a level was set, except the first calls."""

    __slots__ = ("_in_flight", "_latencies", "_skipped", "_squares", "count", "started_at")

    def __init__(self, started_at: float, skipped: int) -> None:
        self.started_at = started_at
        self.count = 0
        self._skipped = skipped
        self._latencies = self._squares = self._in_flight = 0.0

    def add(self, began: float, latency: float, in_flight: float) -> None:
        if began < self.started_at:
            return
        if self._skipped:
            self._skipped -= 1
            return
        latency = min(max(latency, MIN_LATENCY_SECONDS), MAX_LATENCY_SECONDS)
        self.count += 1
        self._latencies += latency
        self._squares += latency * latency
        self._in_flight += max(in_flight, MIN_IN_FLIGHT)

    @property
    def latency(self) -> float:
        """Mean latency in seconds."""
        return self._latencies / self.count

    @property
    def in_flight(self) -> float:
        """Mean number of calls in flight."""
        return self._in_flight / self.count

    @property
    def relative_error(self) -> float:
        """The standard error of the mean latency, as a part of it."""
        return sqrt(max(0.0, self._squares / self.count - self.latency**2) / self.count) / self.latency


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
        self._factor = CLIMB
        self._base_latency = 0.0
        self._base_samples = 0
        self._before_probe: _Window | None = None
        """The window that led to the probe that is running; None without a probe."""
        self._probe_at = inf
        self._probe_interval = FIRST_PROBE_SECONDS
        self._was_too_high = False
        self._refused_level = 0
        self._avoid_until = -inf
        self._window = _Window(-inf, self.level)
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
        window = self._window
        window.add(now - max(0.0, latency), latency, min(in_flight, self.limit))
        if self._before_probe is None and self._factor == HEADROOM:
            enough, error = 64, 0.03
        else:
            enough, error = 32, 0.1
        if window.count < max(8, self.level):
            return
        if window.count >= max(enough, 2 * self.level) or window.relative_error < error:
            self._evaluate(now, window)

    def refused(self, now: float, latency: float) -> None:
        """Lower the level after a call that was refused (429, 503, 504) or timed out.

        Args:
            now: the same as for `finished`.
            latency: the same as for `finished`.
        """
        if not (isfinite(now) and isfinite(latency)):
            return
        if now - latency < self._window.started_at and now < self._avoid_until:
            # The call began before the last step down, so it does not show whether the present level is too high.
            return
        self._refused_level = self.level
        self._avoid_until = now + AVOID_REFUSED_SECONDS
        self._factor = HEADROOM
        self._before_probe = None
        self._set_level(now, int(self.level * REFUSED_RATIO))

    def log_failure(self) -> None:
        """Log the current exception, the first time only. The level does not change."""
        if not self._has_failed:
            self._has_failed = True
            _log.exception("AutoConcurrency failed; the level stays at %d", self.level)

    def _evaluate(self, now: float, window: _Window) -> None:
        """Choose the next level after a full window."""
        if self._before_probe is not None:
            self._end_probe(now, window, self._before_probe)
            return
        ratio = window.latency / self._base_latency if self._base_samples else 1.0
        # A single call has no queue of its own.
        if ratio <= NO_QUEUE_RATIO or self.level == 1:
            self._add_base_latency(window)
            ratio = window.latency / self._base_latency
        target = ceil(self._factor * window.in_flight / ratio)
        is_too_high = self.level > TOO_HIGH_RATIO * target
        if window.in_flight < IN_USE_RATIO * self.level:
            self._set_level(now, self.level)
        elif (
            (self._factor == CLIMB and ratio > QUEUE_RATIO)
            or (is_too_high and self._was_too_high)
            or (now > self._probe_at and ratio > NO_QUEUE_RATIO)
        ):
            self._start_probe(now, window)
        else:
            self._was_too_high = is_too_high
            self._set_level(now, self._raised_level(now, target))

    def _raised_level(self, now: float, target: int) -> int:
        """Return the level after a step up, if the target is high enough for a step."""
        small_step = GROWTH_RATIO * self.level
        if target < small_step:
            return self.level
        return ceil(small_step) if now < self._avoid_until else target

    def _start_probe(self, now: float, window: _Window) -> None:
        self._before_probe = window
        self._was_too_high = False
        self._set_level(now, int(PROBE_RATIO * self._capacity(window)))

    def _end_probe(self, now: float, window: _Window, before: _Window) -> None:
        old = self._base_latency
        if min(old, window.latency) > SAME_LATENCY_RATIO * max(old, window.latency):
            self._add_base_latency(window)
        else:
            self._base_latency, self._base_samples = window.latency, window.count
        if window.latency < SAME_LATENCY_RATIO * old and self.level > 1:
            # There still was a queue.
            self._start_probe(now, before)
            return
        self._before_probe = None
        if before.latency > HEADROOM * self._base_latency:
            self._factor = HEADROOM
        self._probe_at = now + max(self._probe_interval, PROBE_PAUSE * (now - window.started_at))
        self._probe_interval = min(2 * self._probe_interval, MAX_PROBE_SECONDS)
        self._set_level(now, ceil(self._factor * self._capacity(before)))

    def _capacity(self, window: _Window) -> float:
        """Return the number of calls that the server handles at once: throughput x base latency."""
        return window.in_flight / window.latency * self._base_latency

    def _add_base_latency(self, window: _Window) -> None:
        self._base_samples = min(BASE_LATENCY_SAMPLES, self._base_samples + window.count)
        self._base_latency += (window.latency - self._base_latency) * min(1.0, window.count / self._base_samples)

    def _set_level(self, now: float, level: int) -> None:
        limit = self.limit if now >= self._avoid_until else self._refused_level - 1
        self.level = max(1, min(level, limit))
        self._window = _Window(now, self.level)
