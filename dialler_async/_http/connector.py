"""Send each request once, and only over connections that nothing was received on unasked."""

import select
from ssl import SSLError
from typing import Any

import aiohttp
from aiohttp.connector import Connection

from .aiohttp_internals import has_unread_response, idle_protocols, is_written, was_used


class ConnectionLost(Exception):  # noqa: N818  an event, which `map_transport_error` turns into an error
    """The connection broke after the request was handed to it, so the server may have it.

    Attributes:
        wants_client_certificate: whether the server ended the TLS handshake because there was no client certificate.
            Then it has read nothing of the request.
    """

    def __init__(self, wants_client_certificate: bool = False) -> None:
        super().__init__()
        self.wants_client_certificate = wants_client_certificate


class ResendGuard:
    """A middleware for one attempt: it turns off aiohttp's own retry, and knows whether anything was sent.

    When a connection breaks before the response, aiohttp silently sends GET and DELETE again. A delete by name would
    then run twice, and a delete by ID would answer 404 although it worked. `retry` decides about retries instead.

    Attributes:
        sent: whether the server may have received anything; None if nobody knows.
    """

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent: bool | None = None

    async def send_once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request; raise ConnectionLost for the errors after which aiohttp would send it again."""
        self.sent = False
        connector = request.session.connector
        if not isinstance(connector, CheckingConnector):
            close_unusable(connector, request)
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            lost = ConnectionLost(_wants_client_certificate(error))
        finally:
            self.sent = is_written(request)
        raise lost


def _wants_client_certificate(error: BaseException | None) -> bool:
    """Return whether TLS 1.3's alert caused an error. It arrives after the client's part of the handshake."""
    while error is not None:
        if isinstance(error, SSLError) and "CERTIFICATE_REQUIRED" in (error.reason or ""):
            return True
        error = error.__cause__ or error.__context__
    return False


class CheckingConnector(aiohttp.TCPConnector):
    """A connector that closes an idle connection on which anything arrived unasked, and takes another."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return a connection that is new, or that is clean."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if not _received_unasked(connection.protocol):
                return connection
            connection.close()


def close_unusable(connector: aiohttp.BaseConnector | None, request: aiohttp.ClientRequest) -> None:
    """Close the idle connections of a user's connector that `CheckingConnector` would not use."""
    for protocol in idle_protocols(connector, request):
        if _received_unasked(protocol):
            protocol.close()


def _received_unasked(protocol: Any) -> bool:
    """Return whether a connection holds anything that no request asked for, or was closed by the server.

    A surplus response would be taken for the response to the next request. It can be parsed, half parsed, or still
    wait in the socket.
    """
    if protocol.should_close:
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
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(0))
