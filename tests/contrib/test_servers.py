"""Web apps in several processes of uvicorn and gunicorn: each process has its own connections."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

# The client is made at import: with `gunicorn --preload` before the fork, and always before the event loop.
FASTAPI = """
import os
from fastapi import FastAPI
from dialler_async import DiallerClient
from dialler_async.contrib.fastapi import Dialler, add_error_handlers, lifespan

client = DiallerClient.from_env()
app = FastAPI(lifespan=lifespan(lambda: client))
add_error_handlers(app)

@app.get("/{id}")
async def name(id: int, dialler: Dialler) -> list[str | int]:
    return [os.getpid(), (await dialler.campaigns.get(id)).name]
"""
AIOHTTP = """
import os
from aiohttp import web
from dialler_async import DiallerClient
from dialler_async.contrib.aiohttp_web import DIALLER, dialler_context, dialler_errors

async def name(request):
    campaign = await request.config_dict[DIALLER].campaigns.get(int(request.match_info["id"]))
    return web.json_response([os.getpid(), campaign.name])

client = DiallerClient.from_env()
app = web.Application(middlewares=[dialler_errors])
app.cleanup_ctx.append(dialler_context(lambda: client))
app.router.add_get("/{id}", name)
"""
SERVERS = {
    "uvicorn with workers": (FASTAPI, "uvicorn", "--fd {fd} --workers 2 --loop asyncio app:app"),
    "uvicorn with workers on uvloop": (FASTAPI, "uvicorn", "--fd {fd} --workers 2 --loop uvloop app:app"),
    "gunicorn with preload": (FASTAPI, "gunicorn", "-b fd://{fd} -w 2 --preload -k asgi app:app"),
    "gunicorn with preload, aiohttp": (
        AIOHTTP,
        "gunicorn",
        "-b fd://{fd} -w 2 --preload -k aiohttp.GunicornWebWorker app:app",
    ),
}
SECONDS = 60


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Return a listening socket. Requests wait in its backlog until the server is up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


async def processes_that_respond(url: str, expected: str) -> set[int]:
    """Send requests until two processes have responded, and return their IDs."""
    processes: set[int] = set()

    async def request() -> None:
        # Each request has a new connection, so that any process can accept it.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
            assert response.status == 200
            pid, name = await response.json()
            assert name == expected
            processes.add(pid)

    async with asyncio.timeout(SECONDS):
        while len(processes) < 2:
            await asyncio.gather(*(request() for _ in range(8)))
    return processes


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
async def test_every_worker_process_has_its_own_connections(
    server: str, listening: socket.socket, tmp_path: Path
) -> None:
    app, module, arguments = SERVERS[server]
    (tmp_path / "app.py").write_text(app)
    with Sandbox([{"ID": 7, "Name": "Summer"}], latency=0.02) as sandbox:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments.format(fd=listening.fileno()).split(),
            cwd=tmp_path,
            env=os.environ | {"DIALLER_BASE_URL": sandbox.base_url, "DIALLER_TOKEN": sandbox.token},
            pass_fds=[listening.fileno()],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            processes = await processes_that_respond(f"{url}/7", "Summer")
            async with aiohttp.ClientSession() as session, session.get(f"{url}/404404") as response:
                assert response.status == 404
        finally:
            process.terminate()
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert len(processes) == 2
    assert sandbox.connections.opened >= 2
    assert {received.status for received in sandbox.journal} == {200, 404}
    assert b"Traceback" not in output
    assert b"Warning" not in output
