"""The coordinator: sends jobs a few at a time, collects what they come to, and puts it together as one report."""

import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, Final, final
from uuid import uuid4

import attrs
from taskiq import SendTaskError
from taskiq.kicker import AsyncKicker

from dialler_async._http.clock import CLOCK
from dialler_async.audit import (
    AccountIdentity,
    AuditPart,
    AuditReport,
    AuditSettings,
    available_rules,
    merge,
    merge_accounts,
    not_audited,
)
from dialler_async.audit.rules import AnyRule
from dialler_async.errors import require
from dialler_async.models import Language

from .broker import BrokerError, RedisBroker
from .clients import Clients
from .in_process import InProcess
from .manifest import Fleet
from .messages import Orders, Result, settings_digest
from .schedule import Job, Schedule
from .tasks import SLICE, SURVEY, Work
from .wire import MOST_CAMPAIGNS

_TICK: Final = 1.0
"""Seconds after which to look at the workers again, when no result comes."""
_UNUSUAL: Final = 5.0
"""Seconds without a worker after which somebody is told."""

_log: Final = logging.getLogger("dialler_async.fleet")

OnProgress = Callable[[float, int, int | None], None]


async def audit_fleet(
    fleet: Fleet,
    *,
    broker: RedisBroker | None = None,
    settings: AuditSettings | None = None,
    directory: Path | None = None,
    languages: Iterable[Language] = Language,
    chunk: int = 250,
    now: datetime | None = None,
    on_progress: OnProgress | None = None,
    on_no_worker: Callable[[], None] | None = None,
) -> AuditReport:
    """Audit all accounts of a fleet, as `audit` does each, and put the reports together.

    Nothing stops the fleet but a broker that is lost: an account that could not be looked at is a finding of its own
    (`not-audited`), with the reason.

    Args:
        fleet: the servers and accounts.
        broker: where workers are, opened and closed by this; None to do all the work in this process.
        settings: what to judge by; all rules as they are, if None. Each worker must have the same settings.
        directory: where this process looks for modules with rules of the user's own.
        languages: the languages in which result codes are fetched and compared.
        chunk: accounts with more campaigns are cut into slices of so many.
        now: what dates are compared with; a naive one is local time. By default, the moment of the call.
        on_progress: called with (done, failed, total) accounts; of one in slices, a part is done with each.
        on_no_worker: called when there has been no worker for some seconds, once each time; the audit waits for one.

    Raises:
        ConfigurationError: settings, languages or `chunk` can't work.
        BrokerError: the broker can't be reached, or has lost its data.
    """
    require(1 <= chunk <= MOST_CAMPAIGNS, f"chunk is a positive int, at most {MOST_CAMPAIGNS:,}")
    asked = tuple(dict.fromkeys(Language(language) for language in languages))
    require(bool(asked), "an audit needs at least one language")
    started = datetime.now(UTC).astimezone()
    given, settings = now or started, settings or AuditSettings()
    orders = Orders(
        languages=asked,
        # As it comes out of a message, so that all judge by the same.
        now=datetime.fromisoformat((given if given.utcoffset() is not None else given.astimezone()).isoformat()),
        settings=settings_digest(settings),
        chunk=chunk,
    )
    rules = settings.choose(available_rules(settings.rules, directory))
    async with AsyncExitStack() as stack:
        mediator: InProcess | RedisBroker
        if broker is None:
            clients = Clients(fleet)
            stack.push_async_callback(clients.aclose)
            mediator = InProcess()
            Work(clients, settings, rules).offer(mediator)
        else:
            mediator = broker
        stack.push_async_callback(mediator.shutdown)
        await mediator.startup()
        run = _Run(fleet, mediator, orders, rules, started)
        return await run.finish(on_progress or (lambda *_: None), on_no_worker or (lambda: None))


