"""The one room with I/O: sends a `Request`, and answers with what it asks for, or with an error.

A call that works goes straight: gate, one attempt, decoding. The machinery of `retry` wakes up when an attempt fails.

Failures travel here as values, not as exceptions, until the last step. An exception raised while another is handled
carries that one along, and those of aiohttp hold the headers of the request, with the token, in attributes and in
the local variables of their traceback.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast, final

import aiohttp
import attrs
from yarl import URL

from . import codec, retry
from .concurrency import WATCH
from .endpoints import Repeat, Request
from .errors import (
    AuthenticationError,
    ClientStateError,
    ConnectError,
    DeadlineError,
    DiallerError,
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    RateLimitedError,
    RequestError,
    StatusError,
    from_reply,
    require,
)
from .observer import Observation, Observer
from .pool import ConnectionLost, Pool, Sending
from .token import Token
from .version import __version__

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

_log = logging.getLogger("dialler_async")


@final
@attrs.frozen(kw_only=True)
class Timeouts:
    """How long a call may take, in seconds.

    Attributes:
        connect: to make a connection, TLS included, in one attempt.
        read: between two pieces of an answer, in one attempt.
        deadline: for the whole call: its attempts, the waits between them, and the wait at the gate.
    """

    connect: float = 10.0
    read: float = 30.0
    deadline: float = 120.0

    def __attrs_post_init__(self) -> None:
        for name in ("connect", "read", "deadline"):
            require(getattr(self, name) > 0, f"Timeouts({name}=…) is a positive number of seconds")


@attrs.define
class Surroundings:
    """Time and chance, so that tests need wait for neither."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Callable[[], float] = random.random


SURROUNDINGS: Final = Surroundings()
"""Those of every client; tests put their own functions in."""


@attrs.define
class Backpressure:
    """What the calls of a client tell each other of a server that can't keep up."""

    budget: retry.Budget
    paused_until: float = 0.0
    """Until when all calls wait, as the monotonic clock tells it: a 429 with `Retry-After` is meant for all."""


@attrs.define
class _Call:
    """How far a call has come."""

    request: Request[Any]
    attempts: int = 0
    token_version: int = 0
    doing: str = ""
    sending: Sending = attrs.Factory(Sending)
    """Whether its latest attempt got as far as the wire."""
    maybe_done: bool = False
    """Whether an attempt was lost that may have been carried out."""
    observed: Observation | None = None


_IN_FLIGHT: Final = "waiting for the reply"
_READING: Final = "reading its answer"


