"""What the tests of the transport share: time that nobody waits for, the calls by name, a server that is not HTTP's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from dialler_async import DiallerClient, PoolConfig
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox import Sandbox

NAME = "Spring 26"
COPY = "Monday"
ID = 535
RECORDS = ({"ID": ID, "Name": NAME}, {"ID": 536, "Name": "Autumn"}, {"ID": 537, "Name": "spring 26 (old)"})


@attrs.define
class Clock:
    """A clock that is moved by those who sleep on it, at once, and by nothing else."""

    seconds: float = 1000.0
    slept: list[float] = attrs.Factory(list)
    chance: float = 0.5
    meanwhile: Callable[[], Awaitable[Any]] | None = None
    """Done during the next sleep, and then forgotten."""

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
    """The clock that the client goes by, and its dice, which always show a half unless told otherwise."""
    clock = Clock()
    monkeypatch.setattr(CLOCK, "sleep", clock.sleep)
    monkeypatch.setattr(CLOCK, "monotonic", lambda: clock.seconds)
    monkeypatch.setattr(CLOCK, "now", clock.now)
    monkeypatch.setattr(CLOCK, "random", lambda: clock.chance)
    return clock


Leap = Callable[[float], Awaitable[None]]


@pytest.fixture
async def leap(monkeypatch: pytest.MonkeyPatch) -> Leap:
    """Lets everybody come to where they wait for something, then sets the loop's own clock forward by some seconds.

    So timeouts run out at once, and never because the machine is slow.
    """
    loop = asyncio.get_running_loop()
    ahead = 0.0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead)

    async def leap(seconds: float) -> None:
        nonlocal ahead
        await settle()
        ahead += seconds

    return leap


async def settle() -> None:
    """Lets every task run until it waits for something that will not come by itself."""
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncIterator[Sandbox]:
    """Three campaigns whose names say nothing but what the tests need."""
    async with Sandbox(RECORDS) as server:
        yield server


@pytest.fixture
async def dialler(server: Sandbox, clock: Clock) -> AsyncIterator[DiallerClient]:
    """A client of that server, by that clock."""
    async with DiallerClient(server.base_url, server.token) as dialler:
        yield dialler


READS: dict[str, Callable[[DiallerClient], Awaitable[Any]]] = {
    "list": lambda dialler: dialler.campaigns.list(),
    "get": lambda dialler: dialler.campaigns.get(ID),
    "find": lambda dialler: dialler.campaigns.find(NAME),
    "result_codes": lambda dialler: dialler.result_codes.list(ID),
}
WRITES: dict[str, Callable[[DiallerClient], Awaitable[Any]]] = {
    "delete": lambda dialler: dialler.campaigns.delete(ID),
    "clone": lambda dialler: dialler.campaigns.clone(NAME, COPY),
    "clone, exist_ok": lambda dialler: dialler.campaigns.clone(NAME, COPY, exist_ok=True),
    "delete_by_name": lambda dialler: dialler.campaigns.delete_by_name(NAME, exact=False),
}
CALLS = READS | WRITES
AS_IS = ("clone", "delete_by_name")
"""Those that nothing makes safe to repeat."""


def called(call: str) -> str:
    """A call's name in the sandbox's journal."""
    return call.partition(",")[0]


def arrived(server: Sandbox, call: str) -> list[bool]:
    """Every request of this call that arrived, and whether it was carried out."""
    return [received.carried_out for received in server.journal if received.call == called(call)]


def is_done(server: Sandbox, call: str) -> bool:
    """Whether what a write asks for is the case on the server."""
    names = [record["Name"] for record in server.campaigns.values()]
    assert names.count(COPY) <= 1, "cloned twice"
    assert {"Autumn", "spring 26 (old)"} <= set(names), "another campaign died"
    return COPY in names if called(call) == "clone" else ID not in server.campaigns


def assert_answered(call: str, value: Any) -> None:
    """That the caller was given what the call answers with."""
    match called(call):
        case "list":
            assert {campaign.id for campaign in value} == {535, 536, 537}
        case "get":
            assert value.name == NAME
        case "find":
            assert {campaign.id for campaign in value} == {535, 537}
        case "result_codes":
            assert len(value) == 0
        case "clone":
            assert value.name == COPY
        case _:
            assert value is None


def restore(server: Sandbox) -> None:
    """The campaigns as they were, and a journal without a line."""
    for id in list(server.campaigns):
        server.remove(id)
    for record in RECORDS:
        server.load(record)
    server.journal.clear()
    server.faults.clear()


async def until(condition: Callable[[], object]) -> None:
    """Lets everything else on the loop go on until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what is looked at are plain values
            await asyncio.sleep(0)


async def close_idle(server: Sandbox) -> None:
    """Closes the kept-alive connections, and waits until the client has seen it, too."""
    server.close_idle()
    await until(lambda: server.connections.open == 0)
    for _ in range(5):
        await asyncio.sleep(0)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """A base URL behind which there is anything but a dialler."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        # Cancelled, asyncio's streams would log it as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await handler(reader, writer)
        tasks.discard(task)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = listener.sockets[0].getsockname()
        yield f"http://{host}:{port}/rest/v1.0/1"
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


def narrow(limit: int) -> PoolConfig:
    """A pool with so many places."""
    return PoolConfig(limit=limit)
