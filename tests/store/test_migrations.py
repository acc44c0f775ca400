"""Stores of an earlier version, with a second revision that the tests add, and of a later one."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import column, select, table

import dialler_async.store.migrate
from dialler_async import ConfigurationError
from dialler_async.store import Store, StoreError

if TYPE_CHECKING:
    from tests.store.conftest import BeginRun

SECOND_REVISION = """
from alembic import op
from sqlalchemy import Column, Text

revision = "2"
down_revision = "1"

def upgrade():
    op.add_column("runs", Column("title", Text))
"""

Upgrade = Callable[..., None]


@pytest.fixture
def upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Upgrade:
    """Return a function that makes this library one with a second schema version, by the text of its revision."""

    def upgrade(revision: str = SECOND_REVISION) -> None:
        migrations = Path(dialler_async.store.migrate.__file__).parent / "migrations"
        shutil.copytree(migrations, tmp_path / "migrations")
        (tmp_path / "migrations" / "versions" / "version_2.py").write_text(revision)
        monkeypatch.setattr(dialler_async.store.migrate, "__file__", str(tmp_path / "migrate.py"))
        monkeypatch.setattr(dialler_async.store.migrate, "LATEST", "2")

    return upgrade


async def has_title(store: Store) -> bool:
    """Return whether the column of the second revision is there."""
    try:
        await store._database.rows(select(column("title")).select_from(table("runs")))
    except StoreError:
        return False
    return True


async def test_store_of_an_earlier_version_is_migrated_and_keeps_its_runs(
    location: str, store: Store, begin: BeginRun, upgrade: Upgrade
) -> None:
    run = await begin("acme")
    assert not await has_title(store)
    upgrade()
    async with Store(location) as migrated:
        assert await has_title(migrated)
        assert await migrated.runs.get() == run
    async with Store(location) as again:
        assert await again.runs.get() == run


async def test_processes_that_open_an_earlier_store_at_once_migrate_it_once(
    location: str, store: Store, upgrade: Upgrade
) -> None:
    upgrade()

    async def opened() -> bool:
        async with Store(location) as migrated:
            return await has_title(migrated)

    assert await asyncio.gather(*(opened() for _ in range(4))) == [True] * 4


async def test_processes_that_open_a_new_store_at_once_make_it_once(location: str, upgrade: Upgrade) -> None:
    upgrade()

    async def opened() -> bool:
        async with Store(location) as made:
            return await has_title(made)

    assert await asyncio.gather(*(opened() for _ in range(4))) == [True] * 4


async def test_store_that_was_migrated_is_refused_by_the_earlier_version_with_both_versions(
    location: str, store: Store, upgrade: Upgrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade()
    async with Store(location):
        pass
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match=r"has schema version 2, and this version .* supports 1: update"):
        async with Store(location):
            pass


async def test_migration_that_fails_changes_nothing(
    location: str, store: Store, begin: BeginRun, upgrade: Upgrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await begin("acme")
    upgrade(SECOND_REVISION + '    op.drop_table("no_such_table")\n')
    with pytest.raises(StoreError):
        async with Store(location):
            pass
    monkeypatch.undo()
    async with Store(location) as unchanged:
        assert not await has_title(unchanged)
        assert await unchanged.runs.get() == run
