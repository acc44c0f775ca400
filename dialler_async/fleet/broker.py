"""The broker: jobs and results go through Redis streams, so that a worker that is killed loses nothing.

taskiq-redis' stream broker, but for how messages are taken and given back:

- A worker takes as many as it has places for, and no more; those taken ahead would pass for those of a dead worker.
- While it works on one it says so, every third of `idle`; only what was not heard of for `idle` seconds is taken over
  by others, and they look for that also when there is nothing new.
- What was taken `DELIVERIES` times and never finished is reported as failed, as it may be what ends its workers.
- A result is stored in the very step in which its message is acknowledged and deleted. So nothing is lost, and nothing
  stays behind: what is done is gone from the stream, results are gone when they are read, and after an hour anyway.
- Jobs and results of a run that nobody waits for any more are dropped.
- Nothing in Redis is trusted: `wire` checks each message before anything is done with it. With `DIALLER_FLEET_KEY` set,
  jobs and results are signed, and their queue is one of this key alone.
"""

import asyncio
import json
import logging
import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeAlias, cast, final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from taskiq import AckableMessage, AsyncResultBackend, TaskiqResult
from taskiq.message import BrokerMessage
from taskiq_redis import RedisStreamBroker
from yarl import URL

from dialler_async.errors import ConfigurationError, NoReplyError, require

from .messages import Result
from .tasks import returned
from .wire import (
    JOB_LIMIT,
    RESULT_LIMIT,
    MessageSigner,
    RejectedMessageError,
    check_job,
    check_result,
    digest,
    job_name,
    sign_job,
    sign_result,
)

DELIVERIES: Final = 3
_JOBS: Final = "dialler-fleet:jobs"
_WORKERS: Final = "dialler-fleet:workers"
_RUN: Final = "dialler-fleet:run:"
_RESULTS: Final = "dialler-fleet:results:"
_RUN_LASTS: Final = 60
"""Seconds that a run is waited for after its coordinator was last heard of."""
_RESULTS_LAST: Final = 3600
_FORGOTTEN_AFTER: Final = 3600
_REDIS_IS_BACK_AFTER: Final = 1.0
_REMEMBERED: Final = 10_000
"""Jobs that a worker knows to have been taken, so that a copy of one is rejected."""
_MOST_PLACES: Final = 10_000
_PLACES: Final = re.compile(rb".*:([1-9][0-9]{0,3})", re.DOTALL)

_log = logging.getLogger("dialler_async.fleet")

_FINISH: Final = f"""
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('XADD', KEYS[2], '*', 'job', ARGV[1], 'result', ARGV[2], 'of', ARGV[5], 'mac', ARGV[6])
    redis.call('EXPIRE', KEYS[2], {_RESULTS_LAST})
end
redis.call('XACK', KEYS[3], ARGV[3], ARGV[4])
redis.call('XDEL', KEYS[3], ARGV[4])
"""


_Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
"""Of a stream: its ID and its fields."""


class _Sent(NamedTuple):
    """A job under way: its ID in the stream, and the digest of its data."""

    id: bytes
    digest: str


class BrokerError(NoReplyError):
    """The broker can't be reached, or has lost what was entrusted to it."""


