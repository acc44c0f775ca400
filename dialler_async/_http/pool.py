"""The aiohttp session of a client, and the limiter in front of it."""

import asyncio
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import aiohttp

from ..errors import ClientStateError, ConfigurationError, require
from .aiohttp_internals import detach_connections, loop_of, middlewares_of
from .caller import find_caller
from .clock import CLOCK
from .connector import CheckingConnector
from .deadlines import Deadlines
from .fork import PROCESS
from .pool_config import PoolConfig, ssl_context
from .rate_limit import RateLimiter, rate_limiter


class Pool:
    """One aiohttp session, made at the first call. Clients of several accounts can share it."""

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
        self._owns_session = session is None
        # A user's session has its loop already. In another loop, a request could be sent and its response be lost.
        self._loop = loop_of(session)
        self._pid = None if session is None else PROCESS.pid
        self._closing = False
        self._slots = asyncio.Semaphore(config.limit)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._limiter = None if max_rate is None else rate_limiter(max_rate)
        # Those of each transport on this pool.
        self.deadlines: Final[weakref.WeakSet[Deadlines]] = weakref.WeakSet()
        self._made_at = find_caller().place
        PROCESS.pools.add(self)
        # Given with each request, since the middlewares of a request replace those of its session.
        self.middlewares: Final = middlewares_of(session)

    @property
    def in_flight(self) -> int:
        """Number of calls that hold a slot."""
        return self._in_flight

    async def enter(self, pause: Callable[[], float]) -> aiohttp.ClientSession:
        """Wait for a slot and return the session. Each `enter` needs a `leave`.

        Args:
            pause: returns the seconds that all calls have to wait. It is asked last, so that queued calls wait too.
        Raises:
            ClientStateError: the client is closed, perhaps since the call waits.
        """
        self._check_open()
        await self._slots.acquire()
        try:
            while True:
                if self._limiter is not None:
                    await self._limiter.acquire()
                if (left := pause()) <= 0:
                    break
                while left > 0:
                    await CLOCK.sleep(left)
                    left = pause()
            # The client may have been closed in the meantime.
            self._check_open()
            session = self._session or self._open()
        except BaseException:
            self._slots.release()
            raise
        self._in_flight += 1
        return session

    def leave(self) -> None:
        """Give the slot back."""
        self._in_flight -= 1
        self._slots.release()
        if not self._in_flight:
            self._idle.set()

    def check(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop.

        Raises:
            ClientStateError: the client is closed, or belongs to another loop or process.
        """
        # The process is checked first: a forked child can go on in the loop of its parent, or in no loop.
        if self._pid is None:
            self._pid = PROCESS.pid
        if self._pid != PROCESS.pid:
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
        _stop_mapping_receive_buffers()
        connector = CheckingConnector(
            limit=self.config.limit, ssl=self._ssl or True, keepalive_timeout=self.config.keep_alive
        )
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=self._trace_configs
        )
        return self._session

    async def aclose(self, timeout: float | None) -> None:
        """Refuse further calls, wait for calls in flight, and close the session unless it is the user's.

        In a forked child this does nothing: the connections and the calls in flight are the parent's.

        Args:
            timeout: seconds to wait; then the calls are cancelled, and raise ClientStateError. None for no limit.
        """
        if self._pid is not None and self._pid != PROCESS.pid:
            return
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise ClientStateError("this client belongs to another event loop: close it there")
        self._closing = True
        try:
            try:
                async with asyncio.timeout(timeout):
                    await self._wait_until_idle()
            except TimeoutError:
                for deadlines in list(self.deadlines):
                    deadlines.cancel_all()
                await self._wait_until_idle()
        finally:
            if self._session is not None and self._owns_session:
                await self._session.close()

    async def _wait_until_idle(self) -> None:
        while self._in_flight:
            self._idle.clear()
            await self._idle.wait()

    def detach_after_fork(self) -> Iterator[object]:
        """Yield everything that must stay alive in a forked child, and make closing it do nothing there."""
        if self._session is None:
            return
        yield self._session
        if self._owns_session and self._session.connector is not None:
            yield from detach_connections(self._session.connector)

    def __del__(self, warn: Any = warnings.warn) -> None:
        session = getattr(self, "_session", None)
        if session is not None and self._owns_session and not session.closed and self._pid == PROCESS.pid:
            _close_without_waiting(session, self._loop)
            warn(f"a DiallerClient was never closed; it was made at {self._made_at}", ResourceWarning, source=self)


_CLOSED = "this client is closed: make another, or keep it open with `async with` for as long as it is used"


def _stop_mapping_receive_buffers() -> None:
    """Make glibc take asyncio's receive buffers from its heap.

    asyncio receives into 256 KiB and gives back the empty part. glibc maps and unmaps a block of that size each time,
    until a larger block was freed once. That took 17 of the 110 µs of a lookup.
    """
    bytes(512 * 1024)


def _close_without_waiting(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop | None) -> None:
    """Close the connections of a session that is garbage, in whatever thread it is collected.

    The session is detached first: aiohttp would warn of an unclosed session and of an unclosed connector, besides the
    client's own warning.
    """
    connector: Any = session.connector
    session.detach()
    if loop is None or loop.is_closed():
        # Without a loop, closing has nothing to wait for.
        for _ in connector.close().__await__():
            pass
    else:
        loop.call_soon_threadsafe(lambda: loop.create_task(connector.close()))
