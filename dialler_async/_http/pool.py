"""The aiohttp session's life, and the gate before it: lazily made, bound to its loop, closed exactly once."""

import asyncio
import math
import os
import select
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from ssl import SSLContext, SSLError, create_default_context
from typing import Any, Final, Protocol, final, runtime_checkable

import aiohttp
import attrs
from aiohttp.connector import Connection

from ..errors import ClientStateError, ConfigurationError, is_number, require
from .clock import CLOCK
from .proxy import FROM_ENVIRONMENT

MIB: Final = 1024 * 1024
_PACKAGE = __name__.partition(".")[0]


@final
@attrs.frozen(kw_only=True)
class PoolConfig:
    """How the client uses the network.

    Attributes:
        limit: calls in flight at once, and so connections open at once; further calls wait, first come first served.
        max_body: bytes of one answer, counted after decompression; a larger one is a PayloadError.
        proxy: URL of an HTTP proxy, with credentials if it asks for them; None for no proxy. By default, the
            environment decides: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`. A netrc file is never read.
        ca_file: PEM file of the CAs to trust for https, in place of the system's.
        client_cert: PEM file of a client certificate, and of its key unless `client_key` has it.
        client_key: PEM file of the key; without a passphrase.
        keep_alive: seconds for which an idle connection is kept.
        ssl: context for https, in place of `ca_file`, `client_cert` and `client_key`.
    """

    limit: int = 32
    max_body: int = 256 * MIB
    proxy: str | None = attrs.field(default=FROM_ENVIRONMENT, repr=False)
    ca_file: str | os.PathLike[str] | None = None
    client_cert: str | os.PathLike[str] | None = None
    client_key: str | os.PathLike[str] | None = None
    keep_alive: float = 15.0
    ssl: SSLContext | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        require(type(self.limit) is int and self.limit >= 1, "PoolConfig(limit=…) is a positive int")
        require(type(self.max_body) is int and self.max_body >= 1, "PoolConfig(max_body=…) is a positive int: bytes")
        require(
            self.ssl is None or isinstance(self.ssl, SSLContext),
            "PoolConfig(ssl=…) is an ssl.SSLContext; there is no way to leave certificates unverified but a context",
        )
        files = (self.ca_file, self.client_cert, self.client_key)
        require(
            self.ssl is None or files == (None, None, None),
            "PoolConfig takes ssl=… or the files, not both: load ca_file and client_cert into the context",
        )
        require(self.client_key is None or self.client_cert is not None, "PoolConfig(client_key=…) needs client_cert=…")
        require(
            is_number(self.keep_alive) and self.keep_alive > 0,
            "PoolConfig(keep_alive=…) is a number of seconds, and positive",
        )
        require(self.proxy is None or isinstance(self.proxy, str), "PoolConfig(proxy=…) is a URL, or None for no proxy")


def ssl_context(config: PoolConfig) -> SSLContext | None:
    """Return the context that the settings ask for; None for aiohttp's own.

    Raises:
        ConfigurationError: a file can't be read, or is not what it has to be.
    """
    if config.ca_file is None and config.client_cert is None:
        return config.ssl
    try:
        context = create_default_context(cafile=config.ca_file)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"can't load the CA file {config.ca_file}: {_file_problem(error)}") from None
    if config.client_cert is not None:
        try:
            # A key with a passphrase fails, instead of asking for it on the terminal.
            context.load_cert_chain(config.client_cert, config.client_key, password=lambda: "")
        except (OSError, ValueError) as error:
            files = " and ".join(str(file) for file in (config.client_cert, config.client_key) if file is not None)
            problem = _file_problem(error)
            raise ConfigurationError(f"can't load the client certificate from {files}: {problem}") from None
    return context


