"""Fixtures for the transport: a loop with a clock that tests advance, and raw TCP servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp.http_parser import HttpResponseParser, HttpResponseParserPy

if TYPE_CHECKING:
    from tests.conftest import Until

Settle = Callable[[], Awaitable[None]]


@pytest.fixture
def c_parser() -> None:
    """Skip a test without aiohttp's C extensions, because its parser in Python accepts the response or waits for more.

    Without them (`AIOHTTP_NO_EXTENSIONS=1`), the tests of this directory take three minutes.
    """
    if HttpResponseParser is HttpResponseParserPy:
        pytest.skip("the parser of aiohttp in Python accepts this response, or waits for more")


@pytest.fixture
def settle() -> Settle:
    """Return a function that runs the event loop until every task waits for I/O or a timer."""
    return _settle


async def _settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


class AdvanceClock:
    """Moves the clock of the event loop forward, after every task has reached its next wait.

    A timeout then expires immediately. On a slow machine, it does not expire earlier.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        self._until = until
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead)

    async def __call__(self, seconds: float, *, when: Callable[[], object] | None = None) -> None:
        """Move the clock, as soon as `when` returns a true value."""
        if when is not None:
            await self._until(when)
        await _settle()
        self.block(seconds)

    def block(self, seconds: float) -> None:
        """Move the clock immediately, as if code had blocked the event loop for this time."""
        self._ahead += seconds


@pytest.fixture
async def advance_clock(until: Until, monkeypatch: pytest.MonkeyPatch) -> AdvanceClock:
    """Return a function that moves the clock of the event loop by a number of seconds."""
    return AdvanceClock(asyncio.get_running_loop(), until, monkeypatch)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listening = Callable[[Handler], AbstractAsyncContextManager[str]]


@pytest.fixture
def listening() -> Listening:
    """Return a context manager that serves each connection with a handler, and yields the base URL."""
    return _listening


@asynccontextmanager
async def _listening(handler: Handler) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        # Suppressed, because asyncio's streams log a cancelled handler as an error.
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
