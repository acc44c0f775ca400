"""One attempt: a request and its response over the network.

An exception that is raised while another one is handled keeps that one as its context. aiohttp's exceptions hold the
request's headers, with the token, in attributes and in the local variables of their traceback. So failures are
returned here, not raised.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final, final

import aiohttp
from yarl import URL

from .._api import decoding
from .._api.endpoints import Request
from ..errors import Body, NoReplyError, PayloadError
from .connector import ConnectionLost, ResendGuard
from .pool import Pool
from .proxy import proxy_for
from .response import Response
from .timeouts import Timeouts
from .token import Token
from .transport_errors import map_transport_error

_NO_BODY: Final[Mapping[str, str]] = {}
_JSON_BODY: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_MAX_ERROR_BODY: Final = 64 * 1024
"""Bytes that are read of a response other than 200, after decompression. Its error text is short."""


@final
class Exchange:
    """Sends requests to one server with one token.

    Args:
        base_url: the client's base URL.
        token: the token to send.
        pool: the client's pool.
        timeouts: the timeouts of an attempt.
    """

    def __init__(self, base_url: str, token: Token, pool: Pool, timeouts: Timeouts) -> None:
        self._base = URL(base_url, encoded=True)
        self._base_path = self._base.raw_path.rstrip("/")
        self._server = f"{self._base.raw_host}:{self._base.port}"
        self._proxy = proxy_for(self._base, pool.config.proxy)
        self._token = token
        self._middlewares = pool.middlewares
        self._max_body = pool.config.max_body
        self._timeouts = timeouts
        self._timeouts_of_attempt = timeouts.of_attempt()

    def with_timeouts(self, timeouts: Timeouts) -> "Exchange":
        """Return a copy with other timeouts."""
        other = copy.copy(self)
        other._timeouts = timeouts
        other._timeouts_of_attempt = timeouts.of_attempt()
        return other

    async def attempt(
        self, request: Request[Any], headers: Mapping[str, str], session: aiohttp.ClientSession, guard: ResendGuard
    ) -> Response | NoReplyError | PayloadError:
        """Send a request once; return its response or its error.

        Args:
            request: the request.
            headers: the headers besides the token's.
            session: the session to send it with.
            guard: the guard of this attempt.
        """
        try:
            # One expression without local variables, which tools that record tracebacks show: the headers hold the
            # token, and a response shows its request's headers.
            return await self._read(
                request,
                await session.request(
                    request.method,
                    # Built from clean parts: parsing the URL would take three times as long.
                    URL.build(
                        scheme=self._base.scheme,
                        authority=self._base.raw_authority,
                        path=self._base_path + request.path,
                        query_string=request.query,
                        encoded=True,
                    ),
                    data=None if request.body is None else decoding.encode(request.body),
                    headers={**headers, **(_NO_BODY if request.body is None else _JSON_BODY), **self._token.headers},
                    allow_redirects=False,
                    raise_for_status=False,
                    proxy=self._proxy,
                    timeout=self._timeouts_of_attempt,
                    middlewares=(*self._middlewares, guard.send_once),
                ),
            )
        except (ConnectionLost, aiohttp.ClientError, OSError) as error:
            return map_transport_error(
                request.sent,
                error,
                guard.sent,
                connect=self._timeouts.connect,
                read=self._timeouts.read,
                server=self._server,
            )

    async def _read(self, request: Request[Any], response: aiohttp.ClientResponse) -> Response | PayloadError:
        is_error = response.status != 200
        limit = _MAX_ERROR_BODY if is_error else self._max_body
        body: Body = b""
        try:
            while piece := await response.content.readany():
                if not body:
                    body = piece
                else:
                    if type(body) is bytes:
                        body = bytearray(body)
                    body += piece
                if len(body) > limit:
                    response.close()
                    if is_error:
                        return Response(response.status, response.headers, body[:limit])
                    return PayloadError(
                        f"{request.sent}: the response is larger than PoolConfig(max_body={limit}) bytes",
                        request=request.sent,
                    )
        except BaseException:
            response.close()
            raise
        response.release()
        return Response(response.status, response.headers, body)
