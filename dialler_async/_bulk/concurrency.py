"""How many calls at once? A level that finds itself, by how long calls take: pure, fed with samples and given times.

By Little's law, calls in flight = throughput x latency. Up to what a server serves at once, more calls bring more
throughput at the same latency; beyond, they only queue. So the level to be at is the throughput of a busy server times
the latency of one without a queue; a quarter more keeps it busy, and a short queue in sight:

- The queue is gone: the server bears more. Go up: twice as many at the start, a quarter more later, and in ever
  bigger steps while no queue comes.
- The queue is far longer than that: the server bears less, or each call has more to do. To tell them apart, *look
  below*: go so low that no queue can stand, see how long a call takes there, and begin anew from that.
- *Look above* now and then: many a server has no sharp edge, and takes more calls a little more slowly. Where a step
  up still brings a good part of itself in throughput, stay there, as long as calls take less than 1.75 times what
  they take without a queue.
- Look below every few seconds, too, as long as a queue stands: else it creeps into what counts as none.
- Refused (429, 503, time ran out): at once to 70 %, and stay below what was refused for a while.

What a step does is measured on calls that began after it, once a round of them is through (new connections, an old
queue), and for as many as it takes to be sure of their mean. The ideas come from TCP Vegas, from BBR and from
Netflix's concurrency-limits; those compare with a smallest latency ever seen, or with an average that a long queue
spoils.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from math import ceil, inf, isfinite, sqrt
from typing import Final, final

from ..errors import require

START: Final = 2
HEADROOM: Final = 1.25
"""Where to be, in terms of what the server serves at once; also the size of a careful step up."""
MOST_HEADROOM: Final = 1.75
"""Where to be at most, for a server that still gains from more calls while they take longer."""
GAIN: Final = 0.35
"""What a step up has to bring in throughput, as a part of the step, to be worth a longer queue."""
STEP_ABOVE: Final = 1.5
LOOK_ABOVE_AFTER: Final = 0.5, 4.0
"""Seconds until the next look above: the first, and twice as many after each look in vain, up to the second."""
NO_QUEUE: Final = 1.1
"""Up to this multiple of the latency without a queue, there is none."""
A_QUEUE: Final = 1.5
"""From this multiple of it, there surely is one: what ends a climb."""
KNOWN_BY: Final = 100
"""So many calls are enough to know the latency without a queue by; later ones push earlier ones out."""
LONG_QUEUE: Final = 1.25
"""From this multiple of where to be, the level is too high."""
BELOW: Final = 0.8
"""Where to look for the latency without a queue, in terms of what the server serves at once."""
LOOK_BELOW_EVERY: Final = 10.0
"""Seconds, at least; and 20 times as long as a look takes, so that looking costs no more than 1 % or so."""
BACK_OFF: Final = 0.7
AVOID_FOR: Final = 10.0
"""Seconds for which a level that was refused is not gone back to."""
IN_USE: Final = 0.8
"""With less of the level in flight than this, it is not the level that holds calls back."""
LATENCIES: Final = 0.001, 86_400.0
"""Seconds: latencies outside of this range count as its ends. uvloop's clock ticks once a millisecond."""
LEAST_IN_FLIGHT: Final = 0.001

_log = logging.getLogger("dialler_async")


@final
class _Window:
    """What calls took that began after a step, once a round of them is through."""

    # By hand: a class made by attrs takes a millisecond of everybody's import.
    __slots__ = ("begun", "climbing", "count", "latencies", "level", "squares", "together", "unsettled")

    def __init__(self, begun: float, level: int, climbing: bool) -> None:
        self.begun = begun
        self.level = self.unsettled = level
        self.climbing = climbing
        self.count = 0
        self.latencies = self.squares = self.together = 0.0

    def add(self, began: float, latency: float, in_flight: float) -> None:
        if began < self.begun:
            return
        # Neither mean may be zero: the level is computed by dividing by them.
        latency = min(max(latency, LATENCIES[0]), LATENCIES[1])
        in_flight = max(in_flight, LEAST_IN_FLIGHT)
        if self.unsettled:
            self.unsettled -= 1
            return
        self.count += 1
        self.latencies += latency
        self.squares += latency * latency
        self.together += in_flight

    @property
    def is_full(self) -> bool:
        """Whether the mean is known well enough (roughly while climbing), or patience is at its end."""
        most, error = (16, 0.1) if self.climbing else (64, 0.03)
        if self.count < max(8, self.level):
            return False
        return self.count >= max(most, 2 * self.level) or self.error < error * self.latency

    @property
    def latency(self) -> float:
        """The mean."""
        return self.latencies / self.count

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return sqrt(max(0.0, self.squares / self.count - self.latency**2) / self.count)

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.in_flight / self.latency

    @property
    def in_flight(self) -> float:
        """The mean."""
        return self.together / self.count


