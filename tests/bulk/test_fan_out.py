"""`fan_out`: outcomes, concurrency, cancellation and errors."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialler_async import Concurrency, ConfigurationError, Failure, ItemCancelledError, Outcome, Success, fan_out


class HitError(Exception):
    """The error of a function in these tests. Errors with the same text are equal, so that outcomes compare."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HitError) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)


async def double(item: int) -> int:
    await asyncio.sleep(0)
    return item * 2


def loop_runner(count: int) -> Callable[[], Awaitable[None]]:
    """Return a function that waits for a number of iterations of the event loop."""

    async def pause() -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    return pause


def other_tasks() -> set[asyncio.Task[object]]:
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


PLANS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([None, "raise"]), st.integers(0, 3)),
    max_size=25,
)
"""For each item: loop iterations of its call, whether it fails, loop iterations of the reader."""


@pytest.mark.parametrize("items_kind", ["list", "iterator", "async iterator"])
@settings(deadline=None, max_examples=60)
@given(plans=PLANS, concurrency=st.integers(1, 8))
async def test_every_item_has_one_outcome_within_the_concurrency(
    items_kind: str, plans: list[tuple[int, str | None, int]], concurrency: int
) -> None:
    running = peak = 0

    async def function(index: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await loop_runner(plans[index][0])()
        running -= 1
        if plans[index][1]:
            raise HitError(str(index))
        return index * 10

    async def async_items() -> AsyncIterator[int]:
        for index in range(len(plans)):
            await asyncio.sleep(0)
            yield index

    items = {"list": range(len(plans)), "iterator": iter(range(len(plans))), "async iterator": async_items()}[
        items_kind
    ]
    outcomes = []
    progress: list[tuple[int, int, int | None]] = []

    async def read() -> None:
        seen = fan_out(function, items, concurrency=concurrency, on_progress=lambda *numbers: progress.append(numbers))
        async for outcome in seen:
            outcomes.append(outcome)
            await loop_runner(plans[outcome.item][2])()

    # The timeout expires only if the reader is not woken up.
    await asyncio.wait_for(read(), 10)

    failing = {index for index, plan in enumerate(plans) if plan[1]}
    expected: list[Outcome[int, int]] = [
        Failure(index, HitError(str(index))) if index in failing else Success(index, index * 10)
        for index in range(len(plans))
    ]
    assert sorted(outcomes, key=lambda outcome: outcome.item) == expected
    assert peak <= concurrency
    assert running == 0
    assert other_tasks() == set()
    assert [done for done, _, _ in progress] == list(range(1, len(plans) + 1))
    assert [total for _, _, total in progress] == [len(plans) if items_kind == "list" else None] * len(plans)
    if plans:
        assert progress[-1][1] == len(failing)


async def test_as_many_calls_run_as_concurrency_allows() -> None:
    blocking = BlockingFunction()
    outcomes = fan_out(blocking, range(10), concurrency=4)
    async with aclosing(outcomes):
        first = asyncio.ensure_future(anext(outcomes))
        await loop_runner(20)()
        assert blocking.running == {0, 1, 2, 3}
        blocking.go.set()
        assert (await first).error is None


async def test_reader_wakes_up_after_calls_that_finish_while_it_is_busy() -> None:
    async def function(item: int) -> int:
        await loop_runner(item)()
        return item

    seen = []

    async def read() -> None:
        async for outcome in fan_out(function, [1, 4], concurrency=2):
            await loop_runner(20)()
            seen.append(outcome.item)

    await asyncio.wait_for(read(), 10)
    assert seen == [1, 4]


async def test_outcomes_come_in_the_order_in_which_calls_finish() -> None:
    async def function(item: int) -> int:
        await loop_runner(item)()
        return item

    assert [outcome.value async for outcome in fan_out(function, [9, 5, 1], concurrency=3)] == [1, 5, 9]


async def test_infinite_items_are_read_only_when_they_are_needed() -> None:
    read_count = 0

    def infinite() -> Iterator[int]:
        nonlocal read_count
        while True:
            read_count += 1
            yield read_count

    outcomes = fan_out(double, infinite(), concurrency=3)
    async with aclosing(outcomes):
        seen = [(await anext(outcomes)).item for _ in range(50)]
        # The reader is busy. Calls continue until the number of pending items reaches its maximum.
        await loop_runner(200)()
        assert seen == sorted(seen)
        assert read_count <= 50 + 2 * 3, (
            "a slow reader slows the calls down: each worker has one waiting and one running item"
        )
    assert other_tasks() == set()


async def test_reader_of_infinite_items_is_not_starved_by_calls_that_never_suspend() -> None:
    async def immediate(item: int) -> int:
        return item

    outcomes = fan_out(immediate, itertools.count(), concurrency=2)
    async with aclosing(outcomes):
        assert [(await anext(outcomes)).value for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_async_items_are_read_by_one_worker_at_a_time() -> None:
    inside = 0

    class Source:
        left = 6

        def __aiter__(self) -> "Source":
            return self

        async def __anext__(self) -> int:
            nonlocal inside
            inside += 1
            assert inside == 1
            await loop_runner(3)()
            inside -= 1
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    seen = [outcome.value async for outcome in fan_out(double, Source(), concurrency=3)]
    assert sorted(value for value in seen if value is not None) == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("items", [[], iter(()), ()])
async def test_no_items_have_no_outcomes(items: list[int]) -> None:
    assert [outcome async for outcome in fan_out(double, items, concurrency=3)] == []


@pytest.mark.parametrize("total", [0, -1, 1, 100])
async def test_wrong_total_loses_no_item(total: int) -> None:
    seen = [outcome.item async for outcome in fan_out(double, iter(range(5)), concurrency=2, total=total)]
    assert sorted(seen) == [0, 1, 2, 3, 4]


async def test_length_of_items_overrides_total() -> None:
    totals = set()
    async for _ in fan_out(double, [1, 2], concurrency=2, total=7, on_progress=lambda *numbers: totals.add(numbers[2])):
        pass
    assert totals == {2}


async def test_total_is_reported_for_items_without_length() -> None:
    progress: list[tuple[int, int, int | None]] = []
    async for _ in fan_out(
        double, iter([1, 2]), concurrency=1, total=2, on_progress=lambda *numbers: progress.append(numbers)
    ):
        pass
    assert progress == [(1, 0, 2), (2, 0, 2)]


async def test_no_more_workers_start_than_there_are_items() -> None:
    blocking = BlockingFunction()
    outcomes = fan_out(blocking, [1, 2], concurrency=1000)
    async with aclosing(outcomes):
        first = asyncio.ensure_future(anext(outcomes))
        await loop_runner(5)()
        assert len(other_tasks() - {first}) == 2
        blocking.go.set()
        await first


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "4", None])
async def test_invalid_concurrency_is_refused(concurrency: int) -> None:
    with pytest.raises(ConfigurationError, match="concurrency"):
        await anext(fan_out(double, [1], concurrency=concurrency))