class Transport:
    """Sends requests to one base URL with one token, through a pool that others may share."""

    def __init__(
        self,
        base_url: str,
        token: Token,
        pool: Pool,
        policy: retry.RetryPolicy,
        timeouts: Timeouts,
        backpressure: Backpressure,
        observer: Observer | None,
    ) -> None:
        self._base_url = base_url
        self._token = token
        self._pool = pool
        self._policy = policy
        self._timeouts = timeouts
        # No total and no wait for a connection: waiting for a place in the pool would count against both.
        self._per_attempt = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=timeouts.read)
        self._backpressure = backpressure
        self._observer = observer

    async def send(self, request: Request[T]) -> T:
        """Carries a request out, repeated where that is safe, and gives what it answers with.

        Raises:
            NoReplyError, StatusError, PayloadError: as `errors` tells.
            ClientStateError: the client is closed, or used from another loop or process.
        """
        call = _Call(request)
        outcome = await (self._within_deadline(call) if self._observer is None else self._watched(call, self._observer))
        if isinstance(outcome, DiallerError):
            raise outcome
        return cast(T, outcome)

    async def _watched(self, call: _Call, observer: Observer) -> Any:
        with Observation(observer, call.request.sent, self._base_url, SURROUNDINGS.monotonic) as call.observed:
            return call.observed.came_to(await self._within_deadline(call))

    async def _within_deadline(self, call: _Call) -> Any:
        try:
            async with asyncio.timeout(self._timeouts.deadline) as deadline:
                if not self._token.version:
                    call.doing = "asking for the token"
                    await self._token.renew(refused=0)
                self._backpressure.budget.pay_in()
                outcome = await self._attempt(call)
                if isinstance(outcome, DiallerError):
                    outcome = await self._repeat(call, outcome, cast(float, deadline.when()))
                return outcome
        except TimeoutError:
            if not deadline.expired():
                raise
        if call.doing is _IN_FLIGHT and call.sending.sent is False:
            call.doing = "connecting"
        call.maybe_done |= call.doing in (_IN_FLIGHT, _READING) and call.request.is_write
        ran_out = f"{call.request.sent}: the deadline of {self._timeouts.deadline:g} s ran out while {call.doing}"
        return self._final(call, DeadlineError(ran_out))

    async def _repeat(self, call: _Call, outcome: Any, deadline: float) -> Any:
        """Goes on after a first attempt that failed, until one works or `retry` says to stop."""
        request = call.request
        refused_before = False
        while isinstance(outcome, DiallerError):
            if isinstance(outcome, AuthenticationError) and self._token.renewable and not refused_before:
                refused_before = True
                call.doing = "asking for a new token"
                try:
                    await self._token.renew(refused=call.token_version)
                except Exception:
                    if not call.maybe_done:
                        raise
                    # That there is no new token matters less than that nobody knows what became of the write.
                    break
                wait = 0.0
            else:
                if isinstance(outcome, NotFoundError) and call.maybe_done and request.repeat is Repeat.GONE_MEANS_DONE:
                    return None
                call.maybe_done |= retry.may_be_carried_out(request, outcome)
                decision = retry.decide(
                    request,
                    outcome,
                    attempt=call.attempts,
                    time_left=deadline - asyncio.get_running_loop().time(),
                    random=SURROUNDINGS.random(),
                    policy=self._policy,
                )
                if decision is None or not self._backpressure.budget.take_out():
                    break
                wait = decision
            told = getattr(outcome, "status", type(outcome).__name__)
            _log.warning("%s failed (%s), attempt %d; repeated in %.2f s", request.sent, told, call.attempts, wait)
            call.doing = "waiting to repeat it"
            if call.observed is not None:
                call.observed.repeated(outcome, wait)
            if (watch := WATCH.get()) is not None:
                watch.failed(outcome)
                watch.waits()
            if wait:
                await SURROUNDINGS.sleep(wait)
            try:
                outcome = await self._attempt(call)
            except ClientStateError as closed:
                if not call.maybe_done:
                    raise
                outcome = _bare(closed)
                break
        return self._final(call, outcome) if isinstance(outcome, DiallerError) else outcome

    async def _attempt(self, call: _Call) -> Any:
        call.doing = "waiting at the gate"
        watch = WATCH.get()
        if watch is not None:
            watch.waits()
        if call.observed is not None:
            call.observed.at_the_gate()
        session = await self._pool.enter(self._held_up)
        if watch is not None:
            watch.goes_on()
        reply: _Reply | DiallerError | None = None
        try:
            call.doing = _IN_FLIGHT
            call.attempts += 1
            call.token_version = self._token.version
            call.sending = Sending()
            if call.observed is not None:
                call.observed.on_the_wire()
            reply = await self._exchange(call, session)
        finally:
            self._pool.leave()
            if call.observed is not None:
                call.observed.off_the_wire(reply.status if isinstance(reply, _Reply) else None)
        call.doing = _READING
        if isinstance(reply, DiallerError):
            return reply
        if reply.status == 200:
            return await self._decoded(call.request, reply)
        error = from_reply(
            reply.status,
            {name: self._token.redacted_text(value) for name, value in reply.headers.items()},
            self._token.redacted(reply.body),
            request=call.request.sent,
            path=call.request.path,
            now=SURROUNDINGS.now(),
        )
        if isinstance(error, RateLimitedError):
            self._pause_all(error)
        return error

    async def _exchange(self, call: _Call, session: aiohttp.ClientSession) -> "_Reply | DiallerError":
        """One request and its reply, over the wire."""
        request = call.request
        begun = SURROUNDINGS.monotonic()
        outcome: _Reply | DiallerError
        try:
            # Nothing of it is a local variable: see the module's docstring. A response shows its headers, too.
            outcome = await self._read(
                request,
                await session.request(
                    request.method,
                    URL(f"{self._base_url}{request.target}", encoded=True),
                    data=None if request.body is None else codec.encode(request.body),
                    headers={**(_HEADERS if request.body is None else _HEADERS_WITH_BODY), **self._token.headers},
                    allow_redirects=False,
                    raise_for_status=False,
                    timeout=self._per_attempt,
                    middlewares=(*self._pool.middlewares, call.sending.once),
                ),
            )
        except (ConnectionLost, aiohttp.ClientError, OSError) as error:
            outcome = self._no_reply(request, error, call.sending.sent)
        except BaseException as error:
            # A cancellation, or something unforeseen: passed on without the frames of aiohttp it went through.
            _log_attempt(call, error, begun)
            raise _bare(error) from None
        _log_attempt(call, outcome, begun)
        return outcome

    async def _read(self, request: Request[Any], response: aiohttp.ClientResponse) -> "_Reply | DiallerError":
        limit = self._pool.config.max_body
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await response.content.readany():
                size += len(piece)
                if size > limit:
                    response.close()
                    return PayloadError(
                        f"{request.sent}: the answer is larger than PoolConfig(max_body={limit}) bytes",
                        request=request.sent,
                    )
                pieces.append(piece)
        except BaseException:
            response.close()
            raise
        response.release()
        return _Reply(response.status, response.headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _no_reply(self, request: Request[Any], error: Exception, sent: bool | None) -> NoReplyError:
        """The error for an attempt that brought no reply. What aiohttp says of it may hold names and secrets."""
        what = request.sent
        match error:
            case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError() if sent:
                # No connection for a second sending, by a middleware of a session that was brought.
                return NoReplyError(f"{what}: the connection was lost before the answer came", request=what)
            case aiohttp.ConnectionTimeoutError():
                text = f"{what}: no connection within {self._timeouts.connect:g} s; nothing was sent"
                return ConnectError(text, request=what)
            case aiohttp.ClientConnectorCertificateError():
                reason = getattr(error.certificate_error, "verify_message", "") or "it does not verify"
                text = (
                    f"{what}: the server's certificate is not trusted ({reason}); nothing was sent. If it is your own,"
                    " trust it: PoolConfig(ssl=ssl.create_default_context(cafile=…))"
                )
                return ConnectError(text, request=what)
            case aiohttp.ClientConnectorError():
                reason = error.strerror or type(error.os_error).__name__
                return ConnectError(f"{what}: no connection to the server ({reason}); nothing was sent", request=what)
            case aiohttp.InvalidURL():
                return ConnectError(f"{what}: the base URL's host can't be one; nothing was sent", request=what)
            case aiohttp.ServerFingerprintMismatch() | aiohttp.ClientHttpProxyError():
                text = f"{what}: no connection to the server ({type(error).__name__}); nothing was sent"
                return ConnectError(text, request=what)
            case _ if sent is False:
                return ConnectError(f"{what}: no connection to the server; nothing was sent", request=what)
            case aiohttp.ServerTimeoutError() | TimeoutError():
                text = f"{what}: the server sent nothing for {self._timeouts.read:g} s"
                return DeadlineError(text, request=what)
            case aiohttp.ClientPayloadError():
                return NoReplyError(f"{what}: the answer broke off", request=what)
            case aiohttp.ClientResponseError():
                return NoReplyError(f"{what}: what came back is not HTTP", request=what)
            case _:
                return NoReplyError(f"{what}: the connection was lost before the answer came", request=what)

    async def _decoded(self, request: Request[Any], reply: "_Reply") -> Any:
        outcome = await _decode(request, reply)
        if isinstance(outcome, DiallerError):
            recoded = codec.recoded(reply.body, reply.headers.get("Content-Type", ""))
            if recoded != reply.body:
                reply = _Reply(reply.status, reply.headers, recoded)
                outcome = await _decode(request, reply)
        if isinstance(outcome, DiallerError):
            return self._fit_to_tell(request, reply, outcome)
        if isinstance(outcome, Iterator):
            return self._guarded(request, reply, outcome)
        return outcome

    def _guarded(self, request: Request[Any], reply: "_Reply", slices: Iterator[T]) -> Iterator[T]:
        """Slices, which are structured after the call, with errors as those of the call."""
        try:
            yield from slices
            return
        except PayloadError as error:
            failed = _told(request, error)
        # Only then is it raised, for this frame shows it.
        failed = self._fit_to_tell(request, reply, failed)
        raise failed

    def _fit_to_tell(self, request: Request[Any], reply: "_Reply", error: DiallerError) -> DiallerError:
        """The error of a body that can't be decoded, without the token if the body repeats it."""
        redacted = self._token.redacted(reply.body)
        if redacted == reply.body:
            return error
        # Errors show pieces of a body, and half a token could not be found in a piece. So it is decoded once more.
        return _failure(request, redacted) or PayloadError(
            f"{request.sent}: the server said 200, but not what is documented; not shown, since it repeats the token",
            request=request.sent,
        )

    def _final(self, call: _Call, error: DiallerError) -> DiallerError:
        """The error that the caller gets."""
        request = call.request
        if call.maybe_done and not retry.settles(request, error):
            error = OutcomeUnknownError(
                f"{error}. It may have been carried out all the same: look before you repeat it ({request.look})"
            )
        if isinstance(error, RequestError):
            error.request = request.sent
            error.attempts = call.attempts
            if call.attempts > 1:
                error.args = (f"{error} (tried {call.attempts} times)",)
        return error

    def _pause_all(self, error: RateLimitedError) -> None:
        if error.retry_after and error.retry_after <= self._policy.max_retry_after:
            until = SURROUNDINGS.monotonic() + error.retry_after
            self._backpressure.paused_until = max(self._backpressure.paused_until, until)

    async def _held_up(self) -> bool:
        """Sits out a pause that the server asked for, if there is one."""
        if not self._backpressure.paused_until:
            return False
        while (left := self._backpressure.paused_until - SURROUNDINGS.monotonic()) > 0:
            await SURROUNDINGS.sleep(left)
        self._backpressure.paused_until = 0.0
        return True


@attrs.frozen
class _Reply:
    """What came; shown nowhere, since it may hold the token that was sent."""

    status: int
    headers: Any = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


_HEADERS: Final = {"Accept": "application/json", "User-Agent": f"dialler-async/{__version__}"}
_HEADERS_WITH_BODY: Final = {**_HEADERS, "Content-Type": "application/json"}


def _log_attempt(call: _Call, outcome: object, begun: float) -> None:
    """One line an attempt, without names, IDs, bodies and headers."""
    if _log.isEnabledFor(logging.DEBUG):
        took = (SURROUNDINGS.monotonic() - begun) * 1000
        told = outcome.status if isinstance(outcome, _Reply) else type(outcome).__name__
        _log.debug("%s: %s in %.1f ms, attempt %d", call.request.sent, told, took, call.attempts)


async def _decode(request: Request[Any], reply: _Reply) -> Any:
    """What the body says, or the error; others run on the loop between the slices of a large one."""
    decoding = request.answer.decode(reply.body)
    try:
        while True:
            next(decoding)
            await asyncio.sleep(0)
    except StopIteration as decoded:
        return decoded.value
    except (PayloadError, StatusError) as error:
        return _told(request, error)


def _failure(request: Request[Any], body: bytes) -> DiallerError | None:
    """The error that a body comes to, in its last slice if not before."""
    decoding = request.answer.decode(body)
    try:
        while True:
            next(decoding)
    except StopIteration as decoded:
        rest = decoded.value
    except (PayloadError, StatusError) as error:
        return _told(request, error)
    try:
        deque(rest if isinstance(rest, Iterator) else (), maxlen=0)
    except PayloadError as error:
        return _told(request, error)
    return None


def _told(request: Request[Any], error: PayloadError | StatusError) -> DiallerError:
    error.request = request.sent
    return _bare(error)


def _bare(error: E) -> E:
    """An exception without the frames and exceptions behind it, whose local variables nobody vouches for."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
