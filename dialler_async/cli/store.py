"""The option `--store`, and times and durations of a store."""

import os
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter, Token

from .._extras import needs_extra
from .._text.moments import to_minute
from ..audit import AccountIdentity, AuditReport
from .exits import OutputError, UsageError

if TYPE_CHECKING:
    from ..store import Run, RunSummary, Store

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@asynccontextmanager
async def open_store(location: str | None, *, must_exist: bool = False) -> AsyncIterator["Store"]:
    """Yield the store of `--store`, of DIALLER_STORE, or in `audits.db` in the current directory.

    Args:
        location: the file or URL of `--store`.
        must_exist: whether a file that does not exist is an error; otherwise it is made.
    Raises:
        UsageError: the extra is missing, or there is no such file.
        ConfigurationError: the store is neither a file nor a URL, or of a later version.
        OutputError: the store can't be reached or written to. What was stored before stays.
    """
    if not all(map(find_spec, ("alembic", "psycopg", "sqlalchemy"))):
        raise UsageError(needs_extra("this command", "store"))
    # Imported here, because the import is slow and other commands don't need it.
    from ..store import Store, StoreError

    place = location or os.environ.get("DIALLER_STORE") or "audits.db"
    if must_exist:
        _require_store(place)
    try:
        async with Store(place) as store:
            yield store
    except StoreError as error:
        message = str(error)
    else:
        return
    raise OutputError(message)


def _require_store(place: str) -> None:
    if "://" not in place and not Path(place).exists():
        raise UsageError(f"there is no store {place}: set --store or DIALLER_STORE; an audit with --store makes one")


def ended_runs_like(run: "Run | RunSummary", runs: Iterable["RunSummary"]) -> list["RunSummary"]:
    """Return the ended runs of the same accounts until this run. Others are no part of its trend."""
    return [
        one
        for one in runs
        if one.id <= run.id and not one.waiting and (one.is_fleet, one.scope) == (run.is_fleet, run.scope)
    ]


async def store_report(store: "Store", report: AuditReport) -> AuditReport:
    """Store the report of a single account as a run, and return it compared with the last one."""
    from ..store import NewUnit, Plan

    identity = report.identity or AccountIdentity("an unknown server", None)
    unit = NewUnit(name=report.name or str(identity), url=identity.server, clients_id=identity.clients_id)
    plan = Plan(languages=tuple(map(int, report.languages)), now=report.now, portal_url=report.portal_url)
    run = await store.runs.create([unit], plan, settings="", is_fleet=False, scope=report.scope)
    [waiting] = await store.runs.units(run.id)
    compared = await store.results.save(waiting, report)
    await store.runs.finish(run.id)
    return compared or report


def _seconds(_: Any, tokens: Sequence[Token]) -> float:
    [token] = tokens
    match = re.fullmatch(r"([1-9][0-9]*)([mhdw])", token.value)
    if match is None:
        raise ValueError(f"it must be a number with m, h, d or w, such as 90d, not “{token.value}”")
    return float(int(match[1]) * _UNITS[match[2]])


Duration: TypeAlias = Annotated[float, Parameter(converter=_seconds)]
"""A duration such as `90d`, in seconds."""


def moment(seconds: float) -> str:
    """Return a time of the store as local time, without its seconds."""
    return to_minute(datetime.fromtimestamp(seconds).astimezone())


def duration(seconds: float) -> str:
    """Return a duration in its largest unit, such as `3 d`."""
    for unit in ("d", "h", "m"):
        if seconds >= _UNITS[unit]:
            return f"{seconds / _UNITS[unit]:,.0f} {unit if unit != 'm' else 'min'}"
    return f"{seconds:.0f} s"
