"""`fan_out`: order, errors that abort the run, and memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialler_async import fan_out

if TYPE_CHECKING:
    from tests.bulk.conftest import OtherTasks, RunLoop

PLANS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([None, "raise"]), st.integers(0, 3)),
    max_size=25,
)
"""For each item: loop iterations of its call, whether it fails, loop iterations of the reader."""


class HitError(Exception):
    """The error of a function in these tests."""


@settings(deadline=None, max_examples=60)
@given(plans=PLANS, concurrency=st.integers(1, 8), asynchronous=st.booleans())
async def test_in_order_yields_in_the_order_of_the_items(
    plans: list[tuple[int, str | None, int]],
    concurrency: int,
    asynchronous: bool,
    run_loop: RunLoop,
    other_tasks: OtherTasks,
) -> None:
    async def function(index: int) -> int:
        await run_loop(plans[index][0])
        if plans[index][1]:
            raise HitError(str(index))
        return index

    async def async_items() -> AsyncIterator[int]:
        for index in range(len(plans)):
            await run_loop(index % 3)
            yield index

    seen = []

    async def read() -> None:
        items = async_items() if asynchronous else range(len(plans))
        async for outcome in fan_out(function, items, concurrency=concurrency, in_order=True):
            seen.append(outcome.item)
            await run_loop(plans[outcome.item][2])

    await asyncio.wait_for(read(), 10)
    assert seen == list(range(len(plans)))
    assert other_tasks() == set()


async def test_slow_call_limits_the_outcomes_that_wait_behind_it(run_loop: RunLoop) -> None:
    started = []
    go = asyncio.Event()

    async def function(item: int) -> int:
        started.append(item)
        if item == 0:
            await go.wait()
        return item

    outcomes = fan_out(function, itertools.count(), concurrency=3, in_order=True)
    async with aclosing(outcomes):
        first = asyncio.ensure_future(anext(outcomes))
        await run_loop(100)
        assert started == list(range(2 * 3))
        go.set()
        assert (await first).value == 0
        assert [(await anext(outcomes)).value for _ in range(20)] == list(range(1, 21))


@pytest.mark.parametrize("in_order", [False, True])
async def test_error_of_stop_on_aborts_the_run(in_order: bool, run_loop: RunLoop, other_tasks: OtherTasks) -> None:
    started = []
    cancelled = []

    async def function(item: int) -> int:
        started.append(item)
        if item == 3:
            raise HitError("for all")
        if item == 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(item)
                raise
        await run_loop(item)
        return item

    seen = []
    outcomes = fan_out(function, itertools.count(), concurrency=4, in_order=in_order, stop_on=(HitError,))

    async def read() -> None:
        async for outcome in outcomes:
            seen.append(outcome.item)
            # No further call may start while the reader is busy.
            await run_loop(50)

    with pytest.raises(HitError, match="for all"):
        await read()
    assert seen == [0, 1], "finished outcomes are yielded"
    assert cancelled == [2]
    assert started == [0, 1, 2, 3]
    assert other_tasks() == set()


async def test_aborted_run_yields_finished_outcomes_in_order_despite_a_gap(run_loop: RunLoop) -> None:
    go = asyncio.Event()

    async def function(item: int) -> int:
        if item == 0:
            await asyncio.Event().wait()
        if item == 4:
            await go.wait()
            raise HitError("for all")
        await run_loop(10 - item)
        return item

    outcomes = fan_out(function, range(5), concurrency=5, in_order=True, stop_on=(HitError,))
    seen = []

    async def read() -> None:
        async for outcome in outcomes:
            seen.append(outcome.value)  # noqa: PERF401  extending would lose them with the error

    reader = asyncio.create_task(read())
    await run_loop(50)
    assert seen == []
    go.set()
    with pytest.raises(HitError):
        await reader
    assert seen == [1, 2, 3]


async def test_simultaneous_errors_of_stop_on_are_raised_once(run_loop: RunLoop) -> None:
    async def function(item: int) -> int:
        await run_loop(2)
        raise HitError(str(item))

    outcomes = fan_out(function, range(100), concurrency=8, stop_on=(HitError,))
    with pytest.raises(HitError, match="0"):
        await anext(outcomes)
    assert [outcome async for outcome in outcomes] == []


class CountedResult:
    """A result that counts the results that are alive."""

    alive = peak = 0

    def __init__(self) -> None:
        CountedResult.alive += 1
        CountedResult.peak = max(CountedResult.peak, CountedResult.alive)

    def __del__(self) -> None:
        CountedResult.alive -= 1


@pytest.mark.parametrize("in_order", [False, True])
async def test_memory_does_not_grow_with_the_number_of_items(in_order: bool, other_tasks: OtherTasks) -> None:
    # Debug mode would record a traceback for each of a hundred thousand steps.
    asyncio.get_running_loop().set_debug(False)
    CountedResult.alive = CountedResult.peak = 0
    concurrency = 16
    tasks = 0

    async def look_up(item: int) -> CountedResult:
        if item % 500 == 0:
            await asyncio.sleep(0)
        return CountedResult()

    count = 0
    outcomes = fan_out(look_up, iter(range(100_000)), concurrency=concurrency, in_order=in_order)
    async for outcome in outcomes:
        assert not in_order or outcome.item == count
        count += 1
        if count % 1000 == 0:
            tasks = max(tasks, len(other_tasks()))
    assert count == 100_000
    assert tasks == concurrency
    assert CountedResult.peak <= 2 * concurrency + 1, "at most the pending results, and the result of the reader"
    del outcome
    assert CountedResult.alive == 0
