"""How many calls a second a server is sent: one limit for all workers together, kept in Redis, or for this process.

pyrate-limiter's GCRA: one number for each server, which is gone as soon as nobody calls, where its sliding window
would keep an entry for each call, and its key for ever. Calls are evenly spaced.

The time is that of Redis, asked for each call: with the clocks of the workers' machines, one that is ahead by seconds
would keep all others waiting for as long.
"""

import asyncio
from typing import Final, final

from pyrate_limiter import GCRA, Limiter, Rate, SingleBucketFactory, StateBucket
from pyrate_limiter.buckets import InMemoryStateStore, RedisStateStore
from pyrate_limiter.clocks import AbstractClock, MonotonicClock
from redis.asyncio import Redis
from redis.exceptions import RedisError

from .manifest import Server

_AT_ONCE: Final = 0.02
"""Seconds that a call may come late without being lost to the rate: timers, and the way to Redis."""
_REDIS_IS_BACK_AFTER: Final = 1.0


@final
class SharedRate:
    """The rate of one server, for `DiallerClient(max_rate=…)`.

    Args:
        server: one that has a `max_rate`.
        redis: where all workers keep it; None for a limit of this process alone.
    """

    def __init__(self, server: Server, redis: Redis | None) -> None:
        rate = server.max_rate or 0.0
        # In terms of 1,000 s, so that a rate below one a second can be told in whole numbers.
        rates = [Rate(max(1, round(rate * 1000)), 1_000_000, burst=max(1, round(rate * _AT_ONCE)))]
        if redis is None:
            bucket = StateBucket(rates, GCRA(), InMemoryStateStore(), MonotonicClock())
        else:
            store = RedisStateStore(redis, f"dialler-fleet:rate:{server.url}")
            bucket = StateBucket(rates, GCRA(), store, _RedisClock(redis))
        # No further wait on top of the one that is due, and no thread that would look for something to forget.
        self._limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False), buffer_ms=0)

    async def acquire(self) -> None:
        """Waits for as long as the next call has to; without a Redis, until there is one again."""
        while True:
            try:
                await self._limiter.try_acquire_async()
            except RedisError:
                await asyncio.sleep(_REDIS_IS_BACK_AFTER)
            else:
                return


class _RedisClock(AbstractClock):
    """The clock that all workers have in common."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def now(self) -> int:
        seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000
