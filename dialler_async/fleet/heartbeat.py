"""The heartbeat of a worker: it shows that the worker is alive, and renews the leases on its jobs."""

import asyncio
import math
import re
from contextlib import suppress
from typing import Any, Final, final

from redis.exceptions import RedisError

_MAX_SLOTS: Final = 10_000
_WORKER: Final = re.compile(rb".*:([1-9][0-9]{0,3})", re.DOTALL)
"""The entry of a worker: name and number of slots."""
_REMOVE_AFTER_SECONDS: Final = 3600
"""Seconds after which an inactive consumer of the stream is removed."""


@final
class Heartbeat:
    """Registers a worker in Redis, and renews the leases on its jobs.

    The leases are renewed every third of `idle`. Other workers take over a job whose lease is older than `idle`.

    Args:
        redis: the client of Redis.
        workers: the key of the sorted set of workers, whose scores are the times of their last heartbeats.
        jobs: the key of the stream of jobs.
        group: the consumer group of the workers.
        consumer: the name of this worker.
        slots: the number of jobs that this worker runs at once; 0 for a coordinator.
        idle: the seconds without a heartbeat after which a worker is considered dead.

    Attributes:
        leased: the IDs of the messages on which this worker has a lease.
    """

    def __init__(
        self, redis: Any, *, workers: str, jobs: str, group: str, consumer: str, slots: int, idle: float
    ) -> None:
        self._redis = redis
        self._workers = workers
        self._jobs = jobs
        self._group = group
        self._consumer = consumer
        self._entry = f"{consumer}:{slots}"
        self._idle = idle
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.leased: set[bytes] = set()

    async def slots(self) -> int:
        """Return the number of jobs that all live workers together can run at once."""
        workers = await self._redis.zrangebyscore(self._workers, await self._now() - self._idle, "+inf")
        matches = filter(None, map(_WORKER.fullmatch, workers))
        return min(_MAX_SLOTS, sum(int(match[1]) for match in matches))

    async def start(self) -> None:
        """Register this worker, and start to send heartbeats."""
        await self._remove_dead_consumers()
        await self._beat()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Unregister this worker. If it has unfinished jobs, keep its consumer, so that others take them over."""
        if self._task is None:
            return
        self._stop.set()
        await self._task
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.zrem(self._workers, self._entry)
            pipe.xpending_range(self._jobs, self._group, "-", "+", 1, consumername=self._consumer)
            _, pending = await pipe.execute()
        if not pending:
            # Deleting a consumer also deletes its pending jobs.
            await self._redis.xgroup_delconsumer(self._jobs, self._group, self._consumer)

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                async with asyncio.timeout(self._idle / 3):
                    await self._stop.wait()
            except TimeoutError:
                # `RedisBroker.listen` already logs that Redis can't be reached.
                with suppress(RedisError):
                    await self._beat()

    async def _beat(self) -> None:
        now = await self._now()
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.zadd(self._workers, {self._entry: now})
            pipe.expire(self._workers, math.ceil(2 * self._idle))
            pipe.zremrangebyscore(self._workers, "-inf", now - 2 * self._idle)
            if self.leased:
                pipe.xclaim(self._jobs, self._group, self._consumer, 0, list(self.leased), justid=True)
            await pipe.execute()

    async def _now(self) -> float:
        """Return the time of Redis, because the clocks of the workers differ."""
        seconds, microseconds = await self._redis.time()
        return float(seconds + microseconds / 1e6)

    async def _remove_dead_consumers(self) -> None:
        """Remove the consumers of killed workers, if other workers have finished their jobs."""
        for consumer in await self._redis.xinfo_consumers(self._jobs, self._group):
            if not consumer["pending"] and consumer["idle"] > _REMOVE_AFTER_SECONDS * 1000:
                await self._redis.xgroup_delconsumer(self._jobs, self._group, consumer["name"])
