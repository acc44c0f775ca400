"""Answers that are kept for a while, and shared by those who ask for the same at the same time.

Bounded by records, since it is those that take memory: `MAX_RECORDS` in all, an answer counting one more than it has
records. The answer longest not asked for goes first, and one that is larger than the whole bound is not kept.
A result code takes about 1.1 kB, so 10,000 of them are some 11 MB.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable, Sized
from typing import Final, Generic, TypeVar, final

from ..errors import DiallerError, require
from .clock import CLOCK

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)

MAX_RECORDS: Final = 10_000


@final
class _Kept(Generic[V]):
    def __init__(self, answer: V, asked_at: float) -> None:
        self.answer = answer
        self.asked_at = asked_at

    @property
    def size(self) -> int:
        return len(self.answer) + 1


@final
class _Flight(Generic[V]):
    """A request on its way, and how many wait for it. Its task never raises: what it comes to is a value."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[_Kept[V] | Exception] | None = None
        self.askers = 0


@final
class Cache(Generic[K, V]):
    """Answers by key."""

    def __init__(self) -> None:
        # In the order in which they were last asked for.
        self._kept: dict[K, _Kept[V]] = {}
        self._flights: dict[K, _Flight[V]] = {}
        self._records = 0

    async def get(self, key: K, max_age: float, ask: Callable[[], Awaitable[V]]) -> V:
        """The answer that is kept, or is on its way, or else the one that `ask` brings.

        An asker that is cancelled leaves the others theirs; the last one that leaves cancels the request.

        Args:
            key: what is asked for.
            max_age: seconds that an answer may be old, counted from the moment it was asked for.
            ask: gets the answer; run in a task of its own, with the context of the first that asks.
        Raises:
            ConfigurationError: `max_age` is negative.
            Exception: what `ask` raises. It is not kept; all that wait for it get one each.
        """
        require(max_age >= 0, "max_age=… is a number of seconds, and not negative")
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept[key] = kept
            if CLOCK.monotonic() - kept.asked_at <= max_age:
                return kept.answer
        flight = self._flights.get(key)
        # A client in the wrong loop has no use for a flight of the right one: asking tells it so.
        if flight is None or flight.task is None or flight.loop is not asyncio.get_running_loop():
            flight = self._flights[key] = _Flight()
            flight.task = asyncio.create_task(self._fly(key, flight, ask))
        outcome = await self._arrival(key, flight, flight.task)
        if isinstance(outcome, _Kept):
            return outcome.answer
        # Of its own for each: a traceback grows wherever an error is raised.
        raise copy.copy(outcome) if isinstance(outcome, DiallerError) else outcome

    def forget(self, concerned: Callable[[K], bool]) -> None:
        """Forgets answers, and what is on its way will not be kept nor given to those who ask from now on.

        Args:
            concerned: whether a key is.
        """
        for key in [key for key in self._kept if concerned(key)]:
            self._records -= self._kept.pop(key).size
        for key in [key for key in self._flights if concerned(key)]:
            del self._flights[key]

    async def _fly(self, key: K, flight: _Flight[V], ask: Callable[[], Awaitable[V]]) -> _Kept[V] | Exception:
        if flight.task is None:
            # An eager task runs inside of create_task: wait until its flight holds it.
            await asyncio.sleep(0)
        asked_at = CLOCK.monotonic()
        outcome: _Kept[V] | Exception
        try:
            outcome = _Kept(await ask(), asked_at)
        except Exception as error:
            outcome = error
        finally:
            # Not there any more, if it was forgotten or nobody waits for it.
            expected = self._flights.get(key) is flight
            if expected:
                del self._flights[key]
        if expected and isinstance(outcome, _Kept):
            self._keep(key, outcome)
        return outcome

    async def _arrival(
        self, key: K, flight: _Flight[V], task: asyncio.Task[_Kept[V] | Exception]
    ) -> _Kept[V] | Exception:
        flight.askers += 1
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            if flight.askers == 1 and not task.done():
                if self._flights.get(key) is flight:
                    del self._flights[key]
                task.cancel()
                await asyncio.wait([task])
            raise
        finally:
            flight.askers -= 1
        return task.result()

    def _keep(self, key: K, kept: _Kept[V]) -> None:
        older = self._kept.pop(key, None)
        self._records += kept.size - (0 if older is None else older.size)
        self._kept[key] = kept
        while self._records > MAX_RECORDS:
            # A dict's first key is the one put in first.
            self._records -= self._kept.pop(next(iter(self._kept))).size
