"""The client in web apps, served by uvicorn and by aiohttp's runner over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fastapi import BackgroundTasks, FastAPI, Request

from dialler_async import ClientStateError, DiallerClient, PoolConfig, RetryPolicy
from dialler_async.contrib import aiohttp_web
from dialler_async.contrib import fastapi as contrib_fastapi
from dialler_async.contrib.aiohttp_web import DIALLER
from dialler_async.contrib.fastapi import Dialler
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Reset, Status

LIMIT = 8


Make = Callable[[], DiallerClient]
Serve = Callable[[Make], AbstractAsyncContextManager[Any]]
ServeByUvicorn = Callable[..., AbstractAsyncContextManager[Any]]


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

    @app.get("/later/{id}")
    async def later(id: int, dialler: Dialler, tasks: BackgroundTasks) -> None:
        tasks.add_task(dialler.campaigns.delete, id)

    return app


def fastapi_below_a_middleware(make: Make) -> FastAPI:
    """Starlette's function middlewares run the app in another task, behind a `receive` of their own."""
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

    nested = web.Application()
    nested.router.add_get("/{id}", get)
    nested.router.add_delete("/{id}", delete)
    app = web.Application(middlewares=[aiohttp_web.dialler_errors])
    app.cleanup_ctx.append(aiohttp_web.dialler_context(make))
    app.add_subapp("/campaigns", nested)
    return app


@pytest.fixture
def servers(serve_by_uvicorn: Any, serve_by_aiohttp: Any) -> dict[str, Serve]:
    """Return each framework's way to serve an app."""
    return {
        "fastapi": lambda make: serve_by_uvicorn(fastapi_app(make)),
        "fastapi below a middleware": lambda make: serve_by_uvicorn(fastapi_below_a_middleware(make)),
        "aiohttp": lambda make: serve_by_aiohttp(aiohttp_app(make)),
    }


@pytest.fixture(params=["fastapi", "fastapi below a middleware", "aiohttp"])
def serve(request: pytest.FixtureRequest, servers: dict[str, Serve]) -> Serve:
    """Return each framework's way to serve an app, in turn."""
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


async def test_200_requests_at_once_share_one_pool(
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


async def test_the_client_closes_with_the_app_after_the_last_request(
    serve: Serve, make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int, hold: Callable[..., Any]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    made: list[DiallerClient] = []

    def remembered() -> DiallerClient:
        made.append(make())
        return made[0]

    async with serve(remembered) as app:
        asking = asyncio.create_task(browser.get(f"{app.url}/campaigns/{id}"))
        await held.arrived.wait()
        stopped = app.stop()
        held.release.set()
        response = await asking
        assert response.status == 200
        assert await response.json() == sandbox.campaigns[id]["Name"]
        await stopped
    with pytest.raises(ClientStateError):
        await made[0].campaigns.get(id)


async def test_a_client_that_hangs_up_cancels_the_call_upstream(
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
        asking = asyncio.create_task(browser.get(f"{app.url}/campaigns/{id}"))
        await held.arrived.wait()
        asking.cancel()
        await held.hung_up.wait()
        assert not sandbox.journal[0].carried_out
        async with browser.get(f"{app.url}/campaigns/{id}") as response:
            assert response.status == 200
    assert not [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


async def test_a_write_runs_to_its_end_though_the_client_hangs_up(
    serve: Serve, make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int, hold: Callable[..., Any]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    async with serve(make) as app:
        asking = asyncio.create_task(browser.delete(f"{app.url}/campaigns/{id}"))
        await held.arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        # Another request and its answer: by then the app knows that the first one's client is gone.
        async with browser.get(f"{app.url}/campaigns/{id}") as response:
            assert response.status == 200
        held.release.set()
        await app.stop()
    assert sandbox.journal[0].carried_out
    assert id not in sandbox.campaigns


async def test_errors_become_answers(
    serve: Serve, make: Make, sandbox: Sandbox, browser: aiohttp.ClientSession, id: int
) -> None:
    async def answer(id: int = id) -> tuple[int, str | None, Any]:
        async with browser.get(f"{app.url}/campaigns/{id}") as response:
            assert "WWW-Authenticate" not in response.headers
            return response.status, response.headers.get("Retry-After"), await response.json()

    unreachable = {"detail": "The dialler can't be reached for now."}
    async with serve(make) as app:
        assert await answer(404404) == (404, None, {"detail": "The dialler has no such record."})
        assert await answer(0) == (400, None, {"detail": "The dialler can't be asked for this."})
        sandbox.faults.next(Reset(), Status(500), Status(503, retry_after=7), Status(429, retry_after=100))
        assert await answer() == (503, None, unreachable)
        assert await answer() == (503, None, unreachable)
        assert await answer() == (503, "7", unreachable)
        assert await answer() == (503, "100", unreachable)
        sandbox.revoke()
        assert await answer() == (502, None, {"detail": "The dialler's answer was of no use."})


@pytest.mark.parametrize("body", [b"", b"a body"])
@pytest.mark.parametrize("serving", ["fastapi", "fastapi below a middleware"])
async def test_a_handler_can_read_the_body_of_a_get(
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


async def test_only_a_hang_up_is_taken_for_one(make: Make, sandbox: Sandbox, id: int) -> None:
    """By a server that repeats itself; uvicorn does not."""
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


async def test_a_background_task_outlives_its_request(
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


async def test_an_app_without_the_lifespan_says_so(
    browser: aiohttp.ClientSession, serve_by_uvicorn: ServeByUvicorn
) -> None:
    app = FastAPI()

    @app.get("/")
    async def get(dialler: Dialler) -> None: ...

    told = ""

    @app.exception_handler(RuntimeError)
    async def keep(request: Request, error: RuntimeError) -> Any:
        nonlocal told
        told = str(error)
        return contrib_fastapi.JSONResponse({}, 500)

    async with serve_by_uvicorn(app) as served, browser.get(served.url) as response:
        assert response.status == 500
    assert told.startswith("this app has no dialler client: FastAPI(lifespan=")


async def test_the_app_can_start_again_with_a_new_client(
    make: Make, browser: aiohttp.ClientSession, id: int, serve_by_uvicorn: ServeByUvicorn
) -> None:
    app = fastapi_app(make)
    for _ in range(2):
        async with serve_by_uvicorn(app) as served, browser.get(f"{served.url}/campaigns/{id}") as response:
            assert response.status == 200


async def test_a_server_that_waits_no_longer_cancels_the_call_upstream(
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
        asking = asyncio.create_task(browser.get(f"{app.url}/campaigns/{id}"))
        await held.arrived.wait()
        app.stop()
        await held.hung_up.wait()
        with pytest.raises(aiohttp.ClientError):
            (await asking).raise_for_status()
    # As if there were no client hanging up in it: uvicorn gets its own cancellation back, and tells of it.
    told = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert told == [asyncio.CancelledError]
