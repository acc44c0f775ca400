"""`dialler fleet`: audit many accounts, and run workers for such audits."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from dialler_async._extras import needs_extra
from dialler_async.fleet import Account, Fleet, Server, read_fleet
from dialler_async.fleet.wire import KEY_VARIABLE

from .exits import Exit, UsageError, print_error, print_warnings
from .languages import ALL_LANGUAGES, LanguageNames, languages_named
from .numbers import Positive
from .options import Flag
from .output import counted, print_line
from .progress import progress_bar
from .report import ON_THE_TERMINAL, Destination, FailOn, exit_code
from .rules import ALL_RULES, RuleOptions, print_rules
from .stopping import stop_signal

if TYPE_CHECKING:
    from dialler_async.fleet.redis_broker import RedisBroker

_DEFAULT_MANIFEST = Path("fleet.toml")

app: App = App(name="fleet", help="Audit many accounts on many servers, in this process or on workers.")


@app.command
async def audit(
    manifest: Path = _DEFAULT_MANIFEST,
    *,
    broker: str | None = None,
    sandbox: Flag = False,
    fail_on: Annotated[FailOn | None, Parameter(show_default=lambda _: "never")] = None,
    language: LanguageNames = ALL_LANGUAGES,
    destination: Destination = ON_THE_TERMINAL,
    rule_options: RuleOptions = ALL_RULES,
) -> Exit:
    """Check every campaign of every account, and show all problems in one report.

    If an account can't be audited completely, the others are still audited, and the
    exit code is 3.

    Args:
        manifest: File that lists the servers and accounts.
        broker: URL of the workers' Redis, such as redis://broker.example.com. Default: DIALLER_BROKER.
            Without a broker, this process runs all jobs. DIALLER_FLEET_KEY signs the messages.
        sandbox: Audit 100 generated accounts on an embedded dialler. Needs no settings.
        fail_on: Exit with 1 if there are findings of this severity or higher. Overrides fail-on in the settings.
        language: Language to fetch and compare result codes in. Can be given several times.
    """
    rules = rule_options.chosen()
    if rule_options.list_rules:
        print_rules(rules)
        return Exit.DONE
    if sandbox and (broker is not None or manifest is not _DEFAULT_MANIFEST):
        raise UsageError("--sandbox audits its own accounts in this process: leave out the file and --broker")
    settings, directory = rule_options.for_workers()
    _check_extra()
    # Imported here, because the import is slow and other commands don't need it.
    from dialler_async.fleet import audit_fleet

    url = None if sandbox else broker or os.environ.get("DIALLER_BROKER")
    backend = None if not url else _broker(url)
    command = "" if backend is None else f"dialler fleet worker {manifest} --broker {backend.safe_url}"
    with_key = f" with this {KEY_VARIABLE}" if backend is not None and backend.is_signed else ""
    with destination.open() as put:
        async with _sandbox_fleet() if sandbox else nullcontext(_read_manifest(manifest)) as fleet:
            with progress_bar("Auditing accounts") as on_progress:
                report = await audit_fleet(
                    fleet,
                    broker=backend,
                    settings=settings,
                    directory=directory,
                    languages=languages_named(language),
                    on_progress=on_progress,
                    on_no_worker=lambda: print_error(
                        f"waiting, because no worker{with_key} is running: start one with {command}"
                    ),
                )
        put(report)
    return exit_code(report, fail_on or settings.fail_on or "never")


@app.command
async def worker(
    manifest: Path = _DEFAULT_MANIFEST,
    *,
    broker: str | None = None,
    at_once: Positive = 4,
    rule_options: RuleOptions = ALL_RULES,
) -> None:
    """Run jobs of fleet audits until Ctrl-C or SIGTERM; then finish the running jobs and stop.

    Any number of workers can run, on any number of machines. All workers need the
    same rules and settings as the audit.

    Args:
        manifest: File that lists the servers, the accounts and where this worker finds their tokens.
        broker: URL of the audit's Redis, such as redis://broker.example.com. Default: DIALLER_BROKER.
        at_once: Maximum number of concurrent jobs. A job is an account or a part of its campaigns.
    """
    rules = rule_options.chosen()
    if rule_options.list_rules:
        print_rules(rules)
        return
    settings, directory = rule_options.for_workers()
    _check_extra()
    url = broker or os.environ.get("DIALLER_BROKER")
    if not url:
        raise UsageError("no broker: set DIALLER_BROKER, or give --broker, such as redis://broker.example.com")
    # Imported here, because the import is slow and other commands don't need it.
    from dialler_async.fleet.worker import run_worker

    backend = _broker(url, slots=at_once)
    fleet = _read_manifest(manifest)
    with (
        _log_to_stderr(),
        stop_signal(lambda: print_error("finishing the running jobs; press Ctrl-C again to stop now")) as stop,
    ):
        accounts, servers = counted(len(fleet.accounts), "account"), counted(len(fleet.servers), "server")
        await run_worker(
            fleet,
            backend,
            stop=stop,
            settings=settings,
            directory=directory,
            on_ready=lambda: print_line(f"working for {backend.safe_url}: {accounts} on {servers}"),
        )


def _check_extra() -> None:
    if not all(map(find_spec, ("taskiq", "taskiq_redis", "pyrate_limiter"))):
        raise UsageError(needs_extra("this command", "fleet"))


def _broker(url: str, slots: int = 0) -> "RedisBroker":
    from dialler_async.fleet.redis_broker import RedisBroker

    return RedisBroker(url, slots=slots)


def _read_manifest(manifest: Path) -> Fleet:
    with print_warnings():
        return read_fleet(manifest)


@asynccontextmanager
async def _sandbox_fleet() -> AsyncIterator[Fleet]:
    """Yield a fleet of generated accounts on an embedded dialler."""
    from dialler_async.sandbox import Sandbox

    async with Sandbox(campaigns=20, seed=1, accounts=100) as sandbox:
        server = Server(name="sandbox", url=sandbox.server)
        accounts = [
            Account(name=f"account {id}", server="sandbox", clients_id=id, token=partial(getattr, account, "token"))
            for id, account in sandbox.accounts.items()
        ]
        yield Fleet.of([server], accounts)


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print_error(record.getMessage())


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """Print each warning of the worker immediately, because a worker runs for a long time."""
    handler = _StderrHandler(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("dialler_async.fleet", "taskiq")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
