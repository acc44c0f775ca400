"""The coordinator: it sends jobs, collects their results, and merges them into one report."""

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
"""After this time without a result, the coordinator counts the workers again."""
_NO_WORKER_SECONDS: Final = 5.0
"""After this time without a worker, `on_no_worker` is called."""

_log: Final = logging.getLogger("dialler_async.fleet")

FleetProgress: TypeAlias = Callable[[float, int, int | None], None]
"""Called with the numbers of accounts that are done, failed, and there. A partly done account counts as a fraction."""


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

    An account that can't be audited is a finding of the rule `not-audited`, with the reason. The others are audited.

    Args:
        fleet: The servers and accounts.
        broker: Where the workers are. It is started and shut down here. None runs all jobs in this process.
        settings: The audit settings; all rules with their defaults, if None. Each worker must have the same settings.
        directory: Where this process looks for modules with the user's own rules.
        languages: The languages in which result codes are fetched and compared.
        chunk: Accounts with more campaigns are split into slices of this size.
        now: The time that dates are compared with; a naive one is local time. By default, the time of the call.
        on_progress: Called with (done, failed, total) accounts. A part of an account that is in slices counts, too.
        on_no_worker: Called when there has been no worker for some seconds, once each time. The audit waits for one.

    Raises:
        ConfigurationError: Settings, languages or `chunk` are invalid. The settings name a template, or accept a
            finding by the ID of a campaign, without the account.
        BrokerError: The broker can't be reached, or has lost its data.
    """
    require(1 <= chunk <= MAX_CAMPAIGNS, f"chunk is a positive int, at most {MAX_CAMPAIGNS:,}")
    started = datetime.now(UTC).astimezone()
    given, settings = now or started, settings or AuditSettings()
    spec = JobSpec(
        languages=checked_languages(languages),
        # As it comes out of a message, so that all workers compare with the same time.
        now=datetime.fromisoformat((given if given.utcoffset() is not None else given.astimezone()).isoformat()),
        settings=settings_digest(settings),
        chunk=chunk,
    )
    rules = settings.choose(available_rules(settings.rules, directory))
    require(not settings.template, "“template” is for the audit of one account: a fleet needs settings without it")
    identities = {
        name: AccountIdentity.of(f"{fleet.servers[account.server].url}/rest/v1.0/{account.clients_id}")
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
        report = await run.finish(on_progress or (lambda *_: None), on_no_worker or (lambda: None))
    return accept(attrs.evolve(report, portal_url=settings.portal_url), settings.accept)


@final
class _Run:
    """One audit of a fleet."""

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

    async def finish(self, on_progress: FleetProgress, on_no_worker: Callable[[], None]) -> AuditReport:
        """Run all jobs, and return the report."""
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
                    self._take(name, result)
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

    def _take(self, name: str, result: Result) -> None:
        """Take in the result of a job."""
        job = self._in_flight.pop(name, None)
        if job is None:
            return
        if not self._fits(job, result):
            _log.warning("rejected the result of job %s: it does not fit the job", name)
            result = Result(error="its result does not fit the job")
        part = result.part
        if part is not None:
            self._schedule.finished(job, result.left)
        elif result.is_permanent:
            self._schedule.finished(job)
        elif self._schedule.failed(job):
            return
        account = self._unfinished.setdefault(job.account.name, _AccountParts())
        account.slices += len(result.left)
        account.parts.append(part or _not_audited(job, result))
        account.has_failed |= part is None
        if len(account.parts) > account.slices:
            self._report(job.account.name, self._unfinished.pop(job.account.name))

    def _fits(self, job: Job, result: Result) -> bool:
        part = result.part
        if part is None:
            return not result.left
        return (job.slice is None or not result.left) and all(it.rule in self._rule_ids for it in part.findings)

    def _report(self, name: str, account: "_AccountParts") -> None:
        """Merge the parts of an account into its report."""
        merged = partial(self._merge, identity=self._identities[name])
        try:
            self._reports[name] = merged(account.parts, seconds=self._seconds())
        except Exception as error:
            # A process that can write to the broker can send any part.
            _log.warning("can't merge the results of an account: %s", type(error).__name__)
            account.has_failed = True
            parts = [not_audited("its results can't be merged")]
            self._reports[name] = merged(parts, seconds=self._seconds())
        self._failed += account.has_failed

    def _done(self) -> float:
        """Return how many accounts are done, with fractions for accounts in slices."""
        fractions = (len(account.parts) / (account.slices + 1) for account in self._unfinished.values())
        return len(self._reports) + sum(fractions)


@attrs.define
class _AccountParts:
    """The parts of an account that are there: of its survey, and of each slice that the survey left."""

    parts: list[AuditPart] = attrs.Factory(list)
    slices: int = 0
    has_failed: bool = False


def _not_audited(job: Job, result: Result) -> AuditPart:
    error = result.error if result.is_permanent else f"{result.error}, in each of {job.tries} tries"
    return not_audited(error, None if job.slice is None else job.slice.campaigns)


@final
class NoWorkerNotifier:
    """Calls a function once when there has been no worker for some seconds."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._since: float | None = None
        self._is_notified = False

    def update(self, slots: int) -> None:
        """Take in how many jobs can run at once now."""
        now = CLOCK.monotonic()
        if slots:
            self._since, self._is_notified = None, False
        elif self._since is None:
            self._since = now
        elif not self._is_notified and now - self._since >= _NO_WORKER_SECONDS:
            self._is_notified = True
            self._notify()
