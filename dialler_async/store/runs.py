"""The runs of a store, and their units of work."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, final

import attrs
import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select, true, update

from ..audit import AcceptanceEntry
from ..errors import ConfigurationError, require
from ..version import __version__
from .codec import storable
from .database import Database
from .schema import RUNS, UNITS, database_now

_ABANDON_SECONDS: Final = 72_000.0
"""Age at which an unfinished run is given up. It is less than a day, so that each nightly audit begins a run."""
_RECENT_SECONDS: Final = 60.0


class RunState(StrEnum):
    """Whether a run has ended. The process that waits for it ends it, so that one that is killed can be resumed."""

    OPEN = "open"
    FINISHED = "finished"
    ABANDONED = "abandoned"


class UnitState(StrEnum):
    """Whether an account of a run has a result. `FAILED` means that it could not be audited."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class Plan:
    """What is the same for all accounts of a run.

    Attributes:
        languages: LanguagesIDs of the languages in which result codes are fetched and compared.
        now: the time that dates are compared with, with a zone.
        accept: the accepted findings.
        portal_url: see `AuditReport.portal_url`.
    """

    languages: tuple[int, ...]
    now: datetime
    accept: tuple[AcceptanceEntry, ...] = ()
    portal_url: str | None = None


@attrs.frozen(kw_only=True)
class NewUnit:
    """An account to audit: its name, the URL of its server, and its ClientsID; None if that is unknown."""

    name: str
    url: str
    clients_id: int | None


@attrs.frozen(kw_only=True)
class Unit(NewUnit):
    """A unit of work: audit one account for a run, and store the result. `work` says who can; see `work_key`."""

    run: int
    work: str


@attrs.frozen(kw_only=True)
class Run:
    """An audit of one account, or of a fleet. Times are seconds since 1970 by the clock of the database.

    Attributes:
        id: its ID, counted from 1.
        settings: the digest of the audit settings.
        scope: which accounts or campaigns were chosen, in words; None for all.
        version: the version of this library that began it.
    """

    id: int
    state: RunState
    is_fleet: bool
    started: float
    ended: float | None
    version: str
    settings: str
    scope: str | None
    plan: Plan


@attrs.frozen(kw_only=True)
class RunServer:
    """A server of the dialler in a run.

    Attributes:
        run: the ID of the run; `version` and `settings` are those of the run.
        work: who can audit its accounts; see `work_key`.
        waiting: number of accounts without a result.
        done: number of accounts that were audited.
        failed: number of accounts that could not be audited.
        recent: number of accounts that got a result in the last minute.
    """

    run: int
    version: str
    settings: str
    url: str
    work: str
    waiting: int
    done: int
    failed: int
    recent: int


def work_key(url: str, settings: str) -> str:
    """Return the digest of a server's URL, of audit settings, and of the version of this library.

    A process does only the units whose key it makes from its own manifest and settings.
    """
    return sha256(json.dumps([url, settings, __version__]).encode()).hexdigest()


