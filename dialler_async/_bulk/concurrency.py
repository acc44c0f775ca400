"""The latency of calls of a fan-out, reported to `AutoConcurrency`."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, final

from .auto_concurrency import AutoConcurrency


def is_refusal(error: Exception) -> bool:
    """Return whether an error shows an overloaded server: a 429, 503 or 504, or a timeout."""
    return isinstance(error, TimeoutError) or getattr(error, "status", None) in (429, 503, 504)


@final
class LatencyTimer:
    """A timer that measures how long the server works for one item of a fan-out.

    The transport pauses the timer while a call waits in the client: for the limiter, a pause or a retry. An error in
    `AutoConcurrency` is logged once and never raised, so a defect in the measurement fails no item.

    Args:
        auto: receives the latencies, and receives each refusal immediately, also before a retry.
        clock: returns the time in seconds, and never goes backward.
    Attributes:
        was_refused: whether an attempt was refused.
        is_paused: whether the call waits in the client.
        is_cached: whether a response came from the cache. An item that sent no request has no latency.
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
        """Pause the timer, if it runs."""
        if not self.is_paused:
            self.is_paused = True
            self._paused_at = self._clock()

    def resume(self) -> None:
        """Resume the timer, if it is paused, because a request is sent."""
        self._has_sent = True
        if self.is_paused:
            self.is_paused = False
            self._waited += self._clock() - self._paused_at

    def failed(self, error: Exception) -> None:
        """Report a failed attempt, whether it is retried or not."""
        if is_refusal(error) and not self.is_paused and self._has_latency:
            self.was_refused = True
            now = self._clock()
            self._report(self._auto.refused, now, now - self._begun - self._waited)

    def response_received(self, in_flight: int) -> None:
        """Report the latency of a response.

        Args:
            in_flight: number of items in flight, with this item.
        """
        if not self.was_refused and self._has_latency:
            now = self._clock()
            whole = now - self._begun
            latency = whole - self._waited
            # The other items in flight are assumed to wait in the client for the same share of their time.
            at_server = in_flight * latency / whole if whole > 0 else in_flight
            self._report(self._auto.finished, now, latency, at_server)

    @property
    def _has_latency(self) -> bool:
        return self._has_sent or not self.is_cached

    def _report(self, method: Callable[..., None], *sample: float) -> None:
        try:
            method(*sample)
        except Exception:
            self._auto.log_failure()


LATENCY_TIMER: Final[ContextVar[LatencyTimer | None]] = ContextVar("LATENCY_TIMER", default=None)
"""The timer of the current item of a fan-out; None if the concurrency is fixed."""
