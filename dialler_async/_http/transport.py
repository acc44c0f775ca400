"""The one room with I/O: sends a `Request`, and answers with what it asks for, or with an error.

A call that works goes straight: gate, one attempt, decoding. The machinery of `retry` wakes up when an attempt fails.

Failures travel here as values, not as exceptions, until the last step. An exception raised while another is handled
carries that one along, and those of aiohttp hold the headers of the request, with the token, in attributes and in
the local variables of their traceback.
"""

import asyncio
import logging
import math
from collections.abc import Coroutine
from typing import Any, Final, TypeVar, final

import aiohttp
import attrs
from yarl import URL

from .._api import decoding
from .._api.endpoints import Repeat, Request
from .._bulk.concurrency import WATCH
from ..errors import (
    AuthenticationError,
    Body,
    ClientStateError,
    DeadlineError,
    DiallerError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    RateLimitedError,
    RequestError,
    from_reply,
    is_number,
    require,
)
from ..observer import Observation, Observer
from ..version import __version__
from . import retry
from .backpressure import Backpressure
from .circuit import Permit
from .clock import CLOCK
from .deadlines import Deadlines
from .pool import ConnectionLost, Pool, Sending
from .proxy import proxy_for
from .reply import Reply, bare, decoded
from .token import Token
from .transport_errors import no_reply

T = TypeVar("T")

_log = logging.getLogger("dialler_async")


@final
@attrs.frozen(kw_only=True)
class Timeouts:
    """How long a call may take, in seconds; `math.inf` sets no limit.

    Attributes:
        connect: to make a connection, TLS included, in one attempt. Looking up the host's name comes before that, and
            counts against `deadline` only.
        read: between two pieces of an answer, in one attempt.
        deadline: for the whole call: its attempts, the waits between them, and the wait at the gate.
    """

    connect: float = 10.0
    read: float = 30.0
    deadline: float = 120.0

    def __attrs_post_init__(self) -> None:
        for name in ("connect", "read", "deadline"):
            value = getattr(self, name)
            require(is_number(value) and value > 0, f"Timeouts({name}=…) is a positive number of seconds")


class _Call:
    """How far a call has come."""

    __slots__ = (
        "attempts",
        "doing",
        "gave_up_after",
        "maybe_done",
        "observed",
        "probing",
        "request",
        "sending",
        "token_version",
        "waiting_since",
    )

    def __init__(self, request: Request[Any]) -> None:
        self.request = request
        self.attempts = self.token_version = 0
        self.doing = ""
        self.sending = _NOT_YET
        """Whether its latest attempt got as far as the wire."""
        self.maybe_done = False
        """Whether an attempt was lost that may have been carried out."""
        self.observed: Observation | None = None
        self.waiting_since: float | None = None
        """When it failed first, or began to wait for the circuit; None if neither happened."""
        self.probing = False
        """Whether its attempt is the probe of an open circuit."""
        self.gave_up_after: float | None = None
        """Seconds that the circuit was open when the call gave up; None if it did not."""


_NOT_YET: Final = Sending()


