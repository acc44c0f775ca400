"""Runs, results, and findings over time, in a SQLite file or in PostgreSQL (extra `store`).

    from dialler_async.store import Store

    async with Store("audits.db") as store:
        run = await store.runs.get()
        async for result in store.results.read(run.id):
            print(result.name, len(result.report.findings))

A file is for the processes of one machine, and must not lie on a network file system. PostgreSQL is for many machines:
`postgresql://dialler@db.example.com/dialler?sslmode=verify-full`, as libpq takes it, with the password in a passfile or
in PGPASSWORD.
"""

from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from .database import Database, StoreError
from .history import AccountFinding, History, RunSummary
from .leases import Held, Lease, Leases
from .results import Result, Results
from .runs import NewUnit, Plan, Run, Runs, RunServer, RunState, Unit, UnitState, work_key

__all__ = [
    "AccountFinding",
    "Held",
    "History",
    "Lease",
    "Leases",
    "NewUnit",
    "Plan",
    "Result",
    "Results",
    "Run",
    "RunServer",
    "RunState",
    "RunSummary",
    "Runs",
    "Store",
    "StoreError",
    "Unit",
    "UnitState",
    "work_key",
]


@final
class Store:
    """Runs, results and findings in a database. `async with` connects, and makes or migrates the tables.

    Args:
        location: the path of a SQLite file, which is made if it doesn't exist, or a URL of PostgreSQL, as libpq
            takes it.
    Raises:
        ConfigurationError: the location is neither, or the tables are of a later version of this library.
        StoreError: the database can't be reached, or refuses.
    Attributes:
        name: the file, or the URL without a password.
        runs: the runs, and their accounts.
        results: the results of the accounts.
        leases: the servers that workers have.
        history: runs and findings over time.
    """

    def __init__(self, location: str | Path) -> None:
        self._database = Database(location)
        self.name: Final[str] = self._database.name
        self.runs: Final = Runs(self._database)
        self.results: Final = Results(self._database)
        self.leases: Final = Leases(self._database)
        self.history: Final = History(self._database)

    async def __aenter__(self) -> Self:
        try:
            await self._database.open()
        except BaseException:
            await self._database.aclose()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._database.aclose()