def _file_problem(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and not isinstance(error, SSLError):
        return error.strerror or "it can't be read"
    return "it is not a PEM file of that kind, or its key has a passphrase or does not match"


@runtime_checkable
class RateLimiter(Protocol):
    """Says when the next call may go, such as one that several processes share."""

    async def acquire(self) -> object:
        """Waits for as long as the next call has to."""


class ConnectionLost(Exception):  # noqa: N818  an event on the wire, turned into an error of ours by the transport
    """The connection broke after the request was handed to it, so that the server may have it.

    Attributes:
        wants_client_certificate: whether the server ended the TLS handshake for want of a client certificate. Then it
            has read nothing of the request.
    """

    def __init__(self, wants_client_certificate: bool = False) -> None:
        super().__init__()
        self.wants_client_certificate = wants_client_certificate


class Sending:
    """One attempt on its way to the wire.

    Attributes:
        sent: whether the server may have any of it; None where nobody can tell.
    """

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent: bool | None = None

    async def once(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """A middleware that switches off aiohttp's own second sending of GET and DELETE, and watches the first.

        When a connection breaks before the answer, aiohttp silently sends GET and DELETE once more. A delete by name
        would then hit twice, and a delete by ID would answer 404 though it worked. Off for all calls: whether to
        repeat is for `retry` to decide, which knows them apart.
        """
        self.sent = False
        connector = request.session.connector
        if not isinstance(connector, _Connector):
            _close_unusable(connector, request)
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            lost = ConnectionLost(_wants_client_certificate(error))
        finally:
            # aiohttp makes the response, still empty, in the very step in which it begins to write the request, and
            # keeps it when a middleware of a session that was brought has the same request sent once more.
            self.sent = getattr(request, "response", request) is not None
        raise lost


def _wants_client_certificate(error: BaseException | None) -> bool:
    """Return whether TLS 1.3's alert is behind an error. It comes after the client's part of the handshake."""
    while error is not None:
        if isinstance(error, SSLError) and "CERTIFICATE_REQUIRED" in (error.reason or ""):
            return True
        error = error.__cause__ or error.__context__
    return False


def _received_unasked(protocol: Any) -> bool:
    """Whether a kept connection holds anything that no request asked for, so that it must not be used again.

    A surplus response would be taken for the answer to the next request. It can be parsed already, half parsed, or
    still wait in the socket. A connection that the server has closed in the meantime counts, too.
    """
    if protocol.should_close:
        return True
    parser, transport = protocol._parser, protocol.transport
    if parser is None or transport is None:
        # New: it has carried no response yet.
        return False
    try:
        # The next request gets another parser. This one says whether it has seen the beginning of a response.
        if parser.feed_eof() is not None or protocol.should_close:
            return True
    except Exception:
        return True
    descriptor = transport.get_extra_info("socket")
    return descriptor is not None and _is_readable(descriptor.fileno())


def _is_readable(descriptor: int) -> bool:
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(0))


class _Connector(aiohttp.TCPConnector):
    """One that closes a kept connection on which anything arrived unasked, and takes another."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if not _received_unasked(connection.protocol):
                return connection
            connection.close()


def _close_unusable(connector: aiohttp.BaseConnector | None, request: aiohttp.ClientRequest) -> None:
    """Does for the connector of a session brought along what `_Connector` does for ours."""
    kept = getattr(connector, "_conns", {})
    for protocol, _ in kept.get(request.connection_key, ()):
        if _received_unasked(protocol):
            protocol.close()


class _Process:
    """The one that this runs in. Found out after each fork: to ask at each call would be a system call at each."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.pools: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()
        self._inherited: list[object] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        """In a child: keeps what the parent's sessions hold, and makes closing them do nothing.

        The child shares the parent's epoll. A transport that it closed would be unregistered there, so that the parent
        would never hear of that connection again. Transports are only kept alive: collecting one would warn.
        """
        self.pid = os.getpid()
        for pool in list(self.pools):
            if (session := pool._session) is None:
                continue
            self._inherited.append(session)
            connector: Any = session.connector
            if pool._brought or connector is None or connector._closed:
                continue
            protocols = [*connector._acquired, *(kept[0] for of_one in connector._conns.values() for kept in of_one)]
            for protocol in protocols:
                # One that is still being connected has none.
                self._inherited.append((protocol, getattr(protocol, "transport", None)))
                if isinstance(protocol, asyncio.BaseProtocol):
                    held: Any = protocol
                    held.transport = None
            # All that aiohttp does with a closed connector, when it is collected too, is nothing.
            connector._closed = True


_process: Final = _Process()


class Pool:
    """One aiohttp session, made at the first call and shared by every account that goes through it."""

    def __init__(
        self,
        config: PoolConfig,
        session: aiohttp.ClientSession | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        max_rate: float | RateLimiter | None = None,
    ) -> None:
        if session is not None and (trace_configs or config.ssl or config.ca_file or config.client_cert):
            raise ConfigurationError(
                "a session brought along has its own trace_configs and ssl: give them to it instead"
            )
        require(
            session is None or not session.trust_env,
            "the session brought along has trust_env=True, which sends credentials from a netrc file in place of the"
            " token: make it without; proxies from the environment are used all the same",
        )
        require(
            session is None or session.auth is None,
            "the session brought along has credentials of its own, which go where the token has to: make one without",
        )
        self.config: Final = config
        self._ssl = ssl_context(config)
        self._trace_configs = list(trace_configs)
        self._session = session
        self._brought = session is not None
        # A session that was brought has its loop already: from another one, a request might go out and its answer fail.
        self._loop: asyncio.AbstractEventLoop | None = getattr(session, "_loop", None)
        self._pid = None if session is None else _process.pid
        self._closing = False
        self._gate = asyncio.Semaphore(config.limit)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._limiter = None if max_rate is None else _limiter(max_rate)
        self._made_at = _caller()
        _process.pools.add(self)
        # Per request, since middlewares of a request take the place of the session's: a session that was brought
        # keeps its own, in the order it had them.
        self.middlewares: Final[tuple[aiohttp.ClientMiddlewareType, ...]] = getattr(session, "_middlewares", ())

    @property
    def in_flight(self) -> int:
        """Calls that hold a place at the gate."""
        return self._in_flight

    async def enter(self, pause: Callable[[], float]) -> aiohttp.ClientSession:
        """Waits for a place at the gate, and gives the session; to be paired with `leave`.

        Args:
            pause: how many seconds more all calls have to wait; asked last before the call may go, so that those who
                queue wait too.
        Raises:
            ClientStateError: closed, also while waiting.
        """
        self._check_open()
        await self._gate.acquire()
        try:
            while True:
                if self._limiter is not None:
                    await self._limiter.acquire()
                if (left := pause()) <= 0:
                    break
                while left > 0:
                    await CLOCK.sleep(left)
                    left = pause()
            # Much can have happened in the meantime.
            self._check_open()
            session = self._session or self._open()
        except BaseException:
            self._gate.release()
            raise
        self._in_flight += 1
        return session

    def leave(self) -> None:
        """Gives the place back."""
        self._in_flight -= 1
        self._gate.release()
        if not self._in_flight:
            self._idle.set()

    def check(self) -> asyncio.AbstractEventLoop:
        """The loop that this runs in; raises ClientStateError unless calls can be made here and now."""
        # First: a child that goes on in the loop of its parent is in the same loop, or in none.
        if self._pid is None:
            self._pid = _process.pid
        if self._pid != _process.pid:
            raise ClientStateError(
                "this client was used before a fork, and its connections are the parent's: make one here"
            )
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                raise ClientStateError(
                    "this client, or the session brought to it, belongs to another event loop: make one for each loop"
                )
            self._loop = loop
        self._check_open()
        return loop

    def _check_open(self) -> None:
        if self._closing or (self._session is not None and self._session.closed):
            raise ClientStateError(_CLOSED)

    def _open(self) -> aiohttp.ClientSession:
        # asyncio receives into 256 KiB, and gives back what stays empty. glibc has the kernel map a block of that size
        # each time, until it has seen a larger one come and go: that was 17 of the 110 µs that a lookup took.
        bytes(512 * 1024)
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=self.config.limit, ssl=self._ssl or True, keepalive_timeout=self.config.keep_alive
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=self._trace_configs,
        )
        return self._session

    async def aclose(self) -> None:
        """Refuses further calls, lets those in flight finish, and closes the session unless it was brought along.

        In a forked child it does nothing: the connections are the parent's.
        """
        if self._pid is not None and self._pid != _process.pid:
            # A child that was forked: all of it is the parent's, and so are the calls in flight.
            return
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise ClientStateError("this client belongs to another event loop: close it there")
        self._closing = True
        try:
            while self._in_flight:
                self._idle.clear()
                await self._idle.wait()
        finally:
            if self._session is not None and not self._brought:
                await self._session.close()

    def __del__(self, warn: Any = warnings.warn) -> None:
        session = getattr(self, "_session", None)
        if session is not None and not self._brought and not session.closed and self._pid == _process.pid:
            # Ours is the only warning when aiohttp finds both session and connector closed.
            connector, loop = session.connector, self._loop
            session.detach()
            if loop is None or loop.is_closed():
                # With its loop gone there is nothing left that it could wait for.
                for _ in connector.close().__await__():
                    pass
            else:
                # Collected in whatever thread, it is closed in that of its loop.
                loop.call_soon_threadsafe(lambda: loop.create_task(connector.close()))
            warn(f"a DiallerClient was never closed; it was made at {self._made_at}", ResourceWarning, source=self)


_CLOSED = "this client is closed: make another, or keep it open with `async with` for as long as it is used"


def _limiter(max_rate: float | RateLimiter) -> RateLimiter:
    if isinstance(max_rate, RateLimiter):
        return max_rate
    in_bounds = is_number(max_rate) and 0 < max_rate < math.inf
    require(in_bounds, "max_rate=… is a positive number of calls per second")
    try:
        from aiolimiter import AsyncLimiter
    except ImportError:
        raise ConfigurationError("max_rate=… needs aiolimiter: pip install 'dialler-async[rate]'") from None
    # Evenly spaced, but one call ahead: timers are late by up to a millisecond, and a bucket of one call can't make up
    # for that. Calls per second, by 16 callers: 49, 190 and 856 at 50, 200 and 1000 with a bucket of one; 52, 201 and
    # 986 with a bucket of two (the call ahead counts in the first second).
    return AsyncLimiter(2, 2 / max_rate)


def _caller() -> str:
    """File and line of the first frame outside this package: where a client was made."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
