"""Begin or resume the run of a fleet, wait for its end, and read its report."""

import asyncio
import math
import tempfile
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from .._api.endpoints import checked_languages
from .._bulk.fan_out import OnProgress
from .._http.clock import CLOCK
from ..audit import AccountIdentity, AuditSettings, FleetReport, FleetReportBuilder
from ..audit.acceptance import require_accounts
from ..audit.selection import name_matches
from ..config import BASE_PATH
from ..errors import require
from ..models import Language
from ..store import NewUnit, Plan, Run, RunState, Store, StoreError
from .manifest import Fleet
from .spool import ReportSpool
from .unit import Auditor, settings_digest
from .worker import Worker, seconds_to_next_look


async def audit_fleet(
    fleet: Fleet,
    *,
    store: Store | None = None,
    settings: AuditSettings | None = None,
    directory: Path | None = None,
    languages: Iterable[Language] = Language,
    now: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> FleetReport:
    """Audit all accounts of a fleet in this process, and return one report.

    An account that can't be audited becomes a finding of the rule `not-audited`. The other accounts are audited.

    Args:
        fleet: the servers and accounts.
        store: an open store for the results, which are compared with the results before. By default, a store that is
            deleted at the end.
        settings: the audit settings; None means all rules with their defaults.
        directory: the directory from which this process imports your own rules.
        languages: the languages in which result codes are fetched and compared.
        now: the time that dates are compared with; by default, the current time. A naive value is local time.
        on_progress: a function that is called with the numbers of accounts (done, failed, total).
    Raises:
        ConfigurationError: the settings or the languages are invalid, or an accepted finding with a campaign ID does
            not name its account.
        StoreError: the store refuses, or can't be reached.
    """
    settings = settings or AuditSettings()
    async with AsyncExitStack() as stack:
        if store is None:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="dialler-"))
            store = await stack.enter_async_context(Store(Path(temporary) / "audits.db"))
        auditor = Auditor(store, fleet, settings, directory)
        run = await begin_run(store, fleet, settings, languages=languages, now=now)
        await wait_for_run(store, run, Worker(store, auditor, run=run.id).work(asyncio.Event()), on_progress)
        return await fleet_report(store, run)


async def begin_run(
    store: Store,
    fleet: Fleet,
    settings: AuditSettings,
    *,
    languages: Iterable[Language] = Language,
    now: datetime | None = None,
    accounts: Iterable[str] = (),
) -> Run:
    """Begin a run of the accounts of a fleet, and return it.

    Args:
        store: the store of the run.
        fleet: the servers and accounts.
        settings: the audit settings.
        languages: the languages in which result codes are fetched and compared.
        now: the time that dates are compared with; by default, the current time. A naive value is local time.
        accounts: patterns of names, such as `acme*`; all accounts by default.
    Raises:
        ConfigurationError: the languages or a pattern are invalid, or an accepted finding with a campaign ID does not
            name its account.
        StoreError: the store refuses, or can't be reached.
    """
    identities = {
        name: AccountIdentity.of(f"{fleet.servers[account.server].base_url}{BASE_PATH}/{account.clients_id}")
        for name, account in fleet.accounts.items()
    }
    require_accounts(settings.accept, identities)
    patterns = tuple(accounts)
    for pattern in patterns:
        found = any(name_matches(name, pattern) for name in fleet.accounts)
        require(found, f"the fleet has no account with a name like “{pattern}”")
    moment = datetime.now().astimezone() if now is None else now
    plan = Plan(
        languages=tuple(map(int, checked_languages(languages))),
        now=moment if moment.utcoffset() is not None else moment.astimezone(),
        accept=tuple(settings.accept),
        portal_url=settings.portal_url,
    )
    scope = ", ".join(f"account “{pattern}”" for pattern in patterns) or None
    chosen = [
        unit
        for unit in units_of(fleet)
        if not patterns or any(name_matches(unit.name, pattern) for pattern in patterns)
    ]
    return await store.runs.create(chosen, plan, settings=settings_digest(settings), is_fleet=True, scope=scope)


def units_of(fleet: Fleet) -> list[NewUnit]:
    """Return a unit of work for each account of a fleet."""
    return [
        NewUnit(name=name, url=fleet.servers[account.server].base_url, clients_id=account.clients_id)
        for name, account in fleet.accounts.items()
    ]


async def wait_for_run(
    store: Store,
    run: Run,
    work: Awaitable[None] | None = None,
    on_progress: OnProgress | None = None,
    stop: asyncio.Event | None = None,
) -> bool:
    """Wait until each account of a run has a result, and end the run. Return False if it was stopped before.

    Args:
        store: the store of the run.
        run: the run.
        work: the work of this process; None leaves the accounts to workers.
        on_progress: a function that is called with the numbers of accounts (done, failed, total).
        stop: an event that ends the wait, after the work has ended.
    Raises:
        StoreError: the store refuses, or can't be reached; or the run was given up when a later one began, so that no
            worker takes its accounts any more.
    """
    stop = stop or asyncio.Event()
    worker = asyncio.ensure_future(work or asyncio.sleep(math.inf))
    try:
        while True:
            began = CLOCK.monotonic()
            has_ended = work is None or worker.done()
            is_over = await store.runs.finish(run.id)
            if on_progress is not None:
                servers = await store.runs.servers(run.id)
                failed = sum(server.failed for server in servers)
                waiting = sum(server.waiting for server in servers)
                total = sum(server.done for server in servers) + failed + waiting
                on_progress(total - waiting, failed, total)
            if worker.done():
                worker.result()
            if is_over or (stop.is_set() and has_ended):
                return is_over
            if work is None and (await store.runs.get(run.id)).state is RunState.ABANDONED:
                raise StoreError(f"run {run.id} was given up when a later run began, and has accounts without a result")
            pause = seconds_to_next_look(CLOCK.monotonic() - began)
            if worker.done():
                # Another process has opened accounts again in the meantime, and audits them.
                await CLOCK.sleep(pause)
            else:
                await asyncio.wait({worker}, timeout=pause)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def fleet_report(store: Store, run: Run, accounts: Iterable[str] = ()) -> FleetReport:
    """Return the report of a run. One account is in memory at a time; the others are in a temporary file.

    Args:
        store: the store of the run.
        run: the run.
        accounts: patterns of names, such as `acme*`; all accounts by default.
    Raises:
        StoreError: the store can't be reached.
    """
    run = await store.runs.get(run.id)
    builder = FleetReportBuilder(
        now=run.plan.now,
        languages=[Language(language) for language in run.plan.languages],
        entries=run.plan.accept,
        scope=run.scope,
        portal_url=run.plan.portal_url,
        reports=ReportSpool(),
    )
    async for result in store.results.read(run.id, accounts):
        builder.add(result.name, result.report)
    return builder.build(
        started=datetime.fromtimestamp(run.started).astimezone(), seconds=(run.ended or run.started) - run.started
    )
