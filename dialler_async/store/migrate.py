"""Bring the tables to the version of this library, by Alembic."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from ..errors import require

LATEST: Final = "1"
"""The latest schema version: the last revision under `migrations`."""
_VERSION_TABLE: Final = "schema_version"


def is_current(connection: Connection) -> bool:
    """Return whether the tables have the latest version."""
    return _version(connection) == LATEST


def migrate(connection: Connection, name: str) -> None:
    """Make the tables, or bring them to the latest version.

    Raises:
        ConfigurationError: the tables are of a later version of this library.
    """
    # Imported here, because it takes 0.1 s, and is needed once in the life of a store.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        # Two processes may open a new store at once. SQLite has locked the file.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('dialler_async'))"))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    version = _version(connection)
    require(
        version is None or version in known,
        f"the store {name} has schema version {version}, and this version of dialler-async supports {LATEST}: "
        "update dialler-async",
    )
    config.attributes["connection"], config.attributes["version_table"] = connection, _VERSION_TABLE
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    version: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608  a constant
    return version
