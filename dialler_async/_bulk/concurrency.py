"""The latency of calls of a fan-out, reported to `AutoConcurrency`."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, final

from .auto_concurrency import AutoConcurrency


def is_refusal(error: Exception) -> bool:
    """Return whether an error means that there were too many calls: a 429, 503 or 504, or a timeout."""
    return isinstance(error, TimeoutError) or getattr(error, "status", None) in (429, 503, 504)


@final
class LatencyTimer:
    """Measures how long the server works for one item of a fan-out.

    The transport pauses it while a call waits on the client's side: for the limiter, a pause or a retry. An error in
    `AutoConcurrency` is logged once and never raised, so that measuring fails no item.

    Args:
        auto: gets the latencies, and each refusal at once, retried or not.
        clock: returns seconds; it never goes back.

    Attributes:
        was_refused: whether an attempt was refused.
        is_paused: whether the call waits on the client's side.
        is_cached: whether a response came from the cache. Without a request of its own, the item has no latency.
    """

    __slots__ = (
        "_auto",
        "_begun",
        "_clock",
        "_has_sent",
        "_paused_at",
        "_waited",
        "is_cached",
        "is_paused",
        "was_refused",
    )

    def __init__(self, auto: AutoConcurrency, clock: Callable[[], float]) -> None:
        self._auto = auto
        self._clock = clock
        self._waited = 0.0
        self.was_refused = self.is_paused = self.is_cached = self._has_sent = False
        self._begun = self._paused_at = clock()

    def pause(self) -> None:
        """Stop the timer, if it runs."""
        if not self.is_paused:
            self.is_paused = True
            self._paused_at = self._clock()

    def resume(self) -> None:
        """Start the timer again, if it is paused, since a request is sent."""
        self._has_sent = True
        if self.is_paused:
            self.is_paused = False
            self._waited += self._clock() - self._paused_at

    def failed(self, error: Exception) -> None:
        """Report an attempt that failed, whether it is retried or not."""
        if is_refusal(error) and not self.is_paused and self._has_latency:
            self.was_refused = True
            now = self._clock()
            self._report(self._auto.refused, now, now - self._begun - self._waited)

    def answered(self, in_flight: int) -> None:
        """Report the latency of a response.

        Args:
            in_flight: number of items in flight, this one included.
        """
        if not self.was_refused and self._has_latency:
            now = self._clock()
            whole = now - self._begun
            latency = whole - self._waited
            # Others of those in flight wait as long as this item did.
            together = in_flight * latency / whole if whole > 0 else in_flight
            self._report(self._auto.finished, now, latency, together)

    @property
    def _has_latency(self) -> bool:
        return self._has_sent or not self.is_cached

    def _report(self, method: Callable[..., None], *sample: float) -> None:
        try:
            method(*sample)
        except Exception:
            self._auto.log_failure()


LATENCY_TIMER: Final[ContextVar[LatencyTimer | None]] = ContextVar("LATENCY_TIMER", default=None)
"""The timer of the item that a call belongs to; None where nothing adapts to the latency."""
