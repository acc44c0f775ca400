"""Runs and findings over time. Times are seconds since 1970 by the clock of the database."""

from typing import NamedTuple, final

from sqlalchemy import ColumnElement, Connection, case, delete, func, select, true

from ..audit.selection import name_matches
from .database import Database
from .runs import UnitState
from .schema import ACCOUNTS, FINDINGS, RUNS, UNITS, database_now


class RunSummary(NamedTuple):
    """A run in numbers: of accounts, and of their findings."""

    id: int
    state: str
    is_fleet: bool
    scope: str | None
    started: float
    ended: float | None
    accounts: int
    waiting: int
    failed: int
    errors: int
    warnings: int
    infos: int
    new: int


class AccountFinding(NamedTuple):
    """A finding of an account over all runs. `age` is the time in seconds for which it is, or was, open."""

    account: str
    age: float
    rule: str
    severity: str
    campaign_id: int | None
    campaign_name: str | None
    message: str
    is_accepted: bool
    first_seen: float
    last_seen: float
    gone_since: float | None


@final
class History:
    """Runs and findings over time, in a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def runs(self, *, limit: int = 1000, account: str | None = None) -> list[RunSummary]:
        """Return the latest runs, the latest first; with the name of an account, its own numbers in its runs."""

        def number(state: UnitState) -> ColumnElement[int]:
            return func.sum(case((UNITS.c.state == state, 1), else_=0))

        columns = [RUNS.c[name] for name in RunSummary._fields[:6]]
        numbers = [func.count(), number(UnitState.WAITING), number(UnitState.FAILED)]
        numbers += [func.coalesce(func.sum(UNITS.c[name]), 0) for name in RunSummary._fields[9:]]
        query = select(*columns, *numbers).join(UNITS, UNITS.c.run == RUNS.c.id)
        query = query.where(true() if account is None else UNITS.c.name == account).group_by(*columns)
        return [
            RunSummary._make(row) for row in await self._database.rows(query.order_by(RUNS.c.id.desc()).limit(limit))
        ]

    async def findings(
        self, *, account: str | None = None, only_open: bool = False, older_than: float = 0.0
    ) -> list[AccountFinding]:
        """Return the findings of all accounts over all runs. The oldest comes first.

        Args:
            account: a pattern of the name of the account, such as `acme*`; None for all accounts.
            only_open: only findings that are not gone.
            older_than: only findings that are, or were, open for more than so many seconds.
        """
        age = func.coalesce(FINDINGS.c.gone_since, database_now()) - FINDINGS.c.first_seen
        columns = [FINDINGS.c[name] for name in AccountFinding._fields[2:]]
        query = select(ACCOUNTS.c.name, age, *columns).join(ACCOUNTS, ACCOUNTS.c.id == FINDINGS.c.account)
        query = query.where(age >= older_than, FINDINGS.c.gone_since.is_(None) if only_open else true())
        places = (FINDINGS.c.campaign_id.nulls_first(), FINDINGS.c.identity)
        query = query.order_by(FINDINGS.c.first_seen, ACCOUNTS.c.name, *places)
        found = [AccountFinding._make(row) for row in await self._database.rows(query)]
        return [one for one in found if account is None or name_matches(one.account, account)]

    async def prune(self, keep_seconds: float) -> int:
        """Delete runs that began earlier, and findings that are gone for longer. Return the number of runs.

        Open findings stay, so the next run is compared as before.
        """

        def work(connection: Connection) -> int:
            # Asked once, so that no run becomes old between two statements.
            before = connection.execute(select(database_now())).scalar_one() - keep_seconds
            old = RUNS.c.started < before
            connection.execute(delete(UNITS).where(UNITS.c.run.in_(select(RUNS.c.id).where(old))))
            connection.execute(delete(FINDINGS).where(FINDINGS.c.gone_since < before))
            return connection.execute(delete(RUNS).where(old)).rowcount

        number = await self._database.write(work)
        await self._database.vacuum()
        return number
