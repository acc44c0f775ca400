"""`dialler fleet`: audit many accounts, and run workers for such audits."""

import json
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal

import attrs
from cyclopts import App, Parameter

from .. import OnProgress
from ..audit import Report
from ..fleet import Account, Fleet, Server, read_fleet
from .exits import Exit, UsageError, print_error, print_warnings
from .languages import ALL_LANGUAGES, LanguageNames, languages_named
from .options import Flag
from .output import counted, print_line, print_table, text
from .progress import progress_bar
from .prompt import ask
from .report import ON_THE_TERMINAL, Destination, FailOn, exit_code, has_failing
from .rules import ALL_RULES, RuleOptions, print_rules
from .stopping import stop_signal
from .store import duration, moment, open_store
from .stored_report import write_outputs

if TYPE_CHECKING:
    from ..store import Run, Store

_DEFAULT_MANIFEST = Path("fleet.toml")
_LINE_SECONDS = 30.0
"""Without a terminal, a line shows the progress so often."""

app: App = App(name="fleet", help="Audit many accounts on many servers, in this process or on workers.")


@app.command
async def audit(
    manifest: Path = _DEFAULT_MANIFEST,
    *,
    store: str | None = None,
    resume: Flag = False,
    only_failed: Flag = False,
    account: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    workers: Flag = False,
    sandbox: Flag = False,
    fail_on: Annotated[FailOn | None, Parameter(show_default=lambda _: "never")] = None,
    fail_on_new: Flag = False,
    language: LanguageNames = ALL_LANGUAGES,
    destination: Destination = ON_THE_TERMINAL,
    rule_options: RuleOptions = ALL_RULES,
) -> Exit:
    """Check every campaign of every account, and show all problems in one report.

    Results go into the store, account by account. If the command is killed,
    --resume goes on. If an account can't be audited, the others are audited;
    the exit code is 3, or 1 if there are findings at or above --fail-on.

    Args:
        manifest: File that lists the servers and accounts.
        store: File of the results, or URL of a PostgreSQL. Default: DIALLER_STORE, or audits.db.
            If the URL contains a password, set DIALLER_STORE: other users can read arguments.
        resume: Go on with the unfinished run of these accounts, if there is one.
        only_failed: Audit the accounts again that could not be audited in the latest run.
        account: Only accounts whose name matches this pattern, such as 'acme*'. Can be given several times.
        workers: Leave the accounts to workers (dialler fleet worker), and wait for them.
        sandbox: Audit 100 generated accounts on an embedded dialler. Needs no settings.
        fail_on: Exit with 1 if there are findings of this severity or higher. Overrides fail-on in the settings.
        fail_on_new: Exit with 1 only for new findings: of any severity, or of the severity of --fail-on or higher.
        language: Language to fetch and compare result codes in. Can be given several times.
    """
    rules = rule_options.chosen()
    if rule_options.list_rules:
        print_rules(rules)
        return Exit.DONE
    if sandbox and (store is not None or manifest is not _DEFAULT_MANIFEST):
        raise UsageError("--sandbox audits its own accounts, and keeps no results: leave out the file and --store")
    if sum((resume, only_failed, bool(account))) > 1:
        raise UsageError("--resume, --only-failed and --account contradict each other")
    settings, directory = rule_options.for_workers()
    level = fail_on or settings.fail_on or ("info" if fail_on_new else "never")
    folder, destination = destination.without_folder()
    with destination.open() as put, tempfile.TemporaryDirectory(prefix="dialler-") as temporary:
        opened = _sandbox_fleet() if sandbox else _fleet_of(manifest)
        async with opened as fleet, open_store(f"{temporary}/audits.db" if sandbox else store) as opened_store:
            # Imported here, because the import is slow and other commands don't need it.
            from ..fleet.coordinator import begin_run, fleet_report, wait_for_run
            from ..fleet.unit import Auditor
            from ..fleet.worker import Worker

            auditor = Auditor(opened_store, fleet, settings, directory)
            earlier = await _earlier_run(
                opened_store, fleet, resume=resume, only_failed=only_failed, is_some=bool(account)
            )
            run = earlier or await begin_run(
                opened_store, fleet, settings, languages=languages_named(language), accounts=account
            )
            with _progress(run) as on_progress, stop_signal() as stop:
                work = None if workers else Worker(opened_store, auditor, run=run.id).work(stop)
                is_over = await wait_for_run(opened_store, run, work, on_progress, stop)
            if not is_over:
                print_error(f"stopped: --resume goes on with run {run.id}")
                return Exit.INTERRUPTED
            report = attrs.evolve(await fleet_report(opened_store, run), fails_on_new=fail_on_new)
            await write_outputs(put, folder, opened_store, run, report)
    return _exit_code(report, level)