@final
class Runs:
    """The runs of a store. Each method is one transaction, and raises StoreError if the database refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, units: Iterable[NewUnit], plan: Plan, *, settings: str, is_fleet: bool, scope: str | None = None
    ) -> Run:
        """Begin a run, and return it. Unfinished runs of the day before are closed.

        Raises:
            ConfigurationError: there is no account.
        """
        rows = [
            attrs.asdict(unit)
            | {"name": storable(unit.name), "position": position}
            | {"work": work_key(unit.url, settings), "state": UnitState.WAITING}
            for position, unit in enumerate(units)
        ]
        require(bool(rows), "a run needs at least one account")
        values = {"state": RunState.OPEN, "is_fleet": is_fleet, "started": database_now(), "version": __version__}
        values |= {"settings": settings, "plan": msgspec.json.encode(plan)}
        values["scope"] = None if scope is None else storable(scope)

        def work(connection: Connection) -> int:
            is_old = and_(RUNS.c.state == RunState.OPEN, RUNS.c.started < database_now() - _ABANDON_SECONDS)
            connection.execute(update(RUNS).where(is_old).values(state=RunState.ABANDONED))
            run: int = connection.execute(RUNS.insert().values(values).returning(RUNS.c.id)).scalar_one()
            connection.execute(UNITS.insert(), [{**row, "run": run} for row in rows])
            return run

        # Repeated after a lost connection, it could begin two runs.
        return await self.get(await self._database.write(work, patience=0))

    async def get(self, id: int | None = None) -> Run:
        """Return a run; the latest without an ID.

        Raises:
            ConfigurationError: there is no such run.
        """
        found = await self._find(RUNS.c.id == (select(func.max(RUNS.c.id)).scalar_subquery() if id is None else id))
        if not found:
            number = "no run" if id is None else f"no run {id}; `dialler history` lists the runs"
            raise ConfigurationError(f"the store {self._database.name} has {number}")
        return found[0]

    async def unfinished(self, units: Iterable[NewUnit]) -> Run | None:
        """Return the latest open run that a fleet of these accounts can finish; None without one.

        If each account has a result, the run still waits for its report.
        """
        is_recent = RUNS.c.started > database_now() - _ABANDON_SECONDS
        return await self._latest(units, and_(RUNS.c.state == RunState.OPEN, is_recent), UnitState.WAITING)

    async def latest(self, units: Iterable[NewUnit]) -> Run:
        """Return the latest run of a fleet of these accounts, which can audit its failed accounts again.

        Raises:
            ConfigurationError: there is no such run.
        """
        run = await self._latest(units, true(), UnitState.FAILED)
        if run is None:
            raise ConfigurationError(f"the store {self._database.name} has no run of these accounts")
        return run

    async def units(self, run: int, *, work: str | None = None) -> list[Unit]:
        """Return the accounts of a run without a result, in the order of the run; with `work`, those with this key."""
        columns = [UNITS.c[field.name] for field in attrs.fields(Unit)]
        own = true() if work is None else UNITS.c.work == work
        query = select(*columns).where(UNITS.c.run == run, UNITS.c.state == UnitState.WAITING, own)
        return [Unit(**row._mapping) for row in await self._database.rows(query.order_by(UNITS.c.position))]

    async def servers(self, run: int | None = None) -> list[RunServer]:
        """Return the servers of a run, or of all open runs of fleets, in the order of the runs."""

        def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
            return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

        group = (UNITS.c.run, RUNS.c.version, RUNS.c.settings, UNITS.c.url, UNITS.c.work)
        numbers = [number(UNITS.c.state == state).label(state.value) for state in UnitState]
        recent = number(UNITS.c.ended > database_now() - _RECENT_SECONDS).label("recent")
        query = select(*group, *numbers, recent).join(RUNS, RUNS.c.id == UNITS.c.run).group_by(*group)
        chosen = and_(RUNS.c.state == RunState.OPEN, RUNS.c.is_fleet) if run is None else RUNS.c.id == run
        rows = await self._database.rows(query.where(chosen).order_by(UNITS.c.run, func.min(UNITS.c.position)))
        return [RunServer(**row._mapping) for row in rows]

    async def finish(self, run: int) -> bool:
        """End a run if each of its accounts has a result. Return whether it has ended."""
        waiting = exists().where(UNITS.c.run == run, UNITS.c.state == UnitState.WAITING)
        # Workers may have finished it before anybody waited for it.
        ended = select(func.max(UNITS.c.ended)).where(UNITS.c.run == run).scalar_subquery()
        ends = update(RUNS).where(RUNS.c.id == run, RUNS.c.state == RunState.OPEN, ~waiting)

        def work(connection: Connection) -> None:
            connection.execute(ends.values(state=RunState.FINISHED, ended=ended))

        query = select(RUNS.c.state, waiting.label("is_waiting")).where(RUNS.c.id == run)
        row = await self._database.read(lambda connection: connection.execute(query).one())
        if row.state == RunState.OPEN and not row.is_waiting:
            await self._database.write(work)
        return not row.is_waiting

    async def reopen(self, run: int) -> int:
        """Let the accounts of a run that could not be audited be audited again. Return their number."""
        failed = update(UNITS).where(UNITS.c.run == run, UNITS.c.state == UnitState.FAILED)

        def work(connection: Connection) -> int:
            number = connection.execute(failed.values(state=UnitState.WAITING, result=None)).rowcount
            if number:
                connection.execute(update(RUNS).where(RUNS.c.id == run).values(state=RunState.OPEN, ended=None))
            return number

        return await self._database.write(work)

    async def _latest(self, units: Iterable[NewUnit], condition: ColumnElement[bool], left: UnitState) -> Run | None:
        """Return the latest run of a fleet whose accounts in the state `left` are these, or all its accounts."""
        own = {(unit.name, unit.url, unit.clients_id) for unit in units}
        for run in reversed(await self._find(and_(condition, RUNS.c.is_fleet))):
            query = select(UNITS.c.name, UNITS.c.url, UNITS.c.clients_id, UNITS.c.state).where(UNITS.c.run == run.id)
            rows = await self._database.rows(query)
            if all(
                (row.name, row.url, row.clients_id) in own for row in [row for row in rows if row.state == left] or rows
            ):
                return run
        return None

    async def _find(self, condition: ColumnElement[bool]) -> list[Run]:
        def work(connection: Connection) -> list[Run]:
            rows: Sequence[Any] = connection.execute(select(RUNS).where(condition).order_by(RUNS.c.id)).all()
            return [
                Run(**{**row._mapping, "state": RunState(row.state), "plan": msgspec.json.decode(row.plan, type=Plan)})
                for row in rows
            ]

        return await self._database.read(work)
