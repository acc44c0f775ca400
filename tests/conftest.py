"""Fixtures for all tests: an aioresponses server, sandboxes, a clock, and waiting without sleeping."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import aiohttp
import attrs
import pytest
import uvicorn
from aiohttp import web
from aioresponses import aioresponses
from fastapi import FastAPI
from hypothesis import settings

from dialler_async import DiallerClient
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Fault
from dialler_async.sandbox.in_flight_request import InFlightRequest
from dialler_async.sandbox.response import SandboxResponse
from dialler_async.testing import patch_aioresponses

pytest_plugins = ["pytester", "tests.postgresql"]

# A busy machine is slow now and then: how long an example takes is not what a property is about.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@attrs.frozen
class Sent:
    """A request as aiohttp received it."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    follows_redirects: bool
    session: aiohttp.ClientSession


class PlayedServer(aioresponses):
    """aioresponses, with a record of the requests in their order, each URL as it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Sent] = []

    async def _request_mock(self, session: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> Any:
        data = options.get("data")
        body = None if data is None else json.loads(data)
        headers = dict(options.get("headers") or {})
        self.sent.append(Sent(method, str(url), headers, body, options.get("allow_redirects", True), session))
        return await super()._request_mock(session, method, url, **options)


@pytest.fixture
def played() -> Iterator[PlayedServer]:
    """Return a server that answers as the test says and opens no socket. `played.sent` has the requests."""
    with patch_aioresponses(), PlayedServer() as server:
        yield server


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Return an embedded dialler with five campaigns."""
    async with Sandbox(campaigns=5) as running:
        yield running


class BoundedEvent(asyncio.Event):
    """An event that a test awaits for at most a minute, because a busy machine starts a process slowly."""

    async def wait(self) -> Literal[True]:
        return await asyncio.wait_for(super().wait(), 60)


