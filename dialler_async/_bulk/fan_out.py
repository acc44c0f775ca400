"""Bounded concurrent map with an outcome for each item: one failure never stops the rest."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sized
from typing import Final, Generic, Literal, TypeAlias, TypeVar, cast

import attrs

from ..errors import ItemCancelledError, PayloadError, StatusError, require
from .concurrency import LATENCY_TIMER, AutoConcurrency, LatencyTimer

I = TypeVar("I")  # noqa: E741  the item
T = TypeVar("T")
O = TypeVar("O")  # noqa: E741  the outcome

OnProgress: TypeAlias = Callable[[int, int, int | None], None]
"""Called as outcomes come: how many are done (failed ones included), how many of them failed, how many there are."""

Concurrency: TypeAlias = int | Literal["auto"] | AutoConcurrency
"""Calls at once: a number, or as many as the server bears, found out on the way."""

AUTO_LIMIT: Final = 128
"""Where "auto" ends when nobody tells it of a pool's limit."""


@attrs.frozen
class Outcome(Generic[I, T]):
    """What became of one item.

    Attributes:
        item: what the function was called with.
        value: what it returned; None if it raised.
        error: what it raised; None if it returned. An `ItemCancelledError` if something that it awaited was cancelled.
    """

    item: I
    value: T | None = None
    error: Exception | None = None


def fan_out(
    function: Callable[[I], Awaitable[T]],
    items: Iterable[I] | AsyncIterable[I],
    *,
    concurrency: Concurrency,
    in_order: bool = False,
    stop_on: tuple[type[Exception], ...] = (),
    total: int | None = None,
    on_progress: OnProgress | None = None,
) -> AsyncGenerator[Outcome[I, T], None]:
    """Calls a coroutine function with each item, at most so many at once, and yields outcomes as they finish.

    Items are taken as they are needed, so there may be endlessly many. At most twice as many as run at once are taken
    and not yet yielded, so that neither a slow reader nor, with `in_order`, a slow call makes results pile up: it
    slows down the rest.

    Leaving the loop early cancels the calls that still run. They are awaited when the generator is closed; to have
    that done by a certain point, put `contextlib.aclosing` around it.

    Args:
        function: called with one item.
        items: any iterable or async iterable; read by one worker at a time.
        concurrency: calls at once, at least 1. "auto" begins with 2 and finds by their latency how many the server
            bears, at most 128; `AutoConcurrency(limit)` likewise, with another limit.
        in_order: yield in the order of `items` instead: an outcome waits until those before it are there.
        stop_on: errors that no other item would escape either. The first of them ends it all: nothing further is
            begun, what has finished is yielded, what runs is cancelled, and the error is raised.
        total: how many items there are, where `items` has no length to tell.
        on_progress: called after each item with (done, failed, total).
    Yields:
        An `Outcome` for each item, in the order in which they finish.
    Raises:
        ConfigurationError: concurrency is neither of these.
        Exception: one of `stop_on`; and whatever `items` itself or `on_progress` raises.
    """
    # Without its parameters, which would be looked after for each outcome: a microsecond.
    make: Callable[[I, T | None, Exception | None], Outcome[I, T]] = Outcome
    return outcomes(
        make,
        function,
        items,
        concurrency=concurrency,
        in_order=in_order,
        stop_on=stop_on,
        total=total,
        on_progress=on_progress,
    )


