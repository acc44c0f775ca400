"""Fixtures for the tests of `fan_out`."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

Turns = Callable[[int], Awaitable[None]]
Others = Callable[[], set[asyncio.Task[object]]]


# For the whole session, since a property uses them in many examples.
@pytest.fixture(scope="session")
def turns() -> Turns:
    """Return a function that runs the event loop so many times, which takes no time."""
    return _turns


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def others() -> Others:
    """Return a function that returns all tasks but the current one."""
    return _others


def _others() -> set[asyncio.Task[object]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


class Gauge:
    """A function whose calls wait for `go`, and which records them."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.go = asyncio.Event()

    async def __call__(self, item: int) -> int:
        self.running.add(item)
        self.begun.append(item)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        finally:
            self.running.discard(item)
        return item


@pytest.fixture
def gauge() -> Gauge:
    """Return a function whose calls wait, and which records them."""
    return Gauge()
