"""The client in web apps that uvicorn and aiohttp serve over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from dialler_async import Campaign, ClientStateError, DiallerClient, NotFoundError, PoolConfig, Records, RetryPolicy
from dialler_async.contrib import aiohttp_web
from dialler_async.contrib import fastapi as contrib_fastapi
from dialler_async.contrib.aiohttp_web import DIALLER
from dialler_async.contrib.fastapi import Dialler
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Reset, Status
from dialler_async.testing import make_campaign

LIMIT = 8


Make = Callable[[], DiallerClient]
Serve = Callable[[Make], AbstractAsyncContextManager[Any]]
ServeByUvicorn = Callable[..., AbstractAsyncContextManager[Any]]
ServeByAiohttp = Callable[[web.Application], AbstractAsyncContextManager[Any]]


async def names(ids: str, dialler: DiallerClient) -> list[str]:
    """Return the names of campaigns, fetched in a `TaskGroup`. An ID that is not a number raises ValueError."""

    async def name(id: str) -> str:
        return (await dialler.campaigns.get(int(id))).name

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(name(id)) for id in ids.split(",")]
    return [task.result() for task in tasks]


def fastapi_app(make: Make) -> FastAPI:
    app = FastAPI(lifespan=contrib_fastapi.lifespan(make))
    contrib_fastapi.add_error_handlers(app)

    @app.get("/campaigns/{id}")
    async def get(id: int, dialler: Dialler) -> str:
        return (await dialler.campaigns.get(id)).name

    @app.get("/echo/{id}")
    async def echo(id: int, dialler: Dialler, request: Request) -> str:
        return (await request.body()).decode() + (await dialler.campaigns.get(id)).name

    @app.delete("/campaigns/{id}")
    async def delete(id: int, dialler: Dialler) -> None:
        await dialler.campaigns.delete(id)

    @app.get("/all/{ids}")
    async def all_of(ids: str, dialler: Dialler) -> list[str]:
        return await names(ids, dialler)

    @app.get("/later/{id}")
    async def later(id: int, dialler: Dialler, tasks: BackgroundTasks) -> None:
        tasks.add_task(dialler.campaigns.delete, id)

    return app


def fastapi_below_a_middleware(make: Make) -> FastAPI:
    """Return an app with a function middleware: Starlette runs the app in another task, with another `receive`."""
    app = fastapi_app(make)

    @app.middleware("http")
    async def nothing(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    return app


def aiohttp_app(make: Make) -> web.Application:
    async def get(request: web.Request) -> web.Response:
        campaign = await request.config_dict[DIALLER].campaigns.get(int(request.match_info["id"]))
        return web.json_response(campaign.name)

    async def delete(request: web.Request) -> web.Response:
        await asyncio.shield(request.config_dict[DIALLER].campaigns.delete(int(request.match_info["id"])))
        return web.json_response(None)

    async def all_of(request: web.Request) -> web.Response:
        return web.json_response(await names(request.match_info["ids"], request.config_dict[DIALLER]))

    nested = web.Application()
    nested.router.add_get("/{id}", get)
    nested.router.add_delete("/{id}", delete)
    app = web.Application(middlewares=[aiohttp_web.dialler_errors])
    app.cleanup_ctx.append(aiohttp_web.dialler_context(make))
    app.add_subapp("/campaigns", nested)
    app.router.add_get("/all/{ids}", all_of)
    return app


@pytest.fixture
def servers(serve_by_uvicorn: Any, serve_by_aiohttp: Any) -> dict[str, Serve]:
    """Return the functions that serve an app, by framework."""
    return {
        "fastapi": lambda make: serve_by_uvicorn(fastapi_app(make)),
        "fastapi below a middleware": lambda make: serve_by_uvicorn(fastapi_below_a_middleware(make)),
        "aiohttp": lambda make: serve_by_aiohttp(aiohttp_app(make)),
    }


@pytest.fixture(params=["fastapi", "fastapi below a middleware", "aiohttp"])
def serve(request: pytest.FixtureRequest, servers: dict[str, Serve]) -> Serve:
    """Return a function that serves an app, for each framework in turn."""
    return servers[request.param]


@pytest.fixture
def make(sandbox: Sandbox) -> Make:
    return lambda: DiallerClient(
        sandbox.base_url, sandbox.token, pool=PoolConfig(limit=LIMIT), retry=RetryPolicy(attempts=1)
    )


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
def id(sandbox: Sandbox) -> int:
    return next(iter(sandbox.campaigns))


@pytest.mark.slow
async def test_200_concurrent_requests_share_one_pool(
    serve: Serve, make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession
) -> None:
    ids = [id for id in sandbox.campaigns for _ in range(40)]

    async def name(app: Any, id: int) -> str:
        async with browser.get(f"{app.url}/campaigns/{id}") as response:
            assert response.status == 200
            return await response.json()

    async with serve(make) as app:
        names = await asyncio.gather(*(name(app, id) for id in ids))
    assert names == [sandbox.campaigns[id]["Name"] for id in ids]
    assert sandbox.connections.opened <= LIMIT


async def test_client_closes_with_the_app_after_the_last_request(
    serve: Serve, make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int, hold: Callable[..., Any]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    clients: list[DiallerClient] = []

    def make_and_record() -> DiallerClient:
        clients.append(make())
        return clients[0]

    async with serve(make_and_record) as app:
        request_task = asyncio.create_task(browser.get(f"{app.url}/campaigns/{id}"))
        await held.arrived.wait()
        stopped = app.stop()
        held.release.set()
        response = await request_task
        assert response.status == 200
        assert await response.json() == sandbox.campaigns[id]["Name"]
        await stopped
    with pytest.raises(ClientStateError):
        await clients[0].campaigns.get(id)


async def test_disconnect_cancels_the_call_to_the_dialler(
    serve: Serve,
    make: Make,
    sandbox: Sandbox,
    browser: aiohttp.ClientSession,
    id: int,
    caplog: pytest.LogCaptureFixture,
    hold: Callable[..., Any],
) -> None:
    held = hold()
    sandbox.faults.next(held)
    async with serve(make) as app:
        request_task = asyncio.create_task(browser.get(f"{app.url}/campaigns/{id}"))
        await held.arrived.wait()
        request_task.cancel()
        await held.hung_up.wait()
        assert not sandbox.journal[0].carried_out
        async with browser.get(f"{app.url}/campaigns/{id}") as response:
            assert response.status == 200
    assert not [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


async def test_write_runs_to_its_end_after_a_disconnect(
    serve: Serve, make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int, hold: Callable[..., Any]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    async with serve(make) as app:
        request_task = asyncio.create_task(browser.delete(f"{app.url}/campaigns/{id}"))
        await held.arrived.wait()
        request_task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request_task
        # After another response, the app knows that the client of the first request has disconnected.
        async with browser.get(f"{app.url}/campaigns/{id}") as response:
            assert response.status == 200
        held.release.set()
        await app.stop()
    assert sandbox.journal[0].carried_out
    assert id not in sandbox.campaigns


async def test_each_error_gets_its_response(
    serve: Serve, make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int
) -> None:
    async def response_to(id: int = id) -> tuple[int, str | None, Any]:
        async with browser.get(f"{app.url}/campaigns/{id}") as response:
            assert "WWW-Authenticate" not in response.headers
            return response.status, response.headers.get("Retry-After"), await response.json()

    unreachable = {"detail": "The dialler is unavailable. Try again later."}
    async with serve(make) as app:
        assert await response_to(404404) == (404, None, {"detail": "The record does not exist in the dialler."})
        assert await response_to(0) == (400, None, {"detail": "The request to the dialler is invalid."})
        sandbox.faults.next(Reset(), Status(500), Status(503, retry_after=7), Status(429, retry_after=100))
        assert await response_to() == (503, None, unreachable)
        assert await response_to() == (503, None, unreachable)
        assert await response_to() == (503, "7", unreachable)
        assert await response_to() == (503, "100", unreachable)
        sandbox.revoke()
        assert await response_to() == (502, None, {"detail": "The dialler sent an unusable response."})


async def test_task_group_gets_the_response_of_its_worst_error(
    serve: Serve, make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int
) -> None:
    async def response(ids: str) -> tuple[int, str | None]:
        async with browser.get(f"{app.url}/all/{ids}") as response:
            return response.status, response.headers.get("Retry-After")

    async with serve(make) as app:
        assert await response(f"{id}") == (200, None)
        assert await response(f"{id},404404") == (404, None)
        # Both calls fail before anything is sent, so no call is cancelled.
        assert await response("0,0") == (400, None)
        sandbox.faults.next(Status(503, retry_after=7))
        assert await response(f"{id}") == (503, "7")
        sandbox.revoke()
        assert await response(f"{id},404404") == (502, None)


async def test_group_with_an_error_of_the_app_is_a_500(
    serve: Serve, make: Make, browser: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(make) as app, browser.get(f"{app.url}/all/0,x") as response:
        assert response.status == 500
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("blocking", [False, True])
async def test_exception_handlers_of_the_app_take_precedence_also_for_groups(
    make: Make, browser: aiohttp.ClientSession, blocking: bool, serve_by_uvicorn: ServeByUvicorn
) -> None:
    app = fastapi_app(make)

    async def teapot(request: Request, error: NotFoundError) -> JSONResponse:
        return JSONResponse({}, 418)

    def blocking_teapot(request: Request, error: NotFoundError) -> JSONResponse:
        return JSONResponse({}, 418)

    app.exception_handler(NotFoundError)(blocking_teapot if blocking else teapot)
    async with serve_by_uvicorn(app) as served:
        for path in ("campaigns/404404", "all/404404", "all/404404,404405"):
            async with browser.get(f"{served.url}/{path}") as response:
                assert response.status == 418
        async with browser.get(f"{served.url}/all/0") as response:
            assert response.status == 400


async def test_group_handler_of_the_app_is_kept(
    make: Make, browser: aiohttp.ClientSession, serve_by_uvicorn: ServeByUvicorn
) -> None:
    app = FastAPI(lifespan=contrib_fastapi.lifespan(make))

    @app.exception_handler(ExceptionGroup)
    async def teapot(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({}, 418)

    contrib_fastapi.add_error_handlers(app)

    @app.get("/")
    async def get(dialler: Dialler) -> list[str]:
        return await names("404404", dialler)

    async with serve_by_uvicorn(app) as served, browser.get(served.url) as response:
        assert response.status == 418


def with_websockets(make: Make) -> FastAPI:
    app = fastapi_app(make)

    @app.websocket("/names")
    async def names_of(websocket: WebSocket, dialler: Dialler) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text((await dialler.campaigns.get(int(text))).name)

    @app.websocket("/group")
    async def group(websocket: WebSocket, dialler: Dialler) -> None:
        await websocket.accept()
        await names("404404", dialler)

    @app.websocket("/early")
    async def early(websocket: WebSocket, dialler: Dialler) -> None:
        await dialler.campaigns.get(404404)

    return app


async def test_dependency_works_in_websockets(
    make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int, serve_by_uvicorn: ServeByUvicorn
) -> None:
    async with serve_by_uvicorn(with_websockets(make)) as app, browser.ws_connect(f"{app.url}/names") as websocket:
        for _ in range(2):
            await websocket.send_str(str(id))
            assert await websocket.receive_str(timeout=10) == sandbox.campaigns[id]["Name"]
    assert sandbox.connections.opened == 1


@pytest.mark.parametrize("path", ["names", "group"])
async def test_error_closes_the_websocket_with_the_text_of_the_response(
    make: Make,
    browser: aiohttp.ClientSession,
    path: str,
    caplog: pytest.LogCaptureFixture,
    serve_by_uvicorn: ServeByUvicorn,
) -> None:
    async with serve_by_uvicorn(with_websockets(make)) as app, browser.ws_connect(f"{app.url}/{path}") as websocket:
        await websocket.send_str("404404")
        closed = await websocket.receive(timeout=10)
        assert (closed.data, closed.extra) == (1011, "The record does not exist in the dialler.")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_error_before_a_websocket_is_accepted_rejects_it(
    make: Make, browser: aiohttp.ClientSession, serve_by_uvicorn: ServeByUvicorn
) -> None:
    async with serve_by_uvicorn(with_websockets(make)) as app:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await browser.ws_connect(f"{app.url}/early")
    assert raised.value.status == 403


async def test_error_after_the_websocket_is_closed_raises_no_second_error(
    make: Make,
    sandbox: Sandbox,
    browser: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
    serve_by_uvicorn: ServeByUvicorn,
    hold: Callable[..., Any],
) -> None:
    held = hold()
    sandbox.faults.next(held)
    async with serve_by_uvicorn(with_websockets(make)) as app:
        async with browser.ws_connect(f"{app.url}/names") as websocket:
            await websocket.send_str("404404")
            await held.arrived.wait()
        held.release.set()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


class CampaignOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    dt_to: datetime | None


async def test_handlers_can_return_records_and_pydantic_models(
    make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int, serve_by_uvicorn: ServeByUvicorn
) -> None:
    app = FastAPI(lifespan=contrib_fastapi.lifespan(make))

    @app.get("/wire")
    async def wire(dialler: Dialler) -> dict[str, Any]:
        return dict((await dialler.campaigns.get(id)).wire)

    @app.get("/model", response_model=CampaignOut)
    async def model(dialler: Dialler) -> Campaign:
        return await dialler.campaigns.get(id)

    @app.get("/list", response_model=list[CampaignOut])
    async def all_of(dialler: Dialler) -> Records[Campaign]:
        return await dialler.campaigns.list()

    async with serve_by_uvicorn(app) as served:
        async with browser.get(f"{served.url}/wire") as response:
            assert await response.json() == sandbox.campaigns[id]
        async with browser.get(f"{served.url}/model") as response:
            record = sandbox.campaigns[id]
            assert await response.json() == {"id": id, "name": record["Name"], "dt_to": record["dtTo"]}
        async with browser.get(f"{served.url}/list") as response:
            assert {one["id"] for one in await response.json()} == set(sandbox.campaigns)
    assert CampaignOut.model_validate(make_campaign(id=7, name="x")) == CampaignOut(id=7, name="x", dt_to=None)


@pytest.mark.parametrize("body", [b"", b"a body"])
@pytest.mark.parametrize("serving", ["fastapi", "fastapi below a middleware"])
async def test_handler_can_read_the_body_of_a_get(
    make: Make,
    sandbox: Sandbox,
    browser: aiohttp.ClientSession,
    id: int,
    serving: str,
    body: bytes,
    servers: dict[str, Serve],
) -> None:
    async with servers[serving](make) as app, browser.get(f"{app.url}/echo/{id}", data=body) as response:
        assert await asyncio.wait_for(response.json(), 10) == body.decode() + sandbox.campaigns[id]["Name"]


async def test_only_a_disconnect_cancels_the_handler(make: Make, sandbox: Sandbox, id: int) -> None:
    """This server sends the end of the request twice, unlike uvicorn."""
    incoming = [{"type": "http.request"}, {"type": "http.request"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop() if incoming else await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": f"/campaigns/{id}", "query_string": b"", "headers": []}
    async with make() as dialler:
        await fastapi_app(make)({**scope, "state": {"dialler": dialler}}, receive, send)
    assert sent[0]["status"] == 200
    assert not incoming


async def test_background_task_outlives_its_request(
    make: Make,
    sandbox: Sandbox,
    browser: aiohttp.ClientSession,
    id: int,
    hold: Callable[..., Any],
    serve_by_uvicorn: ServeByUvicorn,
) -> None:
    held = hold()
    sandbox.faults.next(held)
    async with serve_by_uvicorn(fastapi_app(make)) as app:
        async with browser.get(f"{app.url}/later/{id}") as response:
            assert response.status == 200
        await held.arrived.wait()
        held.release.set()
    assert sandbox.journal[0].carried_out


async def test_app_without_the_lifespan_raises_with_advice(
    browser: aiohttp.ClientSession, serve_by_uvicorn: ServeByUvicorn
) -> None:
    app = FastAPI()

    @app.get("/")
    async def get(dialler: Dialler) -> None: ...

    message = ""

    @app.exception_handler(RuntimeError)
    async def record(request: Request, error: RuntimeError) -> Any:
        nonlocal message
        message = str(error)
        return contrib_fastapi.JSONResponse({}, 500)

    async with serve_by_uvicorn(app) as served, browser.get(served.url) as response:
        assert response.status == 500
    assert message.startswith("this app has no dialler client: use FastAPI(lifespan=")


async def test_app_can_start_again_with_a_new_client(
    make: Make, browser: aiohttp.ClientSession, id: int, serve_by_uvicorn: ServeByUvicorn
) -> None:
    app = fastapi_app(make)
    for _ in range(2):
        async with serve_by_uvicorn(app) as served, browser.get(f"{served.url}/campaigns/{id}") as response:
            assert response.status == 200


async def test_server_shutdown_cancels_the_call_to_the_dialler(
    make: Make,
    sandbox: Sandbox,
    browser: aiohttp.ClientSession,
    id: int,
    caplog: pytest.LogCaptureFixture,
    hold: Callable[..., Any],
    serve_by_uvicorn: ServeByUvicorn,
) -> None:
    held = hold()
    sandbox.faults.next(held)
    async with serve_by_uvicorn(fastapi_app(make), timeout_graceful_shutdown=0) as app:
        request_task = asyncio.create_task(browser.get(f"{app.url}/campaigns/{id}"))
        await held.arrived.wait()
        app.stop()
        await held.hung_up.wait()
        with pytest.raises(aiohttp.ClientError):
            (await request_task).raise_for_status()
    # uvicorn gets its own cancellation back and logs it, as for handlers without the dependency.
    logged = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert logged == [asyncio.CancelledError]


def aiohttp_app_of(make: Make, handler: Any) -> web.Application:
    app = web.Application(middlewares=[aiohttp_web.dialler_errors])
    app.cleanup_ctx.append(aiohttp_web.dialler_context(make))
    app.router.add_get("/", handler)
    return app


async def test_error_after_a_stream_has_begun_is_not_written_into_it(
    make: Make, browser: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, serve_by_aiohttp: ServeByAiohttp
) -> None:
    async def begin(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await request.app[DIALLER].campaigns.get(404404)
        return response

    async with serve_by_aiohttp(aiohttp_app_of(make, begin)) as served, browser.get(served.url) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await asyncio.wait_for(response.read(), 10)
    assert "NotFoundError" in caplog.text


@pytest.mark.parametrize("compress", [0, 15])
async def test_error_closes_a_websocket_of_aiohttp_with_the_text_of_the_response(
    make: Make,
    browser: aiohttp.ClientSession,
    compress: int,
    caplog: pytest.LogCaptureFixture,
    serve_by_aiohttp: ServeByAiohttp,
) -> None:
    async def echo_once(request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str(await websocket.receive_str())
        await request.app[DIALLER].campaigns.get(404404)
        return websocket

    async with (
        serve_by_aiohttp(aiohttp_app_of(make, echo_once)) as served,
        browser.ws_connect(served.url, compress=compress) as websocket,
    ):
        await websocket.send_str("hello")
        assert await websocket.receive_str(timeout=10) == "hello"
        closed = await websocket.receive(timeout=10)
        assert (closed.data, closed.extra) == (1011, "The record does not exist in the dialler.")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_error_after_the_handler_closed_its_websocket_sends_nothing_more(
    make: Make, browser: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, serve_by_aiohttp: ServeByAiohttp
) -> None:
    async def close(request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.close(code=4000)
        await request.app[DIALLER].campaigns.get(404404)
        return websocket

    async with (
        serve_by_aiohttp(aiohttp_app_of(make, close)) as served,
        browser.ws_connect(served.url) as websocket,
    ):
        assert (await websocket.receive(timeout=10)).data == 4000
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_aiohttp_app_without_the_cleanup_context_raises_with_advice(
    browser: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, serve_by_aiohttp: ServeByAiohttp
) -> None:
    async def with_client(request: web.Request) -> web.Response:
        return web.json_response(request.config_dict[DIALLER].base_url)

    async def with_own_key_error(request: web.Request) -> web.Response:
        raise KeyError("own")

    app = web.Application(middlewares=[aiohttp_web.dialler_errors])
    app.router.add_get("/", with_client)
    app.router.add_get("/own", with_own_key_error)
    async with serve_by_aiohttp(app) as served:
        for path, message in (("/", "app.cleanup_ctx.append(dialler_context("), ("/own", "KeyError: 'own'")):
            async with browser.get(served.url + path) as response:
                assert response.status == 500
            assert message in caplog.text


async def call_with_text(dialler: DiallerClient) -> None:
    await dialler.campaigns.get("535")  # type: ignore[arg-type]  the mistake that is tested


async def call_in_another_loop(dialler: DiallerClient) -> None:
    await dialler.ping()
    await asyncio.to_thread(asyncio.run, dialler.ping())


@pytest.mark.parametrize(
    ("mistake", "text"), [(call_with_text, "an int, not str"), (call_in_another_loop, "another event loop")]
)
@pytest.mark.parametrize("framework", ["fastapi", "aiohttp"])
async def test_mistake_in_the_app_is_a_500_with_its_text_in_the_log(
    make: Make,
    browser: aiohttp.ClientSession,
    framework: str,
    mistake: Callable[[DiallerClient], Awaitable[None]],
    text: str,
    caplog: pytest.LogCaptureFixture,
    serve_by_uvicorn: ServeByUvicorn,
    serve_by_aiohttp: ServeByAiohttp,
) -> None:
    async def handler(request: web.Request) -> web.Response:
        await mistake(request.app[DIALLER])
        return web.json_response(None)

    app = fastapi_app(make)

    @app.get("/")
    async def get(dialler: Dialler) -> None:
        await mistake(dialler)

    server = serve_by_uvicorn(app) if framework == "fastapi" else serve_by_aiohttp(aiohttp_app_of(make, handler))
    async with server as served, browser.get(served.url) as response:
        assert response.status == 500
        assert text not in await response.text()
    [record] = [record for record in caplog.records if record.name == "dialler_async.contrib"]
    assert record.levelname == "ERROR"
    assert text in record.getMessage()