class HeldRequest(Fault):
    """A request that the server answers when the test calls `release.set()`.

    The server runs the request at that moment, or on arrival with `carried_out`.
    """

    def __init__(self, *, carried_out: bool = False) -> None:
        self._carried_out = carried_out
        self.arrived = BoundedEvent()
        self.hung_up = BoundedEvent()
        self.release = asyncio.Event()

    async def apply(self, request: InFlightRequest) -> SandboxResponse | None:
        reply = await request.carry_out() if self._carried_out else None
        self.arrived.set()
        waits = [asyncio.create_task(event.wait()) for event in (self.release, request.connection.closed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if request.connection.closed.is_set():
            self.hung_up.set()
            return None
        return reply or await request.carry_out()


@pytest.fixture
def hold() -> type[HeldRequest]:
    """Return a function that makes a fault which delays its answer until the test releases it."""
    return HeldRequest


class Command:
    """The `dialler` command as a process."""

    argv = (sys.executable, "-W", "error", "-c", "import sys; from dialler_async.cli import main; sys.exit(main())")

    def environment(self, **changed: str) -> dict[str, str]:
        """Return the environment of this process without the user's own settings, and with the changes."""
        own = ("DIALLER_", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED")
        return {**{key: value for key, value in os.environ.items() if not key.startswith(own)}, **changed}


@pytest.fixture
def command() -> Command:
    """Return the command line and the environment that start `dialler`."""
    return Command()


Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Return a function that runs the event loop until a condition holds."""
    return _until


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # the conditions read plain values
            await asyncio.sleep(0)


@attrs.define
class Clock:
    """A clock that moves only when a client sleeps on it; that sleep takes no time."""

    seconds: float = 1000.0
    slept: list[float] = attrs.Factory(list)
    chance: float = 0.5
    meanwhile: Callable[[], Awaitable[Any]] | None = None
    """Runs once, during the next sleep."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        await asyncio.sleep(0)
        self.seconds += seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock and the random numbers of the client; each random number is `clock.chance`."""
    clock = Clock()
    monkeypatch.setattr(CLOCK, "sleep", clock.sleep)
    monkeypatch.setattr(CLOCK, "monotonic", lambda: clock.seconds)
    monkeypatch.setattr(CLOCK, "now", clock.now)
    monkeypatch.setattr(CLOCK, "random", lambda: clock.chance)
    return clock


SkipWaits = Callable[[asyncio.AbstractEventLoop], None]


@pytest.fixture
def skip_waits() -> SkipWaits:
    """Return a function that lets a new event loop skip each wait for a timer, so that its time is virtual.

    It works while client and server run in this event loop: what one sends, the other can read at once.
    """
    return _skip_waits


def _skip_waits(loop: asyncio.AbstractEventLoop) -> None:
    selector = loop._selector  # type: ignore[attr-defined]  asyncio has no public place to wait elsewhere
    select, skipped, started_at = selector.select, 0.0, loop.time()

    def skip(timeout: float | None) -> Any:
        nonlocal skipped
        # The kernel may deliver a packet a moment late.
        events = select(timeout if timeout is None else min(timeout, 0.003))
        if timeout and timeout > 0 and not events:
            skipped += timeout
        return events

    selector.select = skip
    loop.time = lambda: started_at + skipped  # type: ignore[method-assign]  the same


@pytest.fixture
async def virtual_time(skip_waits: SkipWaits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the event loop and the client skip each wait for a timer, so that a slow machine changes no measured time."""
    loop = asyncio.get_running_loop()
    skip_waits(loop)
    monkeypatch.setattr(CLOCK, "monotonic", loop.time)


RECORDS = ({"ID": 535, "Name": "Spring 26"}, {"ID": 536, "Name": "Autumn"}, {"ID": 537, "Name": "spring 26 (old)"})


class CampaignServer(Sandbox):
    """A sandbox with three campaigns, and with short questions about its journal.

    A test names a call as the journal does. `clone, exist_ok` is a clone too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(RECORDS, **options)

    async def send(self, call: str, dialler: DiallerClient) -> Any:
        """Let the client make the call on campaign 535, and return the result."""
        campaigns = dialler.campaigns
        match call:
            case "list":
                return await campaigns.list()
            case "get":
                return await campaigns.get(535)
            case "find":
                return await campaigns.find("Spring 26")
            case "result_codes":
                return await dialler.result_codes.list(535)
            case "delete":
                return await campaigns.delete(535)
            case "delete_by_name":
                return await campaigns.delete_by_name("Spring 26", exact=False)
            case "clone" | "clone, exist_ok":
                return await campaigns.clone("Spring 26", "Monday", exist_ok="exist_ok" in call)
        raise ValueError(call)

    def arrived(self, call: str) -> list[bool]:
        """Return for each request of this call whether the server ran it."""
        name = call.partition(",")[0]
        return [received.carried_out for received in self.journal if received.call == name]

    def is_done(self, call: str) -> bool:
        """Return whether the write took effect; raise `AssertionError` if it did anything else."""
        names = [record["Name"] for record in self.campaigns.values()]
        assert names.count("Monday") <= 1, "cloned twice"
        assert {"Autumn", "spring 26 (old)"} <= set(names), "another campaign was deleted"
        return "Monday" in names if call.startswith("clone") else 535 not in self.campaigns

    def assert_result(self, call: str, value: Any) -> None:
        """Raise `AssertionError` unless the value is the result of the call."""
        match call.partition(",")[0]:
            case "list":
                assert {campaign.id for campaign in value} == {535, 536, 537}
            case "get":
                assert value.name == "Spring 26"
            case "find":
                assert {campaign.id for campaign in value} == {535, 537}
            case "result_codes":
                assert len(value) == 0
            case "clone":
                assert value.name == "Monday"
            case _:
                assert value is None

    def restore(self) -> None:
        """Restore the three campaigns, and clear the journal and the faults."""
        for id in list(self.campaigns):
            self.remove(id)
        for record in RECORDS:
            self.load(record)
        self.journal.clear()
        self.faults.clear()

    async def drop_idle_connections(self) -> None:
        """Close the idle connections, and wait until the client has noticed it."""
        self.close_idle()
        await _until(lambda: self.connections.open == 0)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncIterator[CampaignServer]:
    """Return a running server with three campaigns."""
    async with CampaignServer() as server:
        yield server


@pytest.fixture
async def dialler(server: CampaignServer, clock: Clock) -> AsyncIterator[DiallerClient]:
    """Return a client of `server` that uses `clock`."""
    async with DiallerClient(server.base_url, server.token) as dialler:
        yield dialler


@attrs.frozen
class Served:
    """An app at `url`; `stop` begins its graceful shutdown, and returns a task that ends with it."""

    url: str
    stop: Callable[[], asyncio.Task[None]]


@asynccontextmanager
async def _serve_by_uvicorn(app: FastAPI, **config: Any) -> AsyncIterator[Served]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, **config))
    started = asyncio.Event()
    original = server.startup

    async def startup(*args: Any, **options: Any) -> None:
        await original(*args, **options)
        started.set()

    server.startup = startup  # type: ignore[method-assign]  uvicorn has no event for it
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
async def _serve_by_aiohttp(app: web.Application) -> AsyncIterator[Served]:
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


ServeByUvicorn = Callable[..., AbstractAsyncContextManager[Served]]
ServeByAiohttp = Callable[[web.Application], AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve_by_uvicorn() -> ServeByUvicorn:
    """Return a context manager that serves an ASGI app by uvicorn on a real socket."""
    return _serve_by_uvicorn


@pytest.fixture
def serve_by_aiohttp() -> ServeByAiohttp:
    """Return a context manager that serves an aiohttp app on a real socket."""
    return _serve_by_aiohttp
