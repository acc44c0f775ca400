"""One call: its state, and what its observer and the log get to know of it.

Neither the log nor an observer gets names, IDs or secrets, except in errors.
"""

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Generic, TypeVar, final

import attrs

from .._api.endpoints import Request
from .._bulk.concurrency import ITEM_LATENCY, ItemLatency
from ..config import RetryPolicy
from ..errors import DiallerError, ResponseInfo
from ..observer import ObservedCall, Observer
from .clock import CLOCK
from .deadlines import Deadline
from .headers import checked_headers, override

T_co = TypeVar("T_co", covariant=True)
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


# Constants, because each call uses these members. On CPython 3.11, looking a member up in its class takes 200 ns.
AUTHENTICATING: Final = Phase.AUTHENTICATING
QUEUED: Final = Phase.QUEUED
_SENT: Final = Phase.SENT
_DECODING: Final = Phase.DECODING


@final
@attrs.define(eq=False)
class Call(Generic[T_co]):
    """The state of one call."""

    request: Request[T_co]
    policy: RetryPolicy
    headers: Mapping[str, str]
    """The headers of all attempts, without `Authorization`."""
    _base_url: str
    _observer: Observer | None
    deadline: Deadline = attrs.field(init=False)
    read_deadline: Deadline | None = None
    """The read timeout of the latest attempt; None until it has its connection."""
    attempts: int = 0
    sent: bool | None = False
    """Whether the server may have received a part of the latest attempt; None if unknown."""
    token_version: int = 0
    """Version of the token in the latest attempt."""
    renewals: int = 0
    """How often the token was renewed after a 401."""
    outcome_unknown: bool = False
    """Whether a failed attempt of a write may have run."""
    waited: float = 0.0
    """Seconds that the call has waited between its attempts."""
    _phase: Phase = AUTHENTICATING
    _latency: ItemLatency | None = attrs.field(init=False)
    _observed: ObservedCall | None = None
    _started_at: float = 0.0
    _waiting_since: float = 0.0
    _queued_at: float = 0.0
    _sent_at: float = 0.0

    def __attrs_post_init__(self) -> None:
        # Set by a fan-out that measures the latency of the server without the waits in the client.
        self._latency = ITEM_LATENCY.get()
        if self._latency is not None:
            self._latency.call_started()

    @property
    def phase(self) -> Phase:
        """The current phase of the call."""
        return Phase.CONNECTING if self._phase is Phase.SENT and self.sent is False else self._phase

    @property
    def in_flight(self) -> bool:
        """Whether the latest attempt was sent, and has neither failed nor been decoded."""
        return self.phase in (Phase.SENT, Phase.DECODING)

    def started(self) -> None:
        """Tell the observer that the call begins."""
        self._observed = ObservedCall(self.request.sent, self._base_url)
        self._started_at = CLOCK.monotonic()
        self._notify("call_started")

    def ended(self, error: BaseException | None) -> None:
        """Tell the observer that the call has ended."""
        self._notify("call_ended", CLOCK.monotonic() - self._started_at, error)

    def wait_started(self, phase: Phase) -> None:
        """Record that the call waits in the client: for the token, the retry gate, or the limiter."""
        self._phase = phase
        if self._latency is not None and not self._waiting_since:
            self._waiting_since = CLOCK.monotonic()
        if self._observer is not None and not self._queued_at and phase is not Phase.AUTHENTICATING:
            self._queued_at = CLOCK.monotonic()

    def attempt_started(self, token_version: int) -> Mapping[str, str]:
        """Record the start of an attempt; return its headers, without `Authorization`."""
        self._phase = _SENT
        self.attempts += 1
        self.sent = self.read_deadline = None
        self.token_version = token_version
        self._sent_at = CLOCK.monotonic()
        if self._latency is not None:
            self._latency.attempt_started(self._sent_at - self._waiting_since)
            self._waiting_since = 0.0
        if self._observer is None or self._observed is None:
            return self.headers
        self._observed.attempts = self.attempts
        self._observed.status = None
        waited, self._queued_at = self._sent_at - self._queued_at, 0.0
        self._notify("attempt_started", waited)
        try:
            return override(self.headers, checked_headers(self._observer.attempt_headers(self._observed)))
        except Exception as error:
            _log_failure("attempt_headers", error)
            return self.headers

    def response_received(self, response: ResponseInfo, on_response: Callable[[ResponseInfo], object] | None) -> None:
        """Notify the observer of a response, and the function of `with_options`."""
        self._notify("response_received", response)
        if on_response is not None:
            try:
                on_response(response)
            except Exception as error:
                _log.error("on_response raised %s", type(error).__name__)

    def attempt_ended(self, status: int | None, error: BaseException | None = None) -> None:
        """Record the status of the response of an attempt, or the error of an attempt without a response."""
        if status is not None:
            self._phase = _DECODING
        if _log.isEnabledFor(logging.DEBUG):
            milliseconds = (CLOCK.monotonic() - self._sent_at) * 1000
            outcome = type(error).__name__ if status is None else status
            _log.debug("%s: %s in %.1f ms, attempt %d", self.request.sent, outcome, milliseconds, self.attempts)
        if self._observed is not None:
            self._observed.status = status
            self._notify("attempt_ended", CLOCK.monotonic() - self._sent_at, error)

    def retry_scheduled(self, error: DiallerError, delay: float) -> None:
        """Record that the latest attempt failed, and that the call is retried after a delay in seconds."""
        reason = getattr(error, "status", type(error).__name__)
        _log.warning("%s failed (%s), attempt %d; retry in %.2f s", self.request.sent, reason, self.attempts, delay)
        self._phase = Phase.BACKOFF
        if self._latency is not None:
            self._latency.failed(error)
            self._waiting_since = self._waiting_since or CLOCK.monotonic()
        self._notify("call_retried", error, delay)

    def gave_up(self, failed_for: float) -> None:
        """Record that the call is not retried any more, because all requests have failed for a time in seconds."""
        text = "%s gave up after attempt %d: all requests failed for %.1f s"
        _log.warning(text, self.request.sent, self.attempts, failed_for)

    def _notify(self, method: str, *arguments: object) -> None:
        if self._observer is None:
            return
        try:
            getattr(self._observer, method)(self._observed, *arguments)
        except Exception as error:
            _log_failure(method, error)


def _log_failure(method: str, error: Exception) -> None:
    # The error's text is not logged, because the observer may put secrets into it.
    _log.error("the observer's %s raised %s", method, type(error).__name__)


def observes_responses(observer: Observer | None) -> bool:
    """Return whether an observer overrides `response_received`.

    Otherwise no `ResponseInfo` is built, because it costs more than half of a call.
    """
    method = getattr(observer, "response_received", None)
    return method is not None and getattr(method, "__func__", None) is not Observer.response_received
