"""aiohttp.web: a client that is opened and closed with the app, and responses to its errors.

    app = web.Application(middlewares=[dialler_errors])
    app.cleanup_ctx.append(dialler_context(DiallerClient.from_env))

    async def campaign(request: web.Request) -> web.Response:
        dialler = request.config_dict[DIALLER]
        return web.json_response((await dialler.campaigns.get(int(request.match_info["id"]))).wire)

    web.run_app(app, handler_cancellation=True)

With `handler_cancellation`, aiohttp cancels a handler when the browser closes the connection. The calls that the
handler awaits are cancelled, too, so protect writes by `asyncio.shield`. `dialler_async.contrib.error_responses` lists
the response to each error.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.http import WebSocketWriter

from ..client import DiallerClient
from ..errors import DiallerError
from .error_responses import logged_response_for, worst_error

_INTERNAL_ERROR: Final = 1011
"""Close code of a websocket after an error."""

DIALLER: Final = web.AppKey("DIALLER", DiallerClient)
"""The key of the app's client: `app[DIALLER]`, or `request.config_dict[DIALLER]`, which also works in nested apps."""


def dialler_context(make_client: Callable[[], DiallerClient]) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return a cleanup context that opens a client with the app, and closes it after the last request.

    Args:
        make_client: returns the client, such as `DiallerClient.from_env`; called when the app starts.
    Returns:
        an item for `app.cleanup_ctx`.
    """

    async def opened(app: web.Application) -> AsyncIterator[None]:
        async with make_client() as dialler:
            app[DIALLER] = dialler
            yield

    return opened


@web.middleware
async def dialler_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Return the handler's response, or the response to its error.

    An exception group, such as an `asyncio.TaskGroup` raises, gets the response to its worst error. An error in a
    websocket handler closes the websocket with code 1011, and with the text of the response as the reason.

    Raises:
        RuntimeError: the app has no client.
    """
    try:
        return await handler(request)
    except KeyError as error:
        if error.args != (DIALLER,):
            raise
        raise RuntimeError(
            "this app has no dialler client: app.cleanup_ctx.append(dialler_context(DiallerClient.from_env))"
        ) from error
    except (DiallerError, ExceptionGroup) as error:
        worst = worst_error(error)
        has_begun = request.writer.output_size > 0
        is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        # A stream that has begun can't get another response. aiohttp closes its connection.
        if worst is None or (has_begun and not is_websocket):
            raise
    response = logged_response_for(worst)
    if has_begun:
        return await _close_websocket(request, response.body["detail"])
    return web.json_response(response.body, status=response.status, headers=response.headers)


async def _close_websocket(request: web.Request, reason: str) -> web.StreamResponse:
    """Send a close frame, which a middleware can't send through the handler's `WebSocketResponse`."""
    transport = request.transport
    # The transport is closing if the browser or the handler has closed the websocket.
    if transport is not None and not transport.is_closing():
        await WebSocketWriter(request.protocol, transport).close(_INTERNAL_ERROR, reason.encode())
        transport.close()
    return _AlreadySent()


class _AlreadySent(web.StreamResponse):
    """A response of which nothing is left to send."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send no headers."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send no body."""
