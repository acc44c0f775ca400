"""The aiohttp session of a client, and the limiter of concurrent calls."""

import asyncio
import math
import os
import warnings
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import aiohttp

from .._caller import find_caller
from .._extras import needs_extra
from ..config import PoolConfig, RateLimiter
from ..errors import ClientClosedError, ClientStateError, ConfigurationError, is_number, require, require_type
from .aiohttp_internals import (
    CheckingConnector,
    TrackedRequest,
    close_socket,
    close_without_waiting,
    detach_connections,
    loop_of,
    middlewares_of,
)
from .clock import CLOCK
from .deadlines import Deadlines
from .retry_gate import RetryGate
from .tls import ssl_context


class _Process:
    """The current process. Its ID is read only after a fork, because a system call in each call would be slow."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.pools: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()
        self._inherited: list[object] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        """Detach the parent's connections, and keep them alive.

        The child shares the parent's epoll instance. If the child closed a transport, the parent would receive no
        further data. If a transport were garbage-collected, it would raise a ResourceWarning.
        """
        self.pid = os.getpid()
        for pool in list(self.pools):
            self._inherited.extend(pool.detach_after_fork())


PROCESS: Final = _Process()


class Pool:
    """The aiohttp session and the limiter of a client. The clients of several accounts can share a pool.

    The session is created at the first call.
    """

    def __init__(
        self,
        config: PoolConfig,
        session: aiohttp.ClientSession | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        max_rate: float | RateLimiter | None = None,
    ) -> None:
        require_type("pool", config, PoolConfig)
        require_type("trace_configs", trace_configs, Sequence)
        for trace_config in trace_configs:
            require_type("trace_configs", trace_config, aiohttp.TraceConfig)
        if session is not None:
            require_type("session", session, aiohttp.ClientSession)
            _check_session(session)
            configured = trace_configs or config.ssl or config.ca_file or config.client_cert
            options = "trace_configs, ssl, ca_file or client_cert"
            require(not configured, f"session=… can't be combined with {options}: set these on the session")
        self.config: Final = config
        self._ssl = ssl_context(config)
        self._trace_configs = list(trace_configs)
        self._user_session = session
        self._opened: dict[bool, aiohttp.ClientSession] = {}
        """The sessions of the client, by whether they are for writes."""
        self._connectors: list[CheckingConnector] = []
        self._sessions: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()
        """The sessions of the connectors. Weak, because the trace configs of a session may refer to the client."""
        self.owns_session: Final = session is None
        # A user's session already belongs to a loop. In another loop, a request could be sent, and its response lost.
        self._loop = loop_of(session)
        self._pid = None if session is None else PROCESS.pid
        self._closing = False
        self._slots = asyncio.Semaphore(config.limit)
        self.in_flight: int = 0
        """Number of calls in flight: each holds a slot."""
        self._idle = asyncio.Event()
        self.gate: Final = RetryGate()
        self._paused_until = 0.0
        """End of the pause, by the monotonic clock."""
        self._limiter = None if max_rate is None else rate_limiter(max_rate)
        # Each transport that uses this pool adds its deadlines.
        self.deadlines: Final[weakref.WeakSet[Deadlines]] = weakref.WeakSet()
        self._created_at = find_caller().location
        PROCESS.pools.add(self)
        # Passed with each request, because the middlewares of a request replace the middlewares of its session.
        self.middlewares: Final = middlewares_of(session)

    def pause(self, seconds: float) -> None:
        """Let all calls wait, because a 429 asks for it."""
        self._paused_until = max(self._paused_until, CLOCK.monotonic() + seconds)

    def pause_left(self) -> float:
        """Return the seconds until the end of the pause; 0 or less without a pause."""
        return self._paused_until - CLOCK.monotonic() if self._paused_until else 0.0

    async def enter(self, *, is_write: bool = False) -> aiohttp.ClientSession:
        """Return the session after waiting for a slot. Each `enter` needs a `leave`.

        The connections of the session for writes are used once, so that a write meets neither a dead connection nor the
        surplus response to an earlier request.

        Raises:
            ClientClosedError: the client is closed.
        """
        await self._slots.acquire()
        try:
            # Checked after each wait, because the client may have been closed during the wait.
            self._check_open()
            if self._limiter is not None or self._paused_until:
                await self._wait_for_rate_and_pause()
            session = self._user_session or self._opened.get(is_write) or self._open(is_write)
        except BaseException:
            self._slots.release()
            raise
        self.in_flight += 1
        return session

    async def _wait_for_rate_and_pause(self) -> None:
        """Wait for the rate limiter and for the end of the pause. The rate is limited again after a pause."""
        while True:
            if self._limiter is not None:
                await self._limiter.acquire()
                self._check_open()
            if self.pause_left() <= 0:
                self._paused_until = 0.0
                return
            while (left := self.pause_left()) > 0:
                await CLOCK.sleep(left)
                self._check_open()

    def leave(self) -> None:
        """Release the slot."""
        self.in_flight -= 1
        self._slots.release()
        if not self.in_flight:
            self._idle.set()

    def check(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop.

        Raises:
            ClientStateError: the client is closed, or belongs to another loop or process.
        """
        # The process is checked before the loop: a forked child may run the parent's loop, or no loop.
        if self._pid is None:
            self._pid = PROCESS.pid
        if self._pid != PROCESS.pid:
            raise ClientStateError(
                "this client was used before a fork, so its connections belong to the parent process: make a client in"
                " this process"
            )
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ClientStateError("a call needs a running event loop: run it with asyncio.run") from None
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_closed():
                raise ClientStateError(
                    "the event loop of this client is closed, because its asyncio.run() has ended: make the client and"
                    " all calls in one asyncio.run(), or run each call with the same asyncio.Runner"
                )
            if self._loop is not None:
                raise ClientStateError(
                    "this client, or its session=…, belongs to another event loop: make a client in each loop"
                )
            self._loop = loop
        self._check_open()
        return loop

    def _check_open(self) -> None:
        if self._closing or (self._user_session is not None and self._user_session.closed):
            raise ClientClosedError(_CLOSED)

    def _open(self, is_write: bool) -> aiohttp.ClientSession:
        _stop_mapping_receive_buffers()
        connection = {"force_close": True} if is_write else {"keepalive_timeout": self.config.keep_alive}
        connector = CheckingConnector(limit=self.config.limit, ssl=self._ssl or True, **connection)
        if not self._connectors:
            loop = asyncio.get_running_loop()
            owned = self._connectors, self._sessions
            weakref.finalize(self, _close_forgotten, *owned, loop, PROCESS.pid, self._created_at)
        self._connectors.append(connector)
        session = self._opened[is_write] = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=TrackedRequest,
            trace_configs=self._trace_configs,
        )
        self._sessions.add(session)
        return session

    async def aclose(self, timeout: float | None) -> None:
        """Refuse further calls, wait for calls in flight, and close the session unless it is the user's.

        In a forked child this does nothing, because the connections and the calls in flight belong to the parent.

        Args:
            timeout: seconds after which calls in flight are cancelled, and raise ClientClosedError; None for no limit.
        Raises:
            ClientStateError: the client belongs to another event loop.
        """
        if self._pid is not None and self._pid != PROCESS.pid:
            return
        loop = self._loop or asyncio.get_running_loop()
        if loop is not asyncio.get_running_loop() and not loop.is_closed():
            raise ClientStateError("this client belongs to another event loop: close it there")
        self._closing = True
        if loop.is_closed():
            # Nothing is in flight any more, and connections can't be closed gracefully.
            for connector in self._connectors:
                _close_now(connector, loop)
            return
        for deadlines in list(self.deadlines):
            deadlines.close(also_in_flight=False)
        try:
            try:
                async with asyncio.timeout(timeout):
                    await self._wait_until_idle()
            except TimeoutError:
                for deadlines in list(self.deadlines):
                    deadlines.close(also_in_flight=True)
                await self._wait_until_idle()
        finally:
            # Tasks, because a cancelled `aclose` must not leave a session open.
            if closing := [asyncio.create_task(session.close()) for session in self._opened.values()]:
                await asyncio.wait(closing)

    async def _wait_until_idle(self) -> None:
        while self.in_flight:
            self._idle.clear()
            await self._idle.wait()

    def detach_after_fork(self) -> Iterator[object]:
        """Yield all objects that must stay alive in a forked child. Afterwards, closing them does nothing there."""
        yield self._user_session
        for session in self._opened.values():
            yield session
            if not session.closed:
                yield from detach_connections(session.connector)


