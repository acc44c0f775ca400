"""Send each request only once, and only over connections without unsolicited data."""

import select
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.connector import Connection

from .aiohttp_internals import (
    close_protocol,
    has_unread_response,
    idle_protocols,
    is_to_be_closed,
    is_written,
    protocol_of,
    was_used,
)
from .transport_errors import ConnectionLost


class TrackedRequest(aiohttp.ClientRequest):
    """A request that tells when it has its connection.

    Attributes:
        on_connected: called when `CheckingConnector` has the connection.
    """

    on_connected: Callable[[], None] | None = None


class ResendGuard:
    """A middleware for one attempt that prevents aiohttp's own retry, and records whether the request was sent.

    If a connection is lost before the response, aiohttp silently sends GET and DELETE again. A delete by name could
    then run twice. A delete by ID could get a 404 although it worked. Here, `retry` decides about retries.

    Attributes:
        sent: whether the server may have received a part of the request; None if unknown.
        on_connected: called when the attempt has its connection, unless the session is the user's.
    """

    __slots__ = ("on_connected", "sent")

    def __init__(self) -> None:
        self.sent: bool | None = None
        self.on_connected: Callable[[], None] | None = None

    async def send_once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Return the response. Raise ConnectionLost instead of the errors after which aiohttp would send again."""
        self.sent = False
        if isinstance(request, TrackedRequest):
            request.on_connected = self.on_connected
        connector = request.session.connector
        if not isinstance(connector, CheckingConnector):
            close_unusable(connector, request)
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            lost = ConnectionLost(error)
        finally:
            self.sent = is_written(request)
        raise lost


class CheckingConnector(aiohttp.TCPConnector):
    """A connector that closes idle connections with unsolicited data instead of reusing them."""

    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Connection:
        """Return a new connection, or an idle connection without unsolicited data."""
        while True:
            connection = await super().connect(req, *args, **kwargs)
            if not _is_unusable(protocol_of(connection)):
                break
            connection.close()
        if isinstance(req, TrackedRequest) and req.on_connected is not None:
            req.on_connected()
        return connection


def close_unusable(connector: aiohttp.BaseConnector | None, request: aiohttp.ClientRequest) -> None:
    """Close the idle connections of a user's connector that `CheckingConnector` would not reuse."""
    for protocol in idle_protocols(connector, request):
        if _is_unusable(protocol):
            close_protocol(protocol)


def _is_unusable(protocol: Any) -> bool:
    """Return whether a connection has received unsolicited data, or was closed by the server.

    An unsolicited response would be mistaken for the response to the next request. The response may be parsed, partly
    parsed, or still unread in the socket.
    """
    if is_to_be_closed(protocol):
        return True
    if not was_used(protocol):
        return False
    if has_unread_response(protocol):
        return True
    descriptor = protocol.transport.get_extra_info("socket")
    return descriptor is not None and _is_readable(descriptor.fileno())


def _is_readable(descriptor: int) -> bool:
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
