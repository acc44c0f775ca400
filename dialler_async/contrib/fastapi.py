"""FastAPI: a client that is opened and closed with the app, a dependency for it, and responses to its errors.

    app = FastAPI(lifespan=lifespan(DiallerClient.from_env))
    add_error_handlers(app)

    @app.get("/campaigns/{id}")
    async def campaign(id: int, dialler: Dialler) -> Campaign:
        return await dialler.campaigns.get(id)

`-> Campaign`, `-> Records[Campaign]` and `-> list[ResultCode]` send the attributes, and OpenAPI describes them. To send
the server's own keys, return `campaign.wire`. To send some attributes only, declare a pydantic model:

    class CampaignOut(BaseModel):
        id: int
        name: str

    @app.get("/campaigns/{id}", response_model=CampaignOut)

An app with its own lifespan enters this lifespan inside its own:
`async with lifespan(DiallerClient.from_env)(app) as state: yield state`. Tests replace the client:
`app.dependency_overrides[get_dialler] = …`.

This module needs the extra `fastapi`. `dialler_async.contrib.error_responses` lists the response to each error.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Annotated, Any, Final, TypedDict, cast

from .._extras import needs_extra

try:
    from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
    from fastapi.concurrency import run_in_threadpool
    from fastapi.requests import HTTPConnection
    from fastapi.responses import JSONResponse
except ModuleNotFoundError as _error:
    if _error.name != "fastapi":
        raise
    raise ModuleNotFoundError(needs_extra(__name__, "fastapi"), name=_error.name) from None

from ..client import DiallerClient
from ..errors import DiallerError
from .error_responses import logged_response_for, worst_error

CLIENT_CLOSED_REQUEST: Final = 499
"""Status for a request whose client closed the connection. The status appears only in the app's log."""
_INTERNAL_ERROR: Final = 1011
"""Close code of a websocket after an error."""


class State(TypedDict):
    """The state that the lifespan adds to every request and websocket: `request.state.dialler`."""

    dialler: DiallerClient


def lifespan(make_client: Callable[[], DiallerClient]) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """Return a lifespan that opens a client with the app, and closes it after the last request.

    Args:
        make_client: returns the client, such as `DiallerClient.from_env`; called each time the app starts.
    Returns:
        a value for `FastAPI(lifespan=…)`.
    """

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[State]:
        async with make_client() as dialler:
            yield {"dialler": dialler}

    return opened


async def get_dialler(connection: HTTPConnection) -> AsyncGenerator[DiallerClient, None]:
    """Yield the app's client. `Dialler` depends on this function, and tests can override it.

    Raises:
        RuntimeError: the app's lifespan did not open a client.
    """
    dialler = getattr(connection.state, "dialler", None)
    if dialler is None:
        raise RuntimeError("this app has no dialler client: use FastAPI(lifespan=lifespan(DiallerClient.from_env))")
    if not isinstance(connection, Request) or connection.method not in ("GET", "HEAD"):
        yield dialler
        return
    # The request caches its body here. Otherwise, `_cancelled_on_disconnect` would receive the body, and
    # `request.body()` in the handler would wait forever.
    await connection.body()
    async with _cancelled_on_disconnect(connection):
        yield dialler


# With scope "function", the dependency ends before the response is sent. Servers also report a disconnect after they
# have sent a complete response.
Dialler = Annotated[DiallerClient, Depends(get_dialler, scope="function")]
"""The app's client, as a parameter of an HTTP or websocket handler: `dialler: Dialler`.

When the browser closes the connection, a GET or HEAD handler is cancelled, together with the calls that it awaits.
Servers do not cancel handlers themselves. Handlers of other methods run to their end, so that no write is interrupted.
A dependency with `yield` that uses `Dialler` must also be a `Depends(…, scope="function")`.
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
        # If something else cancelled the handler, too, that cancellation is raised.
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
    """Add exception handlers that respond to this library's errors.

    An exception group, such as a `TaskGroup` raises, gets the response to its worst error. An error in a websocket
    handler closes the websocket with code 1011, and with the text of the response as the reason.

    Args:
        app: the app. Its own exception handlers for single error classes, or for `ExceptionGroup`, take precedence.
    """
    app.add_exception_handler(DiallerError, _respond)
    if ExceptionGroup not in app.exception_handlers:
        app.add_exception_handler(ExceptionGroup, _respond_to_group)


# The parameter `connection` is `Any`, because Starlette has no type for a handler of both requests and websockets.
async def _respond(connection: Any, error: Exception) -> Any:
    response = logged_response_for(cast(DiallerError, error))
    if isinstance(connection, WebSocket):
        # Raised if the browser has already closed the websocket.
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
