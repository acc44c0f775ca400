"""`fan_out`: outcomes, concurrency and progress."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialler_async import ConfigurationError, Failure, Outcome, Success, fan_out

if TYPE_CHECKING:
    from tests.bulk.conftest import BlockingFunction, OtherTasks, RunLoop
    from tests.conftest import Until


class HitError(Exception):
    """The error of a function in these tests. Errors with the same text are equal, so that outcomes compare."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HitError) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)


async def double(item: int) -> int:
    await asyncio.sleep(0)
    return item * 2


PLANS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([None, "raise"]), st.integers(0, 3)),
    max_size=25,
)
"""For each item: loop iterations of its call, whether it fails, loop iterations of the reader."""


@pytest.mark.parametrize("items_kind", ["list", "iterator", "async iterator"])
@settings(deadline=None, max_examples=60)
@given(plans=PLANS, concurrency=st.integers(1, 8))
async def test_every_item_has_one_outcome_within_the_concurrency(
    items_kind: str,
    plans: list[tuple[int, str | None, int]],
    concurrency: int,
    run_loop: RunLoop,
    other_tasks: OtherTasks,
) -> None:
    running = peak = 0

    async def function(index: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await run_loop(plans[index][0])
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
            await run_loop(plans[outcome.item][2])

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


async def test_as_many_calls_run_as_concurrency_allows(run_loop: RunLoop, blocking: BlockingFunction) -> None:
    outcomes = fan_out(blocking, range(10), concurrency=4)
    async with aclosing(outcomes):
        first = asyncio.ensure_future(anext(outcomes))
        await run_loop(20)
        assert blocking.running == {0, 1, 2, 3}
        blocking.go.set()
        assert (await first).error is None


async def test_reader_wakes_up_after_calls_that_finish_while_it_is_busy(run_loop: RunLoop) -> None:
    async def function(item: int) -> int:
        await run_loop(item)
        return item

    seen = []

    async def read() -> None:
        async for outcome in fan_out(function, [1, 4], concurrency=2):
            await run_loop(20)
            seen.append(outcome.item)

    await asyncio.wait_for(read(), 10)
    assert seen == [1, 4]


async def test_outcomes_come_in_the_order_in_which_calls_finish(run_loop: RunLoop) -> None:
    async def function(item: int) -> int:
        await run_loop(item)
        return item

    assert [outcome.value async for outcome in fan_out(function, [9, 5, 1], concurrency=3)] == [1, 5, 9]


async def test_infinite_items_are_read_only_when_they_are_needed(run_loop: RunLoop, other_tasks: OtherTasks) -> None:
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
        await run_loop(200)
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


async def test_async_items_are_read_by_one_worker_at_a_time(run_loop: RunLoop) -> None:
    inside = 0

    class Source:
        left = 6

        def __aiter__(self) -> Source:
            return self

        async def __anext__(self) -> int:
            nonlocal inside
            inside += 1
            assert inside == 1
            await run_loop(3)
            inside -= 1
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    seen = [outcome.value async for outcome in fan_out(double, Source(), concurrency=3)]
    assert sorted(value for value in seen if value is not None) == [0, 2, 4, 6, 8, 10]


async def test_items_are_not_taken_again_after_their_end() -> None:
    ends = 0

    class Source:
        left = 5

        def __iter__(self) -> Source:
            return self

        def __next__(self) -> int:
            nonlocal ends
            if not self.left:
                ends += 1
                raise StopIteration
            self.left -= 1
            return self.left

    assert len([outcome async for outcome in fan_out(double, Source(), concurrency=1)]) == 5
    assert ends == 1


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


async def test_no_more_workers_start_than_there_are_items(
    run_loop: RunLoop, other_tasks: OtherTasks, blocking: BlockingFunction
) -> None:
    outcomes = fan_out(blocking, [1, 2], concurrency=1000)
    async with aclosing(outcomes):
        first = asyncio.ensure_future(anext(outcomes))
        await run_loop(5)
        assert len(other_tasks() - {first}) == 2
        blocking.go.set()
        await first


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "4", None])
async def test_invalid_concurrency_is_refused(concurrency: int) -> None:
    with pytest.raises(ConfigurationError, match="concurrency"):
        await anext(fan_out(double, [1], concurrency=concurrency))


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


USER: ContextVar[str] = ContextVar("USER")


@pytest.mark.parametrize("concurrency", [1, 3, "auto"])
async def test_each_item_has_context_variables_of_its_own(concurrency: int | Literal["auto"]) -> None:
    async def function(item: int) -> tuple[str, str, str]:
        before = USER.get()
        USER.set(f"user {item}")
        await asyncio.sleep(0)
        return before, USER.get(), await asyncio.create_task(in_a_task())

    async def in_a_task() -> str:
        return USER.get()

    USER.set("caller")
    outcomes = [outcome async for outcome in fan_out(function, range(20), concurrency=concurrency)]
    assert {outcome.item: outcome.value for outcome in outcomes} == {
        item: ("caller", f"user {item}", f"user {item}") for item in range(20)
    }
    assert USER.get() == "caller"


async def test_item_has_its_context_while_it_is_cancelled(until: Until) -> None:
    users: list[str] = []
    begun: list[int] = []

    async def function(item: int) -> None:
        USER.set(f"user {item}")
        begun.append(item)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            users.append(USER.get())

    async with aclosing(fan_out(function, range(3), concurrency=3)) as outcomes, asyncio.timeout(5):
        reading = asyncio.ensure_future(anext(outcomes))
        await until(lambda: len(begun) == 3)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert sorted(users) == ["user 0", "user 1", "user 2"]


@pytest.mark.parametrize("kind", ["function", "method", "class", "builtin", "coroutine", "number", "async generator"])
def test_function_that_is_not_async_is_refused_before_the_first_item(kind: str) -> None:
    class Client:
        def get(self, item: int) -> int:
            raise AssertionError("called")

    def function(item: int) -> int:
        raise AssertionError("called")

    async def generate(item: int) -> AsyncIterator[int]:
        yield item

    functions: dict[str, object] = {
        "function": function,
        "method": Client().get,
        "class": Client,
        "builtin": print,
        "coroutine": double(1),
        "number": 7,
        "async generator": generate,
    }

    given: Any = functions[kind]
    if kind != "coroutine":
        functions["coroutine"].close()  # type: ignore[attr-defined]  it is a coroutine
    with pytest.raises(ConfigurationError, match="must be async"):
        fan_out(given, [1, 2])


async def test_function_that_returns_an_awaitable_is_accepted() -> None:
    class Doubling:
        async def __call__(self, item: int) -> int:
            return await double(item)

    @functools.wraps(double)
    def wrapped(item: int) -> Awaitable[int]:
        return double(item)

    for function in (
        Doubling(),
        functools.partial(double),
        functools.partial(lambda item: double(item)),  # a routine since Python 3.14
        lambda item: double(item),
        lambda item: asyncio.ensure_future(double(item)),
        wrapped,
    ):
        assert [outcome.value async for outcome in fan_out(function, [1, 2], in_order=True)] == [2, 4]


async def test_lambda_that_returns_no_awaitable_stops_the_run_at_its_first_item() -> None:
    called: list[int] = []
    given: Any = lambda item: called.append(item)  # noqa: E731  a lambda is tested
    with pytest.raises(ConfigurationError, match="it returned a NoneType"):
        async for _ in fan_out(given, range(100), concurrency=1):
            pass
    assert called == [0]
