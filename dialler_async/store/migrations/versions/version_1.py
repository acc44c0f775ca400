"""Make the tables."""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Integer, LargeBinary, Text

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make all tables."""

    def required(name: str, type: type) -> "Column[Any]":
        return Column(name, type, nullable=False)

    op.create_table(
        "runs",
        Column("id", Integer, primary_key=True, autoincrement=True),
        *(required("state", Text), required("is_fleet", Boolean), required("started", Float), Column("ended", Float)),
        *(required("version", Text), required("settings", Text), Column("scope", Text), required("plan", LargeBinary)),
    )
    op.create_table(
        "accounts",
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("identity", Text, nullable=False, unique=True),
        *(required("name", Text), Column("audited", Float), Column("baseline", LargeBinary)),
    )
    op.create_table(
        "units",
        Column("run", Integer, ForeignKey("runs.id"), primary_key=True),
        Column("name", Text, primary_key=True),
        *(required("position", Integer), required("url", Text), Column("clients_id", BigInteger)),
        *(required("work", Text), Column("account", Integer, ForeignKey("accounts.id"))),
        *(required("state", Text), Column("ended", Float), Column("error", Text)),
        *(Column(name, Integer) for name in ("campaigns", "errors", "warnings", "infos", "new")),
        Column("result", LargeBinary),
    )
    op.create_index("units_by_state", "units", ["run", "state", "work"])
    op.create_table(
        "findings",
        Column("account", Integer, ForeignKey("accounts.id"), primary_key=True),
        Column("identity", Text, primary_key=True),
        *(required("rule", Text), required("severity", Text)),
        *(Column("campaign_id", BigInteger), Column("campaign_name", Text), required("message", Text)),
        *(required("is_accepted", Boolean), required("finding", Text)),
        *(required("first_seen", Float), required("last_seen", Float), Column("gone_since", Float)),
    )
    op.create_table(
        "leases",
        Column("server", Text, primary_key=True),
        *(required(name, Text) for name in ("url", "owner", "host")),
        *(Column("run", Integer), required("note", Text), required("until", Float)),
    )
