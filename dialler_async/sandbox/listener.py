"""The listening socket and the connections behind it: opened, refused, stopped."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from dialler_async.sandbox.connections import Connection, ConnectionCounts, CountingServer

# Seconds; handlers that were cancelled need none of them.
_GRACE = 5.0

Answer = Callable[[web.BaseRequest, Connection], Awaitable[web.StreamResponse]]


class AnsweredByHand(web.StreamResponse):
    """Tells aiohttp that there is nothing left to send.

    The connection is kept for further requests or, by default, closed.
    """

    def __init__(self, *, keep_alive: bool = False) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send no headers."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send no body."""


class Listener:
    """Listens on one address and hands every request with its connection to `answer`.

    Needs a running event loop.
    """

    def __init__(
        self,
        answer: Answer,
        counts: ConnectionCounts,
        host: str,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._answer = answer
        self._host = host
        self._ssl_context = ssl_context
        self._server = CountingServer(self._handle, counts)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_GRACE)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def origin(self) -> str:
        """Scheme, host and port, as they stand at the beginning of a URL."""
        scheme = "http" if self._ssl_context is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    async def start(self, port: int) -> None:
        """Listen on a port, or on a free one for 0. Raises OSError when it can't be had."""
        await self._runner.setup()
        self._port = port
        await self._listen()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the socket and all connections, cancelling the requests in flight."""
        # Nobody is waited for: a server that goes down doesn't wait, either.
        for task in self._in_flight:
            task.cancel()
        await self._runner.cleanup()

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Be down for a while: connections are dropped, and new ones refused."""
        for site in self._runner.sites:
            await site.stop()
        for connection in self._server.open_connections():
            connection.reset()
        try:
            yield
        finally:
            await self._listen()

    def close_idle(self) -> None:
        """Close every connection that no request is in flight on."""
        for connection in self._server.open_connections():
            if not connection.busy:
                connection.transport.close()

    async def _listen(self) -> None:
        await web.TCPSite(self._runner, self._host, self._port, ssl_context=self._ssl_context).start()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = self._server.connection_of(request)
        if connection is None:
            return AnsweredByHand()
        self._in_flight.add(request.task)
        connection.busy = True
        connection.requests += 1
        try:
            return await self._answer(request, connection)
        finally:
            connection.busy = False
            self._in_flight.discard(request.task)