_AT_GATE: Final = "waiting at the gate"
_AT_CIRCUIT: Final = "waiting for the server to work again"
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
        self._base = URL(base_url, encoded=True)
        self._server = f"{self._base.raw_host}:{self._base.port}"
        self._base_path = self._base.raw_path.rstrip("/")
        self._proxy = proxy_for(self._base, pool.config.proxy)
        self._token = token
        self._pool = pool
        self._policy = policy
        self._timeouts = timeouts
        # No total and no wait for a connection: waiting for a place in the pool would count against both.
        # And no infinity: aiohttp would round it.
        connect = None if timeouts.connect == math.inf else timeouts.connect
        self._per_attempt = aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=timeouts.read)
        self._deadlines = Deadlines(timeouts.deadline)
        self._backpressure = backpressure
        self._observer = observer

    def send(self, request: Request[T]) -> Coroutine[Any, Any, T]:
        """Carries a request out, repeated where that is safe, and gives what it answers with.

        Raises:
            NoReplyError, StatusError, PayloadError: as `errors` tells.
            ClientStateError: the client is closed, or used from another loop or process.
        """
        call = _Call(request)
        return self._carry_out(call) if self._observer is None else self._watched(call, self._observer)

    async def _watched(self, call: _Call, observer: Observer) -> Any:
        with Observation(observer, call.request.sent, self._base_url, CLOCK.monotonic) as call.observed:
            return await self._carry_out(call)

    async def _carry_out(self, call: _Call) -> Any:
        deadline = self._deadlines.start(self._pool.check())
        try:
            if not self._token.version:
                call.doing = "asking for the token"
                await self._token.renew(refused=0)
            self._backpressure.circuit.deposit()
            outcome = await self._attempt(call)
            if isinstance(outcome, DiallerError):
                outcome = await self._repeat(call, outcome, deadline.when)
        except asyncio.CancelledError:
            if not deadline.was_it():
                raise
            # Made here, but raised below, where the cancellation is no longer its context.
            outcome = self._too_late(call)
        finally:
            self._deadlines.stop(deadline)
        if isinstance(outcome, DiallerError):
            raise outcome
        return outcome

    def _too_late(self, call: _Call) -> DiallerError:
        """The error of a call whose deadline ran out."""
        if call.doing is _IN_FLIGHT and call.sending.sent is False:
            call.doing = "connecting"
        if call.doing is _AT_GATE and CLOCK.monotonic() < self._backpressure.paused_until:
            call.doing = "sitting out the pause that the server asked for"
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
                    random=CLOCK.random(),
                    policy=self._policy,
                )
                if decision is None:
                    break
                now = CLOCK.monotonic()
                call.waiting_since = now if call.waiting_since is None else call.waiting_since
                if self._backpressure.circuit.is_hopeless(now, call.waiting_since):
                    self._give_up(call)
                    break
                wait = decision
            told = getattr(outcome, "status", type(outcome).__name__)
            _log.warning("%s failed (%s), attempt %d; retried in %.2f s", request.sent, told, call.attempts, wait)
            call.doing = "waiting to repeat it"
            if call.observed is not None:
                call.observed.repeated(outcome, wait)
            if (watch := WATCH.get()) is not None:
                watch.failed(outcome)
                watch.waits()
            if wait:
                await CLOCK.sleep(wait)
            try:
                again = await self._attempt(call)
            except ClientStateError as closed:
                if not call.maybe_done:
                    raise
                outcome = bare(closed)
                break
            if again is Permit.GIVE_UP:
                self._give_up(call)
                break
            outcome = again
        return self._final(call, outcome) if isinstance(outcome, DiallerError) else outcome

    def _give_up(self, call: _Call) -> None:
        call.gave_up_after = self._backpressure.circuit.open_for(CLOCK.monotonic())
        _log.warning(
            "%s gave up after attempt %d: the circuit was open for %.1f s",
            call.request.sent,
            call.attempts,
            call.gave_up_after,
        )

    async def _attempt(self, call: _Call) -> Any:
        """Send the request once; return its value, its error, or `Permit.GIVE_UP` if the circuit stays open."""
        watch = WATCH.get()
        if watch is not None:
            watch.waits()
        if call.observed is not None:
            call.observed.at_the_gate()
        try:
            session = await self._enter(call)
            if session is None:
                return Permit.GIVE_UP
            if watch is not None:
                watch.goes_on()
            outcome = await self._send_once(call, session)
            self._backpressure.record(call, outcome)
        finally:
            self._backpressure.abandon_probe(call)
        if isinstance(outcome, RateLimitedError):
            self._pause_all(outcome)
        return outcome

    async def _enter(self, call: _Call) -> aiohttp.ClientSession | None:
        """Wait until the call may be sent; return the session, or None if the call has to give up."""
        circuit = self._backpressure.circuit
        while True:
            permit = Permit.SEND
            if circuit.is_open:
                call.doing = _AT_CIRCUIT
                permit = await self._backpressure.admit(call)
                if permit is Permit.GIVE_UP:
                    return None
                call.probing = permit is Permit.PROBE
            call.doing = _AT_GATE
            session = await self._pool.enter(self._pause)
            if permit is not Permit.SEND or not circuit.is_open:
                return session
            # The circuit opened while the call waited for its place.
            self._pool.leave()

    async def _send_once(self, call: _Call, session: aiohttp.ClientSession) -> Any:
        reply: Reply | DiallerError | None = None
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
                call.observed.off_the_wire(reply.status if isinstance(reply, Reply) else None)
        call.doing = _READING
        if isinstance(reply, DiallerError):
            return reply
        if reply.status == 200:
            return await decoded(call.request, reply, self._token)
        return from_reply(
            reply.status,
            {name: self._token.redacted_text(value) for name, value in reply.headers.items()},
            self._token.redacted(reply.body),
            request=call.request.sent,
            path=call.request.path,
            now=CLOCK.now(),
        )

    async def _exchange(self, call: _Call, session: aiohttp.ClientSession) -> Reply | DiallerError:
        """One request and its reply, over the wire."""
        request = call.request
        begun = CLOCK.monotonic()
        outcome: Reply | DiallerError
        try:
            # Nothing of it is a local variable: see the module's docstring. A response shows its headers, too.
            outcome = await self._read(
                request,
                await session.request(
                    request.method,
                    # Of parts that are known to be clean, instead of parsed: a third of the time.
                    URL.build(
                        scheme=self._base.scheme,
                        authority=self._base.raw_authority,
                        path=self._base_path + request.path,
                        query_string=request.query,
                        encoded=True,
                    ),
                    data=None if request.body is None else decoding.encode(request.body),
                    headers={**(_HEADERS if request.body is None else _HEADERS_WITH_BODY), **self._token.headers},
                    allow_redirects=False,
                    raise_for_status=False,
                    proxy=self._proxy,
                    timeout=self._per_attempt,
                    middlewares=(*self._pool.middlewares, call.sending.once),
                ),
            )
        except (ConnectionLost, aiohttp.ClientError, OSError) as error:
            outcome = no_reply(
                request.sent,
                error,
                call.sending.sent,
                connect=self._timeouts.connect,
                read=self._timeouts.read,
                server=self._server,
            )
        except BaseException as error:
            # A cancellation, or something unforeseen: passed on without the frames of aiohttp it went through.
            _log_attempt(call, error, begun)
            raise bare(error) from None
        _log_attempt(call, outcome, begun)
        return outcome

    async def _read(self, request: Request[Any], response: aiohttp.ClientResponse) -> Reply | DiallerError:
        is_error = response.status != 200
        limit = _MAX_ERROR_BODY if is_error else self._pool.config.max_body
        body: Body = b""
        try:
            while piece := await response.content.readany():
                if not body:
                    body = piece
                else:
                    if type(body) is bytes:
                        body = bytearray(body)
                    body += piece
                if len(body) > limit:
                    response.close()
                    if is_error:
                        return Reply(response.status, response.headers, body[:limit])
                    return PayloadError(
                        f"{request.sent}: the answer is larger than PoolConfig(max_body={limit}) bytes",
                        request=request.sent,
                    )
        except BaseException:
            response.close()
            raise
        response.release()
        return Reply(response.status, response.headers, body)

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
            if request.about:
                error.about = request.about
                error.add_note(request.about)
            if call.gave_up_after is not None:
                times = "once" if call.attempts == 1 else f"{call.attempts} times"
                error.args = (
                    f"{error} (tried {times}; then the circuit stayed open, since all requests of this client failed"
                    f" for {call.gave_up_after:.1f} s)",
                )
            elif call.attempts > 1:
                error.args = (f"{error} (tried {call.attempts} times)",)
        return error

    def _pause_all(self, error: RateLimitedError) -> None:
        if error.retry_after and error.retry_after <= self._policy.max_retry_after:
            until = CLOCK.monotonic() + error.retry_after
            self._backpressure.paused_until = max(self._backpressure.paused_until, until)

    def _pause(self) -> float:
        """How many seconds are left of a pause that the server asked for."""
        if not self._backpressure.paused_until:
            return 0.0
        left = self._backpressure.paused_until - CLOCK.monotonic()
        if left <= 0:
            self._backpressure.paused_until = 0.0
        return left


_MAX_ERROR_BODY: Final = 64 * 1024
"""Bytes that are read of a response other than 200, after decompression: its error text is short."""

_HEADERS: Final = {"Accept": "application/json", "User-Agent": f"dialler-async/{__version__}"}
_HEADERS_WITH_BODY: Final = {**_HEADERS, "Content-Type": "application/json"}


def _log_attempt(call: _Call, outcome: object, begun: float) -> None:
    """One line an attempt, without names, IDs, bodies and headers."""
    if _log.isEnabledFor(logging.DEBUG):
        took = (CLOCK.monotonic() - begun) * 1000
        told = outcome.status if isinstance(outcome, Reply) else type(outcome).__name__
        _log.debug("%s: %s in %.1f ms, attempt %d", call.request.sent, told, took, call.attempts)
