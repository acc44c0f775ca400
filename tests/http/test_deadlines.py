"""One timer for many deadlines: whom it cancels, when, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async._http.deadlines import Deadline, Deadlines

if TYPE_CHECKING:
    from tests.conftest import Until
    from tests.http.conftest import Leap


async def under(deadlines: Deadlines, work: Awaitable[object]) -> str:
    """How work comes out of a deadline; the task may not be left cancelled."""
    deadline = deadlines.start(asyncio.get_running_loop())
    try:
        await work
        ended = "done"
    except asyncio.CancelledError:
        ended = "ran out" if deadline.caused_cancellation() else "cancelled"
    finally:
        deadlines.stop(deadline)
    task = asyncio.current_task()
    assert task is not None
    return f"{ended}, {task.cancelling()} left"


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def begun(*tasks: asyncio.Task[str]) -> None:
    """Until all of them have got as far as they can."""
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_each_runs_out_in_its_own_time_by_one_timer(leap: Leap, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, armed = asyncio.get_running_loop(), []
    real = loop.call_at

    def call_at(when: float, *rest: Any, **named: Any) -> asyncio.TimerHandle:
        armed.append(when)
        return real(when, *rest, **named)

    monkeypatch.setattr(loop, "call_at", call_at)
    deadlines = Deadlines(10)
    first = asyncio.create_task(under(deadlines, for_ever()))
    await begun(first)
    await leap(4)
    later = [asyncio.create_task(under(deadlines, for_ever())) for _ in range(100)]
    await begun(*later)
    assert len(armed) == 1
    await leap(6.01)
    assert await first == "ran out, 0 left"
    await begun(*later)
    await leap(4)
    assert await asyncio.gather(*later) == ["ran out, 0 left"] * 100


async def test_one_that_has_stopped_is_left_alone(leap: Leap) -> None:
    deadlines = Deadlines(10)
    assert await under(deadlines, asyncio.sleep(0)) == "done, 0 left"
    await leap(11)
    assert await under(deadlines, asyncio.sleep(0)) == "done, 0 left"


async def test_the_timer_goes_on_after_a_while_without_calls(leap: Leap, until: Until) -> None:
    deadlines = Deadlines(10)
    await under(deadlines, asyncio.sleep(0))
    await leap(25)
    # It goes off with nothing left to wait for.
    await until(lambda: deadlines._timer is None)
    task = asyncio.create_task(under(deadlines, for_ever()))
    await begun(task)
    await leap(9.9)
    await begun(task)
    await leap(0.2)
    assert await task == "ran out, 0 left"


async def test_none_runs_out_that_has_no_end(leap: Leap) -> None:
    deadlines = Deadlines(math.inf)
    task = asyncio.create_task(under(deadlines, for_ever()))
    await begun(task)
    await leap(1e9)
    await begun(task)
    assert deadlines._timer is None, "not every loop can be told of infinity"
    task.cancel()
    assert await task == "cancelled, 1 left"


@pytest.mark.parametrize("who_first", ["caller", "deadline"])
async def test_a_caller_who_cancels_too_is_heard(leap: Leap, who_first: str, until: Until) -> None:
    deadlines = Deadlines(10)
    deadline = None

    async def work() -> None:
        nonlocal deadline
        (deadline,) = deadlines._running
        await for_ever()

    task = asyncio.create_task(under(deadlines, work()))
    await until(lambda: deadline)
    assert deadline is not None
    if who_first == "caller":
        task.cancel()
        deadline.cancel()
    else:
        deadline.cancel()
        task.cancel()
    assert await task == "cancelled, 1 left"


async def test_it_is_told_from_a_cancellation_of_before_it_began(leap: Leap) -> None:
    async def cleans_up() -> str:
        try:
            await for_ever()
        except asyncio.CancelledError:
            return await under(Deadlines(10), for_ever())
        return "never"

    task = asyncio.create_task(cleans_up())
    await begun(task)
    task.cancel()
    await begun(task)
    await leap(10.01)
    assert await task == "ran out, 1 left"


async def test_a_cancellation_that_something_made_away_with_is_taken_back(leap: Leap) -> None:
    async def stubborn() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            return

    task = asyncio.create_task(under(Deadlines(10), stubborn()))
    await begun(task)
    await leap(10.01)
    assert await task == "done, 0 left"


class Looks(dict[Deadline, None]):
    """Deadlines that count how often somebody begins to look for the first of them."""

    count = 0

    def __iter__(self) -> Iterator[Deadline]:
        self.count += 1
        return super().__iter__()


async def test_many_that_run_out_at_once_are_gone_through_once(leap: Leap) -> None:
    deadlines = Deadlines(10)
    deadlines._running = looks = Looks()
    tasks = [asyncio.create_task(under(deadlines, for_ever())) for _ in range(100)]
    await begun(*tasks)
    await leap(10.01)
    assert await asyncio.gather(*tasks) == ["ran out, 0 left"] * 100
    assert looks.count <= 2, "a dict looks for its first key among all those that it has lost"


class Caller:
    """What a caller has in its context, such as the request that it serves."""


CALLER: ContextVar[Caller] = ContextVar("CALLER")


async def test_brief_deadlines_leave_no_timer_after_the_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), []
    real = loop.call_at

    def call_at(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
        timers.append(real(*arguments, **options))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", call_at)
    deadlines = Deadlines(10, is_brief=True)
    first, second = deadlines.start(loop), deadlines.start(loop)
    deadlines.stop(first)
    assert [timer.cancelled() for timer in timers] == [False]
    deadlines.stop(second)
    assert [timer.cancelled() for timer in timers] == [True]


async def test_the_timer_holds_nothing_of_the_call_that_set_it() -> None:
    deadlines = Deadlines(10)

    async def serve() -> weakref.ref[Caller]:
        CALLER.set(caller := Caller())
        await under(deadlines, asyncio.sleep(0))
        return weakref.ref(caller)

    caller = await asyncio.create_task(serve())
    # The loop still has the last step of that in hand.
    await asyncio.sleep(0)
    gc.collect()
    assert deadlines._timer is not None
    assert caller() is None