@final
class _Run:
    """One audit of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        mediator: InProcess | RedisBroker,
        orders: Orders,
        rules: tuple[AnyRule, ...],
        started: datetime,
    ) -> None:
        self._mediator = mediator
        self._orders = orders.to_json()
        self._merged = partial(merge, rules=rules, languages=orders.languages, now=orders.now, started=started)
        self._merged_accounts = partial(
            merge_accounts, rules=rules, languages=orders.languages, now=orders.now, started=started
        )
        self._rule_ids = {rule.info.id for rule in rules}
        self._begun = perf_counter()
        self._id = uuid4().hex
        self._numbers = count(1)
        self._schedule = Schedule(fleet.servers.values(), fleet.accounts.values())
        self._under_way: dict[str, Job] = {}
        self._accounts = tuple(fleet.accounts)
        self._identities = {
            name: AccountIdentity.of(f"{fleet.servers[account.server].url}/rest/v1.0/{account.clients_id}")
            for name, account in fleet.accounts.items()
        }
        self._begun_on: dict[str, _Account] = {}
        self._reports: dict[str, AuditReport] = {}
        self._failed = 0

    async def finish(self, on_progress: OnProgress, on_no_worker: Callable[[], None]) -> AuditReport:
        """Does it all."""
        mediator, run = self._mediator, self._id
        nobody = _Nobody(on_no_worker)
        on_progress(0, 0, len(self._accounts))
        try:
            await mediator.open_run(run)
            while True:
                places = await mediator.places()
                nobody.there(places)
                while (job := self._schedule.next(places)) is not None:
                    await self._send(job)
                if not self._under_way:
                    break
                results = await mediator.results(run, _TICK)
                for name, result in results:
                    self._take(name, result)
                if results:
                    on_progress(self._done(), self._failed, len(self._accounts))
        except BrokerError:
            raise
        except BaseException:
            with suppress(BrokerError):
                await mediator.close_run(run)
            raise
        await mediator.close_run(run)
        reports = ((name, self._reports.pop(name)) for name in self._accounts)
        return self._merged_accounts(reports, seconds=perf_counter() - self._begun)

    async def _send(self, job: Job) -> None:
        name = f"{self._id}/{next(self._numbers)}"
        self._under_way[name] = job
        given: dict[str, Any] = {
            "account": job.account.name,
            "orders": self._orders,
            "concurrency": job.concurrency,
        }
        if job.slice is not None:
            given["packed"] = job.slice.packed
        task: AsyncKicker[Any, Any] = AsyncKicker(SURVEY if job.slice is None else SLICE, self._mediator, {})
        try:
            await task.with_task_id(name).kiq(**given)
        except SendTaskError as error:
            raise error.__cause__ or error from None

    def _take(self, name: str, result: Result) -> None:
        job = self._under_way.pop(name, None)
        if job is None:
            return
        if not self._is_possible(job, result):
            _log.warning("rejected the result of job %s: it does not fit the job", name)
            result = Result(error="its result does not fit the job")
        part = result.part
        if part is not None:
            self._schedule.finished(job, result.left)
        elif result.for_good:
            self._schedule.finished(job)
        elif self._schedule.failed(job):
            return
        name = job.account.name
        account = self._begun_on.setdefault(name, _Account())
        account.slices += len(result.left)
        account.parts.append(part or _not_audited(job, result))
        account.failed |= part is None
        if len(account.parts) > account.slices:
            del self._begun_on[name]
            merged = partial(self._merged, identity=self._identities[name])
            try:
                self._reports[name] = merged(account.parts, seconds=perf_counter() - self._begun)
            except Exception as error:
                # A worker, or whoever can write to the broker, decides what is in them.
                _log.warning("can't merge the results of an account: %s", type(error).__name__)
                account.failed = True
                failed = [not_audited("its results can't be merged")]
                self._reports[name] = merged(failed, seconds=perf_counter() - self._begun)
            self._failed += account.failed

    def _is_possible(self, job: Job, result: Result) -> bool:
        part = result.part
        if part is None:
            return not result.left
        return (job.slice is None or not result.left) and all(it.rule in self._rule_ids for it in part.findings)

    def _done(self) -> float:
        """How many accounts are done; of those in slices, the part that is."""
        partly = (len(account.parts) / (account.slices + 1) for account in self._begun_on.values())
        return len(self._reports) + sum(partly)


@attrs.define
class _Account:
    """How far an account has come: its survey, and slices where that left some."""

    parts: list[AuditPart] = attrs.Factory(list)
    slices: int = 0
    failed: bool = False


def _not_audited(job: Job, result: Result) -> AuditPart:
    error = result.error if result.for_good else f"{result.error}, in each of {job.tries} tries"
    return not_audited(error, None if job.slice is None else job.slice.campaigns)


class _Nobody:
    """Tells somebody when there has been no worker for a while."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._since: float | None = None
        self._told = False

    def there(self, places: int) -> None:
        """So many jobs can be worked on at the moment."""
        now = CLOCK.monotonic()
        if places:
            self._since, self._told = None, False
        elif self._since is None:
            self._since = now
        elif not self._told and now - self._since >= _UNUSUAL:
            self._told = True
            self._tell()
