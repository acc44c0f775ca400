"""The rate limit of a server, for all workers through Redis or for this process only.

It uses the GCRA of pyrate-limiter, which spaces calls evenly. GCRA stores one number for each server, while a sliding
window would store an entry for each call.

The clock of Redis is read for each call, because the clocks of the workers differ. A clock that is some seconds ahead
would delay all other workers by the same time.
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
"""How late a call may be without lowering the rate. Timers and requests to Redis cause such delays."""
_RATE_INTERVAL_SECONDS: Final = 1000
"""The interval in which calls are counted. It makes a rate below one call per second a whole number."""
_RECONNECT_SECONDS: Final = 1.0


@final
class SharedRate:
    """A `RateLimiter` for `DiallerClient(max_rate=…)` with the rate limit of a server.

    Args:
        server: a server with a `max_rate`.
        redis: the Redis in which all workers share the rate limit; None limits this process only.
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
        # `buffer_ms=0` removes an extra wait of 50 ms. GCRA has no old entries that a thread must remove.
        self._limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False), buffer_ms=0)

    async def acquire(self) -> None:
        """Wait until the next call may be sent. If Redis can't be reached, wait until it can."""
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
