"""One attempt: send a request over the network and read its response.

This module returns errors and does not raise them. An exception that is raised while another exception is handled keeps
the other exception as its context. aiohttp's exceptions hold the token, in the request's headers and in the local
variables of their tracebacks.
"""

import asyncio
import copy
import math
from collections.abc import Mapping
from functools import partial
from typing import Final, TypeVar, final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from .._api import decoding
from ..config import Timeouts
from ..errors import Body, ConfigurationError, ConnectError, NoReplyError, PayloadError
from .aiohttp_internals import TrackedRequest, close_idle_connections, fail_when_closed, is_written
from .call import Call
from .deadlines import Deadlines
from .pool import Pool
from .response import Response
from .tls import tls_hints
from .token import Token
from .transport_errors import ConnectionLostError, Route, map_transport_error, refused_by_proxy
from .urls import proxy_for

T = TypeVar("T")

_NO_HEADERS: Final[Mapping[str, str]] = {}
_JSON_BODY: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_MAX_ERROR_BODY: Final = 64 * 1024
"""Maximum number of bytes that are read of an error response, after decompression. Error texts are short."""


@final
class Sender:
    """The sender of requests to one server with one token."""

    def __init__(self, base_url: str, token: Token, pool: Pool, timeouts: Timeouts) -> None:
        base = URL(base_url, encoded=True)
        self._scheme, self._authority, self._base_path = base.scheme, base.raw_authority, base.raw_path.rstrip("/")
        proxy = proxy_for(base, pool.config.proxy)
        if isinstance(proxy, ConfigurationError):
            raise proxy
        if proxy is not None and proxy.headers:
            token.secrets.add_credentials(proxy.user, proxy.password)
        self._proxy = None if proxy is None else proxy.url
        credentials = _NO_HEADERS if proxy is None else proxy.headers
        is_tunnel = base.scheme == "https"
        # A proxy gets its credentials with the CONNECT for a tunnel, otherwise with each request.
        self._connect_headers = credentials if is_tunnel else _NO_HEADERS
        self._proxy_headers = _NO_HEADERS if is_tunnel else credentials
        self._is_forwarded = proxy is not None and not is_tunnel
        self._route = Route(server=base, proxy=self._proxy, hints=tls_hints(pool.config, pool.owns_session))
        self._token = token
        self._middlewares = pool.middlewares
        self._max_body = pool.config.max_body
        self._owns_session = pool.owns_session
        self._timeouts = timeouts
        self._aiohttp_timeout = _aiohttp_timeout_of(timeouts, owns_session=self._owns_session)
        self._read_deadlines = Deadlines(timeouts.read, reads_first=True)

    def with_timeouts(self, timeouts: Timeouts) -> "Sender":
        """Return a copy with other timeouts."""
        other = copy.copy(self)
        other._timeouts = timeouts
        other._aiohttp_timeout = _aiohttp_timeout_of(timeouts, owns_session=self._owns_session)
        other._read_deadlines = Deadlines(timeouts.read, is_short_lived=True, reads_first=True)
        return other

    async def send(
        self, call: Call[T], headers: Mapping[str, str], session: aiohttp.ClientSession
    ) -> Response | NoReplyError | PayloadError:
        """Send a request once, with these headers and `Authorization`; return its response or its error.

        Whatever escapes is mapped by whether the request was sent. Only a cancellation is raised.
        """
        request = call.request
        try:
            # One expression without local variables: tools that record tracebacks show local variables, and both the
            # headers and aiohttp's response contain the token.
            return await self._read(
                call,
                await session.request(
                    request.sent.method,
                    # Built from encoded parts, because parsing a URL takes three times as long.
                    URL.build(
                        scheme=self._scheme,
                        authority=self._authority,
                        path=self._base_path + request.path,
                        query_string=request.query,
                        encoded=True,
                    ),
                    data=None if request.body is None else decoding.encode(request.body),
                    headers={
                        **headers,
                        **(_NO_HEADERS if request.body is None else _JSON_BODY),
                        **self._proxy_headers,
                        **self._token.headers,
                    },
                    allow_redirects=False,
                    raise_for_status=False,
                    proxy=self._proxy,
                    proxy_headers=self._connect_headers,
                    timeout=self._aiohttp_timeout,
                    middlewares=(*self._middlewares, partial(self._send_once, call)),
                ),
            )
        except asyncio.CancelledError:
            if call.read_deadline is not None and call.read_deadline.uncancel():
                return self._mapped(call, TimeoutError())
            # aiohttp cancels what waits for a connection of a session that is closed. Nobody has cancelled the task.
            if not session.closed or call.deadline.is_task_cancelled:
                raise
            return self._mapped(call, aiohttp.ClientConnectionError())
        except Exception as error:
            return self._mapped(call, error)
        finally:
            if call.read_deadline is not None:
                self._read_deadlines.stop(call.read_deadline)

    async def _send_once(
        self, call: Call[T], request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Return the response. Raise ConnectionLostError instead of the errors after which aiohttp would send again.

        A middleware of one attempt. If a connection is lost before the response, aiohttp silently sends GET and DELETE
        again. A delete by name could then run twice. A delete by ID could get a 404 although it worked.
        """
        call.sent = False
        if isinstance(request, TrackedRequest):
            request.on_connected = partial(self._start_reading, call)
        elif call.request.is_write:
            close_idle_connections(request)
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            lost = ConnectionLostError(error)
        finally:
            call.sent = is_written(request)
        raise lost

    def _start_reading(self, call: Call[T]) -> None:
        """Start the read timeout, because the attempt has its connection."""
        # Once, because a timeout that is not stopped would cancel the task later.
        if call.read_deadline is None:
            call.read_deadline = self._read_deadlines.start(asyncio.get_running_loop())

    def _mapped(self, call: Call[T], error: Exception) -> NoReplyError:
        return map_transport_error(call.request.sent, error, call.sent, self._timeouts, self._route)

    async def _read(self, call: Call[T], response: aiohttp.ClientResponse) -> Response | ConnectError | PayloadError:
        if response.status == 407 and self._is_forwarded:
            response.close()
            return refused_by_proxy(call.request.sent, response.status, response.headers, self._route)
        is_error = response.status != 200
        limit = _MAX_ERROR_BODY if is_error else self._max_body
        is_compressed = hdrs.CONTENT_ENCODING in response.headers
        content = response.content
        body: Body = b""
        stop_watching = None if content.is_eof() else fail_when_closed(response)
        try:
            while True:
                # Most responses arrive as a whole, and need no restart.
                if call.read_deadline is not None and not content.is_eof():
                    self._read_deadlines.restart(call.read_deadline)
                chunk = await content.readany()
                if not body:
                    body = chunk
                else:
                    if type(body) is bytes:
                        body = bytearray(body)
                    body += chunk
                if len(body) > limit:
                    response.close()
                    if is_error:
                        return Response(response.status, response.headers, body[:limit])
                    return PayloadError(
                        f"{call.request.sent}: the response is larger than {limit} bytes; increase"
                        " PoolConfig(max_body=…)",
                        request=call.request.sent,
                    )
                if content.at_eof():
                    break
                if is_compressed:
                    # aiohttp has often decompressed the next part already. Then reading it lets no other task run.
                    await asyncio.sleep(0)
        except BaseException:
            response.close()
            raise
        finally:
            if stop_watching is not None:
                stop_watching()
        if not response.closed:
            # aiohttp releases a connection at the end of the body, except after a 101. Releasing it again took 3 µs.
            response.release()
        return Response(response.status, response.headers, body)


def _aiohttp_timeout_of(timeouts: Timeouts, *, owns_session: bool) -> aiohttp.ClientTimeout:
    """Return aiohttp's timeouts for one attempt.

    `connect` limits all that happens before the request is sent, but also the wait for a free connection of a session.
    So it is only used for the client's own session, where no call waits for one. In a user's session, `sock_connect`
    limits TCP and TLS for each address, and `sock_read` each wait for a byte, because nothing tells when an attempt has
    its connection.
    """
    # aiohttp rounds timeouts up, and can't round infinity.
    connect = None if timeouts.connect == math.inf else timeouts.connect
    if owns_session:
        return aiohttp.ClientTimeout(total=None, connect=connect)
    return aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=timeouts.read)
