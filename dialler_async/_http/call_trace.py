"""Trace one call, for deadline messages, latencies, observers and logs.

A trace contains no names, IDs or secrets, except in errors.
"""

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, cast, final

from .._bulk.concurrency import LATENCY_TIMER
from ..errors import DiallerError, ResponseInfo, SentRequest
from ..observer import ObservedCall, Observer
from .clock import CLOCK
from .connector import ResendGuard
from .headers import checked_headers
from .response import Response

_log = logging.getLogger("dialler_async")


class Phase(Enum):
    """The phase of a call. The value completes the sentence "the deadline expired while …"."""

    AUTHENTICATING = "waiting for the token"
    AT_GATE = "waiting for the server to recover"
    QUEUED = "waiting in the client's queue"
    PAUSED = "waiting for the end of the pause that the server requested"
    CONNECTING = "connecting"
    SENT = "waiting for the response"
    DECODING = "decoding the response"
    BACKOFF = "waiting for the next retry"


# Constants, since each call uses these members. On CPython 3.11, looking a member up in its class takes 200 ns.
_AUTHENTICATING: Final = Phase.AUTHENTICATING
_SENT: Final = Phase.SENT
_DECODING: Final = Phase.DECODING
QUEUED: Final = Phase.QUEUED


@final
class CallTrace:
    """The history of one call.

    Attributes:
        attempts: number of attempts so far.
    """

    __slots__ = (
        "_guard",
        "_observed",
        "_observer",
        "_phase",
        "_queued_at",
        "_request",
        "_sent_at",
        "_timer",
        "attempts",
    )

    def __init__(self, request: SentRequest, base_url: str, observer: Observer | None) -> None:
        self.attempts = 0
        self._request = request
        self._phase = _AUTHENTICATING
        self._guard = _NOTHING_SENT
        # Set by a fan-out that measures the latency of the server without the waits in the client.
        self._timer = LATENCY_TIMER.get()
        self._observer = observer
        self._observed = None if observer is None else ObservedCall(request, base_url)
        self._queued_at = self._sent_at = 0.0

    @property
    def phase(self) -> Phase:
        """The current phase of the call."""
        if self._phase is Phase.SENT and self._guard.sent is False:
            return Phase.CONNECTING
        return self._phase

    def started(self) -> float:
        """Notify the observer of the start of the call; return the time."""
        self._notify("call_started")
        return CLOCK.monotonic()

    def ended(self, started_at: float, error: BaseException | None) -> None:
        """Notify the observer of the end of the call."""
        self._notify("call_ended", CLOCK.monotonic() - started_at, error)

    def wait_started(self, phase: Phase) -> None:
        """Record that the call waits in the client: for the token, the retry gate, or the limiter."""
        self._phase = phase
        if self._timer is not None:
            self._timer.pause()
        if self._observer is not None and not self._queued_at and phase is not Phase.AUTHENTICATING:
            self._queued_at = CLOCK.monotonic()

    def attempt_started(self) -> ResendGuard:
        """Record the start of an attempt; return its guard, which records whether the request was sent."""
        self._phase = _SENT
        self.attempts += 1
        self._guard = ResendGuard()
        self._sent_at = CLOCK.monotonic()
        if self._timer is not None:
            self._timer.resume()
        if self._observed is not None:
            self._observed.attempts = self.attempts
            self._observed.status = None
            waited, self._queued_at = self._sent_at - self._queued_at, 0.0
            self._notify("attempt_started", waited)
        return self._guard

    def attempt_headers(self) -> Mapping[str, str]:
        """Return the headers that the observer adds to the attempt."""
        if self._observer is None:
            return _NO_HEADERS
        try:
            return checked_headers(self._observer.attempt_headers(cast(ObservedCall, self._observed)))
        except Exception as error:
            _log_failure("attempt_headers", error)
            return _NO_HEADERS

    def response_received(
        self, response: ResponseInfo, on_response: Callable[[ResponseInfo], object] | None = None
    ) -> None:
        """Notify the observer of a response, and the function of `with_options`."""
        self._notify("response_received", response)
        if on_response is not None:
            try:
                on_response(response)
            except Exception as error:
                _log.error("on_response raised %s", type(error).__name__)

    def attempt_ended(self, result: Response | BaseException) -> None:
        """Record the response of an attempt, or the error of an attempt without a response."""
        if isinstance(result, Response):
            self._phase = _DECODING
        if _log.isEnabledFor(logging.DEBUG):
            milliseconds = (CLOCK.monotonic() - self._sent_at) * 1000
            outcome = result.status if isinstance(result, Response) else type(result).__name__
            _log.debug("%s: %s in %.1f ms, attempt %d", self._request, outcome, milliseconds, self.attempts)
        if self._observed is not None:
            error = None if isinstance(result, Response) else result
            self._observed.status = result.status if isinstance(result, Response) else None
            self._notify("attempt_ended", CLOCK.monotonic() - self._sent_at, error)

    def retry_scheduled(self, error: DiallerError, delay: float) -> None:
        """Record that the latest attempt failed, and that the call is retried after a delay in seconds."""
        reason = getattr(error, "status", type(error).__name__)
        _log.warning("%s failed (%s), attempt %d; retry in %.2f s", self._request, reason, self.attempts, delay)
        self._phase = Phase.BACKOFF
        if self._timer is not None:
            self._timer.failed(error)
            self._timer.pause()
        self._notify("call_retried", error, delay)

    def gave_up(self, failed_for: float) -> None:
        """Record that the call is not retried any more, since the retry gate stays shut."""
        text = "%s gave up after attempt %d: all requests failed for %.1f s"
        _log.warning(text, self._request, self.attempts, failed_for)

    def _notify(self, method: str, *arguments: Any) -> None:
        if self._observer is None:
            return
        try:
            getattr(self._observer, method)(self._observed, *arguments)
        except Exception as error:
            _log_failure(method, error)


def _log_failure(method: str, error: Exception) -> None:
    # The error's text is not logged, since the observer may put secrets into it.
    _log.error("the observer's %s raised %s", method, type(error).__name__)


_NOTHING_SENT: Final = ResendGuard()
_NO_HEADERS: Final[Mapping[str, str]] = {}
