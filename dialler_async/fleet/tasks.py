"""The two tasks of a worker: survey an account, and audit a slice of its campaigns. Both only read."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Final, cast, final

from taskiq import AsyncBroker, TaskiqResult

from dialler_async.audit import AuditSettings, audit_slice, survey
from dialler_async.audit.rules import AnyRule
from dialler_async.errors import AuthenticationError, DiallerError, EndpointNotFoundError, require

from .clients import Clients
from .messages import JobSpec, Result, Slice, settings_digest
from .wire import SLICE, SURVEY, RejectedMessageError

_log: Final = logging.getLogger("dialler_async.fleet")


@final
class JobRunner:
    """Runs jobs, and returns their results as JSON values.

    Args:
        clients: the clients of the accounts.
        settings: the audit settings of this process. Jobs of audits with other settings fail.
        rules: the rules that the settings select. Messages can't add rules.
    """

    def __init__(self, clients: Clients, settings: AuditSettings, rules: tuple[AnyRule, ...]) -> None:
        self._clients = clients
        self._digest = settings_digest(settings)
        self._rules = rules
        self._running: set[asyncio.Task[Any]] = set()
        self._last_spec: tuple[dict[str, Any], JobSpec] | None = None

    def register(self, broker: AsyncBroker) -> None:
        """Register both tasks with a broker."""

        # Functions, because taskiq sets attributes on tasks, which a bound method does not allow.
        @broker.task(SURVEY)
        async def survey(account: str, spec: dict[str, Any], concurrency: int | None) -> dict[str, Any]:
            return await self._run(self._survey(account, spec, concurrency))

        @broker.task(SLICE)
        async def slice(account: str, spec: dict[str, Any], concurrency: int | None, packed: str) -> dict[str, Any]:
            return await self._run(self._slice(account, spec, concurrency, packed))

    async def cancel_all(self) -> None:
        """Cancel the running jobs, and wait for their end. Their results allow a retry."""
        # taskiq's receiver does not cancel jobs. A job that waits for the rate limit in Redis can lose a cancellation,
        # so each job is cancelled until it ends.
        running = set(self._running)
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=1)

    async def _survey(self, account: str, spec: dict[str, Any], concurrency: int | None) -> Result:
        """List the campaigns of an account, check the list, and audit the campaigns if they fit into one job."""
        job_spec = self._checked_spec(spec)
        surveyed = await survey(
            self._clients.get(account),
            rules=self._rules,
            languages=job_spec.languages,
            now=job_spec.now,
            chunk=job_spec.chunk,
            concurrency=concurrency,
        )
        return Result(part=surveyed.part, remaining=tuple(map(Slice.pack, surveyed.remaining)))

    async def _slice(self, account: str, spec: dict[str, Any], concurrency: int | None, packed: str) -> Result:
        """Audit a slice of campaigns that a survey has returned."""
        job_spec = self._checked_spec(spec)
        part = await audit_slice(
            self._clients.get(account),
            Slice.unpack(packed),
            rules=self._rules,
            languages=job_spec.languages,
            now=job_spec.now,
            concurrency=concurrency,
        )
        return Result(part=part)

    async def _run(self, job: Awaitable[Result]) -> dict[str, Any]:
        """Return the result of a job. An error also becomes a result, because taskiq would log its traceback."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._running.add(task)
        try:
            result = await job
        except (AuthenticationError, EndpointNotFoundError) as error:
            # A retry can't help here. Other errors may be temporary.
            result = Result(error=str(error), is_permanent=True)
        except RejectedMessageError as error:
            _log.warning("rejected a job: %s", error)
            result = Result(error=f"a worker rejected the job: {error}", is_permanent=True)
        except DiallerError as error:
            result = Result(error=str(error) or type(error).__name__)
        except asyncio.CancelledError:
            result = Result(error="the worker was stopped")
        except Exception as error:
            result = Result(error=f"{type(error).__name__}: {error}")
        finally:
            self._running.discard(task)
        return result.to_json()

    def _checked_spec(self, spec: dict[str, Any]) -> JobSpec:
        """Return the parsed specification of a job. The result is cached, because all jobs of an audit share it.

        Raises:
            ConfigurationError: the audit has other settings or another version of this library.
            RejectedMessageError: the specification is malformed.
        """
        if self._last_spec is None or self._last_spec[0] != spec:
            self._last_spec = spec, JobSpec.from_json(spec)
        job_spec = self._last_spec[1]
        require(
            job_spec.settings == self._digest,
            f"the audit settings of this worker (digest {self._digest[:12]}) and of the audit "
            f"(digest {job_spec.settings[:12]}) differ: give both the same settings "
            "(--config, --select, --ignore, --rules)",
        )
        return job_spec


def task_result(result: TaskiqResult[Any]) -> dict[str, Any]:
    """Return the result of a task as JSON values, or a failed result if taskiq could not call the task."""
    value: dict[str, Any] | None = result.return_value
    return value or Result(error=f"{type(result.error).__name__}: {result.error}").to_json()
