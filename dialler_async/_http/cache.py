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
from typing import Final, NamedTuple, TypeVar, cast, final

from .._api.endpoints import Invalidates, Request
from .._api.error_context import with_about
from .._bulk.concurrency import ITEM_LATENCY
from ..errors import DeadlineError, is_number, require
from ..models import Campaign
from .clock import CLOCK

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
    """The key of a read. Equal requests have the same decoder. Headers may change the response."""

    path: str
    query: str
    campaign_id: int | None
    headers: Hashable


@final
class _Entry:
    """A cached value."""

    def __init__(self, value: object, requested_at: float) -> None:
        self.value = value
        self.requested_at = requested_at
        self.size = 1 + (len(value) if isinstance(value, Sized) else 1)


@final
class _SharedRequest:
    """A request in flight, and the number of callers that wait for it. The task returns errors, and raises none."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.requested_at = CLOCK.monotonic()
        self.task: asyncio.Task[_Entry | Exception]
        self.waiting = 0


@final
class Cache:
    """The cached responses to the reads of one account, and its reads in flight.

    Only successes are shared: each caller gets its own errors. A write removes the responses that it may change.
    """

    def __init__(self) -> None:
        # The least recently used entry comes first.
        self._entries: dict[_Key, _Entry] = {}
        self._shared: dict[_Key, _SharedRequest] = {}
        self._records = 0

    async def get(
        self,
        request: Request[V],
        max_age: float,
        send: Callable[[], Awaitable[V]],
        *,
        headers: Hashable = None,
        deadline: float = math.inf,
    ) -> V:
        """Return the cached response to a read, or the response to an equal read in flight, or else call `send`.

        If the last caller that shares a request is cancelled, the request is cancelled, too. If the request fails, each
        caller calls its own `send`.

        Args:
            request: a read.
            max_age: maximum age of the response in seconds, measured from the start of its request. A request that
                starts after this call is new enough.
            send: sends the request; runs in its own task, with the context of the caller.
            headers: the headers of the client; see `RequestHeaders.key`.
            deadline: maximum time in seconds for a caller that shares a request, with its own `send`.
        """
        require_max_age(max_age)
        key = _Key(request.path, request.query, request.expected_id, headers)
        asked_at = CLOCK.monotonic()
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._entries[key] = entry
            if _is_new(entry.requested_at, asked_at, max_age):
                _mark_cached()
                return cast(V, entry.value)
        if self._joinable(key, asked_at, max_age) is None:
            return await self._send(key, send)
        _mark_cached()
        try:
            async with asyncio.timeout(None if deadline == math.inf else deadline) as scope:
                return await self._join(key, asked_at, max_age, send)
        except TimeoutError:
            # A DeadlineError of the caller's own request is a TimeoutError, too.
            if not scope.expired():
                raise
        text = f"the deadline of {deadline:g} s expired while waiting for the response to an equal request"
        raise with_about(DeadlineError(f"{request.sent}: {text}", request=request.sent), request.about)

    def forget(self, campaign: Campaign | int | None = None) -> None:
        """Remove the responses that may contain a campaign: its own responses, and all lists and searches.

        None, or a `Campaign` without an ID, removes all responses.
        """
        campaign_id = campaign.id if isinstance(campaign, Campaign) else campaign
        self._forget(lambda key: campaign_id is None or key.campaign_id in (None, campaign_id))

    def invalidate(self, changed: Invalidates) -> None:
        """Remove the responses that a write may have changed."""
        if changed == "lists":
            self._forget(lambda key: key.campaign_id is None)
        else:
            self.forget(None if changed == "everything" else changed)

    def _forget(self, is_affected: Callable[[_Key], bool]) -> None:
        """Remove values. The result of a request in flight is not cached, and later callers don't share it."""
        for key in [key for key in self._entries if is_affected(key)]:
            self._records -= self._entries.pop(key).size
        for key in [key for key in self._shared if is_affected(key)]:
            del self._shared[key]

    def _joinable(self, key: _Key, asked_at: float, max_age: float) -> _SharedRequest | None:
        """Return the request in flight whose value is new enough for a caller; None if there is none."""
        shared = self._shared.get(key)
        # A caller in another event loop can't await the task, and its own request raises ClientStateError.
        if shared is None or shared.loop is not asyncio.get_running_loop():
            return None
        return shared if _is_new(shared.requested_at, asked_at, max_age) else None

    async def _join(self, key: _Key, asked_at: float, max_age: float, send: Callable[[], Awaitable[V]]) -> V:
        """Return the value of a request in flight if it succeeds in time; otherwise the result of `send`."""
        while (joined := self._joinable(key, asked_at, max_age)) is not None:
            is_newer = joined.requested_at >= asked_at
            with suppress(TimeoutError):
                async with asyncio.timeout(None if is_newer else joined.requested_at + max_age - CLOCK.monotonic()):
                    outcome = await self._wait_for(key, joined)
                if isinstance(outcome, Exception):
                    break
                if _is_new(outcome.requested_at, asked_at, max_age):
                    return cast(V, outcome.value)
        return await self._send(key, send)

    async def _send(self, key: _Key, send: Callable[[], Awaitable[V]]) -> V:
        """Return the result of `send`, which later callers may share."""
        shared = self._shared[key] = _SharedRequest()
        shared.task = asyncio.create_task(self._fetch(key, shared, send))
        outcome = await self._wait_for(key, shared)
        if isinstance(outcome, Exception):
            raise outcome
        return cast(V, outcome.value)

    async def _fetch(
        self, key: _Key, shared: _SharedRequest, send: Callable[[], Awaitable[object]]
    ) -> _Entry | Exception:
        if not hasattr(shared, "task"):
            # An eager task runs inside `create_task`, and must wait until `shared.task` is set.
            await asyncio.sleep(0)
        outcome: _Entry | Exception
        try:
            outcome = _Entry(await send(), shared.requested_at)
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

    async def _wait_for(self, key: _Key, shared: _SharedRequest) -> _Entry | Exception:
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

    def _store(self, key: _Key, entry: _Entry) -> None:
        older = self._entries.pop(key, None)
        if older is not None:
            self._records -= older.size
        self._records += entry.size
        self._entries[key] = entry
        while self._records > MAX_RECORDS:
            self._records -= self._entries.pop(next(iter(self._entries))).size


def _is_new(requested_at: float, asked_at: float, max_age: float) -> bool:
    """Return whether a value is new enough, by the time of its request and of the call."""
    return requested_at >= asked_at or CLOCK.monotonic() - requested_at <= max_age
