"""The tables of a store. Times are seconds since 1970 by the clock of the database.

`migrations` makes these tables; a test compares both.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

METADATA: Final = MetaData()

RUNS: Final = Table(
    "runs",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False),
    Column("is_fleet", Boolean, nullable=False),
    Column("started", Float, nullable=False),
    Column("ended", Float),
    Column("version", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("scope", Text),
    Column("plan", LargeBinary, nullable=False),
)
ACCOUNTS: Final = Table(
    "accounts",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("identity", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("audited", Float),
    # The records of the last audit of this single account, which the next one compares.
    Column("baseline", LargeBinary),
)
UNITS: Final = Table(
    "units",
    METADATA,
    Column("run", ForeignKey("runs.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("clients_id", BigInteger),
    Column("work", Text, nullable=False),
    Column("account", ForeignKey("accounts.id")),
    Column("state", Text, nullable=False),
    Column("ended", Float),
    Column("error", Text),
    Column("campaigns", Integer),
    Column("errors", Integer),
    Column("warnings", Integer),
    Column("infos", Integer),
    Column("new", Integer),
    Column("result", LargeBinary),
    Index("units_by_state", "run", "state", "work"),
)
# A finding of an account is one row over all runs. If it was gone and comes back, it begins anew.
FINDINGS: Final = Table(
    "findings",
    METADATA,
    Column("account", ForeignKey("accounts.id"), primary_key=True),
    Column("identity", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("campaign_id", BigInteger),
    Column("campaign_name", Text),
    Column("message", Text, nullable=False),
    Column("is_accepted", Boolean, nullable=False),
    Column("finding", Text, nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("gone_since", Float),
)
LEASES: Final = Table(
    "leases",
    METADATA,
    Column("server", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("run", Integer),
    Column("note", Text, nullable=False),
    Column("until", Float, nullable=False),
)


class database_now(GenericFunction[float]):  # noqa: N801  a SQL function
    """The time of the database, in seconds since 1970."""

    type: Float[float] = Float()
    inherit_cache: bool = True


@compiles(database_now, "sqlite")
def _sqlite_now(*_: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql_now(*_: Any, **options: Any) -> str:
    # `now()` would be the time at which the transaction began.
    return "extract(epoch from clock_timestamp())::float8"
