"""Send a `Request`, with retries, and return its decoded response.

A call is admitted, attempted and classified. After a delay, it may be attempted again. Internal functions return
errors and do not raise them, for the reason in `attempt`.
"""

import asyncio
import copy
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar, final

import aiohttp
import attrs

from .._api.endpoints import Request
from .._api.error_context import with_about
from ..config import RateLimiter, RetryPolicy, Timeouts
from ..errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    DeadlineError,
    DiallerError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestError,
    ResponseInfo,
    require_type,
)
from ..observer import Observer
from . import retry
from .attempt import Sender
from .cache import Cache
from .call import AUTHENTICATING, QUEUED, Call, Phase, observes_responses
from .clock import CLOCK
from .deadlines import Deadlines
from .headers import RequestHeaders
from .pool import Pool
from .response import Response, outcome_of, response_info
from .token import Token
from .transport_errors import strip_traceback

T = TypeVar("T")

_MAX_RENEWALS: Final = 2
"""How often a call renews its token after a 401: the new token may be replaced before it is used."""


@final
@attrs.frozen
class Shared:
    """The objects that a client shares with clients made by `for_account` and `with_options`.

    Attributes:
        headers: the headers of each request, without `Authorization`.
        limiter: the rate limiter of a group of calls, in addition to the pool's rate limiter.
        on_response: called with each response.
    """

    pool: Pool
    policy: RetryPolicy
    timeouts: Timeouts
    observer: Observer | None
    headers: RequestHeaders
    limiter: RateLimiter | None = None
    on_response: Callable[[ResponseInfo], object] | None = None

    def __attrs_post_init__(self) -> None:
        require_type("retry", self.policy, RetryPolicy)
        require_type("timeouts", self.timeouts, Timeouts)
        if self.observer is not None:
            require_type("observer", self.observer, Observer)


