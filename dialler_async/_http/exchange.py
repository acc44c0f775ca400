"""One attempt: send a request over the network and read its response.

This module returns errors and does not raise them. An exception that is raised while another exception is handled keeps
the other exception as its context. aiohttp's exceptions hold the token, in the request's headers and in the local
variables of their tracebacks.
"""

import asyncio
import copy
import math
from collections.abc import Mapping
from typing import Any, Final, final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from .._api import decoding
from .._api.endpoints import Request
from ..config import Timeouts
from ..errors import Body, ConfigurationError, ConnectError, NoReplyError, PayloadError
from .connector import ResendGuard
from .deadlines import Deadlines
from .pool import Pool
from .read_timeout import ReadTimeout
from .response import Response
from .tls import tls_hints
from .token import Token
from .transport_errors import ConnectionLost, Route, map_transport_error, refused_by_proxy
from .urls import proxy_for

_NO_HEADERS: Final[Mapping[str, str]] = {}
_JSON_BODY: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_MAX_ERROR_BODY: Final = 64 * 1024
"""Maximum number of bytes that are read of an error response, after decompression. Error texts are short."""


@final
class Exchange:
    """The sender of requests to one server with one token.

    Args:
        base_url: the client's base URL.
        token: the token to send.
        pool: the client's pool.
        timeouts: the timeouts of an attempt.
    """

    def __init__(self, base_url: str, token: Token, pool: Pool, timeouts: Timeouts) -> None:
        self._base = URL(base_url, encoded=True)
        self._base_path = self._base.raw_path.rstrip("/")
        proxy = proxy_for(self._base, pool.config.proxy)
        if isinstance(proxy, ConfigurationError):
            raise proxy
        if proxy is not None and proxy.headers:
            token.secrets.add_credentials(proxy.user, proxy.password)
        self._proxy = None if proxy is None else proxy.url
        credentials = _NO_HEADERS if proxy is None else proxy.headers
        is_tunnel = self._base.scheme == "https"
        # A proxy gets its credentials with the CONNECT for a tunnel, otherwise with each request.
        self._connect_headers = credentials if is_tunnel else _NO_HEADERS
        self._proxy_headers = _NO_HEADERS if is_tunnel else credentials
        self._is_forwarded = proxy is not None and not is_tunnel
        self._route = Route(server=self._base, proxy=self._proxy, hints=tls_hints(pool.config, pool.owns_session))
        self._token = token
        self._middlewares = pool.middlewares
        self._max_body = pool.config.max_body
        self._owns_session = pool.owns_session
        self._timeouts = timeouts
        self._aiohttp_timeout = _aiohttp_timeout_of(timeouts, owns_session=self._owns_session)
        self._read_deadlines = Deadlines(timeouts.read, reads_first=True)

    def with_timeouts(self, timeouts: Timeouts) -> "Exchange":
        """Return a copy with other timeouts."""
        other = copy.copy(self)
        other._timeouts = timeouts
        other._aiohttp_timeout = _aiohttp_timeout_of(timeouts, owns_session=self._owns_session)
        other._read_deadlines = Deadlines(timeouts.read, is_short_lived=True, reads_first=True)
        return other

    async def attempt(
        self, request: Request[Any], headers: Mapping[str, str], session: aiohttp.ClientSession, guard: ResendGuard
    ) -> Response | NoReplyError | PayloadError:
        """Send a request once; return its response or its error.

        Args:
            request: the request.
            headers: the headers without the `Authorization` header.
            session: the session to send the request with.
            guard: the guard of this attempt.
        """
        timeout = ReadTimeout(self._read_deadlines)
        guard.on_connected = timeout.start
        try:
            # One expression without local variables: tools that record tracebacks show local variables, and both the
            # headers and aiohttp's response contain the token.
            return await self._read(
                request,
                timeout,
                await session.request(
                    request.sent.method,
                    # Built from encoded parts, since parsing a URL takes three times as long.
                    URL.build(
                        scheme=self._base.scheme,
                        authority=self._base.raw_authority,
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
                    middlewares=(*self._middlewares, guard.send_once),
                ),
            )
        except asyncio.CancelledError:
            if not timeout.caused_cancellation():
                raise
            return self._mapped(request, TimeoutError(), guard)
        except (ConnectionLost, aiohttp.ClientError, OSError) as error:
            return self._mapped(request, error, guard)
        finally:
            timeout.stop()

    def _mapped(self, request: Request[Any], error: Exception, guard: ResendGuard) -> NoReplyError:
        return map_transport_error(request.sent, error, guard.sent, self._timeouts, self._route)

    async def _read(
        self, request: Request[Any], timeout: ReadTimeout, response: aiohttp.ClientResponse
    ) -> Response | ConnectError | PayloadError:
        if response.status == 407 and self._is_forwarded:
            response.close()
            return refused_by_proxy(request.sent, response.status, response.headers, self._route)
        is_error = response.status != 200
        limit = _MAX_ERROR_BODY if is_error else self._max_body
        is_compressed = hdrs.CONTENT_ENCODING in response.headers
        body: Body = b""
        try:
            while True:
                # Most responses arrive as a whole, and need no restart.
                if not response.content.is_eof():
                    timeout.restart()
                if not (chunk := await response.content.readany()):
                    break
                if not body:
                    body = chunk
                else:
                    if type(body) is bytes:
                        body = bytearray(body)
                    body += chunk
                if is_compressed:
                    # aiohttp has often decompressed the next part already. Then reading it lets no other task run.
                    await asyncio.sleep(0)
                if len(body) > limit:
                    response.close()
                    if is_error:
                        return Response(response.status, response.headers, body[:limit])
                    return PayloadError(
                        f"{request.sent}: the response is larger than {limit} bytes; increase PoolConfig(max_body=…)",
                        request=request.sent,
                    )
        except BaseException:
            response.close()
            raise
        response.release()
        return Response(response.status, response.headers, body)


def _aiohttp_timeout_of(timeouts: Timeouts, *, owns_session: bool) -> aiohttp.ClientTimeout:
    """Return aiohttp's timeouts for one attempt.

    `connect` limits all that happens before the request is sent: DNS, all addresses of the host, the proxy and TLS.
    But it also limits the wait for a free connection of a session, so it is only used for the client's own session,
    where no call waits for one. In a user's session, `sock_connect` limits TCP and TLS for each address, and
    `sock_read` each wait for a byte, since nothing tells when an attempt has its connection.
    """
    # aiohttp rounds timeouts up, and can't round infinity.
    connect = None if timeouts.connect == math.inf else timeouts.connect
    if owns_session:
        return aiohttp.ClientTimeout(total=None, connect=connect)
    return aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=timeouts.read)
