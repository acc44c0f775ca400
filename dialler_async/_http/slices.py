"""Run work that is written as a generator: it yields between slices, and its return value is the result."""

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def finish(work: Generator[None, None, T]) -> T:
    """Return the result of the work, without a pause between its slices."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        result: T = end.value
        return result


async def finish_in_slices(work: Generator[None, None, T]) -> T:
    """Return the result of the work; other tasks run between its slices."""
    try:
        while True:
            next(work)
            await asyncio.sleep(0)
    except StopIteration as end:
        result: T = end.value
        return result
