"""Send a `Request`, with retries, and return its decoded response.

A successful call takes a slot of the limiter, makes one attempt, and decodes the response. `retry` decides only after a
failed attempt. Internal functions return errors and do not raise them, for the reason in `exchange`.
"""

import asyncio
import copy
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

import aiohttp

from .._api.endpoints import Idempotency, Request
from .._api.error_context import with_about
from .._api.error_responses import error_from_response
from ..config import RetryPolicy
from ..errors import (
    AuthenticationError,
    ClientClosedError,
    ClientStateError,
    ConflictError,
    DeadlineError,
    DiallerError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestError,
)
from ..observer import Observer
from . import retry
from .call_trace import QUEUED, CallTrace, Phase
from .clock import CLOCK
from .deadlines import Deadline, Deadlines
from .exchange import Exchange
from .headers import override
from .response import Response, decode_response, response_info
from .shared import Shared
from .token import Token
from .transport_errors import strip_traceback

T = TypeVar("T")

_MAX_RENEWALS: Final = 2
"""How often a call renews its token after a 401: the new token may be replaced before it is used."""


class _Call:
    """The state of one call."""

    __slots__ = (
        "deadline",
        "gave_up_after",
        "headers",
        "outcome_unknown",
        "policy",
        "renewals",
        "request",
        "token_version",
        "trace",
        "waited",
    )

    def __init__(
        self, request: Request[Any], policy: RetryPolicy, headers: Mapping[str, str], trace: CallTrace
    ) -> None:
        self.request = request
        self.policy = policy
        self.headers = headers
        self.trace = trace
        self.deadline: Deadline
        self.token_version = 0
        """Version of the token in the latest attempt."""
        self.renewals = 0
        """How often the token was renewed after a 401."""
        self.outcome_unknown = False
        """Whether a failed attempt may have run."""
        self.waited = 0.0
        """Seconds that the call has waited between its attempts."""
        self.gave_up_after: float | None = None
        """Seconds for which the retry gate was shut when the call gave up; None if the call did not give up."""

    @property
    def attempts(self) -> int:
        return self.trace.attempts

    @property
    def path(self) -> str:
        return self.request.path


