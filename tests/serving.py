"""Web apps on real sockets: by uvicorn, and by aiohttp's runner."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import uvicorn
from aiohttp import web
from fastapi import FastAPI


@attrs.frozen
class Served:
    """An app that is being served, at `url`; `stop` begins its graceful shutdown, and gives its end to await."""

    url: str
    stop: Callable[[], asyncio.Task[None]]


@asynccontextmanager
async def by_uvicorn(app: FastAPI, **config: Any) -> AsyncIterator[Served]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, **config))
    started = asyncio.Event()
    original = server.startup

    async def startup(*args: Any, **options: Any) -> None:
        await original(*args, **options)
        started.set()

    server.startup = startup  # type: ignore[method-assign]  it tells nobody that it has started
    serving = asyncio.create_task(server.serve([listening]))

    def stop() -> asyncio.Task[None]:
        server.should_exit = True
        return serving

    await started.wait()
    try:
        yield Served(_url(listening), stop)
    finally:
        await stop()


@asynccontextmanager
async def by_aiohttp(app: web.Application) -> AsyncIterator[Served]:
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    try:
        yield Served(_url(listening), lambda: asyncio.create_task(runner.cleanup()))
    finally:
        await runner.cleanup()


def _url(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
