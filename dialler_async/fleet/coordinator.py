"""The coordinator, which sends jobs, collects their results, and merges them into one report."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeAlias, final
from uuid import uuid4

import attrs

from dialler_async._api.endpoints import checked_languages
from dialler_async._http.clock import CLOCK
from dialler_async.audit import (
    AccountIdentity,
    AuditPart,
    AuditReport,
    AuditSettings,
    accept,
    available_rules,
    merge,
    merge_accounts,
    not_audited,
)
from dialler_async.audit.acceptance import require_accounts
from dialler_async.audit.rules import AnyRule
from dialler_async.config import BASE_PATH
from dialler_async.errors import require
from dialler_async.models import Language

from .broker import Broker, BrokerError
from .clients import Clients
from .in_process import InProcessBroker
from .manifest import Fleet
from .messages import JobSpec, Result, settings_digest
from .redis_broker import RedisBroker
from .schedule import Job, Schedule
from .tasks import JobRunner
from .wire import MAX_CAMPAIGNS, SLICE, SURVEY

_POLL_SECONDS: Final = 1.0
"""Time without a result after which the coordinator counts the workers again."""
_NO_WORKER_SECONDS: Final = 5.0
"""Time without a worker after which `on_no_worker` is called."""

_log: Final = logging.getLogger("dialler_async.fleet")

FleetProgress: TypeAlias = Callable[[float, int, int | None], None]
"""Called with the numbers of accounts: done, failed and total. A partly done account counts as a fraction."""


async def audit_fleet(
    fleet: Fleet,
    *,
    broker: RedisBroker | None = None,
    settings: AuditSettings | None = None,
    directory: Path | None = None,
    languages: Iterable[Language] = Language,
    chunk: int = 250,
    now: datetime | None = None,
    on_progress: FleetProgress | None = None,
    on_no_worker: Callable[[], None] | None = None,
) -> AuditReport:
    """Audit all accounts of a fleet, and return one report.

    An account that can't be audited becomes a finding of the rule `not-audited`. The other accounts are audited.

    Args:
        fleet: the servers and accounts.
        broker: the broker of the workers; this function starts and shuts it down. None runs all jobs in this process.
        settings: the audit settings; None means all rules with their defaults. Workers must have the same settings.
        directory: the directory from which this process imports your own rules.
        languages: the languages in which result codes are fetched and compared.
        chunk: the maximum number of campaigns of a job. Larger accounts are split into slices of this size.
        now: the time that dates are compared with; by default, the current time. A naive value is local time.
        on_progress: a function that is called with the numbers of accounts (done, failed, total).
        on_no_worker: a function that is called once after some seconds without a worker. The audit keeps waiting.

    Raises:
        ConfigurationError: the settings, the languages or `chunk` are invalid. A fleet needs settings without a
            template, and an accepted finding with a campaign ID must name its account.
        BrokerError: the broker can't be reached, or has lost its data.
    """
    require(1 <= chunk <= MAX_CAMPAIGNS, f"chunk must be a positive int of at most {MAX_CAMPAIGNS:,}")
    started = datetime.now(UTC).astimezone()
    reference_time, settings = now or started, settings or AuditSettings()
    spec = JobSpec(
        languages=checked_languages(languages),
        # Formatted and parsed, as in a message, so that this process compares with the same time as the workers.
        now=datetime.fromisoformat(
            (reference_time if reference_time.utcoffset() is not None else reference_time.astimezone()).isoformat()
        ),
        settings=settings_digest(settings),
        chunk=chunk,
    )
    rules = settings.choose(available_rules(settings.rules, directory))
    require(not settings.template, "“template” works for one account only: remove it from the settings of the fleet")
    identities = {
        name: AccountIdentity.of(f"{fleet.servers[account.server].url}{BASE_PATH}/{account.clients_id}")
        for name, account in fleet.accounts.items()
    }
    require_accounts(settings.accept, identities)
    async with AsyncExitStack() as stack:
        backend: Broker
        if broker is None:
            clients = Clients(fleet)
            stack.push_async_callback(clients.aclose)
            in_process = InProcessBroker()
            JobRunner(clients, settings, rules).register(in_process)
            backend = in_process
        else:
            backend = broker
        stack.push_async_callback(backend.shutdown)
        await backend.startup()
        run = _Run(fleet, identities, backend, spec, rules, started)
        report = await run.execute(on_progress or (lambda *_: None), on_no_worker or (lambda: None))
    return accept(attrs.evolve(report, portal_url=settings.portal_url), settings.accept)


@final
class _Run:
    """A run of `audit_fleet`."""

    def __init__(
        self,
        fleet: Fleet,
        identities: Mapping[str, AccountIdentity],
        backend: Broker,
        spec: JobSpec,
        rules: tuple[AnyRule, ...],
        started: datetime,
    ) -> None:
        self._backend = backend
        self._spec = spec.to_json()
        self._merge = partial(merge, rules=rules, languages=spec.languages, now=spec.now, started=started)
        self._merge_accounts = partial(
            merge_accounts, rules=rules, languages=spec.languages, now=spec.now, started=started
        )
        self._rule_ids = {rule.info.id for rule in rules}
        self._started_at = perf_counter()
        self._id = uuid4().hex
        self._numbers = count(1)
        self._schedule = Schedule(fleet.servers.values(), fleet.accounts.values())
        self._in_flight: dict[str, Job] = {}
        self._accounts = tuple(fleet.accounts)
        self._identities = identities
        self._unfinished: dict[str, _AccountParts] = {}
        self._reports: dict[str, AuditReport] = {}
        self._failed = 0

    async def execute(self, on_progress: FleetProgress, on_no_worker: Callable[[], None]) -> AuditReport:
        """Run all jobs and return the report."""
        backend, run = self._backend, self._id
        notifier = NoWorkerNotifier(on_no_worker)
        on_progress(0, 0, len(self._accounts))
        try:
            await backend.open_run(run)
            while True:
                slots = await backend.slots()
                notifier.update(slots)
                while (job := self._schedule.next(slots)) is not None:
                    await self._send(job)
                if not self._in_flight:
                    break
                results = await backend.results(run, _POLL_SECONDS)
                for name, result in results:
                    self._process(name, result)
                if results:
                    on_progress(self._done(), self._failed, len(self._accounts))
        except BrokerError:
            raise
        except BaseException:
            with suppress(BrokerError):
                await backend.close_run(run)
            raise
        await backend.close_run(run)
        reports = ((name, self._reports.pop(name)) for name in self._accounts)
        return self._merge_accounts(reports, seconds=self._seconds())

    def _seconds(self) -> float:
        return perf_counter() - self._started_at

    async def _send(self, job: Job) -> None:
        name = f"{self._id}/{next(self._numbers)}"
        self._in_flight[name] = job
        arguments: dict[str, Any] = {
            "account": job.account.name,
            "spec": self._spec,
            "concurrency": job.concurrency,
        }
        if job.slice is not None:
            arguments["packed"] = job.slice.packed
        await self._backend.send(name, SURVEY if job.slice is None else SLICE, arguments)

    def _process(self, name: str, result: Result) -> None:
        """Process the result of a job."""
        job = self._in_flight.pop(name, None)
        if job is None:
            return
        if not self._matches(job, result):
            _log.warning("rejected the result of job %s: the result does not match the job", name)
            result = Result(error="the result does not match the job")
        part = result.part
        if part is not None:
            self._schedule.finished(job, result.remaining)
        elif result.is_permanent:
            self._schedule.finished(job)
        elif self._schedule.failed(job):
            return
        account = self._unfinished.setdefault(job.account.name, _AccountParts())
        account.slices += len(result.remaining)
        account.parts.append(part or _not_audited(job, result))
        account.has_failed |= part is None
        if len(account.parts) > account.slices:
            self._report(job.account.name, self._unfinished.pop(job.account.name))

    def _matches(self, job: Job, result: Result) -> bool:
        part = result.part
        if part is None:
            return not result.remaining
        return (job.slice is None or not result.remaining) and all(
            finding.rule in self._rule_ids for finding in part.findings
        )

    def _report(self, name: str, account: "_AccountParts") -> None:
        """Merge the parts of an account into the report of the account."""
        merged = partial(self._merge, identity=self._identities[name])
        try:
            self._reports[name] = merged(account.parts, seconds=self._seconds())
        except Exception as error:
            # An invalid part may come from any process that can write to the broker.
            _log.warning("can't merge the results of an account: %s", type(error).__name__)
            account.has_failed = True
            parts = [not_audited("the results can't be merged")]
            self._reports[name] = merged(parts, seconds=self._seconds())
        self._failed += account.has_failed

    def _done(self) -> float:
        """Return the number of accounts that are done. A partly done account counts as a fraction."""
        fractions = (len(account.parts) / (account.slices + 1) for account in self._unfinished.values())
        return len(self._reports) + sum(fractions)


@attrs.define
class _AccountParts:
    """The received parts of an account: one of its survey, and one of each slice."""

    parts: list[AuditPart] = attrs.Factory(list)
    slices: int = 0
    has_failed: bool = False


def _not_audited(job: Job, result: Result) -> AuditPart:
    error = result.error if result.is_permanent else f"{result.error} (the job failed {job.attempts} times)"
    return not_audited(error, None if job.slice is None else job.slice.campaigns)


@final
class NoWorkerNotifier:
    """Calls a function once after some seconds without a worker."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._since: float | None = None
        self._is_notified = False

    def update(self, slots: int) -> None:
        """Record the current number of slots of all workers."""
        now = CLOCK.monotonic()
        if slots:
            self._since, self._is_notified = None, False
        elif self._since is None:
            self._since = now
        elif not self._is_notified and now - self._since >= _NO_WORKER_SECONDS:
            self._is_notified = True
            self._notify()
