"""The broker in Redis. Jobs and results are stream entries, so that a killed worker loses nothing.

It is the stream broker of taskiq-redis with other rules for taking and acknowledging messages:

- A worker takes as many jobs as it has slots, and none in advance. Other workers would take over a job that waits
  without a lease.
- A worker renews its leases every third of `idle` seconds. Other workers take over a job whose lease is older than
  `idle`. They look for such jobs even if there are no new jobs.
- A job that is delivered `MAX_DELIVERIES` times without a result fails, because it may kill its workers.
- One script stores a result, acknowledges the job and deletes it, so that a crash can't separate these steps. Results
  are deleted when they are read, or after an hour.
- Jobs and results of a run without a coordinator are deleted.
- No message in Redis is trusted: `wire` validates each message first. With `DIALLER_FLEET_KEY`, jobs and results are
  signed, and each key has its own stream.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias, cast, final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage, AsyncResultBackend
from taskiq.message import BrokerMessage
from taskiq_redis import RedisStreamBroker
from yarl import URL

from dialler_async.errors import ConfigurationError, require

from .broker import BrokerError, kick_job
from .heartbeat import Heartbeat
from .messages import Result
from .result_backends import ResultBuffer
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

MAX_DELIVERIES: Final = 3
_GROUP: Final = "workers"
_JOBS_KEY: Final = "dialler-fleet:jobs"
_WORKERS_KEY: Final = "dialler-fleet:workers"
_RUN_KEY: Final = "dialler-fleet:run:"
_RESULTS_KEY: Final = "dialler-fleet:results:"
_RUN_SECONDS: Final = 60
"""Seconds after which a run expires if its coordinator stops polling."""
_RESULTS_SECONDS: Final = 3600
"""Seconds after which results that are not read expire."""
_RECONNECT_SECONDS: Final = 1.0
_REMEMBERED_JOBS: Final = 10_000
"""Number of jobs that a worker remembers to reject copies of them."""

_log = logging.getLogger("dialler_async.fleet")

_FINISH: Final = f"""
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('XADD', KEYS[2], '*', 'job', ARGV[1], 'result', ARGV[2], 'of', ARGV[5], 'mac', ARGV[6])
    redis.call('EXPIRE', KEYS[2], {_RESULTS_SECONDS})