async def test_leaving_early_cancels_and_awaits_running_calls() -> None:
    blocking = BlockingFunction()
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
            await loop_runner(10)()
            break
        assert blocking.running == {1, 2, 3}
    assert blocking.running == set()
    assert sorted(blocking.cancelled) == [1, 2, 3]
    assert other_tasks() == set()


async def test_error_in_the_loop_body_leaves_no_task() -> None:
    blocking = BlockingFunction()

    async def function(item: int) -> int:
        return item if item == 0 else await blocking(item)

    async def read() -> None:
        async with aclosing(fan_out(function, range(10), concurrency=3)) as outcomes:
            async for _ in outcomes:
                await loop_runner(10)()
                raise HitError("in the body")

    with pytest.raises(HitError):
        await read()
    assert sorted(blocking.cancelled) == [1, 2, 3]
    assert other_tasks() == set()


async def test_cancelled_reader_cancels_the_calls_and_is_cancelled() -> None:
    blocking = BlockingFunction()

    async def read() -> None:
        async for _ in fan_out(blocking, range(10), concurrency=3):
            raise AssertionError("no call finishes")

    reader = asyncio.create_task(read())
    await loop_runner(10)()
    assert blocking.running == {0, 1, 2}
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert sorted(blocking.cancelled) == [0, 1, 2]
    assert other_tasks() == set()


