"""A cache of responses. Concurrent callers of the same read share one request.

The cache holds at most `MAX_RECORDS` records, since records take most of the memory. The size of a response is its
number of records plus one. The least recently used response is evicted first. A response that is larger than the
maximum is not cached. A result code takes about 1.1 kB and a campaign of 73 keys 3.2 kB, so a full cache takes 11 to
32 MB.
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
    require(max_age is None or max_age >= 0, "max_age=… must be a number of seconds, and not negative")


def _mark_cached() -> None:
    """Exclude a response without a request from the latencies of a fan-out."""
    if (timer := LATENCY_TIMER.get()) is not None:
        timer.is_cached = True


class _Key(NamedTuple):
    """The key of a read of one account.

    Attributes:
        path: path of the request.
        query: query of the request.
        campaign_id: ID of the campaign that the response is about; None for a list or a search.
    """

    path: str
    query: str
    campaign_id: int | None


@final
class AccountCache:
    """The cached responses to the reads of one account. A write removes the responses that it may change."""

    def __init__(self, responses: "Cache[_Key, Any] | None" = None, options: Hashable = None) -> None:
        self._responses: Cache[_Key, Any] = Cache() if responses is None else responses
        self._options = options

    def for_options(self, options: Hashable) -> "AccountCache":
        """Return a view of this cache whose callers share requests only with callers that have equal options.

        Otherwise, a caller with a short deadline would wait for a request with a long deadline.
        """
        return AccountCache(self._responses, options)

    def get(self, request: Request[Any], max_age: float | None, send: Callable[[], Awaitable[V]]) -> Awaitable[V]:
        """Return the response to a request, from the cache or from the server; see `Cache.get`.

        Args:
            request: a read.
            max_age: maximum age of the response in seconds; None bypasses the cache.
            send: sends the request and returns the response.
        """
        if max_age is None:
            return send()
        return self._responses.get(_Key(request.path, request.query, request.expected_id), max_age, send, self._options)

    def forget(self, campaign: Campaign | int | None = None) -> None:
        """Remove the responses that may contain a campaign: its own responses, and all lists and searches.

        Args:
            campaign: the campaign or its ID. None, or a `Campaign` without an ID, removes all responses.
        """
        campaign_id = campaign.id if isinstance(campaign, Campaign) else campaign
        self._responses.forget(lambda key: campaign_id is None or key.campaign_id in (None, campaign_id))

    def forget_lists(self) -> None:
        """Remove all lists and searches, since a new campaign may change them."""
        self._responses.forget(lambda key: key.campaign_id is None)


@final
class _Entry(Generic[V]):
    """A cached value. `size` is its number of records plus 1."""

    def __init__(self, value: V, requested_at: float) -> None:
        self.value = value
        self.requested_at = requested_at
        self.size = 1 + (len(value) if isinstance(value, Sized) else 1)


@final
class _SharedRequest(Generic[V]):
    """A request in flight, and the number of callers that wait for it. The task returns errors, and raises none."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[_Entry[V] | Exception] | None = None
        self.waiting = 0


@final
class Cache(Generic[K, V]):
    """Cached values by key, and shared requests by key and options."""

    def __init__(self) -> None:
        # The least recently used entry comes first.
        self._entries: dict[K, _Entry[V]] = {}
        self._shared: dict[tuple[K, Hashable], _SharedRequest[V]] = {}
        self._records = 0

    async def get(self, key: K, max_age: float, fetch: Callable[[], Awaitable[V]], options: Hashable = None) -> V:
        """Return the cached value, or the value of a request in flight, or else the result of `fetch`.

        If a caller is cancelled, the request continues for the other callers. If the last caller is cancelled, the
        request is cancelled, too.

        Args:
            key: key of the value.
            max_age: maximum age of the value in seconds, measured from the start of its request.
            fetch: returns the value; runs in its own task, with the context of the first caller.
            options: only callers with equal options share a request.
        Raises:
            ConfigurationError: `max_age` is negative.
            Exception: an error of `fetch`. Errors are not cached. Each waiting caller gets a copy.
        """
        require_max_age(max_age)
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._entries[key] = entry
            if CLOCK.monotonic() - entry.requested_at <= max_age:
                _mark_cached()
                return entry.value
        shared_key = key, options
        shared = self._shared.get(shared_key)
        # A caller in another event loop can't await the task, and its own request raises ClientStateError.
        if shared is None or shared.task is None or shared.loop is not asyncio.get_running_loop():
            shared = self._shared[shared_key] = _SharedRequest()
            shared.task = asyncio.create_task(self._fetch(shared_key, shared, fetch))
        else:
            _mark_cached()
        outcome = await self._wait_for(shared_key, shared, shared.task)
        if isinstance(outcome, _Entry):
            return outcome.value
        # Each caller raises a copy: a traceback grows each time that an error is raised.
        raise copy.copy(outcome) if isinstance(outcome, DiallerError) else outcome

    def forget(self, is_affected: Callable[[K], bool]) -> None:
        """Remove values. The result of a request in flight is not cached, and later callers don't share it.

        Args:
            is_affected: returns whether the value of a key is removed.
        """
        for key in [key for key in self._entries if is_affected(key)]:
            self._records -= self._entries.pop(key).size
        for shared_key in [shared_key for shared_key in self._shared if is_affected(shared_key[0])]:
            del self._shared[shared_key]

    async def _fetch(
        self, shared_key: tuple[K, Hashable], shared: _SharedRequest[V], fetch: Callable[[], Awaitable[V]]
    ) -> _Entry[V] | Exception:
        if shared.task is None:
            # An eager task runs inside `create_task`, and must wait until `shared.task` is set.
            await asyncio.sleep(0)
        requested_at = CLOCK.monotonic()
        outcome: _Entry[V] | Exception
        try:
            outcome = _Entry(await fetch(), requested_at)
        except Exception as error:
            outcome = error
        finally:
            # The request is no longer current if its key was forgotten, or if all its callers were cancelled.
            is_current = self._shared.get(shared_key) is shared
            if is_current:
                del self._shared[shared_key]
        if is_current and isinstance(outcome, _Entry):
            self._store(shared_key[0], outcome)
        return outcome

    async def _wait_for(
        self, shared_key: tuple[K, Hashable], shared: _SharedRequest[V], task: asyncio.Task[_Entry[V] | Exception]
    ) -> _Entry[V] | Exception:
        shared.waiting += 1
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            if shared.waiting == 1 and not task.done():
                if self._shared.get(shared_key) is shared:
                    del self._shared[shared_key]
                task.cancel()
                await asyncio.wait([task])
            raise
        finally:
            shared.waiting -= 1
        return task.result()

    def _store(self, key: K, entry: _Entry[V]) -> None:
        older = self._entries.pop(key, None)
        if older is not None:
            self._records -= older.size
            # Callers with other options may have requested the value later, and received it earlier.
            entry = max(older, entry, key=lambda stored: stored.requested_at)
        self._records += entry.size
        self._entries[key] = entry
        while self._records > MAX_RECORDS:
            self._records -= self._entries.pop(next(iter(self._entries))).size