end
redis.call('XACK', KEYS[3], ARGV[3], ARGV[4])
redis.call('XDEL', KEYS[3], ARGV[4])
"""


_Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
"""A stream entry: ID and fields."""


class SentJob(NamedTuple):
    """A sent job: the ID of its stream entry, and the digest of its data."""

    id: bytes
    digest: str


@final
class RedisBroker(RedisStreamBroker):
    """A `Broker` that passes jobs and results through a Redis that the coordinator and the workers share.

    Args:
        url: the URL `redis://…`, `rediss://…` or `unix://…`. Messages and logs contain no password of it.
        slots: the number of jobs that this process runs at once; 0 for the coordinator.
        idle: the seconds without a heartbeat after which other workers take over the jobs of a worker.

    Attributes:
        safe_url: the URL without user, password and query.
        is_signed: whether jobs and results are signed.
        redis: the client of Redis.
        own_slots: the number of jobs that this process runs at once.
        stop: an event. When it is set, no further jobs are taken.

    Raises:
        ConfigurationError: the URL is invalid, or `DIALLER_FLEET_KEY` is empty.
    """

    def __init__(self, url: str, *, slots: int = 0, idle: float = 30.0) -> None:
        self._signer = MessageSigner.from_environment()
        self._jobs = _JOBS_KEY + self._signer.suffix
        safe_url = _safe_url(url)
        try:
            super().__init__(
                url,
                queue_name=self._jobs,
                consumer_group_name=_GROUP,
                # The group also gets the jobs that were sent before the first worker started.
                consumer_id="0",
                # The default differs between versions of redis-py. It must be longer than a blocking read.
                socket_timeout=30,
                retry=Retry(ExponentialBackoff(base=0.1, cap=2.0), 3),
            )
        except ValueError:
            safe_url = ""
        if not safe_url:
            # Neither the URL nor the error of redis-py is in the message, because both may contain a password.
            raise ConfigurationError("the broker's URL must be like redis://HOST:PORT/DATABASE")
        self.safe_url: Final[str] = safe_url
        self.is_signed: Final[bool] = self._signer.has_key
        # `Any`, because redis-py types a result as the union for all protocol versions and for synchronous clients.
        self.redis: Final[Any] = Redis(connection_pool=self.connection_pool)
        self.own_slots: Final[int] = slots
        self.stop: asyncio.Event = asyncio.Event()
        self._idle = idle
        self._block_ms = max(1, int(min(2.0, idle / 3) * 1000))
        self._buffer = ResultBuffer()
        self.result_backend: AsyncResultBackend[Any] = self._buffer
        self._finish_script = self.redis.register_script(_FINISH)
        self._heartbeat = Heartbeat(
            self.redis,
            workers=_WORKERS_KEY + self._signer.suffix,
            jobs=self._jobs,
            group=_GROUP,
            consumer=self.consumer_name,
            slots=slots,
            idle=idle,
        )
        self._sent: dict[str, SentJob] = {}
        self._last_result: dict[str, bytes] = {}
        self._taken: dict[str, bytes] = {}
        self._is_connected = False
        self._claim_at = 0.0

    @contextmanager
    def broker_errors(self) -> Iterator[None]:
        """Raise BrokerError for an error of Redis in the `with` block."""
        try:
            yield
        except RedisError as error:
            raise BrokerError(f"can't reach the broker at {self.safe_url}: {error}") from None

    # Methods of the coordinator

    async def open_run(self, run: str) -> None:
        """Register a run. See `Broker.open_run`."""
        with self.broker_errors():
            await self.redis.set(_RUN_KEY + run, "1", ex=_RUN_SECONDS)

    async def close_run(self, run: str) -> None:
        """Delete the unfinished jobs and the results of a run. See `Broker.close_run`."""
        async with self.redis.pipeline(transaction=True) as pipe:
            if self._sent:
                ids = [sent.id for sent in self._sent.values()]
                pipe.xack(self._jobs, _GROUP, *ids)
                pipe.xdel(self._jobs, *ids)
            pipe.delete(_RUN_KEY + run, _RESULTS_KEY + run)
            with self.broker_errors():
                await pipe.execute()

    async def slots(self) -> int:
        """Return the number of slots of all workers. See `Broker.slots`."""
        with self.broker_errors():
            return await self._heartbeat.slots()

    async def send(self, job: str, task: str, arguments: dict[str, Any]) -> None:
        """Send a job. See `Broker.send`."""
        await kick_job(self, job, task, arguments)

    async def kick(self, message: BrokerMessage) -> None:
        """Add a job to the stream. Called by taskiq.

        Raises:
            ConfigurationError: the job is too large.
        """
        job, data = message.task_id, message.message
        require(len(data) <= JOB_LIMIT, f"a job has more than {JOB_LIMIT:,} bytes: choose a smaller chunk")
        fields = {"job": job, "data": data, "mac": sign_job(self._signer, job, data)}
        with self.broker_errors():
            self._sent[job] = SentJob(await self.redis.xadd(self._jobs, fields), digest(data))

    async def results(self, run: str, timeout: float) -> list[tuple[str, Result]]:
        """Return the new results of a run. See `Broker.results`.

        A result is rejected if it is malformed, too large or wrongly signed, or if its job is not in flight.
        """
        key = _RESULTS_KEY + run
        with self.broker_errors():
            if not await self.redis.expire(_RUN_KEY + run, _RUN_SECONDS):
                raise BrokerError(f"the broker at {self.safe_url} has lost the data of this run: start it again")
            since = self._last_result.get(run, b"0")
            entries = _entries(await self.redis.xread({key: since}, count=16, block=max(1, int(timeout * 1000))))
            if not entries:
                return []
            await self.redis.xdel(key, *(id for id, _ in entries))
        self._last_result[run] = entries[-1][0]
        results = []
        for _, fields in entries:
            try:
                results.append(self._validated_result(run, fields))
            except RejectedMessageError as error:
                # A second result is normal if two workers finished the same job.
                _log.warning("rejected a result: %s", error)
        return results

    def _validated_result(self, run: str, fields: dict[bytes, bytes]) -> tuple[str, Result]:
        job = job_name(fields)
        sent = self._sent.get(job)
        if sent is None or _run_of(job) != run:
            raise RejectedMessageError("its job is not in flight")
        result = Result.from_wire(check_result(self._signer, job, sent.digest, fields))
        del self._sent[job]
        return job, result

    # Methods of workers

    async def startup(self) -> None:
        """Connect to Redis, and register a worker. See `Broker.startup`."""
        with self.broker_errors():
            await super().startup()
            if self.own_slots:
                await self._heartbeat.start()

    async def shutdown(self) -> None:
        """Unregister a worker, and close the connections. See `Broker.shutdown`."""
        try:
            await self._heartbeat.stop()
        except RedisError as error:
            _log.warning("can't unregister from the broker at %s: %s", self.safe_url, error)
        await super().shutdown()

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield jobs until `stop` is set. Called by taskiq, which asks for a job when a slot is free."""
        # `stop` is needed, because redis-py can lose the cancellation by taskiq in the timeouts around its reads.
        while not self.stop.is_set():
            try:
                message = await self._next_message()
            except RedisError as error:
                _log.warning("lost the broker at %s, reconnecting: %s", self.safe_url, error)
                self._is_connected = False
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            if message is not None:
                yield message

    async def _next_message(self) -> AckableMessage | None:
        now = asyncio.get_running_loop().time()
        if not self._is_connected:
            # After a restart, Redis may be empty.
            await self._create_group()
            self._claim_at, self._is_connected = now, True
        if now >= self._claim_at:
            orphan = await self._claim_orphan()
            if orphan is not None:
                return await self._accept(*orphan, is_redelivery=True)
            self._claim_at = now + self._idle / 3
        entries = _entries(
            await self.redis.xreadgroup(_GROUP, self.consumer_name, {self._jobs: ">"}, count=1, block=self._block_ms)
        )
        return await self._accept(*entries[0]) if entries else None

    async def _create_group(self) -> None:
        try:
            await self.redis.xgroup_create(self._jobs, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _claim_orphan(self) -> _Entry | None:
        """Take over a job of a dead worker, and return it; None if there is none."""
        cursor: bytes = b"0-0"
        while True:
            # Redis scans ten pending entries per requested entry, so an empty result may not be the end.
            cursor, claimed, *_ = await self.redis.xautoclaim(
                self._jobs, _GROUP, self.consumer_name, int(self._idle * 1000), cursor, count=1
            )
            # Before Redis 7, a deleted entry is returned as None.
            if claimed and claimed[0][1] is not None:
                return cast(_Entry, tuple(claimed[0]))
            if cursor == b"0-0":
                return None

    async def _accept(
        self, id: bytes, fields: dict[bytes, bytes], *, is_redelivery: bool = False
    ) -> AckableMessage | None:
        """Return a job as a message for taskiq, or None if the job is rejected."""
        try:
            job = job_name(fields)
        except RejectedMessageError as error:
            await self._drop(id, "a job", error)
            return None
        data = fields.get(b"data", b"")
        if len(data) > JOB_LIMIT:
            await self._drop(id, job, f"it has more than {JOB_LIMIT:,} bytes")
            return None
        if not await self.redis.exists(_RUN_KEY + _run_of(job)):
            await self._drop(id, job, "its audit has ended")
            return None
        if is_redelivery and await self._deliveries(id) > MAX_DELIVERIES:
            died = Result(error=f"{MAX_DELIVERIES} workers died while they ran the job", is_permanent=True)
            await self._finish(id, job, data, died.to_json())
            return None
        try:
            check_job(self._signer, job, fields)
        except RejectedMessageError as error:
            _log.warning("rejected %s: %s", job, error)
            # The coordinator ignores this result unless it sent exactly this job.
            rejected = Result(error=f"a worker rejected the job: {error}", is_permanent=True)
            await self._finish(id, job, data, rejected.to_json())
            return None
        if self._taken.setdefault(job, id) != id:
            await self._drop(id, job, "it is a copy of an earlier job")
            return None
        if len(self._taken) > _REMEMBERED_JOBS:
            del self._taken[next(iter(self._taken))]
        self._heartbeat.leased.add(id)
        return AckableMessage(data=data, ack=self._acknowledge(id, job, data))

    async def _deliveries(self, id: bytes) -> int:
        pending = await self.redis.xpending_range(self._jobs, _GROUP, min=id, max=id, count=1)
        return max((entry["times_delivered"] for entry in pending), default=0)

    async def _drop(self, id: bytes, job: str, reason: object) -> None:
        """Delete a job without a result."""
        _log.warning("rejected %s: %s", job, reason)
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.xack(self._jobs, _GROUP, id)
            pipe.xdel(self._jobs, id)
            await pipe.execute()

    def _acknowledge(self, id: bytes, job: str, data: bytes) -> Callable[[], Awaitable[None]]:
        async def acknowledge() -> None:
            try:
                result = self._buffer.pop(job) or Result(error="its worker returned no result").to_json()
                await self._finish(id, job, data, result)
            except RedisError as error:
                # The lease on the job expires, so that another worker takes the job over.
                _log.warning("can't store a result in the broker at %s: %s", self.safe_url, error)
            finally:
                self._heartbeat.leased.discard(id)

        return acknowledge

    async def _finish(self, id: bytes, job: str, data: bytes, result: dict[str, Any]) -> None:
        """Store a result and delete its job."""
        run, job_digest = _run_of(job), digest(data)
        payload = json.dumps(result).encode("ascii")
        if len(payload) > RESULT_LIMIT:
            error = f"its result has more than {RESULT_LIMIT:,} bytes: choose a smaller chunk"
            payload = json.dumps(Result(error=error, is_permanent=True).to_json()).encode("ascii")
        keys = [_RUN_KEY + run, _RESULTS_KEY + run, self._jobs]
        signature = sign_result(self._signer, job, job_digest, payload)
        await self._finish_script(keys=keys, args=[job, payload, _GROUP, id, job_digest, signature])


def _run_of(job: str) -> str:
    return job.partition("/")[0]


def _entries(response: Any) -> list[_Entry]:
    """Return the entries in the result of reading one stream."""
    if not response:
        return []
    streams = list(response.items()) if isinstance(response, dict) else response
    entries = streams[0][1]
    return cast(list[_Entry], entries)


def _safe_url(url: str) -> str:
    """Return the URL without parts that may be secret, or "" if it is invalid."""
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
