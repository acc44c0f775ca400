"""The latency of calls of a fan-out, reported to `AutoConcurrency`."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, final

from .auto_concurrency import AutoConcurrency


def is_refusal(error: Exception) -> bool:
    """Return whether an error shows an overloaded server: a 429, 503 or 504, or a timeout."""
    return isinstance(error, TimeoutError) or getattr(error, "status", None) in (429, 503, 504)


@final
class ItemLatency:
    """How long the server works for one item of a fan-out: the item's duration without its waits in the client.

    The calls of the item report their waits: for the token, the limiter, a pause or a retry. An error in
    `AutoConcurrency` is logged once and never raised, so a defect in the measurement fails no item.

    Args:
        auto: receives the latencies, and receives each refusal immediately, also before a retry.
        clock: returns the time in seconds, and never goes backward.
    Attributes:
        was_refused: whether an attempt was refused.
    """

    __slots__ = ("_attempts", "_auto", "_begun", "_clock", "_waited", "was_refused")

    def __init__(self, auto: AutoConcurrency, clock: Callable[[], float]) -> None:
        self._auto = auto
        self._clock = clock
        self._begun = clock()
        self._waited = 0.0
        self._attempts: int | None = None
        """Number of requests that the item has sent; None for an item that makes no call of a client."""
        self.was_refused = False

    def call_started(self) -> None:
        """Record that the item makes a call. Without a request, such as for a cached response, it has no latency."""
        if self._attempts is None:
            self._attempts = 0

    def attempt_started(self, waited: float) -> None:
        """Record that a request is sent, after a wait in the client of some seconds."""
        self._attempts = (self._attempts or 0) + 1
        self._waited += waited

    def failed(self, error: Exception) -> None:
        """Report a failed attempt, whether it is retried or not."""
        if is_refusal(error) and self._attempts != 0:
            self.was_refused = True
            now = self._clock()
            self._report(self._auto.refused, now, now - self._begun - self._waited)

    def response_received(self, in_flight: int) -> None:
        """Report the latency of a response.

        Args:
            in_flight: number of items in flight, with this item.
        """
        if not self.was_refused and self._attempts != 0:
            now = self._clock()
            whole = now - self._begun
            latency = whole - self._waited
            # The other items in flight are assumed to wait in the client for the same share of their time.
            at_server = in_flight * latency / whole if whole > 0 else in_flight
            self._report(self._auto.finished, now, latency, at_server)

    def _report(self, method: Callable[..., None], *sample: float) -> None:
        try:
            method(*sample)
        except Exception:
            self._auto.log_failure()


ITEM_LATENCY: Final[ContextVar[ItemLatency | None]] = ContextVar("ITEM_LATENCY", default=None)
"""The latency of the current item of a fan-out; None if the concurrency is fixed."""