def _exit_code(report: Report, level: str) -> Exit:
    """Return 1 for findings at or above `--fail-on`, also if an account could not be audited."""
    if not report.rule_failed and has_failing(report, level, ignored=("not-audited", "stopped-early")):
        return Exit.FINDINGS
    return exit_code(report, level)


async def _earlier_run(store: "Store", fleet: Fleet, *, resume: bool, only_failed: bool, is_some: bool) -> "Run | None":
    """Return the run to go on with; None to begin another one."""
    from ..fleet.coordinator import units_of

    if only_failed:
        latest = await store.runs.latest(units_of(fleet))
        number = await store.runs.reopen(latest.id)
        print_error(f"run {latest.id}: {counted(number, 'account')} could not be audited, and will be audited again")
        return latest
    run = None if is_some else await store.runs.unfinished(units_of(fleet))
    if run is None:
        if resume:
            print_error("there is no unfinished run of these accounts: beginning one")
        return None
    servers = await store.runs.servers(run.id)
    done = sum(server.done + server.failed for server in servers)
    total = done + sum(server.waiting for server in servers)
    state = f"run {run.id} of {moment(run.started)} is unfinished: {done:,} of {counted(total, 'account')} are done"
    if not resume and sys.stdin.isatty() and sys.stderr.isatty():
        resume = ask(f"{state}. Resume it? [Y/n] ").lower() in ("", "y", "yes")
    else:
        print_error(state if resume else f"{state}; --resume goes on with it. Beginning another run")
    return run if resume else None


@app.command
async def worker(
    manifest: Path = _DEFAULT_MANIFEST,
    *,
    store: str | None = None,
    log_format: Literal["text", "json"] = "text",
    rule_options: RuleOptions = ALL_RULES,
) -> None:
    """Audit accounts of all open runs until Ctrl-C or SIGTERM, which it obeys within 10 s.

    Any number of workers can run, on any number of machines. A server belongs to
    one worker at a time. All workers need the same rules and settings as the audit.

    Args:
        manifest: File that lists the servers, the accounts and where this worker finds their tokens.
        store: URL of the PostgreSQL, or file of the results. Default: DIALLER_STORE, or audits.db.
            If the URL contains a password, set DIALLER_STORE: other users can read arguments.
        log_format: Format of the log on stderr.
    """
    rules = rule_options.chosen()
    if rule_options.list_rules:
        print_rules(rules)
        return
    settings, directory = rule_options.for_workers()
    async with _fleet_of(manifest) as fleet, open_store(store) as opened_store:
        from ..fleet.unit import Auditor
        from ..fleet.worker import Worker

        auditor = Auditor(opened_store, fleet, settings, directory)
        with _log_to_stderr(log_format), stop_signal() as stop:
            accounts, servers = counted(len(fleet.accounts), "account"), counted(len(fleet.servers), "server")
            print_line(f"working for {opened_store.name}: {accounts} on {servers}")
            await Worker(opened_store, auditor).work(stop)


