"""The end of a `fan_out`: by leaving early, by an error, or by a cancellation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialler_async import Concurrency, ItemCancelledError, fan_out

if TYPE_CHECKING:
    from tests.bulk.conftest import BlockingFunction, OtherTasks, RunLoop


class HitError(Exception):
    """The error of a function in these tests."""


async def test_leaving_early_cancels_and_awaits_running_calls(
    run_loop: RunLoop, other_tasks: OtherTasks, blocking: BlockingFunction
) -> None:
    quick = asyncio.Event()

    async def function(item: int) -> int:
        if item == 0:
            await quick.wait()
            return item
        return await blocking(item)

    outcomes = fan_out(function, itertools.count(), concurrency=3)
    async with aclosing(outcomes):
        quick.set()
        async for outcome in outcomes:
            assert outcome.value == 0
            await run_loop(10)
            break
        assert blocking.running == {1, 2, 3}
    assert blocking.running == set()
    assert sorted(blocking.cancelled) == [1, 2, 3]
    assert other_tasks() == set()


async def test_error_in_the_loop_body_leaves_no_task(
    run_loop: RunLoop, other_tasks: OtherTasks, blocking: BlockingFunction
) -> None:

    async def function(item: int) -> int:
        return item if item == 0 else await blocking(item)

    async def read() -> None:
        async with aclosing(fan_out(function, range(10), concurrency=3)) as outcomes:
            async for _ in outcomes:
                await run_loop(10)
                raise HitError("in the body")

    with pytest.raises(HitError):
        await read()
    assert sorted(blocking.cancelled) == [1, 2, 3]
    assert other_tasks() == set()


async def test_cancelled_reader_cancels_the_calls_and_is_cancelled(
    run_loop: RunLoop, other_tasks: OtherTasks, blocking: BlockingFunction
) -> None:

    async def read() -> None:
        async for _ in fan_out(blocking, range(10), concurrency=3):
            raise AssertionError("no call finishes")

    reader = asyncio.create_task(read())
    await run_loop(10)
    assert blocking.running == {0, 1, 2}
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert sorted(blocking.cancelled) == [0, 1, 2]
    assert other_tasks() == set()


async def test_no_call_starts_after_a_function_suppressed_its_cancellation(
    run_loop: RunLoop, other_tasks: OtherTasks
) -> None:
    started = []
    woken = False

    async def suppress_cancellation(item: int) -> int:
        nonlocal woken
        started.append(item)
        if item and not woken:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                woken = True
                # One more iteration, because coverage records nothing in frames that an exception was thrown into.
                await asyncio.sleep(0)
        return item

    outcomes = fan_out(suppress_cancellation, range(20), concurrency=2)
    assert (await anext(outcomes)).value == 0
    await run_loop(10)
    assert started == [0, 1, 2]
    await asyncio.wait_for(outcomes.aclose(), 10)
    assert woken
    assert started == [0, 1, 2]
    assert other_tasks() == set()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_error_of_items_is_raised_after_the_finished_outcomes(
    asynchronous: bool, other_tasks: OtherTasks
) -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise HitError("the source")

    async def later() -> AsyncIterator[int]:
        for item in items():
            yield item

    async def function(item: int) -> int:
        return item * 2

    outcomes = fan_out(function, later() if asynchronous else items(), concurrency=1)
    assert [(await anext(outcomes)).value, (await anext(outcomes)).value] == [2, 4]
    with pytest.raises(HitError, match="the source"):
        await anext(outcomes)
    assert other_tasks() == set()


async def test_error_of_on_progress_is_raised_and_leaves_no_task(
    run_loop: RunLoop, other_tasks: OtherTasks, blocking: BlockingFunction
) -> None:

    async def function(item: int) -> int:
        await run_loop(3)
        return item if item == 0 else await blocking(item)

    def on_progress(done: int, failed: int, total: int | None) -> None:
        raise HitError(f"{done} of {total}, {failed} failed")

    with pytest.raises(HitError, match="1 of 5, 0 failed"):
        await anext(fan_out(function, range(5), concurrency=2, on_progress=on_progress))
    assert blocking.cancelled == [1]
    assert other_tasks() == set()


@pytest.mark.parametrize("concurrency", [1, 3, "auto"])
@pytest.mark.parametrize("in_order", [False, True])
async def test_item_that_awaits_a_cancelled_task_fails_alone(
    concurrency: Concurrency, in_order: bool, other_tasks: OtherTasks
) -> None:
    cancelled_task = asyncio.create_task(asyncio.Event().wait())
    cancelled_task.cancel()

    async def function(item: int) -> int:
        await asyncio.sleep(0)
        if item % 10 == 7:
            await cancelled_task
        return item

    progress: list[tuple[int, int, int | None]] = []
    seen = fan_out(
        function,
        range(100),
        concurrency=concurrency,
        in_order=in_order,
        on_progress=lambda *numbers: progress.append(numbers),
    )
    outcomes = [outcome async for outcome in seen]
    assert sorted(outcome.item for outcome in outcomes) == list(range(100))
    failed = [outcome for outcome in outcomes if outcome.error]
    assert sorted(outcome.item for outcome in failed) == list(range(7, 100, 10))
    assert {type(outcome.error) for outcome in failed} == {ItemCancelledError}
    assert {type(outcome.error.__cause__) for outcome in failed if outcome.error} == {asyncio.CancelledError}
    assert progress[-1] == (100, 10, 100)
    assert other_tasks() == set()


async def test_worker_cancelled_from_outside_cancels_the_fan_out(
    run_loop: RunLoop, other_tasks: OtherTasks, blocking: BlockingFunction
) -> None:

    async def read() -> None:
        async for _ in fan_out(blocking, range(10), concurrency=2):
            raise AssertionError("no call finishes")

    reader = asyncio.create_task(read())
    await run_loop(10)
    (other_tasks() - {reader}).pop().cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert blocking.started == [0, 1]
    assert other_tasks() == set()


BEHAVIOURS = st.lists(
    st.tuples(st.sampled_from(["return", "raise", "await cancelled"]), st.integers(0, 5)), max_size=30
)


@settings(deadline=None, max_examples=100)
@given(
    behaviours=BEHAVIOURS,
    concurrency=st.one_of(st.integers(1, 6), st.just("auto")),
    in_order=st.booleans(),
    leave_after=st.one_of(st.none(), st.integers(0, 30)),
)
async def test_every_item_has_one_outcome_and_early_exit_leaves_no_task(
    behaviours: list[tuple[str, int]],
    concurrency: Concurrency,
    in_order: bool,
    leave_after: int | None,
    run_loop: RunLoop,
    other_tasks: OtherTasks,
) -> None:
    never = asyncio.get_running_loop().create_future()
    never.cancel()
    defect = HitError("defect")
    errors = {"return": None, "raise": defect, "await cancelled": ItemCancelledError}

    async def function(index: int) -> int:
        behaviour, pause = behaviours[index]
        await run_loop(pause)
        if behaviour == "raise":
            raise defect
        if behaviour == "await cancelled":
            await never
        return index

    seen: list[int] = []

    async def read() -> None:
        outcomes = fan_out(function, range(len(behaviours)), concurrency=concurrency, in_order=in_order)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                seen.append(outcome.item)
                expected = errors[behaviours[outcome.item][0]]
                assert outcome.error == expected or type(outcome.error) is expected
                assert outcome.value == (outcome.item if expected is None else None)
                if len(seen) == leave_after:
                    break

    await asyncio.wait_for(read(), 10)
    expected_count = len(behaviours) if not leave_after else min(leave_after, len(behaviours))
    assert len(seen) == len(set(seen)) == expected_count
    if in_order:
        assert seen == list(range(expected_count))
    assert other_tasks() == set()
