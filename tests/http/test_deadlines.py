"""Many deadlines with one timer: which calls it cancels, and when."""

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
    from tests.http.conftest import AdvanceClock


async def run_with_deadline(deadlines: Deadlines, work: Awaitable[object]) -> str:
    """Return how work with a deadline ended, and how many cancellation requests of the task are left."""
    deadline = deadlines.start(asyncio.get_running_loop())
    try:
        await work
        ended = "done"
    except asyncio.CancelledError:
        ended = "expired" if deadline.uncancel() else "cancelled"
    finally:
        deadlines.stop(deadline)
    task = asyncio.current_task()
    assert task is not None
    return f"{ended}, {task.cancelling()} left"


async def wait_forever() -> None:
    await asyncio.get_running_loop().create_future()


async def wait_until_blocked(*tasks: asyncio.Task[str]) -> None:
    """Wait until all tasks have reached their first wait."""
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_deadlines_expire_at_their_own_times_with_one_timer(
    advance_clock: AdvanceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, timer_times = asyncio.get_running_loop(), []
    real = loop.call_at

    def call_at(when: float, *rest: Any, **named: Any) -> asyncio.TimerHandle:
        timer_times.append(when)
        return real(when, *rest, **named)

    monkeypatch.setattr(loop, "call_at", call_at)
    deadlines = Deadlines(10)
    first = asyncio.create_task(run_with_deadline(deadlines, wait_forever()))
    await wait_until_blocked(first)
    await advance_clock(4)
    later = [asyncio.create_task(run_with_deadline(deadlines, wait_forever())) for _ in range(100)]
    await wait_until_blocked(*later)
    assert len(timer_times) == 1
    await advance_clock(6.01)
    assert await first == "expired, 0 left"
    await wait_until_blocked(*later)
    await advance_clock(4)
    assert await asyncio.gather(*later) == ["expired, 0 left"] * 100


async def test_stopped_deadline_does_not_cancel(advance_clock: AdvanceClock) -> None:
    deadlines = Deadlines(10)
    assert await run_with_deadline(deadlines, asyncio.sleep(0)) == "done, 0 left"
    await advance_clock(11)
    assert await run_with_deadline(deadlines, asyncio.sleep(0)) == "done, 0 left"


async def test_restarted_deadline_expires_after_its_full_length(advance_clock: AdvanceClock) -> None:
    deadlines = Deadlines(10)
    restart = asyncio.Event()

    async def work() -> str:
        deadline = deadlines.start(asyncio.get_running_loop())
        try:
            await restart.wait()
            deadlines.restart(deadline)
            await wait_forever()
        except asyncio.CancelledError:
            deadlines.restart(deadline)
            return f"expired: {deadline.uncancel()}"
        finally:
            deadlines.stop(deadline)
        return "done"

    restarted = asyncio.create_task(work())
    other = asyncio.create_task(run_with_deadline(deadlines, wait_forever()))
    await asyncio.sleep(0)
    await advance_clock(8)
    restart.set()
    await asyncio.sleep(0)
    await advance_clock(2.01)
    assert await other == "expired, 0 left"
    await advance_clock(7)
    await asyncio.sleep(0)
    assert not restarted.done()
    await advance_clock(1.01)
    assert await restarted == "expired: True"


async def test_timer_is_set_again_after_a_time_without_calls(advance_clock: AdvanceClock, until: Until) -> None:
    deadlines = Deadlines(10)
    await run_with_deadline(deadlines, asyncio.sleep(0))
    await advance_clock(25)
    # The timer fires without a running deadline.
    await until(lambda: deadlines._timer is None)
    task = asyncio.create_task(run_with_deadline(deadlines, wait_forever()))
    await wait_until_blocked(task)
    await advance_clock(9.9)
    await wait_until_blocked(task)
    await advance_clock(0.2)
    assert await task == "expired, 0 left"


async def test_infinite_deadline_sets_no_timer(advance_clock: AdvanceClock) -> None:
    deadlines = Deadlines(math.inf)
    task = asyncio.create_task(run_with_deadline(deadlines, wait_forever()))
    await wait_until_blocked(task)
    await advance_clock(1e9)
    await wait_until_blocked(task)
    assert deadlines._timer is None, "not every loop accepts infinity"
    task.cancel()
    assert await task == "cancelled, 1 left"


@pytest.mark.parametrize("first_to_cancel", ["caller", "deadline"])
async def test_cancellation_by_the_caller_is_kept_when_the_deadline_cancels_too(
    advance_clock: AdvanceClock, first_to_cancel: str, until: Until
) -> None:
    deadlines = Deadlines(10)
    deadline = None

    async def work() -> None:
        nonlocal deadline
        (deadline,) = deadlines._running
        await wait_forever()

    task = asyncio.create_task(run_with_deadline(deadlines, work()))
    await until(lambda: deadline)
    assert deadline is not None
    if first_to_cancel == "caller":
        task.cancel()
        deadline.cancel()
    else:
        deadline.cancel()
        task.cancel()
    assert await task == "cancelled, 1 left"


async def test_deadline_is_distinguished_from_an_earlier_cancellation(advance_clock: AdvanceClock) -> None:
    async def run_after_cancellation() -> str:
        try:
            await wait_forever()
        except asyncio.CancelledError:
            return await run_with_deadline(Deadlines(10), wait_forever())
        return "never"

    task = asyncio.create_task(run_after_cancellation())
    await wait_until_blocked(task)
    task.cancel()
    await wait_until_blocked(task)
    await advance_clock(10.01)
    assert await task == "expired, 1 left"


async def test_cancellation_by_the_deadline_is_undone_when_the_call_suppresses_it(advance_clock: AdvanceClock) -> None:
    async def suppress_cancellation() -> None:
        try:
            await wait_forever()
        except asyncio.CancelledError:
            return

    task = asyncio.create_task(run_with_deadline(Deadlines(10), suppress_cancellation()))
    await wait_until_blocked(task)
    await advance_clock(10.01)
    assert await task == "done, 0 left"


class CountingDict(dict[Deadline, None]):
    """A dict that counts how often it is iterated."""

    count = 0

    def __iter__(self) -> Iterator[Deadline]:
        self.count += 1
        return super().__iter__()


async def test_expired_deadlines_are_iterated_once(advance_clock: AdvanceClock) -> None:
    deadlines = Deadlines(10)
    deadlines._running = running = CountingDict()
    tasks = [asyncio.create_task(run_with_deadline(deadlines, wait_forever())) for _ in range(100)]
    await wait_until_blocked(*tasks)
    await advance_clock(10.01)
    assert await asyncio.gather(*tasks) == ["expired, 0 left"] * 100
    assert running.count <= 2, "each iteration of a dict passes the entries that were deleted"


class Caller:
    """A value in the caller's context, such as a web request."""


CALLER: ContextVar[Caller] = ContextVar("CALLER")


async def test_short_lived_deadlines_leave_no_timer_after_the_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), []
    original = loop.call_at

    def call_at(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
        timers.append(original(*arguments, **options))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", call_at)
    deadlines = Deadlines(10, is_short_lived=True)
    first, second = deadlines.start(loop), deadlines.start(loop)
    deadlines.stop(first)
    assert [timer.cancelled() for timer in timers] == [False]
    deadlines.stop(second)
    assert [timer.cancelled() for timer in timers] == [True]


async def test_timer_does_not_keep_the_context_of_a_call_alive() -> None:
    deadlines = Deadlines(10)

    async def serve() -> weakref.ref[Caller]:
        CALLER.set(caller := Caller())
        await run_with_deadline(deadlines, asyncio.sleep(0))
        return weakref.ref(caller)

    caller = await asyncio.create_task(serve())
    # The loop still holds a reference to the last step of the task.
    await asyncio.sleep(0)
    gc.collect()
    assert deadlines._timer is not None
    assert caller() is None