class Transport:
    """The sender of calls to one base URL with one token. Several transports may share a pool."""

    def __init__(self, base_url: str, token: Token, shared: Shared) -> None:
        self.cache: Cache = Cache()
        self._base_url = base_url
        self._token = token
        self._shared = shared
        self._pool = shared.pool
        self._gate = shared.pool.gate
        self._observer = shared.observer
        self._observes_responses = observes_responses(shared.observer)
        self._sender = Sender(base_url, token, shared.pool, shared.timeouts)
        self._deadlines = Deadlines(shared.timeouts.deadline)
        self._pool.deadlines.add(self._deadlines)

    def with_options(self, shared: Shared) -> "Transport":
        """Return a transport with other options on the same pool, which is much cheaper than a new transport."""
        other = copy.copy(self)
        other._shared = shared
        if shared.timeouts is not self._shared.timeouts:
            other._sender = self._sender.with_timeouts(shared.timeouts)
            other._deadlines = Deadlines(shared.timeouts.deadline, is_short_lived=True)
            self._pool.deadlines.add(other._deadlines)
        return other

    async def send(self, request: Request[T], max_age: float | None = None) -> T:
        """Return the decoded response. The request is retried if a retry is safe.

        Args:
            request: the request.
            max_age: maximum age of a cached response, in seconds; None bypasses the cache.
        Raises:
            NoReplyError, StatusError, PayloadError: see `errors`.
            ClientStateError: the client is closed, or belongs to another loop or process.
            ConfigurationError: a function of the user returned an invalid header, or `max_age` is invalid.
        """
        if max_age is not None:
            send, deadline = partial(self.send, request), self._shared.timeouts.deadline
            return await self.cache.get(request, max_age, send, headers=self._shared.headers.key, deadline=deadline)
        headers = self._shared.headers.fixed or self._shared.headers.of_call()
        call = Call(request, self._shared.policy, headers, self._base_url, self._observer)
        if self._observer is not None:
            call.started()
        try:
            call.deadline = self._deadlines.start(self._pool.check())
            try:
                outcome = await self._send_with_retries(call)
            except (asyncio.CancelledError, Exception) as error:
                interrupted = self._interrupted(call, error)
                if interrupted is None:
                    raise
                outcome = interrupted
            finally:
                self._deadlines.stop(call.deadline)
            if isinstance(outcome, DiallerError):
                raise outcome
        except BaseException as error:
            call.ended(error)
            raise
        finally:
            if request.invalidates is not None:
                # A write may have run even if the call failed.
                self.cache.invalidate(request.invalidates)
        if self._observer is not None:
            call.ended(None)
        return outcome

    def _interrupted(self, call: Call[T], exception: BaseException) -> DiallerError | None:
        """Return the error to raise instead of an exception; None if the exception itself is to be raised.

        The exception is a cancellation, or an error of the user's code: the token function, the rate limiter or the
        decoder's type. That a write may have run matters more than such an error.
        """
        error: DiallerError | None = None
        if isinstance(exception, asyncio.CancelledError):
            if not call.deadline.task.cancelling():
                # The task would end as cancelled, and would vanish from a TaskGroup without an error.
                text = f"something was cancelled while {call.phase.value}, but not this call"
                error = ConfigurationError(f"{call.request.sent}: {text}")
            elif call.deadline.uncancel():
                error = self._cause_of_cancellation(call)
            else:
                return None
        call.outcome_unknown |= call.in_flight and call.request.is_write
        if error is None and call.outcome_unknown:
            text = str(exception) if isinstance(exception, DiallerError) else type(exception).__name__
            error = DiallerError(f"{call.request.sent}: {text}, while {call.phase.value}")
        return None if error is None else self._final_error(call, error)

    async def _send_with_retries(self, call: Call[T]) -> T | DiallerError:
        """Attempt a call until it succeeds, or until a retry is not safe or not worth its time."""
        request = call.request
        while True:
            outcome = await self._attempt(call)
            if isinstance(outcome, AuthenticationError):
                outcome = await self._attempt_with_new_token(call, outcome)
            if not isinstance(outcome, DiallerError):
                return outcome
            missing = request.missing if isinstance(outcome, NotFoundError) else None
            if missing is not None and (call.outcome_unknown or not missing.only_after_run):
                return missing.value
            call.outcome_unknown |= retry.may_have_run(request, outcome)
            delay = self._delay(call, outcome)
            if delay is None:
                return self._final_error(call, outcome)
            call.retry_scheduled(outcome, delay)
            if delay:
                await CLOCK.sleep(delay)
                call.waited += delay
            if self._gate.is_shut:
                call.wait_started(Phase.AT_GATE)
                if not await self._gate.wait(call):
                    call.gave_up(failed_for := self._gate.shut_for())
                    return self._final_error(call, outcome, failed_for=failed_for)

    def _delay(self, call: Call[T], error: DiallerError) -> float | None:
        """Return the seconds until the next attempt; None if the call is not retried."""
        return retry.decide(
            call.request,
            error,
            attempt=call.attempts,
            time_left=call.deadline.when - asyncio.get_running_loop().time(),
            random=CLOCK.random(),
            policy=call.policy,
        )

    async def _attempt_with_new_token(self, call: Call[T], refused: AuthenticationError) -> T | DiallerError:
        """Return the outcome of further attempts with new tokens after a 401, or the 401 if there is no new token."""
        outcome: T | DiallerError = refused
        while isinstance(outcome, AuthenticationError) and self._token.is_renewable and call.renewals < _MAX_RENEWALS:
            call.wait_started(AUTHENTICATING)
            is_other_token = await self._token.renew(refused=call.token_version)
            if call.renewals and not is_other_token:
                break
            call.renewals += 1
            call.retry_scheduled(outcome, 0.0)
            outcome = await self._attempt(call)
        return outcome

    async def _attempt(self, call: Call[T]) -> T | DiallerError:
        """Send the request once, as soon as it may be sent; return its value or its error."""
        try:
            if not self._token.version or self._shared.limiter is not None:
                await self._wait_for_token_and_rate(call)
            call.wait_started(QUEUED)
            session = await self._pool.enter(is_write=call.request.is_write)
            call.deadline.in_flight = True
            outcome = await self._send_once(call, session)
        except BaseException:
            # Another retry may be sent instead.
            self._gate.leave(call)
            raise
        finally:
            call.deadline.in_flight = False
        if isinstance(outcome, DiallerError):
            self._gate.failed(call, outcome)
            if isinstance(outcome, RateLimitedError) and (outcome.retry_after or 0) <= call.policy.max_retry_after:
                self._pool.pause(outcome.retry_after or 0)
        elif self._gate.failures:
            self._gate.succeeded()
        return outcome

    async def _wait_for_token_and_rate(self, call: Call[T]) -> None:
        """Wait for the first token and the client's own rate limiter. A call that waits for them needs no slot yet."""
        if not self._token.version:
            call.wait_started(AUTHENTICATING)
            await self._token.renew(refused=0)
        if self._shared.limiter is not None:
            call.wait_started(QUEUED)
            self._pool.check()
            await self._shared.limiter.acquire()

    async def _send_once(self, call: Call[T], session: aiohttp.ClientSession) -> T | RequestError:
        headers = call.attempt_started(self._token.version)
        try:
            response = await self._sender.send(call, headers, session)
        except BaseException as error:
            # A cancellation. Its traceback holds the token in frames of aiohttp.
            strip_traceback(error)
            call.attempt_ended(None, self._cause_of_cancellation(call) if call.deadline.has_cancelled else error)
            raise error from None
        finally:
            self._pool.leave()
        if not isinstance(response, Response):
            call.attempt_ended(None, response)
            return response
        info = None
        if self._observes_responses or self._shared.on_response is not None:
            info = response_info(response, self._token.secrets)
            call.response_received(info, self._shared.on_response)
        call.attempt_ended(response.status)
        return await outcome_of(call.request, response, self._token.secrets, info)

    def _cause_of_cancellation(self, call: Call[T]) -> DiallerError:
        """Return the error of a call that its deadline has cancelled."""
        phase = call.phase
        if phase is Phase.QUEUED and self._pool.pause_left() > 0:
            phase = Phase.PAUSED
        if call.deadline.is_closing:
            return ClientClosedError(f"{call.request.sent}: the client was closed while {phase.value}")
        expired = f"the deadline of {self._shared.timeouts.deadline:g} s expired while {phase.value}"
        return DeadlineError(f"{call.request.sent}: {expired}")

    def _final_error(self, call: Call[T], error: DiallerError, *, failed_for: float | None = None) -> DiallerError:
        """Return the error for the caller: the error of the latest attempt with the details of the call.

        `failed_for` is the seconds for which all requests have failed, if this is why the call is not retried.
        """
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
            attempts = "1 attempt" if call.attempts == 1 else f"{call.attempts} attempts"
            if failed_for is not None:
                reason = f"no more, because all requests of this client failed for {failed_for:.1f} s"
                error.args = (f"{error} ({attempts}; {reason})",)
            elif call.attempts > 1:
                error.args = (f"{error} ({attempts})",)
        return error