async def outcomes(
    make: Callable[[I, T | None, Exception | None], O],
    function: Callable[[I], Awaitable[T]],
    items: Iterable[I] | AsyncIterable[I],
    *,
    concurrency: Concurrency,
    in_order: bool,
    stop_on: tuple[type[Exception], ...],
    total: int | None,
    on_progress: OnProgress | None,
) -> AsyncGenerator[O, None]:
    """The same, with outcomes of the caller's own: made of an item, its value and its error."""
    auto: AutoConcurrency | None = None
    if type(concurrency) is int:
        most = concurrency
        require(most >= 1, "concurrency is a positive int")
    else:
        auto = AutoConcurrency(AUTO_LIMIT) if concurrency == "auto" else cast(AutoConcurrency, concurrency)
        require(isinstance(auto, AutoConcurrency), 'concurrency is a positive int, "auto" or an AutoConcurrency')
        most = auto.limit
        function = _watched(function, auto)
    if isinstance(items, Sized):
        total = len(items)
    source = iter(items) if isinstance(items, Iterable) else _Shared(items)
    indices = itertools.count()
    # By the turn in which they are yielded.
    finished: dict[int, O] = {}
    turn = 0
    # Taken, and not yet yielded: a worker that finds no more room leaves, and the reader hires again when there is.
    held = 0
    changed = asyncio.Event()
    done = failed = 0
    stopped: Exception | None = None
    leaving = drained = False
    workers: set[asyncio.Task[None]] = set()
    left: list[asyncio.Task[None]] = []
    crew = 0
    is_hiring = False

    def hire() -> None:
        nonlocal crew, is_hiring
        # At least one, whatever `total` says: the items themselves tell whether there are any.
        wanted = max(1, min(most if auto is None else auto.level, most if total is None else total))
        for _ in range(min(wanted - crew, 2 * most - held)):
            if drained or stopped is not None:
                break
            crew += 1
            is_hiring = True
            worker = asyncio.create_task(work())
            is_hiring = False
            worker.add_done_callback(leave)
            workers.add(worker)

    def leave(worker: asyncio.Task[None]) -> None:
        left.append(worker)
        changed.set()

    async def work() -> None:
        nonlocal held, done, failed, stopped, drained, crew
        if is_hiring:
            # An eager task runs inside of create_task: begin no item before it is counted and can be cancelled.
            await asyncio.sleep(0)
        while held < 2 * most and stopped is None:
            held += 1
            try:
                item = await anext(source) if isinstance(source, _Shared) else next(source)
            except (StopIteration, StopAsyncIteration):
                drained = True
                held -= 1
                break
            index = next(indices)
            try:
                outcome = make(item, await function(item), None)
            except stop_on as error:
                if stopped is None:
                    stopped = error
                break
            except asyncio.CancelledError as cancelled:
                if leaving or _is_being_cancelled():
                    raise
                outcome = make(item, None, _item_cancelled(cancelled))
                failed += 1
            except Exception as error:
                outcome = make(item, None, error)
                failed += 1
            if leaving:
                # The function made away with its cancellation. Nothing further is begun.
                raise asyncio.CancelledError
            done += 1
            if on_progress is not None:
                on_progress(done, failed, total)
            finished[index if in_order else done - 1] = outcome
            changed.set()
            if auto is not None:
                if crew > auto.level:
                    break
                hire()
        crew -= 1

    hire()
    try:
        while True:
            # Before looking, not after: whatever happens while the reader is busy has to wake this loop up again.
            changed.clear()
            ended, left[:] = left[:], []
            while turn in finished:
                outcome = finished.pop(turn)
                turn += 1
                held -= 1
                if crew < most:
                    hire()
                yield outcome
            if stopped is not None:
                for turn in sorted(finished):
                    yield finished.pop(turn)
                raise stopped
            for worker in ended:
                workers.remove(worker)
                worker.result()
            if not workers:
                return
            await changed.wait()
    finally:
        leaving = True
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _is_being_cancelled() -> bool:
    """Return whether the current task itself is being cancelled, not only something that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _item_cancelled(cancelled: asyncio.CancelledError) -> ItemCancelledError:
    error = ItemCancelledError("something that this item awaited was cancelled, and the fan-out was not")
    error.__cause__ = cancelled
    return error


def _watched(function: Callable[[I], Awaitable[T]], auto: AutoConcurrency) -> Callable[[I], Awaitable[T]]:
    """The function, telling how long it takes, and whether it is refused."""
    clock = asyncio.get_running_loop().time
    under_way = 0

    async def watched(item: I) -> T:
        nonlocal under_way
        watch = LatencyTimer(auto, clock)
        LATENCY_TIMER.set(watch)
        under_way += 1
        try:
            value = await function(item)
        except (StatusError, PayloadError) as error:
            watch.failed(error)
            watch.answered(under_way)
            raise
        except Exception as error:
            watch.failed(error)
            raise
        else:
            watch.answered(under_way)
            return value
        finally:
            under_way -= 1

    return watched


class _Shared(Generic[I]):
    """One async iterator that several workers take from, one at a time."""

    def __init__(self, items: AsyncIterable[I]) -> None:
        self._items = aiter(items)
        self._turn = asyncio.Lock()

    async def __anext__(self) -> I:
        async with self._turn:
            return await anext(self._items)
