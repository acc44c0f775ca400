"""A cache of responses. Callers that ask for the same at the same time share one request.

The cache is bounded by records, since the records take the memory. It holds `MAX_RECORDS` in all, and each response
counts as one more than it has records. The least recently used response is evicted first. A response that is larger
than the whole bound is not kept. A result code takes about 1.1 kB and a campaign of 73 keys 3.2 kB, so a full cache
takes 11 to 32 MB.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable, Sized
from typing import Any, Final, Generic, NamedTuple, TypeVar, final

from .._api.endpoints import Request
from .._bulk.concurrency import LATENCY_TIMER
from ..errors import DiallerError, require
from ..models import Campaign
from .clock import CLOCK

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_RECORDS: Final = 10_000


def require_max_age(max_age: float | None) -> None:
    """Raise ConfigurationError for a `max_age` that is negative or not a number."""
    require(max_age is None or max_age >= 0, "max_age=… is a number of seconds, and not negative")


def _note_cached() -> None:
    """Keep a response without a request out of the latencies that a fan-out adapts to."""
    if (timer := LATENCY_TIMER.get()) is not None:
        timer.is_cached = True


class _Key(NamedTuple):
    """What identifies a read of one account.

    Attributes:
        path: path of the request.
        query: query of the request.
        campaign_id: the campaign that the response is about; None for a list or a search.
    """

    path: str
    query: str
    campaign_id: int | None


@final
class AccountCache:
    """The responses to the reads of one account. Its writes invalidate what they may change."""

    def __init__(self, responses: "Cache[_Key, Any] | None" = None, options: Hashable = None) -> None:
        self._responses: Cache[_Key, Any] = Cache() if responses is None else responses
        self._options = options

    def for_options(self, options: Hashable) -> "AccountCache":
        """Return a view of this cache whose callers share requests only with callers that have equal options.

        Otherwise, a caller with a short deadline would wait for a request with a long one.
        """
        return AccountCache(self._responses, options)

    def get(self, request: Request[Any], max_age: float | None, send: Callable[[], Awaitable[V]]) -> Awaitable[V]:
        """Return the response to a request, from the cache or from the server; see `Cache.get`.

        Args:
            request: a read.
            max_age: seconds that the response may be old; None bypasses the cache.
            send: sends the request and returns the response.
        """
        if max_age is None:
            return send()
        return self._responses.get(_Key(request.path, request.query, request.expected_id), max_age, send, self._options)

    def forget(self, campaign: Campaign | int | None = None) -> None:
        """Remove what a change of one campaign affects: its own responses, and all lists and searches.

        Args:
            campaign: the campaign or its ID. None, or a `Campaign` without an ID, removes everything.
        """
        campaign_id = campaign.id if isinstance(campaign, Campaign) else campaign
        self._responses.forget(lambda key: campaign_id is None or key.campaign_id in (None, campaign_id))

    def forget_lists(self) -> None:
        """Remove all lists and searches, which a new campaign affects."""
        self._responses.forget(lambda key: key.campaign_id is None)


@final
class _Kept(Generic[V]):
    def __init__(self, value: V, requested_at: float) -> None:
        self.value = value
        self.requested_at = requested_at
        self.size = 1 + (len(value) if isinstance(value, Sized) else 1)


@final
class _Flight(Generic[V]):
    """A request in flight, and how many callers wait for it. Its task returns an error instead of raising it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[_Kept[V] | Exception] | None = None
        self.waiting = 0


@final
class Cache(Generic[K, V]):
    """Values by key."""

    def __init__(self) -> None:
        # The least recently used first.
        self._kept: dict[K, _Kept[V]] = {}
        self._flights: dict[tuple[K, Hashable], _Flight[V]] = {}
        self._records = 0

    async def get(self, key: K, max_age: float, fetch: Callable[[], Awaitable[V]], options: Hashable = None) -> V:
        """Return the value that is kept, or that is in flight, or else the one that `fetch` returns.

        A caller that is cancelled leaves the request to the others. The last caller that leaves cancels the request.

        Args:
            key: what identifies the value.
            max_age: seconds that a value may be old, counted from the moment it was requested.
            fetch: returns the value; runs in a task of its own, with the context of the first caller.
            options: a value in flight is shared by callers with equal options.
        Raises:
            ConfigurationError: `max_age` is negative.
            Exception: what `fetch` raises. It is not kept; each caller that waits for it gets a copy.
        """
        require_max_age(max_age)
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept[key] = kept
            if CLOCK.monotonic() - kept.requested_at <= max_age:
                _note_cached()
                return kept.value
        flight_key = key, options
        flight = self._flights.get(flight_key)
        # A caller in another event loop can't await this one's flight: its own request raises the error.
        if flight is None or flight.task is None or flight.loop is not asyncio.get_running_loop():
            flight = self._flights[flight_key] = _Flight()
            flight.task = asyncio.create_task(self._fly(flight_key, flight, fetch))
        else:
            _note_cached()
        outcome = await self._landing(flight_key, flight, flight.task)
        if isinstance(outcome, _Kept):
            return outcome.value
        # A copy for each caller: a traceback grows wherever an error is raised.
        raise copy.copy(outcome) if isinstance(outcome, DiallerError) else outcome

    def forget(self, affected: Callable[[K], bool]) -> None:
        """Remove values. A value in flight is not kept, and later callers get another.

        Args:
            affected: whether the value of a key is removed.
        """
        for key in [key for key in self._kept if affected(key)]:
            self._records -= self._kept.pop(key).size
        for flight_key in [flight_key for flight_key in self._flights if affected(flight_key[0])]:
            del self._flights[flight_key]

    async def _fly(
        self, flight_key: tuple[K, Hashable], flight: _Flight[V], fetch: Callable[[], Awaitable[V]]
    ) -> _Kept[V] | Exception:
        if flight.task is None:
            # An eager task runs inside of create_task: wait until its flight holds it.
            await asyncio.sleep(0)
        requested_at = CLOCK.monotonic()
        outcome: _Kept[V] | Exception
        try:
            outcome = _Kept(await fetch(), requested_at)
        except Exception as error:
            outcome = error
        finally:
            # A flight is removed early when its key is forgotten, or when nobody waits for it.
            expected = self._flights.get(flight_key) is flight
            if expected:
                del self._flights[flight_key]
        if expected and isinstance(outcome, _Kept):
            self._keep(flight_key[0], outcome)
        return outcome

    async def _landing(
        self, flight_key: tuple[K, Hashable], flight: _Flight[V], task: asyncio.Task[_Kept[V] | Exception]
    ) -> _Kept[V] | Exception:
        flight.waiting += 1
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            if flight.waiting == 1 and not task.done():
                if self._flights.get(flight_key) is flight:
                    del self._flights[flight_key]
                task.cancel()
                await asyncio.wait([task])
            raise
        finally:
            flight.waiting -= 1
        return task.result()

    def _keep(self, key: K, kept: _Kept[V]) -> None:
        older = self._kept.pop(key, None)
        if older is not None:
            self._records -= older.size
            # Callers with other options may have requested it later, and received it earlier.
            kept = max(older, kept, key=lambda value: value.requested_at)
        self._records += kept.size
        self._kept[key] = kept
        while self._records > MAX_RECORDS:
            self._records -= self._kept.pop(next(iter(self._kept))).size
