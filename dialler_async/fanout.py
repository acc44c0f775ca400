"""Bounded concurrent map with an outcome for each item: one failure never stops the rest."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sized
from typing import Generic, TypeAlias, TypeVar, cast

import attrs

from .errors import require

I = TypeVar("I")  # noqa: E741  the item
T = TypeVar("T")

OnProgress: TypeAlias = Callable[[int, int, int | None], None]
"""Called as outcomes come: how many are done (failed ones included), how many of them failed, how many there are."""


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
    concurrency: int,
    total: int | None = None,
    on_progress: OnProgress | None = None,
) -> AsyncGenerator[Outcome[I, T], None]:
    """Calls a coroutine function with each item, at most so many at once, and yields outcomes as they finish.

    Items are taken as they are needed, so there may be endlessly many; outcomes wait to be taken, so that a slow
    reader slows the calls down instead of piling up results.

    Leaving the loop early cancels the calls that still run. They are awaited when the generator is closed; to have
    that done by a certain point, put `contextlib.aclosing` around it.

    Args:
        function: called with one item.
        items: any iterable or async iterable; read by one worker at a time.
        concurrency: calls at once, at least 1.
        total: how many items there are, where `items` has no length to tell.
        on_progress: called after each item with (done, failed, total).
    Yields:
        An `Outcome` for each item, in the order in which they finish.
    Raises:
        ConfigurationError: concurrency is less than 1.
        Exception: whatever `items` itself or `on_progress` raises.
    """
    require(type(concurrency) is int and concurrency >= 1, "concurrency is a positive int")
    if isinstance(items, Sized):
        total = len(items)
    source = _Shared(items)
    finished: deque[Outcome[I, T]] = deque()
    room = asyncio.Semaphore(concurrency)
    changed = asyncio.Event()
    done = failed = 0
    leaving = False

    async def work() -> None:
        nonlocal done, failed
        async for item in source:
            outcome: Outcome[I, T]
            try:
                outcome = Outcome(item, value=await function(item))
            except Exception as error:
                outcome = Outcome(item, error=error)
                failed += 1
            if leaving:
                # The function made away with its cancellation. Nothing further is begun.
                raise asyncio.CancelledError
            done += 1
            if on_progress is not None:
                on_progress(done, failed, total)
            await room.acquire()
            finished.append(outcome)
            changed.set()

    # At least one, whatever `total` says: the items themselves tell whether there are any.
    crew = concurrency if total is None else max(1, min(total, concurrency))
    workers = [asyncio.create_task(work()) for _ in range(crew)]
    for worker in workers:
        worker.add_done_callback(lambda _: changed.set())
    try:
        while True:
            # Before looking, not after: whatever happens while the reader is busy has to wake this loop up again.
            changed.clear()
            ended = [worker for worker in workers if worker.done()]
            while finished:
                outcome = finished.popleft()
                room.release()
                yield outcome
            for worker in ended:
                worker.result()
            if len(ended) == len(workers):
                return
            await changed.wait()
    finally:
        leaving = True
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class _Shared(Generic[I]):
    """One iterator that several workers take from, one at a time."""

    def __init__(self, items: Iterable[I] | AsyncIterable[I]) -> None:
        self._sync = iter(items) if isinstance(items, Iterable) else None
        self._async = None if isinstance(items, Iterable) else aiter(items)
        self._turn = asyncio.Lock()

    def __aiter__(self) -> "_Shared[I]":
        return self

    async def __anext__(self) -> I:
        if self._async is not None:
            async with self._turn:
                return await anext(self._async)
        for item in cast(Iterator[I], self._sync):
            return item
        raise StopAsyncIteration