@app.command
async def status(*, store: str | None = None, run: int | None = None) -> None:
    """Show the latest run: its servers, who has them, and how far they are.

    Args:
        store: File of the results, or URL of a PostgreSQL. Default: DIALLER_STORE, or audits.db.
        run: The run to show. Default: the latest.
    """
    async with open_store(store, must_exist=True) as opened_store:
        shown = await opened_store.runs.get(run)
        servers = await opened_store.runs.servers(shown.id)
        held = await opened_store.leases.held()
    done, failed = sum(server.done for server in servers), sum(server.failed for server in servers)
    waiting, recent = sum(server.waiting for server in servers), sum(server.recent for server in servers)
    line = f"run {shown.id} of {moment(shown.started)}, {shown.state}: {_numbers(done + failed, failed, waiting)}"
    if waiting and recent:
        line += f", {recent:,} in the last minute, about {duration(waiting / recent * 60)} left"
    print_line(line)
    hosts = {one.url: one.host for one in held if one.run == shown.id}
    rows = [
        [
            *(text(f"{number:,}") for number in (server.done, server.failed, server.waiting)),
            text(server.url),
            text(hosts.get(server.url, "")),
        ]
        for server in servers
    ]
    print_table(("DONE", "FAILED", "LEFT", "SERVER", "WORKER"), rows, right=("DONE", "FAILED", "LEFT"))
    for one in held:
        if not one.url:
            taken = ", ".join(other.url for other in held if other.host == one.host and other.url) or "nothing"
            print_line(f"worker {one.host} has {taken}" + (f"; {one.note}" if one.note else ""))


def _numbers(done: int, failed: int, waiting: int) -> str:
    return f"{done:,} of {counted(done + waiting, 'account')} done, {failed:,} failed"


@contextmanager
def _progress(run: "Run") -> Iterator[OnProgress]:
    """Show the progress of a run as a bar, or without a terminal as a line every 30 s."""
    with progress_bar("Auditing accounts") as bar:
        if bar is not None:
            yield bar
            return
        began = printed = monotonic()
        first: float | None = None

        def show(done: float, failed: int, total: int | None) -> None:
            nonlocal printed, first
            first = done if first is None else first
            if monotonic() - printed >= _LINE_SECONDS:
                printed = monotonic()
                rate = (done - first) / (printed - began)
                left = f", {rate:.1f}/s, about {duration(((total or 0) - done) / rate)} left" if rate else ""
                print_error(f"run {run.id}: {_numbers(int(done), failed, int((total or 0) - done))}{left}")

        yield show


@asynccontextmanager
async def _fleet_of(manifest: Path) -> AsyncIterator[Fleet]:
    with print_warnings():
        fleet = read_fleet(manifest)
    yield fleet


@asynccontextmanager
async def _sandbox_fleet() -> AsyncIterator[Fleet]:
    """Yield a fleet of generated accounts on an embedded dialler."""
    from ..sandbox import Sandbox

    async with Sandbox(campaigns=20, seed=1, accounts=100) as sandbox:
        server = Server(name="sandbox", url=sandbox.server)
        accounts = [
            Account(name=f"account {id}", server="sandbox", clients_id=id, token=partial(getattr, account, "token"))
            for id, account in sandbox.accounts.items()
        ]
        yield Fleet.of([server], accounts)


class _JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object in one line, with the fields `run` and `account` where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: getattr(record, name) for name in ("run", "account") if hasattr(record, name)}
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "message": record.getMessage(), **fields}
        return json.dumps(line)


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(self.formatter, _JsonFormatter):
            with suppress(OSError):
                sys.stderr.write(self.format(record) + "\n")
        else:
            run = f"run {record.run}: " if hasattr(record, "run") else ""
            print_error(f"{run}{record.getMessage()}")


@contextmanager
def _log_to_stderr(format: str) -> Iterator[None]:
    """Write the log of the worker to stderr."""
    handler = _StderrHandler(logging.INFO)
    if format == "json":
        handler.setFormatter(_JsonFormatter())
    logger = logging.getLogger("dialler_async.fleet")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
