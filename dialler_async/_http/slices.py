"""Run a generator that works in slices: the generator yields between slices, and returns the result."""

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def finish(work: Generator[None, None, T]) -> T:
    """Return the result of the work. No other task runs between the slices."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        result: T = end.value
        return result


async def finish_in_slices(work: Generator[None, None, T]) -> T:
    """Return the result of the work. Other tasks run between the slices."""
    try:
        while True:
            next(work)
            await asyncio.sleep(0)
    except StopIteration as end:
        result: T = end.value
        return result
