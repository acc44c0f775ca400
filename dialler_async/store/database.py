"""The database of a store: a SQLite file, or PostgreSQL. The only module that knows the difference.

A transaction is repeated after a lost connection or a lock that another process holds, so each must be idempotent.
"""

import asyncio
import os
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, final

import msgspec
from sqlalchemy import URL, Connection, Row, Select, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, NoResultFound, OperationalError

from .._http.clock import CLOCK
from ..errors import ConfigurationError, DiallerError
from .migrate import is_current, migrate

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], T]

_PATIENCE: Final = 60.0
"""Seconds for which a transaction is repeated while the database can't be reached, or is locked."""
_BUSY_SECONDS: Final = 5.0
"""Seconds that SQLite and PostgreSQL wait for a lock before a transaction is repeated."""
_POLL_SECONDS: Final = 0.25
_TEMPORARY_STATES: Final = ("08", "40", "53300", "55P03", "57P")
"""Beginnings of the SQLSTATEs of errors that pass: lost connections, conflicts, too many clients, locks, shutdowns."""
_TEMPORARY_CODES: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

_DAMAGE: Final = (NoResultFound, ValueError, zlib.error, msgspec.MsgspecError)
"""What a transaction raises for rows that are missing, or that this library has not written so."""


class StoreError(DiallerError):
    """Raised if the database refuses, or can't be reached for a minute. What was stored before stays."""


