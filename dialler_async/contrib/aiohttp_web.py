"""aiohttp.web: a client that opens and closes with the app, with fitting answers to its errors.

    app = web.Application(middlewares=[dialler_errors])
    app.cleanup_ctx.append(dialler_context(DiallerClient.from_env))

    async def campaign(request: web.Request) -> web.Response:
        dialler = request.config_dict[DIALLER]
        return web.json_response((await dialler.campaigns.get(int(request.match_info["id"]))).wire)

    web.run_app(app, handler_cancellation=True)

With `handler_cancellation` aiohttp cancels a handler, of whatever method, when its client hangs up, and with it the
calls that it waits for; around a write put `asyncio.shield`. See `dialler_async.contrib.error_answers` for what is
answered to which error.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web

from ..client import DiallerClient
from ..errors import DiallerError
from .error_answers import logged_answer_for

DIALLER: Final = web.AppKey("DIALLER", DiallerClient)
"""The app's client: `app[DIALLER]`; `request.config_dict[DIALLER]` finds it in apps nested below, too."""


def dialler_context(make_client: Callable[[], DiallerClient]) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that opens a client with the app, and closes it after the last request was answered.

    Args:
        make_client: makes the client, such as `DiallerClient.from_env`; called when the app starts.
    Returns:
        What `app.cleanup_ctx` takes.
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
    """A middleware that turns this library's errors into answers, in whatever handler they are raised."""
    try:
        return await handler(request)
    except DiallerError as error:
        answer = logged_answer_for(error)
    return web.json_response(answer.body, status=answer.status, headers=answer.headers)
