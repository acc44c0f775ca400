"""Run generators that work in slices."""

import asyncio
from collections.abc import Generator

from dialler_async._http.response import finish, finish_in_slices


def work(slices: int) -> Generator[None, None, str]:
    for _ in range(slices):
        yield
    return "done"


def test_finish_returns_the_result_of_the_generator() -> None:
    assert finish(work(3)) == "done"
    assert finish(work(0)) == "done"


async def test_other_tasks_run_between_the_slices() -> None:
    iterations = 0

    async def count() -> None:
        nonlocal iterations
        while True:
            await asyncio.sleep(0)
            iterations += 1

    counting = asyncio.create_task(count())
    assert await finish_in_slices(work(50)) == "done"
    counting.cancel()
    assert iterations >= 48