async def test_no_call_starts_after_a_function_suppressed_its_cancellation() -> None:
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
                # One more iteration, since coverage records nothing in frames that an exception was thrown into.
                await asyncio.sleep(0)
        return item

    outcomes = fan_out(suppress_cancellation, range(20), concurrency=2)
    assert (await anext(outcomes)).value == 0
    await loop_runner(10)()
    assert started == [0, 1, 2]
    await asyncio.wait_for(outcomes.aclose(), 10)
    assert woken
    assert started == [0, 1, 2]
    assert other_tasks() == set()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_error_of_items_is_raised_after_the_finished_outcomes(asynchronous: bool) -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise HitError("the source")

    async def later() -> AsyncIterator[int]:
        for item in items():
            yield item

    outcomes = fan_out(double, later() if asynchronous else items(), concurrency=1)
    assert [(await anext(outcomes)).value, (await anext(outcomes)).value] == [2, 4]
    with pytest.raises(HitError, match="the source"):
        await anext(outcomes)
    assert other_tasks() == set()


async def test_error_of_on_progress_is_raised_and_leaves_no_task() -> None:
    blocking = BlockingFunction()

    async def function(item: int) -> int:
        await loop_runner(3)()
        return item if item == 0 else await blocking(item)

    def on_progress(done: int, failed: int, total: int | None) -> None:
        raise HitError(f"{done} of {total}, {failed} failed")

    with pytest.raises(HitError, match="1 of 5, 0 failed"):
        await anext(fan_out(function, range(5), concurrency=2, on_progress=on_progress))
    assert blocking.cancelled == [1]
    assert other_tasks() == set()


async def test_items_that_are_not_iterable_raise_type_error() -> None:
    with pytest.raises(TypeError):
        await anext(fan_out(double, 5, concurrency=1))  # type: ignore[arg-type]  the mistake that is tested


async def test_failure_holds_the_error_and_stops_no_other_call() -> None:
    async def function(item: int) -> int:
        if item % 2:
            raise HitError(str(item))
        return item

    outcomes = [outcome async for outcome in fan_out(function, range(6), concurrency=2)]
    counts = Counter("failed" if outcome.error else "worked" for outcome in outcomes)
    assert counts == {"failed": 3, "worked": 3}
    assert all(outcome.value is None for outcome in outcomes if outcome.error)
    assert {outcome.error for outcome in outcomes if outcome.error} == {HitError("1"), HitError("3"), HitError("5")}


@pytest.mark.parametrize("concurrency", [1, 3, "auto"])
@pytest.mark.parametrize("in_order", [False, True])
async def test_item_that_awaits_a_cancelled_task_fails_alone(concurrency: Concurrency, in_order: bool) -> None:
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


async def test_worker_cancelled_from_outside_cancels_the_fan_out() -> None:
    blocking = BlockingFunction()

    async def read() -> None:
        async for _ in fan_out(blocking, range(10), concurrency=2):
            raise AssertionError("no call finishes")

    reader = asyncio.create_task(read())
    await loop_runner(10)()
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
    behaviours: list[tuple[str, int]], concurrency: Concurrency, in_order: bool, leave_after: int | None
) -> None:
    never = asyncio.get_running_loop().create_future()
    never.cancel()
    errors = {"return": None, "raise": HitError("defect"), "await cancelled": ItemCancelledError}

    async def function(index: int) -> int:
        behaviour, pause = behaviours[index]
        await loop_runner(pause)()
        if behaviour == "raise":
            raise HitError("defect")
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
