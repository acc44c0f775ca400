"""An aiohttp server that counts its TCP connections and can reset them."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web
from attrs import define, field


@define
class ConnectionCounts:
    """The numbers of TCP connections. A TLS connection counts from the end of its handshake.

    Attributes:
        opened: the number of connections accepted so far.
        open: the number of connections that are open now.
        peak: the largest value of `open` so far.
    """

    opened: int = 0
    open: int = 0
    peak: int = 0


@define(eq=False)
class Connection:
    """An accepted TCP connection.

    Attributes:
        number: the number of the connection; the first one is 1.
        transport: the asyncio transport.
        requests: the number of requests received so far.
        busy: whether a request is in flight.
        closed: an event that is set when the connection is closed.
    """

    number: int
    transport: asyncio.Transport
    requests: int = 0
    busy: bool = False
    closed: asyncio.Event = field(factory=asyncio.Event)

    def reset(self) -> None:
        """Reset the connection: the client sees "connection reset by peer"."""
        # With SO_LINGER of zero seconds, closing sends RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


class CountingServer(web.Server):
    """aiohttp's low-level server with a `Connection` for each open TCP connection."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        counts: ConnectionCounts,
    ) -> None:
        super().__init__(handler, access_log=None)
        self._counts = counts
        self._open: dict[web.RequestHandler, Connection] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        counts = self._counts
        counts.opened += 1
        counts.open += 1
        counts.peak = max(counts.peak, counts.open)
        self._open[handler] = Connection(counts.opened, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._counts.open -= 1
        self._open.pop(handler).closed.set()
        super().connection_lost(handler, exc)

    def connection_of(self, request: web.BaseRequest) -> Connection | None:
        """Return the connection of a request, or None if it is closed already."""
        return self._open.get(request.protocol)

    def open_connections(self) -> list[Connection]:
        """Return all connections that are open now."""
        return list(self._open.values())
