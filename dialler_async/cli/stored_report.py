"""`dialler report`: write a report of a run in the store. The HTML pages of a fleet."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
from cyclopts import Parameter, Token

from .._text.files import whole_file
from ..audit import AuditReport, FleetReport, Report
from .exits import OutputError, UsageError, print_error
from .output import counted
from .report import ON_THE_TERMINAL, Destination
from .store import ended_runs_like, open_store

if TYPE_CHECKING:
    from ..audit.writers.html import TrendPoint
    from ..store import Run, Store

_MOST_IN_TREND = 90


def _run_id(_: Any, tokens: Sequence[Token]) -> int | None:
    [token] = tokens
    if token.value == "latest":
        return None
    if not (token.value.isascii() and token.value.isdigit()):
        raise ValueError(f"it must be the ID of a run, or latest, not “{token.value}”")
    return int(token.value)


async def report(
    *,
    store: str | None = None,
    run: Annotated[int | None, Parameter(converter=_run_id, show_default=lambda _: "latest")] = None,
    account: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    destination: Destination = ON_THE_TERMINAL,
) -> None:
    """Write a report of a run in the store, without a request.

    Args:
        store: File of the results, or URL of a PostgreSQL. Default: DIALLER_STORE, or audits.db.
        run: ID of the run, or latest; `dialler history` lists runs.
        account: Only accounts whose name matches this pattern, such as 'acme*'. Can be given several times.
    """
    folder, destination = destination.without_folder()
    with destination.open() as put:
        async with open_store(store, must_exist=True) as opened_store:
            chosen = await opened_store.runs.get(run)
            found = await _stored(opened_store, chosen, account)
            servers = await opened_store.runs.servers(chosen.id)
            if waiting := sum(server.waiting for server in servers):
                print_error(f"run {chosen.id} is unfinished: {counted(waiting, 'account')} has no result yet")
            await write_outputs(put, folder, opened_store, chosen, found, account)


async def _stored(store: "Store", run: "Run", accounts: Sequence[str]) -> Report:
    """Return the report of a run: of its one account, or of the fleet."""
    # Imported here, because the import is slow and other commands don't need it.
    from ..fleet.coordinator import fleet_report

    if not run.is_fleet:
        async for result in store.results.read(run.id, accounts):
            return _named(result.report, result.name)
    else:
        found = await fleet_report(store, run, accounts)
        if found.accounts:
            return found
    raise UsageError(f"run {run.id} has no result of such an account")


def _named(report: AuditReport, name: str) -> AuditReport:
    return report if name == str(report.identity) else attrs.evolve(report, name=name)


async def write_outputs(
    put: Callable[[Report], None],
    folder: Path | None,
    store: "Store",
    run: "Run",
    report: Report,
    accounts: Iterable[str] = (),
) -> None:
    """Write the HTML pages of a run, and then the other outputs, also if the pages can't be written.

    Args:
        put: writes the other outputs.
        folder: the directory of the pages, which is made if it does not exist; None without pages.
        store: the store of the run.
        run: the run.
        report: its report.
        accounts: patterns of names; all accounts by default.
    Raises:
        OutputError: an output can't be written.
    """
    try:
        if folder is not None:
            await _write_pages(folder, store, run, report, accounts)
    except OutputError:
        put(report)
        raise
    put(report)


async def _write_pages(folder: Path, store: "Store", run: "Run", report: Report, accounts: Iterable[str]) -> None:
    """Write a page for each account, one at a time, then the index."""
    from ..audit.writers.html import page_name, write_html, write_index

    index = folder / "index.html"
    # The numbers of earlier runs are those of all accounts.
    trend = [] if tuple(accounts) else await _trend(store, run)
    try:
        if not isinstance(report, FleetReport):
            _write(index, write_html(report))
            return
        async for result in store.results.read(run.id, accounts):
            page = write_html(_named(result.report, result.name), index=index.name)
            _write(folder / page_name(result.name), page)
        _write(index, write_index(report, trend))
    except OSError as error:
        raise OutputError(f"can't write {folder}: {error.strerror or error}") from None


async def _trend(store: "Store", run: "Run") -> list["TrendPoint"]:
    """Return the numbers of the latest runs of the same accounts until this run, the first run first."""
    from ..audit.writers.html import TrendPoint

    alike = ended_runs_like(run, await store.history.runs())[:_MOST_IN_TREND]
    return [
        TrendPoint(
            began=datetime.fromtimestamp(one.started).astimezone(),
            errors=one.errors,
            warnings=one.warnings,
            infos=one.infos,
            new=one.new,
        )
        for one in reversed(alike)
    ]


def _write(path: Path, pieces: Iterable[str]) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with whole_file(path) as file:
        for piece in pieces:
            # A lone surrogate can't be encoded, so it is escaped.
            file.write(piece.encode(errors="backslashreplace"))
