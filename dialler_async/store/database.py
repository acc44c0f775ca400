"""The database of a store: a SQLite file, or PostgreSQL. The only module that knows the difference.

A transaction is repeated after a lost connection or a lock that another process holds, so each must be idempotent.
"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, final

import psycopg
from psycopg import conninfo
from sqlalchemy import Connection, Row, Select, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from .._http.clock import CLOCK
from ..errors import ConfigurationError, DiallerError
from .migrate import is_current, migrate

T = TypeVar("T")
Work: TypeAlias = Callable[[AsyncConnection], Awaitable[T]]

PATIENCE: Final = 60.0
"""Seconds for which a transaction is repeated while the database can't be reached, or is locked."""
_BUSY_SECONDS: Final = 5.0
"""Seconds that SQLite and PostgreSQL wait for a lock before a transaction is repeated."""
_POLL_SECONDS: Final = 0.25
# A connection beyond the pool's size would be made anew for each result. SQLite has one writer anyway.
_POOL: Final = {"pool_size": 4, "max_overflow": 0, "pool_timeout": 3600.0, "hide_parameters": True}
_TEMPORARY_STATES: Final = ("08", "40", "53300", "55P03", "57P")
"""Beginnings of the SQLSTATEs of errors that pass: lost connections, conflicts, too many clients, locks, shutdowns."""
_TEMPORARY_CODES: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


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
        self.name: str
        if self.is_file:
            self.name = text
            self._engine = _file_engine(Path(text))
        else:
            self.name, self._engine = _server_engine(text)
        self._file_lock = asyncio.Lock()
        self._in_file: Final[set[asyncio.Task[Any]]] = set()
        """The transactions of a SQLite file that have begun."""
        # SQLAlchemy makes a copy that shares the pool. Its transactions take SQLite's lock for writers at the start.
        self._writer = self._engine.execution_options(dialler_begin="BEGIN IMMEDIATE")

    async def open(self) -> None:
        """Make the tables, or migrate those of an earlier version.

        Raises:
            ConfigurationError: the database has the tables of a later version.
            StoreError: the database can't be reached, or refuses.
        """

        async def prepare(connection: AsyncConnection) -> None:
            await connection.run_sync(migrate, self.name)

        if not await self.read(_is_current):
            await self.write(prepare)

    async def aclose(self) -> None:
        """Close the connections, after the transactions of cancelled callers have ended."""
        await asyncio.gather(*self._in_file, return_exceptions=True)
        with suppress(DBAPIError):
            await self._engine.dispose()

    async def read(self, work: Work[T], *, patience: float = PATIENCE) -> T:
        """Return the result of a transaction that only reads."""
        return await self._uncancelled(self._engine, work, patience)

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Return all rows of a query."""

        async def fetch(connection: AsyncConnection) -> Sequence[Row[Any]]:
            rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
            return rows

        return await self.read(fetch)

    async def write(self, work: Work[T], *, patience: float = PATIENCE) -> T:
        """Return the result of a transaction that writes.

        Raises:
            StoreError: the database refuses, or can't be reached for as long as the patience.
        """
        if not self.is_file:
            return await self._run(self._writer, work, patience)
        # SQLite's own wait for its lock sleeps for up to 100 ms at a time.
        async with self._file_lock:
            return await self._uncancelled(self._writer, work, patience)

    async def vacuum(self) -> None:
        """Give the space of deleted rows back to the file system. PostgreSQL does this by itself."""
        if self.is_file:
            engine = self._engine.execution_options(dialler_begin=None)
            await self._run(engine, lambda connection: connection.exec_driver_sql("VACUUM"), PATIENCE)

    async def _uncancelled(self, engine: AsyncEngine, work: Work[T], patience: float) -> T:
        """Return the result of a transaction. In a SQLite file, it goes on if the caller is cancelled.

        SQLAlchemy abandons the connection of a cancelled transaction. PostgreSQL then ends the transaction. The lock on
        a file would stay.
        """
        if not self.is_file:
            return await self._run(engine, work, patience)
        transaction = asyncio.create_task(self._run(engine, work, patience))
        self._in_file.add(transaction)
        transaction.add_done_callback(self._in_file.discard)
        return await asyncio.shield(transaction)

    async def _run(self, engine: AsyncEngine, work: Work[T], patience: float) -> T:
        give_up_at = CLOCK.monotonic() + patience
        while True:
            try:
                async with engine.begin() as connection:
                    return await work(connection)
            except DBAPIError as error:
                reason, is_temporary = _reason(error), _is_temporary(error)
            # Raised outside of `except`: psycopg's traceback holds the password.
            if not is_temporary or CLOCK.monotonic() >= give_up_at:
                raise StoreError(f"the store {self.name}: {reason}")
            await CLOCK.sleep(_POLL_SECONDS)


async def _is_current(connection: AsyncConnection) -> bool:
    return await connection.run_sync(is_current)


def insert(dialect: str, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT that can have an ON CONFLICT."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def _file_engine(path: Path) -> AsyncEngine:
    if not path.parent.is_dir():
        raise ConfigurationError(f"the store {path}: there is no such directory")
    if path.is_dir():
        raise ConfigurationError(f"the store {path}: it is a directory")
    with suppress(OSError):
        # It holds names of accounts and campaigns, so it is made for this user only.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", **_POOL)
    event.listen(engine.sync_engine, "connect", _set_up_file)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_up_file(connection: Any, _: object) -> None:
    # The driver must not begin transactions by itself: `_begin` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # A loss of power may lose the last results, which are then audited again. It can't damage the file.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail if another process wrote in between.
    statement = connection.get_execution_options().get("dialler_begin", "BEGIN")
    if statement is not None:
        connection.exec_driver_sql(statement)


def _server_engine(url: str) -> tuple[str, AsyncEngine]:
    """Return the URL without its password, and the engine."""
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
    name = f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"

    defaults: dict[str, Any] = {"application_name": "dialler", "connect_timeout": 10}
    options = f"{parts.get('options') or ''} -c lock_timeout={_BUSY_SECONDS * 1000:.0f}"

    async def connect() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(**{**defaults, **parts, "options": options})

    return name, create_async_engine("postgresql+psycopg://", async_creator=connect, **_POOL)


def _is_temporary(error: DBAPIError) -> bool:
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _TEMPORARY_CODES
    state = getattr(cause, "sqlstate", None)
    # Without a SQLSTATE, there was no response.
    return isinstance(cause, psycopg.OperationalError) if state is None else state.startswith(_TEMPORARY_STATES)


def _reason(error: DBAPIError) -> str:
    return (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