@final
class AutoConcurrency:
    """How many calls may be in flight at once, by what came of those before.

    `concurrency="auto"` with another limit than the usual: `concurrency=AutoConcurrency(64)`.

    Attributes:
        limit: more than that it never says.
        level: how many calls may be in flight now.
    """

    def __init__(self, limit: int) -> None:
        require(type(limit) is int and limit >= 1, "the limit of an AutoConcurrency is a positive int")
        self.limit: Final = limit
        self.level = min(START, limit)
        self._growth = 2.0
        self._unqueued = 0.0
        self._known_by = 0
        self._rate = 0.0
        self._held = 0
        self._is_below = self._is_above = False
        self._look_below_at = self._look_above_at = 0.0
        self._headroom = HEADROOM
        self._vain = LOOK_ABOVE_AFTER[0]
        self._too_long = False
        self._refused_level = 0
        self._avoid_until = -inf
        self._window = self._measured_from(-inf)
        self._is_broken = False

    def finished(self, now: float, latency: float, in_flight: float) -> None:
        """A call came to an answer, whichever.

        A sample that is not finite is ignored. A negative latency counts as zero.

        Args:
            now: the time, of any clock that only goes forward, in seconds.
            latency: what it took, in seconds, without what it waited for on this side.
            in_flight: calls that were in flight with it, itself included; likewise without those that waited.
        """
        if not (isfinite(now) and isfinite(latency) and isfinite(in_flight)):
            return
        self._window.add(now - max(0.0, latency), latency, min(in_flight, self.limit))
        if self._window.is_full:
            self._judge(now, self._window)

    def refused(self, now: float, latency: float) -> None:
        """A call was turned away (429, 503), or its time ran out. Arguments as for `finished`."""
        if not (isfinite(now) and isfinite(latency)):
            return
        if now - latency < self._window.begun and now < self._avoid_until:
            # It began before the last step down, and says nothing against the level of now.
            return
        self._refused_level = self.level
        self._avoid_until = now + AVOID_FOR
        self._growth = HEADROOM
        self._is_below = self._is_above = False
        self._go_to(now, int(self.level * BACK_OFF))

    def log_failure(self) -> None:
        """Log the exception being handled, the first time only. The level stays as it is."""
        if not self._is_broken:
            self._is_broken = True
            _log.exception("auto concurrency failed; it stays at %d", self.level)

    def _judge(self, now: float, window: _Window) -> None:
        if self._is_below:
            self._judge_below(now, window)
            return
        if self._is_above:
            self._judge_above(now, window)
            return
        climbing = self._growth > HEADROOM
        queued = window.latency / self._unqueued if self._known_by else 1.0
        goal = self._headroom * window.in_flight / queued
        a_queue = queued > (A_QUEUE if climbing else NO_QUEUE)
        if not a_queue and queued <= HEADROOM:
            self._learn(window)
        if window.in_flight < IN_USE * self.level:
            self._go_to(now, self.level)
        elif not a_queue:
            self._look_below_at = now + LOOK_BELOW_EVERY
            growth = self._growth
            if now >= self._avoid_until:
                self._growth = min(2.0, growth * HEADROOM)
            self._go_to(now, ceil(self.level * growth))
        elif climbing:
            self._growth = HEADROOM
            self._go_to(now, ceil(goal))
        else:
            self._rate, self._held = window.rate, self.level
            too_long = ceil(goal) * LONG_QUEUE < self.level
            if (too_long and self._too_long) or now > self._look_below_at:
                self._look_below(now)
            elif not too_long and now > self._look_above_at and queued < MOST_HEADROOM:
                self._is_above = True
                self._go_to(now, ceil(self.level * STEP_ABOVE))
            else:
                self._too_long = too_long
                self._go_to(now, self.level)

    def _learn(self, window: _Window) -> None:
        """Takes a window without a queue into the latency that there is without one."""
        self._known_by = min(KNOWN_BY, self._known_by + window.count)
        self._unqueued += (window.latency - self._unqueued) * min(1.0, window.count / self._known_by)

    def _look_below(self, now: float) -> None:
        self._is_below = True
        self._go_to(now, int(BELOW * self._rate * self._unqueued))

    def _judge_below(self, now: float, window: _Window) -> None:
        still_falls = window.latency < 0.9 * self._unqueued
        self._unqueued, self._known_by = window.latency, window.count
        if still_falls and self.level > 1:
            self._look_below(now)
            return
        self._is_below = self._too_long = False
        self._vain, self._look_above_at = LOOK_ABOVE_AFTER[0], now
        self._look_below_at = now + max(LOOK_BELOW_EVERY, 20 * (now - window.begun))
        goal = ceil(self._headroom * self._rate * self._unqueued)
        if goal > self._held:
            # There was no queue after all: what was taken for the latency without one was too little.
            self._growth = 2.0
        self._go_to(now, goal)

    def _judge_above(self, now: float, window: _Window) -> None:
        self._is_above = False
        step, gain = self.level / self._held - 1, window.rate / self._rate - 1
        if step > 0 and gain > GAIN * step:
            queued = window.latency / self._unqueued
            self._headroom = min(MOST_HEADROOM, max(HEADROOM, queued))
            self._vain = LOOK_ABOVE_AFTER[0]
            self._go_to(now, min(self.level, ceil(self._headroom * window.rate * self._unqueued)))
        else:
            self._headroom = max(HEADROOM, self._headroom / NO_QUEUE)
            self._look_above_at = now + self._vain
            self._vain = min(2 * self._vain, LOOK_ABOVE_AFTER[1])
            self._go_to(now, self._held)

    def _go_to(self, now: float, level: int) -> None:
        highest = self.limit if now >= self._avoid_until else self._refused_level - 1
        self.level = max(1, min(level, highest))
        self._window = self._measured_from(now)

    def _measured_from(self, now: float) -> _Window:
        return _Window(now, self.level, self._growth > HEADROOM)


