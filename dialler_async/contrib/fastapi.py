"""FastAPI: a client that opens and closes with the app, a dependency for it, and responses to its errors.

    app = FastAPI(lifespan=lifespan(DiallerClient.from_env))
    add_error_handlers(app)

    @app.get("/campaigns/{id}")
    async def campaign(id: int, dialler: Dialler) -> dict[str, Any]:
        return dict((await dialler.campaigns.get(id)).wire)

For some attributes only, return the record itself and declare a pydantic model; FastAPI reads its attributes:

    class CampaignOut(BaseModel):
        id: int
        name: str

    @app.get("/campaigns/{id}", response_model=CampaignOut)
    async def campaign(id: int, dialler: Dialler) -> Campaign:
        return await dialler.campaigns.get(id)

A lifespan of the app's own includes it: `async with lifespan(DiallerClient.from_env)(app) as state: yield state`. Tests
replace the client: `app.dependency_overrides[get_dialler] = …`.

Needs the extra `fastapi`. `dialler_async.contrib.error_responses` lists the response to each error.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Annotated, Any, Final, TypedDict, cast

from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

from ..client import DiallerClient
from ..errors import DiallerError
from .error_responses import logged_response_for, worst_error

CLIENT_CLOSED_REQUEST: Final = 499
"""Status of a request whose client closed the connection. Nobody receives it; it stands in the app's log."""
_INTERNAL_ERROR: Final = 1011
"""Close code of a websocket."""


class State(TypedDict):
    """What the lifespan adds to the state of every request and websocket: `request.state.dialler`."""

    dialler: DiallerClient


def lifespan(make_client: Callable[[], DiallerClient]) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """Return a lifespan that opens a client with the app, and closes it after the last request.

    Args:
        make_client: makes the client, such as `DiallerClient.from_env`; called each time the app starts.
    Returns:
        A value for `FastAPI(lifespan=…)`.
    """

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[State]:
        async with make_client() as dialler:
            yield {"dialler": dialler}

    return opened


async def get_dialler(connection: HTTPConnection) -> AsyncGenerator[DiallerClient, None]:
    """Yield the app's client: the dependency behind `Dialler`, for `app.dependency_overrides`.

    Raises:
        RuntimeError: the app has no client, because its lifespan makes none.
    """
    dialler = getattr(connection.state, "dialler", None)
    if dialler is None:
        raise RuntimeError("this app has no dialler client: use FastAPI(lifespan=lifespan(DiallerClient.from_env))")
    if not isinstance(connection, Request) or connection.method not in ("GET", "HEAD"):
        yield dialler
        return
    # Read now: while the connection is watched, the handler's own `request.body()` would wait forever.
    await connection.body()
    async with _cancelled_on_disconnect(connection):
        yield dialler


# Scope "function" ends it before the response is sent: servers report a disconnect after a complete response.
Dialler = Annotated[DiallerClient, Depends(get_dialler, scope="function")]
"""The app's client, as a parameter of an HTTP or websocket handler: `dialler: Dialler`.

A GET (or HEAD) handler is cancelled when its client closes the connection, and with it the calls that it awaits;
servers alone don't do that. Handlers of other methods run to their end, so that no write is interrupted. A dependency
with `yield` that uses it must be a `Depends(…, scope="function")` itself.
"""


@asynccontextmanager
async def _cancelled_on_disconnect(request: Request) -> AsyncIterator[None]:
    handler = cast("asyncio.Task[None]", asyncio.current_task())
    cancels_before = handler.cancelling()
    disconnected = False

    async def watch() -> None:
        nonlocal disconnected
        while (await request.receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        handler.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        # If somebody else cancelled the handler as well, their cancellation goes on.
        if not disconnected or handler.cancelling() > cancels_before + 1:
            raise
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        if disconnected:
            handler.uncancel()
    if disconnected:
        raise HTTPException(CLIENT_CLOSED_REQUEST, "the client closed the connection")


def add_error_handlers(app: FastAPI) -> None:
    """Turn this library's errors into responses, for all handlers of the app.

    An exception group, such as a `TaskGroup` raises, counts as its worst error. In a websocket handler, an error closes
    the websocket with code 1011 and the text of the response as the reason.

    Args:
        app: the app. Its own handlers for single error classes, and for `ExceptionGroup`, have priority.
    """
    app.add_exception_handler(DiallerError, _respond)
    if ExceptionGroup not in app.exception_handlers:
        app.add_exception_handler(ExceptionGroup, _respond_to_group)


# Their first parameter is `Any`, since Starlette's types know no handler for both requests and websockets.
async def _respond(connection: Any, error: Exception) -> Any:
    response = logged_response_for(cast(DiallerError, error))
    if isinstance(connection, WebSocket):
        # The client may have closed it in the meantime.
        with suppress(WebSocketDisconnect, RuntimeError):
            await connection.close(_INTERNAL_ERROR, response.body["detail"])
        return None
    return JSONResponse(dict(response.body), response.status, dict(response.headers))


async def _respond_to_group(connection: Any, group: Exception) -> Any:
    worst = worst_error(group)
    if worst is None:
        raise group
    handlers = connection.app.exception_handlers
    handler = next((handlers[kind] for kind in type(worst).__mro__ if kind in handlers), _respond)
    if inspect.iscoroutinefunction(handler):
        return await handler(connection, worst)
    return await run_in_threadpool(handler, connection, worst)
