"""An event loop in a thread of its own, for a sandbox in a plain `with`."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """A running event loop; `close` ends it and its thread.

    Its methods block the calling thread. Called in the loop's own thread, `call` calls at once.
    """

    def __init__(self) -> None:
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._closing = asyncio.Event()
        # A daemon: a test run that is interrupted must not wait for its sandboxes.
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(started),), name="dialler-sandbox", daemon=True
        )
        self._thread.start()
        self._loop = started.result()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns that runs in the loop, or raise what it raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def run_async(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the same without blocking the event loop of the caller."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns that is called in the loop, or raise what it raises."""
        if threading.current_thread() is self._thread:
            return function()

        async def call() -> T:
            return function()

        return self.run(call())

    def close(self) -> None:
        """End the loop and wait for its thread."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def _serve(self, started: "Future[asyncio.AbstractEventLoop]") -> None:
        started.set_result(asyncio.get_running_loop())
        await self._closing.wait()
