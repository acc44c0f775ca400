"""Run work that is done in slices."""

import asyncio
from typing import TypeVar

from .._api.decoding import Decoding

T = TypeVar("T")


def finish(work: Decoding[T]) -> T:
    """Return the result of the work. No other task runs between the slices."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        result: T = end.value
        return result


async def finish_in_slices(work: Decoding[T]) -> T:
    """Return the result of the work. Other tasks run between the slices."""
    try:
        while True:
            next(work)
            await asyncio.sleep(0)
    except StopIteration as end:
        result: T = end.value
        return result