@final
class RedisBroker(RedisStreamBroker):
    """Jobs and results, by way of a Redis that workers and the coordinator share.

    Args:
        url: such as `redis://broker.example.com`, `rediss://…` or `unix://…`; a password in it is never shown.
        places: how many jobs this process works on at once; 0 for the coordinator.
        idle: after so many seconds, what was not heard of is taken over by another worker.
    Raises:
        ConfigurationError: the URL can't work, or `DIALLER_FLEET_KEY` is empty.
    """

    def __init__(self, url: str, *, places: int = 0, idle: float = 30.0) -> None:
        self._signer = MessageSigner.from_environment()
        self._jobs = _JOBS + self._signer.suffix
        self._workers = _WORKERS + self._signer.suffix
        shown = _shown(url)
        try:
            super().__init__(
                url,
                queue_name=self._jobs,
                consumer_group_name="workers",
                # A job that was sent before the first worker came is no less one.
                consumer_id="0",
                # The default of redis-py differs from version to version, and must be longer than a read may block.
                socket_timeout=30,
                retry=Retry(ExponentialBackoff(base=0.1, cap=2.0), 3),
            )
        except ValueError:
            shown = ""
        if not shown:
            # Not the URL, nor what redis-py says of it: a password could be in either.
            raise ConfigurationError("the broker's URL is not like redis://HOST:PORT/DATABASE")
        self.shown: Final = shown
        self.is_signed: Final = self._signer.has_key
        # The types of redis-py tell what a command answers in any of its modes at once.
        self.redis: Final[Any] = Redis(connection_pool=self.connection_pool)
        self.own_places: Final = places
        self.stop: asyncio.Event = asyncio.Event()
        self._idle = idle
        self._block = max(1, int(min(2.0, idle / 3) * 1000))
        self._results = _Held()
        self.result_backend: AsyncResultBackend[Any] = self._results
        self._script = self.redis.register_script(_FINISH)
        self._working: set[bytes] = set()
        self._sent: dict[str, _Sent] = {}
        self._taken_before: dict[str, bytes] = {}
        self._last_result: dict[str, bytes] = {}
        self._look_at = 0.0
        self._leaving = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Around what talks to Redis for somebody who can't go on without: raises BrokerError when that fails."""
        try:
            yield
        except RedisError as error:
            raise BrokerError(f"can't reach the broker at {self.shown}: {error}") from None

    # The coordinator's side.

    async def open_run(self, run: str) -> None:
        """From now on somebody waits for the results of this run."""
        with self.reached():
            await self.redis.set(_RUN + run, "1", ex=_RUN_LASTS)

    async def close_run(self, run: str) -> None:
        """Takes back what was not begun, and forgets the results."""
        async with self.redis.pipeline(transaction=True) as pipe:
            if self._sent:
                ids = [sent.id for sent in self._sent.values()]
                pipe.xack(self._jobs, self.consumer_group_name, *ids)
                pipe.xdel(self._jobs, *ids)
            pipe.delete(_RUN + run, _RESULTS + run)
            with self.reached():
                await pipe.execute()

    async def kick(self, message: BrokerMessage) -> None:
        """Sends a job.

        Raises:
            ConfigurationError: it is too large for the workers.
        """
        job, data = message.task_id, message.message
        require(len(data) <= JOB_LIMIT, f"a job has more than {JOB_LIMIT:,} bytes: choose a smaller chunk")
        fields = {"job": job, "data": data, "mac": sign_job(self._signer, job, data)}
        with self.reached():
            self._sent[job] = _Sent(await self.redis.xadd(self._jobs, fields), digest(data))

    async def results(self, run: str, within: float) -> list[tuple[str, Result]]:
        """Those that have come in, by the names of their jobs; the first is waited for so many seconds at most.

        Results that are malformed, too large, wrongly signed, or of a job that is not under way are rejected.

        Raises:
            BrokerError: the broker has forgotten the run.
        """
        key = _RESULTS + run
        with self.reached():
            if not await self.redis.expire(_RUN + run, _RUN_LASTS):
                raise BrokerError(f"the broker at {self.shown} has lost its data, and with it this run: repeat it")
            since = self._last_result.get(run, b"0")
            entries = _entries(await self.redis.xread({key: since}, count=16, block=max(1, int(within * 1000))))
            if not entries:
                return []
            await self.redis.xdel(key, *(id for id, _ in entries))
        self._last_result[run] = entries[-1][0]
        results = []
        for _, fields in entries:
            try:
                job = job_name(fields)
                sent = self._sent.get(job)
                if sent is None or _run_of(job) != run:
                    raise RejectedMessageError("this run waits for no such job")
                result = Result.read(check_result(self._signer, job, sent.digest, fields))
            except RejectedMessageError as error:
                # One that is known is also what remains of a job that was done twice.
                _log.warning("rejected a result: %s", error)
                continue
            del self._sent[job]
            results.append((job, result))
        return results

    async def places(self) -> int:
        """How many jobs all workers together can work on at once."""
        with self.reached():
            workers = await self.redis.zrangebyscore(self._workers, await self._now() - self._idle, "+inf")
        found = filter(None, map(_PLACES.fullmatch, workers))
        return min(_MOST_PLACES, sum(int(match[1]) for match in found))

    # The workers' side.

    async def startup(self) -> None:
        """Gets ready; a worker announces itself."""
        with self.reached():
            await super().startup()
            if self.own_places:
                await self._forget_the_dead()
                await self._beat()
        if self.own_places:
            self._beating = asyncio.create_task(self._keep_beating())

    async def shutdown(self) -> None:
        """Leaves, if nothing of ours is left undone, and closes the connections."""
        if self._beating is not None:
            self._leaving.set()
            await self._beating
            try:
                await self._leave()
            except RedisError as error:
                _log.warning("the broker at %s: %s", self.shown, error)
        await super().shutdown()

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Jobs, each when there is a place for it, until `stop` is set."""
        # taskiq cancels what waits here, but that can get lost in redis-py, which has timeouts of its own around reads.
        while not self.stop.is_set():
            try:
                message = await self._next()
            except RedisError as error:
                _log.warning("lost the broker at %s, trying again: %s", self.shown, error)
                await asyncio.sleep(_REDIS_IS_BACK_AFTER)
                self._look_at = 0.0
                continue
            if message is not None:
                yield message

    async def _next(self) -> AckableMessage | None:
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            if not self._look_at:
                # At the start, and after a Redis that was gone, which may have come back empty.
                await self._declare_consumer_group()
            abandoned = await self._abandoned()
            if abandoned is not None:
                return await self._taken(*abandoned, was_taken_before=True)
            self._look_at = now + self._idle / 3
        found = await self.redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self._jobs: ">"}, count=1, block=self._block
        )
        entries = _entries(found)
        return await self._taken(*entries[0]) if entries else None

    async def _abandoned(self) -> _Entry | None:
        """A job that nobody works on any more."""
        cursor: bytes = b"0-0"
        while True:
            # It looks at ten entries for each that is asked for.
            cursor, claimed, *_ = await self.redis.xautoclaim(
                self._jobs, self.consumer_group_name, self.consumer_name, int(self._idle * 1000), cursor, count=1
            )
            # Before Redis 7, one that was deleted meanwhile comes as None.
            if claimed and claimed[0][1] is not None:
                return cast(_Entry, tuple(claimed[0]))
            if cursor == b"0-0":
                return None

    async def _taken(
        self, id: bytes, fields: dict[bytes, bytes], *, was_taken_before: bool = False
    ) -> AckableMessage | None:
        try:
            job = job_name(fields)
        except RejectedMessageError as error:
            await self._drop(id, "a job", error)
            return None
        data = fields.get(b"data", b"")
        if len(data) > JOB_LIMIT:
            await self._drop(id, job, f"it has more than {JOB_LIMIT:,} bytes")
            return None
        if not await self.redis.exists(_RUN + _run_of(job)):
            await self._drop(id, job, "no audit waits for it")
            return None
        if was_taken_before:
            pending = await self.redis.xpending_range(self._jobs, self.consumer_group_name, min=id, max=id, count=1)
            if any(entry["times_delivered"] > DELIVERIES for entry in pending):
                died = Result(error=f"whoever worked on it died, {DELIVERIES} times", for_good=True)
                await self._finish(id, job, data, died.to_json())
                return None
        try:
            check_job(self._signer, job, fields)
        except RejectedMessageError as error:
            _log.warning("rejected %s: %s", job, error)
            # The coordinator takes this for an answer only if it sent that very job.
            rejected = Result(error=f"a worker rejected the job: {error}", for_good=True)
            await self._finish(id, job, data, rejected.to_json())
            return None
        if self._taken_before.setdefault(job, id) != id:
            await self._drop(id, job, "it is a copy of a job that was taken before")
            return None
        if len(self._taken_before) > _REMEMBERED:
            del self._taken_before[next(iter(self._taken_before))]
        self._working.add(id)
        return AckableMessage(data=data, ack=self._acknowledging(id, job, data))

    async def _drop(self, id: bytes, job: str, reason: object) -> None:
        """Reject a message without an answer."""
        _log.warning("rejected %s: %s", job, reason)
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.xack(self._jobs, self.consumer_group_name, id)
            pipe.xdel(self._jobs, id)
            await pipe.execute()

    def _acknowledging(self, id: bytes, job: str, data: bytes) -> Callable[[], Awaitable[None]]:
        async def acknowledge() -> None:
            try:
                result = self._results.pop(job) or Result(error="its worker had no result").to_json()
                await self._finish(id, job, data, result)
            except RedisError as error:
                # It is not heard of any more, so another worker takes it over.
                _log.warning("can't hand over a result to the broker at %s: %s", self.shown, error)
            finally:
                self._working.discard(id)

        return acknowledge

    async def _finish(self, id: bytes, job: str, data: bytes, result: dict[str, Any]) -> None:
        run, of = _run_of(job), digest(data)
        told = json.dumps(result).encode("ascii")
        if len(told) > RESULT_LIMIT:
            error = f"its result has more than {RESULT_LIMIT:,} bytes: choose a smaller chunk"
            told = json.dumps(Result(error=error, for_good=True).to_json()).encode("ascii")
        keys = [_RUN + run, _RESULTS + run, self._jobs]
        signature = sign_result(self._signer, job, of, told)
        await self._script(keys=keys, args=[job, told, self.consumer_group_name, id, of, signature])

    async def _keep_beating(self) -> None:
        while not self._leaving.is_set():
            try:
                async with asyncio.timeout(self._idle / 3):
                    await self._leaving.wait()
            except TimeoutError:
                # Without a Redis, `listen` says so.
                with suppress(RedisError):
                    await self._beat()

    async def _beat(self) -> None:
        """Tells the others that this worker is alive, and works on what it has taken."""
        now = await self._now()
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zadd(self._workers, {self._as_worker: now})
            pipe.expire(self._workers, math.ceil(2 * self._idle))
            pipe.zremrangebyscore(self._workers, "-inf", now - 2 * self._idle)
            if self._working:
                pipe.xclaim(
                    self._jobs, self.consumer_group_name, self.consumer_name, 0, list(self._working), justid=True
                )
            await pipe.execute()

    async def _now(self) -> float:
        """The time that all have in common."""
        seconds, microseconds = await self.redis.time()
        return float(seconds + microseconds / 1e6)

    async def _forget_the_dead(self) -> None:
        """Those that were killed never left, and what they had taken was finished by others long ago."""
        for consumer in await self.redis.xinfo_consumers(self._jobs, self.consumer_group_name):
            if not consumer["pending"] and consumer["idle"] > _FORGOTTEN_AFTER * 1000:
                await self.redis.xgroup_delconsumer(self._jobs, self.consumer_group_name, consumer["name"])

    async def _leave(self) -> None:
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zrem(self._workers, self._as_worker)
            pipe.xpending_range(self._jobs, self.consumer_group_name, "-", "+", 1, consumername=self.consumer_name)
            _, pending = await pipe.execute()
        if not pending:
            # With it would go what it has taken and not finished.
            await self.redis.xgroup_delconsumer(self._jobs, self.consumer_group_name, self.consumer_name)

    @property
    def _as_worker(self) -> str:
        return f"{self.consumer_name}:{self.own_places}"


@final
class _Held(AsyncResultBackend[Any]):
    """Holds results until they are stored together with the acknowledgement."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Any]] = {}

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        self._held[task_id] = returned(result)

    def pop(self, job: str) -> dict[str, Any] | None:
        return self._held.pop(job, None)

    async def is_result_ready(self, task_id: str) -> bool:
        return task_id in self._held

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        raise NotImplementedError


def _run_of(job: str) -> str:
    return job.partition("/")[0]


def _entries(found: Any) -> list[_Entry]:
    """What was read of the one stream that was asked for."""
    if not found:
        return []
    streams = list(found.items()) if isinstance(found, dict) else found
    entries = streams[0][1]
    return cast(list[_Entry], entries)


def _shown(url: str) -> str:
    """The URL without what may be secret in it; empty where it is none."""
    try:
        parsed = URL(url)
        host = (
            URL.build(scheme=parsed.scheme, host=parsed.host, port=parsed.explicit_port).authority
            if parsed.host
            else ""
        )
    except ValueError:
        return ""
    return f"{parsed.scheme}://{host}{parsed.path}"
