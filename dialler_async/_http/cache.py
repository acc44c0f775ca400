"""A cache of responses. Concurrent callers of the same read share one request, if it succeeds.

The cache holds at most `MAX_RECORDS` records, because records take most of the memory. The size of a response is its
number of records plus one. The least recently used response is evicted first. A response that is larger than the
maximum is not cached. A result code takes about 1.1 kB and a campaign of 73 keys 3.2 kB, so a full cache takes 11 to
32 MB.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Sized
from contextlib import suppress
from typing import Final, Generic, NamedTuple, TypeVar, cast, final

from .._api.endpoints import Invalidates, Request
from .._api.error_context import with_about
from .._bulk.concurrency import ITEM_LATENCY
from ..errors import DeadlineError, is_number, require
from ..models import Campaign
from .clock import CLOCK
from .headers import RequestHeaders

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_RECORDS: Final = 10_000


def require_max_age(max_age: float | None) -> None:
    """Raise ConfigurationError for a `max_age` that is negative or not a number."""
    is_valid = max_age is None or (is_number(max_age) and max_age >= 0)
    require(is_valid, "max_age=… must be a number of seconds, and not negative")


def _mark_cached() -> None:
    """Exclude a response without a request from the latencies of a fan-out."""
    if (latency := ITEM_LATENCY.get()) is not None:
        latency.call_started()


class _Key(NamedTuple):
    """The key of a read of one account.

    Attributes:
        path: path of the request.
        query: query of the request.
        headers: the headers of the client; see `RequestHeaders.key`.
        campaign_id: ID of the campaign that the response is about; None for a list or a search.
    """

    path: str
    query: str
    headers: Hashable
    campaign_id: int | None


@final
class AccountCache:
    """The cached responses to the reads of one account. A write removes the responses that it may change."""

    def __init__(self, responses: "Cache[_Key, object] | None" = None) -> None:
        self._responses: Cache[_Key, object] = Cache() if responses is None else responses
        self._headers: Hashable = None
        self._deadline = math.inf

    def for_options(self, headers: RequestHeaders, deadline: float) -> "AccountCache":
        """Return a view of this cache for a client with other options.

        Args:
            headers: clients with other headers don't share responses, because headers may change a response.
            deadline: deadline of a call, in seconds.
        """
        view = AccountCache(self._responses)
        view._headers = headers.key
        view._deadline = deadline
        return view

    async def get(self, request: Request[V], max_age: float, send: Callable[[], Awaitable[V]]) -> V:
        """Return the response to a request, from the cache or from the server; see `Cache.get`.

        Args:
            request: a read.
            max_age: maximum age of the response in seconds.
            send: sends the request and returns the response.
        """
        key = _Key(request.path, request.query, self._headers, request.expected_id)
        try:
            # Equal requests have the same decoder.
            return cast(V, await self._responses.get(key, max_age, send, self._deadline))
        except WaitedTooLongError:
            text = f"the deadline of {self._deadline:g} s expired while waiting for the response to an equal request"
        raise with_about(DeadlineError(f"{request.sent}: {text}", request=request.sent), request.about)

    def forget(self, campaign: Campaign | int | None = None) -> None:
        """Remove the responses that may contain a campaign: its own responses, and all lists and searches.

        Args:
            campaign: the campaign or its ID. None, or a `Campaign` without an ID, removes all responses.
        """
        campaign_id = campaign.id if isinstance(campaign, Campaign) else campaign
        self._responses.forget(lambda key: campaign_id is None or key.campaign_id in (None, campaign_id))

    def invalidate(self, changed: Invalidates) -> None:
        """Remove the responses that a write may have changed."""
        if changed == "lists":
            self._responses.forget(lambda key: key.campaign_id is None)
        else:
            self.forget(None if changed == "everything" else changed)


class WaitedTooLongError(Exception):
    """The deadline of a caller expired before its own request, or the request that it shares, succeeded."""


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
        self.requested_at = CLOCK.monotonic()
        self.task: asyncio.Task[_Entry[V] | Exception]
        self.waiting = 0


@final
class Cache(Generic[K, V]):
    """Cached values, and requests in flight, by key. Only successes are shared: each caller gets its own errors."""

    def __init__(self) -> None:
        # The least recently used entry comes first.
        self._entries: dict[K, _Entry[V]] = {}
        self._shared: dict[K, _SharedRequest[V]] = {}
        self._records = 0

    async def get(self, key: K, max_age: float, fetch: Callable[[], Awaitable[V]], deadline: float = math.inf) -> V:
        """Return the cached value, or the value of a request in flight, or else the result of `fetch`.

        If a caller is cancelled, the request continues for the other callers. If the last caller is cancelled, the
        request is cancelled, too. If the request fails, each caller that shares it calls its own `fetch`.

        Args:
            key: key of the value.
            max_age: maximum age of the value in seconds, measured from the start of its request. A request that starts
                after this call is new enough.
            fetch: returns the value; runs in its own task, with the context of the caller.
            deadline: maximum time in seconds for a caller that shares a request, with its own `fetch`.
        Raises:
            ConfigurationError: `max_age` is invalid.
            WaitedTooLongError: the deadline expired.
            Exception: an error of the caller's `fetch`. Errors are not cached.
        """
        require_max_age(max_age)
        asked_at = CLOCK.monotonic()
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._entries[key] = entry
            if _is_new(entry.requested_at, asked_at, max_age):
                _mark_cached()
                return entry.value
        shared = self._joinable(key, asked_at, max_age)
        if shared is None:
            return await self._send(key, fetch)
        _mark_cached()
        try:
            async with asyncio.timeout(None if deadline == math.inf else deadline) as scope:
                return await self._join(key, shared, asked_at, max_age, fetch)
        except TimeoutError:
            # A DeadlineError of the caller's own request is a TimeoutError, too.
            if not scope.expired():
                raise
        raise WaitedTooLongError

    def forget(self, is_affected: Callable[[K], bool]) -> None:
        """Remove values. The result of a request in flight is not cached, and later callers don't share it.

        Args:
            is_affected: returns whether the value of a key is removed.
        """
        for key in [key for key in self._entries if is_affected(key)]:
            self._records -= self._entries.pop(key).size
        for key in [key for key in self._shared if is_affected(key)]:
            del self._shared[key]

    def _joinable(self, key: K, asked_at: float, max_age: float) -> _SharedRequest[V] | None:
        """Return the request in flight whose value is new enough for a caller; None if there is none."""
        shared = self._shared.get(key)
        # A caller in another event loop can't await the task, and its own request raises ClientStateError.
        if shared is None or shared.loop is not asyncio.get_running_loop():
            return None
        return shared if _is_new(shared.requested_at, asked_at, max_age) else None

    async def _join(
        self, key: K, shared: _SharedRequest[V], asked_at: float, max_age: float, fetch: Callable[[], Awaitable[V]]
    ) -> V:
        """Return the value of a request in flight if it succeeds in time; otherwise the result of `fetch`."""
        joined: _SharedRequest[V] | None = shared
        while joined is not None:
            is_newer = joined.requested_at >= asked_at
            left = None if is_newer else joined.requested_at + max_age - CLOCK.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    outcome = await self._wait_for(key, joined)
                if isinstance(outcome, Exception):
                    break
                if _is_new(outcome.requested_at, asked_at, max_age):
                    return outcome.value
            joined = self._joinable(key, asked_at, max_age)
        return await self._send(key, fetch)

    async def _send(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """Return the result of `fetch`, which later callers may share."""
        shared = self._shared[key] = _SharedRequest[V]()
        shared.task = asyncio.create_task(self._fetch(key, shared, fetch))
        outcome = await self._wait_for(key, shared)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.value

    async def _fetch(
        self, key: K, shared: _SharedRequest[V], fetch: Callable[[], Awaitable[V]]
    ) -> _Entry[V] | Exception:
        if not hasattr(shared, "task"):
            # An eager task runs inside `create_task`, and must wait until `shared.task` is set.
            await asyncio.sleep(0)
        outcome: _Entry[V] | Exception
        try:
            outcome = _Entry(await fetch(), shared.requested_at)
        except Exception as error:
            outcome = error
        finally:
            # The request is no longer current if its key was forgotten, if all its callers were cancelled, or if a
            # caller that needs a newer value has sent another.
            is_current = self._shared.get(key) is shared
            if is_current:
                del self._shared[key]
        if is_current and isinstance(outcome, _Entry):
            self._store(key, outcome)
        return outcome

    async def _wait_for(self, key: K, shared: _SharedRequest[V]) -> _Entry[V] | Exception:
        """Return the outcome of a request. The last caller that stops waiting cancels the request."""
        shared.waiting += 1
        try:
            await asyncio.wait([shared.task])
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                if self._shared.get(key) is shared:
                    del self._shared[key]
                shared.task.cancel()
                await asyncio.wait([shared.task])
        return shared.task.result()

    def _store(self, key: K, entry: _Entry[V]) -> None:
        older = self._entries.pop(key, None)
        if older is not None:
            self._records -= older.size
        self._records += entry.size
        self._entries[key] = entry
        while self._records > MAX_RECORDS:
            self._records -= self._entries.pop(next(iter(self._entries))).size


def _is_new(requested_at: float, asked_at: float, max_age: float) -> bool:
    """Return whether a value is new enough for a caller, by the time of the value's request and of the call."""
    return requested_at >= asked_at or CLOCK.monotonic() - requested_at <= max_age
