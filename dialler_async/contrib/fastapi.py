"""FastAPI: a client that opens and closes with the app, handed to handlers, with fitting answers to its errors.

    app = FastAPI(lifespan=lifespan(DiallerClient.from_env))
    add_error_handlers(app)

    @app.get("/campaigns/{id}")
    async def campaign(id: int, dialler: Dialler) -> dict[str, Any]:
        return (await dialler.campaigns.get(id)).wire

A lifespan of the app's own takes it in: `async with lifespan(DiallerClient.from_env)(app) as state: yield state`.
Needs the extra `fastapi`. See `dialler_async.contrib.error_answers` for what is answered to which error.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Final, TypedDict, cast

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from ..client import DiallerClient
from ..errors import DiallerError
from .error_answers import logged_answer_for

CLIENT_CLOSED_REQUEST: Final = 499
"""The status that nobody gets to see: the app's log shows it for a request whose client hung up."""


class State(TypedDict):
    """What the lifespan adds to the state of every request and websocket: `request.state.dialler`."""

    dialler: DiallerClient


def lifespan(make_client: Callable[[], DiallerClient]) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """A lifespan that opens a client with the app, and closes it after the last request was answered.

    Args:
        make_client: makes the client, such as `DiallerClient.from_env`; called each time that the app starts.
    Returns:
        What `FastAPI(lifespan=…)` takes.
    """

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[State]:
        async with make_client() as dialler:
            yield {"dialler": dialler}

    return opened


async def _dialler(request: Request) -> AsyncGenerator[DiallerClient, None]:
    dialler = getattr(request.state, "dialler", None)
    if dialler is None:
        raise RuntimeError("this app has no dialler client: FastAPI(lifespan=lifespan(DiallerClient.from_env))")
    if request.method not in ("GET", "HEAD"):
        yield dialler
        return
    # The handler's own `request.body()` finds it kept; behind the one who watches it would wait forever.
    await request.body()
    async with _while_connected(request):
        yield dialler


# Over before the response is sent: to a server, a request whose response is complete is as good as hung up.
Dialler = Annotated[DiallerClient, Depends(_dialler, scope="function")]
"""The app's client, as a parameter of a handler: `dialler: Dialler`.

A GET (or HEAD) handler is cancelled when the app's client hangs up before it returned, and with it the calls that it
waits for; servers alone do not do that. Handlers of other methods run to their end: a write is better carried out than
broken off somewhere. A dependency with `yield` that takes it is to be a `Depends(…, scope="function")` itself.
"""


@asynccontextmanager
async def _while_connected(request: Request) -> AsyncIterator[None]:
    """Cancels what is inside when the client hangs up."""
    handler = cast("asyncio.Task[None]", asyncio.current_task())
    cancels_before = handler.cancelling()
    hung_up = False

    async def watch() -> None:
        nonlocal hung_up
        while (await request.receive())["type"] != "http.disconnect":
            pass
        hung_up = True
        handler.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        # Cancelled by somebody else as well: theirs goes on.
        if not hung_up or handler.cancelling() > cancels_before + 1:
            raise
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        if hung_up:
            handler.uncancel()
    if hung_up:
        raise HTTPException(CLIENT_CLOSED_REQUEST, "the client hung up")


def add_error_handlers(app: FastAPI) -> None:
    """Turns this library's errors into answers, in whatever handler of the app they are raised.

    Args:
        app: the app; its own handlers of single error classes go before.
    """
    app.add_exception_handler(DiallerError, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    answer = logged_answer_for(cast(DiallerError, error))
    return JSONResponse(dict(answer.body), answer.status, dict(answer.headers))
