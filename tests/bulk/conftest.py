"""Fixtures for the tests of `fan_out`."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

RunLoop = Callable[[int], Awaitable[None]]
OtherTasks = Callable[[], set[asyncio.Task[object]]]


# For the whole session, because a property uses them in many examples.
@pytest.fixture(scope="session")
def run_loop() -> RunLoop:
    """Return a function that waits for a number of iterations of the event loop."""
    return _run_loop


async def _run_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def other_tasks() -> OtherTasks:
    """Return a function that returns all tasks but the current one."""
    return _other_tasks


def _other_tasks() -> set[asyncio.Task[object]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


class BlockingFunction:
    """A function that records its calls, and whose calls wait for `go`."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.started: list[int] = []
        self.cancelled: list[int] = []
        self.go = asyncio.Event()

    async def __call__(self, item: int) -> int:
        self.running.add(item)
        self.started.append(item)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        finally:
            self.running.discard(item)
        return item


@pytest.fixture
def blocking() -> BlockingFunction:
    """Return a function that records its calls, and whose calls wait for `go`."""
    return BlockingFunction()