class Transport:
    """The sender of calls to one base URL with one token. Several transports may share a pool."""

    def __init__(self, base_url: str, token: Token, shared: Shared) -> None:
        self._base_url = base_url
        self._token = token
        self._pool = shared.pool
        self._policy = shared.policy
        self._timeouts = shared.timeouts
        self._exchange = Exchange(base_url, token, shared.pool, shared.timeouts)
        self._deadlines = Deadlines(shared.timeouts.deadline)
        self._pool.deadlines.add(self._deadlines)
        self._gate = shared.pool.gate
        self._observer = shared.observer
        self._observes_responses = _observes_responses(shared.observer)
        self._headers = shared.headers
        self._limiter = shared.limiter
        self._on_response = shared.on_response

    def with_options(self, shared: Shared) -> "Transport":
        """Return a transport with other options on the same pool, which is much cheaper than a new transport.

        Args:
            shared: the new options, with the pool and the observer of this transport.
        """
        other = copy.copy(self)
        if shared.timeouts is not self._timeouts:
            other._timeouts = shared.timeouts
            other._exchange = self._exchange.with_timeouts(shared.timeouts)
            other._deadlines = Deadlines(shared.timeouts.deadline, is_short_lived=True)
            self._pool.deadlines.add(other._deadlines)
        other._policy = shared.policy
        other._headers = shared.headers
        other._limiter = shared.limiter
        other._on_response = shared.on_response
        return other

    def send(self, request: Request[T]) -> Coroutine[Any, Any, T]:
        """Return the decoded response. The request is retried if a retry is safe.

        Raises:
            NoReplyError, StatusError, PayloadError: see `errors`.
            ClientStateError: the client is closed, or belongs to another loop or process.
            ConfigurationError: a function of the user returned an invalid header.
        """
        call = _Call(
            request, self._policy, self._headers.of_call(), CallTrace(request.sent, self._base_url, self._observer)
        )
        return self._run(call) if self._observer is None else self._run_observed(call)

    async def _run_observed(self, call: _Call) -> Any:
        started_at = call.trace.started()
        try:
            value = await self._run(call)
        except BaseException as error:
            call.trace.ended(started_at, error)
            raise
        call.trace.ended(started_at, None)
        return value

    async def _run(self, call: _Call) -> Any:
        """Run a call within its deadline."""
        deadline = call.deadline = self._deadlines.start(self._pool.check())
        try:
            if not self._token.version:
                call.trace.wait_started(Phase.AUTHENTICATING)
                await self._token.renew(refused=0)
            outcome = await self._attempt(call)
            if isinstance(outcome, DiallerError):
                outcome = await self._retry(call, outcome, deadline.when)
        except asyncio.CancelledError:
            if not deadline.caused_cancellation():
                raise
            # The error is raised below, where the cancellation does not become its context.
            in_flight = call.trace.phase in (Phase.SENT, Phase.DECODING)
            call.outcome_unknown |= in_flight and call.request.is_write
            outcome = self._final_error(call, self._cause_of_cancellation(call))
        finally:
            self._deadlines.stop(deadline)
        if isinstance(outcome, DiallerError):
            raise outcome
        return outcome

    def _cause_of_cancellation(self, call: _Call) -> DiallerError:
        """Return the error of a call that its deadline has cancelled."""
        phase = call.trace.phase
        if phase is Phase.QUEUED and self._pool.pause_left() > 0:
            phase = Phase.PAUSED
        if call.deadline.is_closing:
            return ClientClosedError(f"{call.request.sent}: the client was closed while {phase.value}")
        expired = f"the deadline of {self._timeouts.deadline:g} s expired while {phase.value}"
        return DeadlineError(f"{call.request.sent}: {expired}")

    async def _retry(self, call: _Call, error: DiallerError, deadline: float) -> Any:
        """Retry a call after its first attempt failed; return its value, or the error for the caller."""
        request = call.request
        outcome = await self._retry_with_new_token(call, error)
        while isinstance(outcome, DiallerError):
            may_be_deleted = request.idempotency is Idempotency.DELETE and call.outcome_unknown
            if may_be_deleted and isinstance(outcome, NotFoundError):
                # An earlier attempt has deleted the campaign.
                return None
            call.outcome_unknown |= retry.may_have_run(request, outcome)
            delay = self._retry_delay(call, outcome, deadline)
            if delay is None:
                break
            call.trace.retry_scheduled(outcome, delay)
            if delay:
                await CLOCK.sleep(delay)
                call.waited += delay
            if self._gate.is_shut:
                call.trace.wait_started(Phase.AT_GATE)
                if not await self._gate.wait(call):
                    call.gave_up_after = self._gate.shut_for()
                    call.trace.gave_up(call.gave_up_after)
                    break
            try:
                outcome = await self._retry_with_new_token(call, await self._attempt(call))
            except ClientStateError as closed:
                if not call.outcome_unknown:
                    raise
                outcome = strip_traceback(closed)
                break
        return self._final_error(call, outcome) if isinstance(outcome, DiallerError) else outcome

    def _retry_delay(self, call: _Call, error: DiallerError, deadline: float) -> float | None:
        """Return the seconds until the next attempt; None if the call is not retried."""
        return retry.decide(
            call.request,
            error,
            attempt=call.attempts,
            time_left=deadline - asyncio.get_running_loop().time(),
            random=CLOCK.random(),
            policy=call.policy,
        )

    async def _retry_with_new_token(self, call: _Call, outcome: Any) -> Any:
        """Return the outcome of further attempts with new tokens after a 401; otherwise the given outcome."""
        while isinstance(outcome, AuthenticationError) and self._token.is_renewable and call.renewals < _MAX_RENEWALS:
            call.trace.wait_started(Phase.AUTHENTICATING)
            try:
                is_other_token = await self._token.renew(refused=call.token_version)
            except Exception:
                if not call.outcome_unknown:
                    raise
                # The unknown outcome matters more than the token's error, so the caller gets an OutcomeUnknownError.
                return outcome
            if call.renewals and not is_other_token:
                break
            call.renewals += 1
            call.trace.retry_scheduled(outcome, 0.0)
            outcome = await self._attempt(call)
        return outcome

    async def _attempt(self, call: _Call) -> Any:
        """Send the request once; return its value or its error."""
        try:
            session = await self._wait_for_slot(call)
            outcome = await self._send_once(call, session)
            if isinstance(outcome, DiallerError):
                self._gate.failed(call, outcome)
            elif self._gate.failures:
                self._gate.succeeded()
        finally:
            self._gate.leave(call)
        if isinstance(outcome, RateLimitedError) and (outcome.retry_after or 0) <= call.policy.max_retry_after:
            self._pool.pause(outcome.retry_after or 0)
        return outcome

    async def _wait_for_slot(self, call: _Call) -> aiohttp.ClientSession:
        """Return the session as soon as the call may be sent."""
        call.trace.wait_started(QUEUED)
        if self._limiter is not None:
            # The rate limiter comes first: a call that waits for it must not hold a slot that other calls need.
            self._pool.check()
            await self._limiter.acquire()
        return await self._pool.enter()

    async def _send_once(self, call: _Call, session: aiohttp.ClientSession) -> Any:
        call.token_version = self._token.version
        try:
            guard = call.trace.attempt_started()
            headers = call.headers
            if self._observer is not None:
                headers = override(headers, call.trace.attempt_headers())
            response = await self._exchange.attempt(call.request, headers, session, guard)
        except BaseException as error:
            # The error is a cancellation, or a bug in this package. Its traceback holds the token in frames of aiohttp.
            strip_traceback(error)
            by_deadline = isinstance(error, asyncio.CancelledError) and call.deadline.has_cancelled
            call.trace.attempt_ended(self._cause_of_cancellation(call) if by_deadline else error)
            raise error from None
        finally:
            self._pool.leave()
        if not isinstance(response, Response):
            call.trace.attempt_ended(response)
            return response
        info = None
        if self._observes_responses or self._on_response is not None:
            info = response_info(response, self._token.secrets)
            call.trace.response_received(info, self._on_response)
        call.trace.attempt_ended(response)
        outcome: Any
        if response.status == 200:
            outcome = await decode_response(call.request, response, self._token.secrets)
        else:
            outcome = error_from_response(
                response.status,
                response.headers,
                response.body,
                request=call.request.sent,
                path=call.request.path,
                now=CLOCK.now(),
                clean=self._token.secrets.clean,
            )
        if isinstance(outcome, RequestError):
            outcome.response = info or response_info(response, self._token.secrets)
        return outcome

    def _final_error(self, call: _Call, error: DiallerError) -> DiallerError:
        """Return the error for the caller, with the details of the call."""
        request = call.request
        if call.outcome_unknown and not retry.resolves_outcome(request, error):
            response = error.response if isinstance(error, RequestError) else None
            error = OutcomeUnknownError(
                f"{error}. The write may have run. Check before you retry: {request.recovery_hint}"
            )
            error.response = response
        elif isinstance(error, ConflictError):
            error.may_be_own = call.outcome_unknown
        if isinstance(error, RequestError):
            error.request = request.sent
            error.attempts = call.attempts
            with_about(error, request.about)
            if call.gave_up_after is not None:
                attempts = "1 attempt" if call.attempts == 1 else f"{call.attempts} attempts"
                error.args = (
                    f"{error} ({attempts}; no more, because all requests of this client failed for"
                    f" {call.gave_up_after:.1f} s)",
                )
            elif call.attempts > 1:
                error.args = (f"{error} ({call.attempts} attempts)",)
        return error


def _observes_responses(observer: Observer | None) -> bool:
    """Return whether an observer overrides `response_received`.

    Otherwise no `ResponseInfo` is built, since it costs more than half of a call.
    """
    method = getattr(observer, "response_received", None)
    return method is not None and getattr(method, "__func__", None) is not Observer.response_received