def is_refusal(error: Exception) -> bool:
    """Whether an error says that there were too many calls: 429, 503, 504, or time that ran out."""
    return isinstance(error, TimeoutError) or getattr(error, "status", None) in (429, 503, 504)


@final
class LatencyTimer:
    """Times one item of a fan-out, without what it waits for on this side: the pool's gate, pauses, repeats.

    An error in `AutoConcurrency` is logged once and never raised, so that measuring fails no item.

    Args:
        auto: is told of refusals at once, also of those that a repeat makes good.
        clock: seconds, going forward.

    Attributes:
        was_refused: whether there was one.
        is_paused: whether it waits at the moment.
    """

    __slots__ = ("_auto", "_begun", "_clock", "_paused_at", "_waited", "is_paused", "was_refused")

    def __init__(self, auto: AutoConcurrency, clock: Callable[[], float]) -> None:
        self._auto = auto
        self._clock = clock
        self._waited = 0.0
        self.was_refused = self.is_paused = False
        self._begun = self._paused_at = clock()

    def pause(self) -> None:
        """From now on it waits, if it didn't already."""
        if not self.is_paused:
            self.is_paused = True
            self._paused_at = self._clock()

    def resume(self) -> None:
        """It no longer waits."""
        if self.is_paused:
            self.is_paused = False
            self._waited += self._clock() - self._paused_at

    def failed(self, error: Exception) -> None:
        """It failed, for good or to be repeated."""
        if is_refusal(error) and not self.is_paused:
            self.was_refused = True
            now = self._clock()
            self._report(self._auto.refused, now, now - self._begun - self._waited)

    def answered(self, in_flight: int) -> None:
        """An answer came, with so many items under way at the moment."""
        if not self.was_refused:
            now = self._clock()
            whole = now - self._begun
            latency = whole - self._waited
            # Of those under way, others wait as this one did.
            together = in_flight * latency / whole if whole > 0 else in_flight
            self._report(self._auto.finished, now, latency, together)

    def _report(self, method: Callable[..., None], *sample: float) -> None:
        try:
            method(*sample)
        except Exception:
            self._auto.log_failure()


LATENCY_TIMER: Final[ContextVar[LatencyTimer | None]] = ContextVar("LATENCY_TIMER", default=None)
"""That of the item on whose behalf a call is made; None where nobody asks how long it takes."""
