"""The rate limit of a server: shared by all workers through Redis, or for this process alone.

It is the GCRA of pyrate-limiter. GCRA keeps one number for each server, which expires when nobody calls. A sliding
window would keep an entry for each call. Calls are evenly spaced.

The clock of Redis is read for each call. The clocks of the workers' machines differ, and a clock that is ahead by
seconds would make all other workers wait for as long.
"""

import asyncio
from typing import Final, final

from pyrate_limiter import GCRA, Limiter, Rate, SingleBucketFactory, StateBucket
from pyrate_limiter.buckets import InMemoryStateStore, RedisStateStore
from pyrate_limiter.clocks import AbstractClock, MonotonicClock
from redis.asyncio import Redis
from redis.exceptions import RedisError

from .manifest import Server

_BURST_SECONDS: Final = 0.02
"""How late a call may be without lowering the rate: timers and the way to Redis take time."""
_RATE_INTERVAL_SECONDS: Final = 1000
"""The interval in which calls are counted, so that a rate below one call a second is a whole number."""
_RECONNECT_SECONDS: Final = 1.0


@final
class SharedRate:
    """The rate limit of one server. It is a `RateLimiter` for `DiallerClient(max_rate=…)`.

    Args:
        server: A server that has a `max_rate`.
        redis: Where all workers share the rate; None for a limit of this process alone.
    """

    def __init__(self, server: Server, redis: Redis | None) -> None:
        rate = server.max_rate or 0.0
        calls = max(1, round(rate * _RATE_INTERVAL_SECONDS))
        rates = [Rate(calls, _RATE_INTERVAL_SECONDS * 1000, burst=max(1, round(rate * _BURST_SECONDS)))]
        if redis is None:
            bucket = StateBucket(rates, GCRA(), InMemoryStateStore(), MonotonicClock())
        else:
            store = RedisStateStore(redis, f"dialler-fleet:rate:{server.url}")
            bucket = StateBucket(rates, GCRA(), store, _RedisClock(redis))
        # Without the extra wait of 50 ms, and without a thread that removes old entries: GCRA has none.
        self._limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False), buffer_ms=0)

    async def acquire(self) -> None:
        """Wait until the next call may be sent. If Redis is gone, wait until it is back."""
        while True:
            try:
                await self._limiter.try_acquire_async()
            except RedisError:
                await asyncio.sleep(_RECONNECT_SECONDS)
            else:
                return


class _RedisClock(AbstractClock):
    """The clock of Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def now(self) -> int:
        """Return the time in milliseconds."""
        seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000
