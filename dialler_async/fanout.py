"""Bounded concurrent map with an outcome for each item: one failure never stops the rest."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sized
from typing import Final, Generic, Literal, TypeAlias, TypeVar, cast

import attrs

from .concurrency import WATCH, AutoConcurrency, Watch
from .errors import PayloadError, StatusError, require

I = TypeVar("I")  # noqa: E741  the item
T = TypeVar("T")

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
        error: what it raised; None if it returned.
    """

    item: I
    value: T | None = None
    error: Exception | None = None


async def fan_out(
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
    source = _Shared(items)
    # By the turn in which they are yielded.
    finished: dict[int, Outcome[I, T]] = {}
    turn = 0
    room = asyncio.Semaphore(2 * most)
    changed = asyncio.Event()
    done = failed = 0
    stopped: Exception | None = None
    leaving = drained = False
    workers: set[asyncio.Task[None]] = set()
    crew = 0

    def hire() -> None:
        nonlocal crew
        # At least one, whatever `total` says: the items themselves tell whether there are any.
        wanted = max(1, min(most if auto is None else auto.level, most if total is None else total))
        while crew < wanted and not drained:
            crew += 1
            worker = asyncio.create_task(work())
            worker.add_done_callback(lambda _: changed.set())
            workers.add(worker)

    async def work() -> None:
        nonlocal done, failed, stopped, drained, crew
        while True:
            await room.acquire()
            if stopped is not None:
                break
            try:
                index, item = await anext(source)
            except StopAsyncIteration:
                drained = True
                room.release()
                break
            outcome: Outcome[I, T]
            try:
                outcome = Outcome(item, value=await function(item))
            except stop_on as error:
                if stopped is None:
                    stopped = error
                room.release()
                break
            except Exception as error:
                outcome = Outcome(item, error=error)
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
            ended = {worker for worker in workers if worker.done()}
            while turn in finished:
                outcome = finished.pop(turn)
                turn += 1
                room.release()
                yield outcome
            if stopped is not None:
                for turn in sorted(finished):
                    yield finished.pop(turn)
                raise stopped
            for worker in ended:
                worker.result()
            workers -= ended
            if not workers:
                return
            await changed.wait()
    finally:
        leaving = True
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _watched(function: Callable[[I], Awaitable[T]], auto: AutoConcurrency) -> Callable[[I], Awaitable[T]]:
    """The function, telling how long it takes, and whether it is refused."""
    clock = asyncio.get_running_loop().time
    under_way = 0

    async def watched(item: I) -> T:
        nonlocal under_way
        watch = Watch(auto, clock)
        WATCH.set(watch)
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
    """One iterator that several workers take from, one at a time, with the number of each item."""

    def __init__(self, items: Iterable[I] | AsyncIterable[I]) -> None:
        self._sync = iter(items) if isinstance(items, Iterable) else None
        self._async = None if isinstance(items, Iterable) else aiter(items)
        self._turn = asyncio.Lock()
        self._taken = itertools.count()

    async def __anext__(self) -> tuple[int, I]:
        if self._async is not None:
            async with self._turn:
                item = await anext(self._async)
                return next(self._taken), item
        for item in cast(Iterator[I], self._sync):
            return next(self._taken), item
        raise StopAsyncIteration
