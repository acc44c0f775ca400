"""The listening socket of a sandbox and its connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from .connections import Connection, ConnectionCounts, CountingServer

# In seconds. `stop` cancels the handlers first, so this is only an upper limit.
_SHUTDOWN_TIMEOUT = 5.0

Respond = Callable[[web.BaseRequest, Connection], Awaitable[web.StreamResponse]]


class AlreadySent(web.StreamResponse):
    """A response that aiohttp does not send, because a fault has written to the connection itself.

    Args:
        keep_alive: whether the connection stays open for further requests.
    """

    def __init__(self, *, keep_alive: bool = False) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send no headers."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send no body."""


class Listener:
    """Listens on one address, and calls `respond` with each request and its connection.

    Create it inside a running event loop.
    """

    def __init__(
        self,
        respond: Respond,
        counts: ConnectionCounts,
        host: str,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._respond = respond
        self._host = host
        self._ssl_context = ssl_context
        self._server = CountingServer(self._handle, counts)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def origin(self) -> str:
        """The scheme, host and port as the beginning of a URL."""
        scheme = "http" if self._ssl_context is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    async def start(self, port: int) -> None:
        """Listen on a port; 0 means a free port.

        Raises:
            OSError: the port can't be used.
        """
        await self._runner.setup()
        self._port = port
        await self.listen()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the socket and all connections, and cancel the requests in flight."""
        # A real server that goes down doesn't finish its requests.
        for task in self._in_flight:
            task.cancel()
        try:
            await self._runner.cleanup()
        finally:
            # Those that are left if this task is cancelled again in the meantime.
            for connection in self._server.open_connections():
                connection.transport.abort()

    async def refuse(self) -> None:
        """Reset all connections and refuse new ones, until `listen` is called."""
        for site in self._runner.sites:
            await site.stop()
        for connection in self._server.open_connections():
            connection.reset()

    async def listen(self) -> None:
        """Listen on the port. It can be called again after `refuse`."""
        await web.TCPSite(self._runner, self._host, self._port, ssl_context=self._ssl_context).start()

    def close_idle(self) -> None:
        """Close every connection that has no request in flight."""
        for connection in self._server.open_connections():
            if not connection.busy:
                connection.transport.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = self._server.connection_of(request)
        if connection is None:
            return AlreadySent()
        self._in_flight.add(request.task)
        connection.busy = True
        connection.requests += 1
        try:
            return await self._respond(request, connection)
        finally:
            connection.busy = False
            self._in_flight.discard(request.task)
