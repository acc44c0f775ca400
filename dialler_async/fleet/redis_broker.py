"""The broker in Redis: jobs and results are entries of streams, so a worker that is killed loses nothing.

It is taskiq-redis' stream broker with its own way of taking and acknowledging messages:

- A worker takes as many jobs as it has slots. Jobs taken in advance would look like those of a dead worker.
- A worker renews its leases every third of `idle` seconds. Other workers take over a job whose lease is older than
  `idle`. They look for such jobs also while there are no new ones.
- A job that was taken `MAX_DELIVERIES` times and never finished fails, since it may be what kills its workers.
- One script stores a result, acknowledges the message and deletes it. So nothing is lost and nothing is left over:
  finished jobs leave the stream, and results are deleted when they are read, or after an hour.
- Jobs and results of a run that no coordinator waits for are dropped.
- Nothing in Redis is trusted: `wire` checks each message before it is used. With `DIALLER_FLEET_KEY`, jobs and results
  are signed, and each key has a stream of its own.
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
"""How long a run is kept after the last sign of life of its coordinator."""
_RESULTS_SECONDS: Final = 3600
"""How long results are kept that nobody reads."""
_RECONNECT_SECONDS: Final = 1.0
_REMEMBERED_JOBS: Final = 10_000
"""Jobs that a worker remembers, so that it rejects a copy of one."""

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
"""An entry of a stream: its ID and its fields."""


class SentJob(NamedTuple):
    """A job that was sent: its ID in the stream, and the digest of its data."""

    id: bytes
    digest: str


@final
class RedisBroker(RedisStreamBroker):
    """Passes jobs and results through a Redis that workers and the coordinator share. It is a `Broker`.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`. A password in it is never shown.
        slots: How many jobs this process runs at once; 0 for the coordinator.
        idle: Seconds without a heartbeat after which other workers take over the jobs of a worker.

    Attributes:
        safe_url: The URL without user, password and query.
        is_signed: Whether jobs and results are signed.
        redis: The connection.
        own_slots: How many jobs this process runs at once.
        stop: Once it is set, no further job is taken.

    Raises:
        ConfigurationError: The URL is invalid, or `DIALLER_FLEET_KEY` is empty.
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
                # Jobs that were sent before the first worker started count, too.
                consumer_id="0",
                # The default differs between versions of redis-py. It must be longer than a read may block.
                socket_timeout=30,
                retry=Retry(ExponentialBackoff(base=0.1, cap=2.0), 3),
            )
        except ValueError:
            safe_url = ""
        if not safe_url:
            # Neither the URL nor the error of redis-py is shown: both may hold a password.
            raise ConfigurationError("the broker's URL is not like redis://HOST:PORT/DATABASE")
        self.safe_url: Final[str] = safe_url
        self.is_signed: Final[bool] = self._signer.has_key
        # The types of redis-py unite what a command returns in all of its modes.
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
        """Raise BrokerError for an error of Redis in the body."""
        try:
            yield
        except RedisError as error:
            raise BrokerError(f"can't reach the broker at {self.safe_url}: {error}") from None

    # The coordinator.

    async def open_run(self, run: str) -> None:
        """Announce that the results of a run are awaited. See `Broker.open_run`."""
        with self.broker_errors():
            await self.redis.set(_RUN_KEY + run, "1", ex=_RUN_SECONDS)

    async def close_run(self, run: str) -> None:
        """Delete the jobs that no worker has finished, and the results. See `Broker.close_run`."""
        async with self.redis.pipeline(transaction=True) as pipe:
            if self._sent:
                ids = [sent.id for sent in self._sent.values()]
                pipe.xack(self._jobs, _GROUP, *ids)
                pipe.xdel(self._jobs, *ids)
            pipe.delete(_RUN_KEY + run, _RESULTS_KEY + run)
            with self.broker_errors():
                await pipe.execute()

    async def slots(self) -> int:
        """Return how many jobs all workers together can run at once. See `Broker.slots`."""
        with self.broker_errors():
            return await self._heartbeat.slots()

    async def send(self, job: str, task: str, arguments: dict[str, Any]) -> None:
        """Send a job. See `Broker.send`."""
        await kick_job(self, job, task, arguments)

    async def kick(self, message: BrokerMessage) -> None:
        """Add a job to the stream. taskiq calls this.

        Raises:
            ConfigurationError: The job is too large for the workers.
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
                results.append(self._checked_result(run, fields))
            except RejectedMessageError as error:
                # It may also be the second result of a job that two workers finished.
                _log.warning("rejected a result: %s", error)
        return results

    def _checked_result(self, run: str, fields: dict[bytes, bytes]) -> tuple[str, Result]:
        job = job_name(fields)
        sent = self._sent.get(job)
        if sent is None or _run_of(job) != run:
            raise RejectedMessageError("this run waits for no such job")
        result = Result.read(check_result(self._signer, job, sent.digest, fields))
        del self._sent[job]
        return job, result

    # The workers.

    async def startup(self) -> None:
        """Connect; a worker announces itself. See `Broker.startup`."""
        with self.broker_errors():
            await super().startup()
            if self.own_slots:
                await self._heartbeat.start()

    async def shutdown(self) -> None:
        """Withdraw the worker, and close the connections. See `Broker.shutdown`."""
        try:
            await self._heartbeat.stop()
        except RedisError as error:
            _log.warning("the broker at %s: %s", self.safe_url, error)
        await super().shutdown()

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield jobs, each when there is a slot for it, until `stop` is set. taskiq calls this."""
        # taskiq cancels this method, but redis-py can lose a cancellation in the timeouts around its reads.
        while not self.stop.is_set():
            try:
                message = await self._next_message()
            except RedisError as error:
                _log.warning("lost the broker at %s, connecting again: %s", self.safe_url, error)
                self._is_connected = False
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            if message is not None:
                yield message

    async def _next_message(self) -> AckableMessage | None:
        now = asyncio.get_running_loop().time()
        if not self._is_connected:
            # A Redis that was restarted may be empty.
            await self._create_group()
            self._claim_at, self._is_connected = now, True
        if now >= self._claim_at:
            abandoned = await self._claim_abandoned()
            if abandoned is not None:
                return await self._accept(*abandoned, is_redelivery=True)
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

    async def _claim_abandoned(self) -> _Entry | None:
        """Take over a job of a dead worker."""
        cursor: bytes = b"0-0"
        while True:
            # Redis looks at ten entries for each one that is asked for.
            cursor, claimed, *_ = await self.redis.xautoclaim(
                self._jobs, _GROUP, self.consumer_name, int(self._idle * 1000), cursor, count=1
            )
            # Before Redis 7, an entry that was deleted meanwhile is None.
            if claimed and claimed[0][1] is not None:
                return cast(_Entry, tuple(claimed[0]))
            if cursor == b"0-0":
                return None

    async def _accept(
        self, id: bytes, fields: dict[bytes, bytes], *, is_redelivery: bool = False
    ) -> AckableMessage | None:
        """Return a job as a message, or None if it is rejected."""
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
            await self._drop(id, job, "no audit waits for it")
            return None
        if is_redelivery and await self._deliveries(id) > MAX_DELIVERIES:
            died = Result(error=f"{MAX_DELIVERIES} workers died while they ran it", is_permanent=True)
            await self._finish(id, job, data, died.to_json())
            return None
        try:
            check_job(self._signer, job, fields)
        except RejectedMessageError as error:
            _log.warning("rejected %s: %s", job, error)
            # The coordinator accepts this result only if it has sent this very job.
            rejected = Result(error=f"a worker rejected the job: {error}", is_permanent=True)
            await self._finish(id, job, data, rejected.to_json())
            return None
        if self._taken.setdefault(job, id) != id:
            await self._drop(id, job, "it is a copy of a job that was taken before")
            return None
        if len(self._taken) > _REMEMBERED_JOBS:
            del self._taken[next(iter(self._taken))]
        self._heartbeat.leased.add(id)
        return AckableMessage(data=data, ack=self._acknowledge(id, job, data))

    async def _deliveries(self, id: bytes) -> int:
        pending = await self.redis.xpending_range(self._jobs, _GROUP, min=id, max=id, count=1)
        return max((entry["times_delivered"] for entry in pending), default=0)

    async def _drop(self, id: bytes, job: str, reason: object) -> None:
        """Delete a message without a result."""
        _log.warning("rejected %s: %s", job, reason)
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.xack(self._jobs, _GROUP, id)
            pipe.xdel(self._jobs, id)
            await pipe.execute()

    def _acknowledge(self, id: bytes, job: str, data: bytes) -> Callable[[], Awaitable[None]]:
        async def acknowledge() -> None:
            try:
                result = self._buffer.pop(job) or Result(error="its worker had no result").to_json()
                await self._finish(id, job, data, result)
            except RedisError as error:
                # Its lease is no longer renewed, so another worker takes the job over.
                _log.warning("can't store a result in the broker at %s: %s", self.safe_url, error)
            finally:
                self._heartbeat.leased.discard(id)

        return acknowledge

    async def _finish(self, id: bytes, job: str, data: bytes, result: dict[str, Any]) -> None:
        """Store a result, and delete its job."""
        run, of = _run_of(job), digest(data)
        payload = json.dumps(result).encode("ascii")
        if len(payload) > RESULT_LIMIT:
            error = f"its result has more than {RESULT_LIMIT:,} bytes: choose a smaller chunk"
            payload = json.dumps(Result(error=error, is_permanent=True).to_json()).encode("ascii")
        keys = [_RUN_KEY + run, _RESULTS_KEY + run, self._jobs]
        signature = sign_result(self._signer, job, of, payload)
        await self._finish_script(keys=keys, args=[job, payload, _GROUP, id, of, signature])


def _run_of(job: str) -> str:
    return job.partition("/")[0]


def _entries(found: Any) -> list[_Entry]:
    """Return the entries that a read of one stream found."""
    if not found:
        return []
    streams = list(found.items()) if isinstance(found, dict) else found
    entries = streams[0][1]
    return cast(list[_Entry], entries)


def _safe_url(url: str) -> str:
    """Return the URL without anything that may be secret; empty if it is no URL."""
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