def _check_session(session: aiohttp.ClientSession) -> None:
    """Raise ConfigurationError for a user's session that would change what a call sends or receives."""
    for is_wrong, problem in (
        (
            session.trust_env,
            "trust_env=True, because credentials from a netrc file would replace the token; the client uses the proxies"
            " of the environment by itself",
        ),
        (session.auth is not None, "auth=…, because these credentials would replace the token"),
        (not session.auto_decompress, "auto_decompress=False, because the client decodes decompressed responses"),
    ):
        require(not is_wrong, f"session=… must not have {problem}")


_CLOSED = "this client is closed: make a new client, or make all calls inside its `async with` block"


def _stop_mapping_receive_buffers() -> None:
    """Make glibc allocate asyncio's receive buffers on its heap.

    asyncio allocates 256 KiB for each read. glibc maps and unmaps such a block each time, until a larger block was
    freed once. Mapping took 17 of the 110 µs of a lookup.
    """
    bytes(512 * 1024)


def _close_forgotten(
    connectors: list[CheckingConnector],
    sessions: Iterable[aiohttp.ClientSession],
    loop: asyncio.AbstractEventLoop,
    pid: int,
    created_at: str,
) -> None:
    """Close the connections of a client that was never closed, and warn.

    A finalizer runs before the `__del__` of aiohttp's sessions and connectors, also in a reference cycle.
    """
    if pid != PROCESS.pid or all(connector.closed for connector in connectors):
        return
    for session in list(sessions):
        session.detach()
    for connector in connectors:
        _close_now(connector, loop)
    warnings.warn(f"a DiallerClient was never closed; it was made at {created_at}", ResourceWarning, stacklevel=2)


