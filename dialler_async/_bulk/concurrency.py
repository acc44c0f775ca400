"""The latency of calls of a fan-out, reported to `AutoConcurrency`."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, final

from .auto_concurrency import AutoConcurrency


def is_refusal(error: Exception) -> bool:
    """Whether an error says that there were too many calls: 429, 503, 504, or time that ran out."""
    return isinstance(error, TimeoutError) or getattr(error, "status", None) in (429, 503, 504)


@final
class Watch:
    """Times one item of a fan-out, without what it waits for on this side: the pool's gate, pauses, repeats.

    An error in `AutoConcurrency` is logged once and never raised, so that measuring fails no item.

    Args:
        auto: is told of refusals at once, also of those that a repeat makes good.
        clock: seconds, going forward.

    Attributes:
        was_refused: whether there was one.
        is_waiting: whether it waits at the moment.
    """

    __slots__ = ("_auto", "_begun", "_clock", "_waited", "_waits_since", "is_waiting", "was_refused")

    def __init__(self, auto: AutoConcurrency, clock: Callable[[], float]) -> None:
        self._auto = auto
        self._clock = clock
        self._waited = 0.0
        self.was_refused = self.is_waiting = False
        self._begun = self._waits_since = clock()

    def waits(self) -> None:
        """From now on it waits, if it didn't already."""
        if not self.is_waiting:
            self.is_waiting = True
            self._waits_since = self._clock()

    def goes_on(self) -> None:
        """It no longer waits."""
        if self.is_waiting:
            self.is_waiting = False
            self._waited += self._clock() - self._waits_since

    def failed(self, error: Exception) -> None:
        """It failed, for good or to be repeated."""
        if is_refusal(error) and not self.is_waiting:
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


WATCH: Final[ContextVar[Watch | None]] = ContextVar("WATCH", default=None)
"""That of the item on whose behalf a call is made; None where nobody asks how long it takes."""
