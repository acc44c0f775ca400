"""`dialler fleet …`: audits of many accounts, and the workers that do them."""

import logging
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from dialler_async.fleet import Account, Fleet, Server, read_fleet
from dialler_async.fleet.wire import KEY_VARIABLE

from .exits import Exit, UsageError, print_error
from .languages import LANGUAGES, LanguageName
from .numbers import Positive
from .options import Flag
from .output import counted, print_line
from .progress import progress_bar
from .report import ON_THE_TERMINAL, Destination, FailOn, exit_code
from .rules import ALL_RULES, RuleOptions, print_rules
from .stopping import stop_signal

if TYPE_CHECKING:
    from dialler_async.fleet.broker import RedisBroker

_FLEET = Path("fleet.toml")

app: App = App(name="fleet", help="Audit many accounts on many servers, in this process or spread over workers.")


@app.command
async def audit(
    manifest: Path = _FLEET,
    *,
    broker: str | None = None,
    sandbox: Flag = False,
    fail_on: Annotated[FailOn | None, Parameter(show_default=lambda _: "never")] = None,
    language: Annotated[tuple[LanguageName, ...], Parameter(negative=(), show_default=", ".join)] = ("en", "de"),
    destination: Destination = ON_THE_TERMINAL,
    rule_options: RuleOptions = ALL_RULES,
) -> Exit:
    """Check every campaign of every account, and show in one report what is wrong with them.

    Exits with 3 if an account could not be audited as a whole; the others are.

    Parameters
    ----------
    manifest
        File that lists servers and accounts.
    broker
        Redis, such as redis://broker.example.com, by which workers get the work; otherwise DIALLER_BROKER.
        With neither, this process does it all. DIALLER_FLEET_KEY signs what goes through it.
    sandbox
        Audit 100 made-up accounts on an embedded dialler. Needs no settings.
    fail_on
        Exit with 1 if there are findings as bad as that, or worse; otherwise fail-on in the settings.
    language
        A language to fetch and compare result codes in. Repeat it for several.
    """
    rules = rule_options.chosen()
    if rule_options.list_rules:
        print_rules(rules)
        return Exit.DONE
    if sandbox and (broker is not None or manifest is not _FLEET):
        raise UsageError("--sandbox brings its own accounts, and no worker has them: leave out the file and --broker")
    settings, directory = rule_options.for_workers()
    _check_extra()
    # Only here, as no other command needs it.
    from dialler_async.fleet import audit_fleet

    url = None if sandbox else broker or os.environ.get("DIALLER_BROKER")
    mediator = None if not url else _broker(url)
    waits = "" if mediator is None else f"dialler fleet worker {manifest} --broker {mediator.shown}"
    with_key = f" with this {KEY_VARIABLE}" if mediator is not None and mediator.is_signed else ""
    with destination.open() as put:
        async with _sandbox() if sandbox else _read(manifest) as fleet:
            with progress_bar("Auditing accounts") as on_progress:
                report = await audit_fleet(
                    fleet,
                    broker=mediator,
                    settings=settings,
                    directory=directory,
                    languages=[LANGUAGES[name] for name in language],
                    on_progress=on_progress,
                    on_no_worker=lambda: print_error(f"no worker is there{with_key}; waiting for one: {waits}"),
                )
        put(report)
    return exit_code(report, fail_on or settings.fail_on or "never")


@app.command
async def worker(
    manifest: Path = _FLEET,
    *,
    broker: str | None = None,
    at_once: Positive = 4,
    rule_options: RuleOptions = ALL_RULES,
) -> None:
    """Do the work of audits until Ctrl-C or SIGTERM: then finish what is in hand, and stop.

    Start as many as you like, on any number of machines. The rules and their settings must be those of the audit.

    Parameters
    ----------
    manifest
        File that lists servers and accounts, and where this worker finds their tokens.
    broker
        Redis, such as redis://broker.example.com, by which audits give out the work; otherwise DIALLER_BROKER.
    at_once
        How many accounts, or chunks of accounts, are worked on at once.
    """
    rules = rule_options.chosen()
    if rule_options.list_rules:
        print_rules(rules)
        return
    settings, directory = rule_options.for_workers()
    _check_extra()
    url = broker or os.environ.get("DIALLER_BROKER")
    if not url:
        raise UsageError("no broker: set DIALLER_BROKER, or give --broker redis://…")
    # Only here, as no other command needs it.
    from dialler_async.fleet.worker import work

    mediator = _broker(url, places=at_once)
    async with _read(manifest) as fleet:
        with (
            _log_on_stderr(),
            stop_signal(lambda: print_error("finishing what is in hand; once more to stop now")) as stop,
        ):
            accounts, servers = counted(len(fleet.accounts), "account"), counted(len(fleet.servers), "server")
            await work(
                fleet,
                mediator,
                stop=stop,
                settings=settings,
                directory=directory,
                on_ready=lambda: print_line(f"working for {mediator.shown}: {accounts} on {servers}"),
            )


def _check_extra() -> None:
    if not all(map(find_spec, ("taskiq", "taskiq_redis", "pyrate_limiter"))):
        raise UsageError("this command needs an extra: pip install 'dialler-async[fleet]'")


def _broker(url: str, places: int = 0) -> "RedisBroker":
    from dialler_async.fleet.broker import RedisBroker

    return RedisBroker(url, places=places)


@asynccontextmanager
async def _read(manifest: Path) -> AsyncIterator[Fleet]:
    with warnings.catch_warnings(record=True, action="always") as warned:
        fleet = read_fleet(manifest)
    # Without the place in our code that Python would add.
    for warning in warned:
        print_error(f"warning: {warning.message}")
    yield fleet


@asynccontextmanager
async def _sandbox() -> AsyncIterator[Fleet]:
    """A fleet of made-up accounts, for as long as it is looked at."""
    from dialler_async.sandbox import Sandbox

    async with Sandbox(campaigns=20, seed=1, accounts=100) as sandbox:
        server = Server(name="sandbox", url=sandbox.server)
        accounts = [
            Account(name=f"account {id}", server="sandbox", clients_id=id, token=partial(getattr, account, "token"))
            for id, account in sandbox.accounts.items()
        ]
        yield Fleet.of([server], accounts)


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """What a worker goes through is told as it happens: nobody waits for it to end."""

    class Saying(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_error(record.getMessage())

    handler = Saying(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("dialler_async.fleet", "taskiq")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