def _close_now(connector: aiohttp.BaseConnector, loop: asyncio.AbstractEventLoop) -> None:
    """Close the connections of a connector, in any thread."""
    if loop.is_closed():
        # aiohttp does nothing in a closed loop.
        for _, transport in detach_connections(connector):
            close_socket(transport)
    elif loop.is_running() and asyncio._get_running_loop() is not loop:
        loop.call_soon_threadsafe(close_without_waiting, connector)
    else:
        close_without_waiting(connector)


def rate_limiter(max_rate: float | RateLimiter) -> RateLimiter:
    """Return the rate limiter for a number of calls per second, or the given rate limiter.

    Raises:
        ConfigurationError: the rate is out of range, or aiolimiter is not installed.
    """
    if isinstance(max_rate, RateLimiter):
        return max_rate
    # The limiter computes with the inverse, too.
    is_in_range = is_number(max_rate) and 0 < max_rate < math.inf and 0 < 2 / max_rate < math.inf
    require(is_in_range, "max_rate=… must be a positive number of calls per second, or a RateLimiter")
    try:
        from aiolimiter import AsyncLimiter
    except ImportError:
        raise ConfigurationError(needs_extra("max_rate=…", "rate")) from None
    # The bucket has a capacity of two, because timers are up to a millisecond late. Measured in the first second with
    # 16 callers, at rates of 50, 200 and 1000 calls per second: a capacity of one allowed 49, 190 and 856 calls; a
    # capacity of two allowed 52, 201 and 986 calls.
    return AsyncLimiter(2, 2 / max_rate)