@final
class Database:
    """A database with the tables of a store.

    Attributes:
        name: the file, or the URL without a password; for messages.
        is_file: whether it is a SQLite file, which only processes of one machine can use.
    """

    def __init__(self, location: str | Path) -> None:
        text = str(location)
        self.is_file: Final = "://" not in text
        self._engine: Final = _File(Path(text)) if self.is_file else _Server(text)
        self.name: Final[str] = self._engine.name

    async def open(self) -> None:
        """Make the tables, or migrate those of an earlier version.

        Raises:
            ConfigurationError: the database has the tables of a later version.
            StoreError: the database can't be reached, or refuses.
        """
        if not await self.read(is_current):
            await self.write(lambda connection: migrate(connection, self.name))

    async def aclose(self) -> None:
        """Close the connections."""
        with suppress(DBAPIError):
            await self._engine.aclose()

    async def read(self, work: Work[T]) -> T:
        """Return the result of a transaction that only reads."""
        return await self._run(work, "BEGIN", _PATIENCE)

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Return all rows of a query."""

        def fetch(connection: Connection) -> Sequence[Row[Any]]:
            rows: Sequence[Row[Any]] = connection.execute(query).all()
            return rows

        return await self.read(fetch)

    async def write(self, work: Work[T], *, patience: float = _PATIENCE) -> T:
        """Return the result of a transaction that writes.

        Raises:
            StoreError: the database refuses, or can't be reached for as long as the patience.
        """
        # A transaction that reads first and writes later would fail if another process wrote in between.
        return await self._run(work, "BEGIN IMMEDIATE", patience)

    async def vacuum(self) -> None:
        """Give the space of deleted rows back to the file system. PostgreSQL does this by itself."""
        if self.is_file:
            await self._run(lambda connection: connection.exec_driver_sql("VACUUM"), "", _PATIENCE)

    async def _run(self, work: Work[T], begin: str, patience: float) -> T:
        give_up_at = CLOCK.monotonic() + patience
        while True:
            try:
                return await self._engine.run(work, begin)
            except DBAPIError as error:
                reason, is_temporary = _reason(error), _is_temporary(error)
            except ConfigurationError:
                raise
            except _DAMAGE as error:
                kind = type(error).__name__
                reason, is_temporary = f"it is damaged, or another program has written to it ({kind})", False
            # Raised outside of `except`: psycopg's traceback holds the password.
            if not is_temporary or CLOCK.monotonic() >= give_up_at:
                raise StoreError(f"the store {self.name}: {reason}")
            await CLOCK.sleep(_POLL_SECONDS)


def insert(dialect: str, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT that can have an ON CONFLICT."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


@final
class _File:
    """A SQLite file. One thread runs all transactions of this process, one after the other.

    aiosqlite goes to a thread and back for each statement: 40 times for the result of an account, which took as long
    as its audit. In one thread, a transaction also goes on if its caller is cancelled, so that no lock stays.
    """

    def __init__(self, path: Path) -> None:
        # Not by methods of `Path`, which raise OSError for a name that is too long.
        if not os.path.isdir(path.parent):
            raise ConfigurationError(f"the store {path}: there is no such directory")
        if os.path.isdir(path):
            raise ConfigurationError(f"the store {path}: it is a directory")
        with suppress(OSError):
            # It holds names of accounts and campaigns, so it is made for this user only.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self.name: Final = str(path)
        # Absolute, because the file `:memory:` is a file, too, and because the working directory may change.
        url = URL.create("sqlite", database=os.path.abspath(path))
        self._engine = create_engine(url, hide_parameters=True)
        event.listen(self._engine, "connect", _set_up_file)
        self._thread = _one_thread()

    async def run(self, work: Work[T], begin: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work, begin)

    def _transaction(self, work: Work[T], begin: str) -> T:
        with self._engine.begin() as connection:
            if begin:
                connection.exec_driver_sql(begin)
            return work(connection)

    async def aclose(self) -> None:
        # The next transaction, if there is one, begins another thread and another connection.
        thread, self._thread = self._thread, _one_thread()
        # Not awaited itself: a cancelled caller would cancel it while it waits for a transaction.
        thread.submit(self._engine.dispose)
        disposed = asyncio.get_running_loop().run_in_executor(thread, lambda: None)
        thread.shutdown(wait=False)
        await disposed


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "dialler-store")


def _set_up_file(connection: Any, _: object) -> None:
    # The driver must not begin transactions by itself: `_transaction` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # A loss of power may lose the last results, which are then audited again. It can't damage the file.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


@final
class _Server:
    """A PostgreSQL. If the caller of a transaction is cancelled, SQLAlchemy drops the connection, which ends it."""

    def __init__(self, url: str) -> None:
        # Imported here, because a file needs neither, and both together take 0.4 s: one of them imports an ORM.
        import psycopg
        from psycopg import conninfo
        from sqlalchemy.ext.asyncio import create_async_engine

        try:
            parts = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            parts = {}
        if not parts or not url.startswith(("postgresql://", "postgres://")):
            # The URL is not shown, because it may hold a password.
            raise ConfigurationError(
                "the store must be a file, or a URL of libpq: postgresql://[USER@]HOST[:PORT]/DATABASE"
            )
        user = f"{parts['user']}@" if "user" in parts else ""
        port = f":{parts['port']}" if "port" in parts else ""
        self.name: Final = f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"

        defaults: dict[str, Any] = {"application_name": "dialler", "connect_timeout": 10}
        options = f"{parts.get('options') or ''} -c lock_timeout={_BUSY_SECONDS * 1000:.0f}"

        async def connect() -> psycopg.AsyncConnection[Any]:
            return await psycopg.AsyncConnection.connect(**{**defaults, **parts, "options": options})

        # A connection beyond the pool's size would be made anew for each result.
        pool: dict[str, Any] = {"pool_size": 4, "max_overflow": 0, "pool_timeout": 3600.0}
        self._engine = create_async_engine("postgresql+psycopg://", async_creator=connect, hide_parameters=True, **pool)

    async def run(self, work: Work[T], begin: str) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def aclose(self) -> None:
        await self._engine.dispose()


def _is_temporary(error: DBAPIError) -> bool:
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _TEMPORARY_CODES
    state = getattr(cause, "sqlstate", None)
    # Without a SQLSTATE, there was no response.
    return isinstance(error, OperationalError) if state is None else state.startswith(_TEMPORARY_STATES)


def _reason(error: DBAPIError) -> str:
    return (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
