"""Databases that are away, locked, damaged or of another version; secrets; and the schema."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
import traceback
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

import dialler_async.store.database
from dialler_async import ConfigurationError
from dialler_async.store import NewUnit, Plan, Store, StoreError
from dialler_async.store.schema import FINDINGS, METADATA, RUNS, UNITS

if TYPE_CHECKING:
    from sqlalchemy import Update

    from tests.store.conftest import BeginRun, MakeReport


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store give up at once."""
    monkeypatch.setattr(dialler_async.store.database, "_BUSY_SECONDS", 0.01)
    monkeypatch.setattr(dialler_async.store.database, "_PATIENCE", 0.0)
    monkeypatch.setattr(dialler_async.store.database.Database.write, "__kwdefaults__", {"patience": 0.0})


async def test_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": "schema_version"})
        return list(compare_metadata(context, METADATA))

    assert await store._database.read(differences) == []


async def test_store_is_opened_again_with_what_was_stored(location: str, report: MakeReport) -> None:
    plan = Plan(languages=(1, 2), now=report().now)
    async with Store(location) as store:
        unit = NewUnit(name="acme", url="https://acd.example.com", clients_id=1)
        begun = await store.runs.create([unit], plan, settings="a digest", is_fleet=True)
    async with Store(location) as store:
        assert await store.runs.get() == begun


async def test_store_of_a_later_version_is_refused_with_both_versions(location: str, store: Store) -> None:
    later = text("UPDATE schema_version SET version_num = '999'")
    await store._database.write(lambda connection: connection.execute(later))
    with pytest.raises(ConfigurationError, match=r"has schema version 999, and this version .* supports 1: update"):
        async with Store(location):
            pass


async def test_transaction_of_a_cancelled_caller_does_not_lock_the_store(store: Store) -> None:
    # A thread runs the transactions, so each cancellation meets it at another point.
    turns = random.Random(1)
    for number in range(60):
        claims = [asyncio.create_task(store.leases.claim(f"http://{number}.example/{one}", 1)) for one in range(3)]
        for _ in range(turns.randrange(60)):
            await asyncio.sleep(0)
        for claim in claims:
            claim.cancel()
        await asyncio.gather(*claims, return_exceptions=True)
        async with asyncio.timeout(20):
            assert await store.leases.claim(f"http://{number}.example", 1)


async def test_run_that_does_not_exist_is_a_configuration_error(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="has no run"):
        await store.runs.get()
    with pytest.raises(ConfigurationError, match="has no run 7"):
        await store.runs.get(7)


async def test_run_that_was_deleted_while_somebody_waits_for_it_is_a_store_error(store: Store, begin: BeginRun) -> None:
    run = await begin("acme")
    await store.history.prune(-1)
    with pytest.raises(StoreError):
        await store.runs.finish(run.id)


async def test_run_without_accounts_is_refused(begin: BeginRun) -> None:
    with pytest.raises(ConfigurationError, match="at least one account"):
        await begin()


async def test_texts_that_no_database_can_store_are_escaped(store: Store, begin: BeginRun) -> None:
    run = await begin("a\0b", scope="name “lone \udcff”")
    assert run.scope == "name “lone \\udcff”"
    assert [unit.name for unit in await store.runs.units(run.id)] == ["a\\x00b"]


async def test_store_can_be_closed_twice_and_opened_again(location: str) -> None:
    store = Store(location)
    for _ in range(2):
        async with store:
            assert await store.history.runs() == []
    await store.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "location", ["mysql://u:s3cret@h/db", "postgresql://u:s3cret@h/db?no_such_option=s3cret", "sqlite:///s3cret"]
)
def test_location_that_is_no_store_is_refused_without_its_password(location: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Store(location)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.usefixtures("impatient")
async def test_password_is_in_no_name_error_or_traceback() -> None:
    store = Store("postgresql://ann:s3cret@127.0.0.1:9/db?sslmode=disable")
    assert store.name == "postgresql://ann@127.0.0.1:9/db"
    with pytest.raises(StoreError) as caught:
        async with store:
            pass
    error: BaseException | None = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "s3cret" not in "".join(shown.format())
    assert "postgresql://ann@127.0.0.1:9/db" in str(error)


def damage(file: Path, chance: random.Random) -> None:
    """Overwrite a part of a file."""
    content = bytearray(file.read_bytes())
    place = chance.randrange(100, len(content) - 2000)
    content[place : place + 2000] = chance.randbytes(2000)
    file.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        UNITS.update().values(result=b"damaged"),
        UNITS.update().values(state="damaged"),
        RUNS.update().values(plan=b"damaged"),
        RUNS.update().values(state="damaged"),
        FINDINGS.update().values(finding="damaged"),
    ],
    ids=["result", "state of an account", "plan", "state of a run", "finding"],
)
async def test_row_that_this_library_has_not_written_so_is_a_store_error(
    store: Store, begin: BeginRun, report: MakeReport, change: Update
) -> None:
    run = await begin("acme", "globex")
    acme, globex = await store.runs.units(run.id)
    await store.results.save(acme, report("a"))
    await store._database.write(lambda connection: connection.execute(change))

    async def read_and_save() -> None:
        await store.runs.get()
        async for _ in store.results.read(run.id):
            pass
        await store.results.save(globex, report("a"))

    with pytest.raises(StoreError, match="is damaged, or another program has written to it"):
        await read_and_save()


class TestFile:
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path / "audits.db")

    async def test_file_is_for_its_user_only(self, location: str, store: Store, tmp_path: Path) -> None:
        assert (tmp_path / "audits.db").stat().st_mode & 0o077 == 0

    @pytest.mark.usefixtures("impatient")
    async def test_file_that_is_no_database_is_a_store_error(self, tmp_path: Path) -> None:
        (tmp_path / "audits.db").write_bytes(b"not a database" * 1000)
        with pytest.raises(StoreError, match=r"audits\.db: "):
            async with Store(tmp_path / "audits.db"):
                pass

    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize("seed", range(20))
    async def test_damaged_file_is_a_store_error(self, location: str, report: MakeReport, seed: int) -> None:
        units = [NewUnit(name=str(id), url="https://acd.example.com", clients_id=id) for id in (1, 2)]
        async with Store(location) as store:
            run = await store.runs.create(units, Plan(languages=(1, 2), now=report().now), settings="", is_fleet=True)
            first, second = await store.runs.units(run.id)
            await store.results.save(first, report(*(f"campaign {number}" for number in range(100))))
        damage(Path(location), random.Random(seed))
        # What is damaged may not be read by all of these.
        with suppress(StoreError):
            async with Store(location) as damaged:
                for read in (
                    damaged.runs.get(),
                    damaged.runs.servers(),
                    damaged.history.findings(),
                    damaged.history.runs(),
                    damaged.leases.held(),
                    damaged.results.save(second, report("a", clients_id=2)),
                ):
                    with suppress(StoreError):
                        await read
                async for _ in damaged.results.read(run.id):
                    pass

    @pytest.mark.parametrize("name", ["a?mode=memory", "a%20b", "file:x?mode=memory", ":memory:", "a\udcff", "#"])
    async def test_name_is_the_name_of_the_file(
        self, name: str, report: MakeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        unit, plan = NewUnit(name="acme", url="https://a", clients_id=1), Plan(languages=(1, 2), now=report().now)
        async with Store(name) as store:
            begun = await store.runs.create([unit], plan, settings="", is_fleet=True)
        assert os.listdir(tmp_path) == [name]
        async with Store(tmp_path / name) as store:
            assert await store.runs.get() == begun

    @pytest.mark.usefixtures("impatient")
    async def test_name_that_is_too_long_is_a_store_error(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError):
            async with Store(tmp_path / ("x" * 300)):
                pass

    async def test_connections_are_closed_also_if_the_closing_is_cancelled(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "audits.db")
        await store.__aenter__()
        begun, end = threading.Event(), threading.Event()

        def work(_: Connection) -> None:
            begun.set()
            end.wait(20)

        transaction = asyncio.create_task(store._database.write(work))
        await asyncio.to_thread(begun.wait, 20)
        [thread] = [thread for thread in threading.enumerate() if thread.name.startswith("dialler-store")]
        closing = asyncio.create_task(store.__aexit__(None, None, None))
        await asyncio.sleep(0)
        closing.cancel()
        end.set()
        await asyncio.wait({transaction, closing})
        await asyncio.to_thread(thread.join, 20)
        # SQLite deletes its other two files with the last connection.
        assert os.listdir(tmp_path) == ["audits.db"]

    async def test_missing_directory_and_a_directory_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="there is no such directory"):
            Store(tmp_path / "no" / "audits.db")
        with pytest.raises(ConfigurationError, match="it is a directory"):
            Store(tmp_path)

    @pytest.mark.usefixtures("impatient")
    async def test_file_that_another_process_locks_is_an_error_and_works_later(
        self, location: str, store: Store, begin: BeginRun, report: MakeReport
    ) -> None:
        run = await begin("acme")
        [unit] = await store.runs.units(run.id)
        async with Store(location) as impatient:
            with closing(sqlite3.connect(location, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreError, match=r"audits\.db: "):
                    await impatient.results.save(unit, report("a"))
                other.execute("ROLLBACK")
            assert await impatient.results.save(unit, report("a")) is not None

    async def test_lock_that_ends_in_time_is_waited_for(
        self, location: str, store: Store, begin: BeginRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = sqlite3.connect(location, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        async def release(_: float) -> None:
            other.execute("ROLLBACK")

        monkeypatch.setattr(dialler_async.store.database.CLOCK, "sleep", release)
        monkeypatch.setattr(dialler_async.store.database, "_BUSY_SECONDS", 0.01)
        with closing(other):
            async with Store(location) as patient:
                assert await patient.leases.claim("https://a", 60, run=1) is not None

    async def test_full_disk_is_an_error_and_the_run_goes_on_later(
        self, location: str, store: Store, begin: BeginRun, report: MakeReport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = await begin("acme")
        [unit] = await store.runs.units(run.id)
        set_up = dialler_async.store.database._set_up_file

        def limited(connection: object, record: object) -> None:
            set_up(connection, record)
            cursor = connection.cursor()  # type: ignore[attr-defined]  a connection of the driver
            cursor.execute("PRAGMA max_page_count = 1")
            cursor.close()

        big = report(*(f"campaign {number} {'x' * 200}" for number in range(2000)))
        monkeypatch.setattr(dialler_async.store.database, "_set_up_file", limited)
        async with Store(location) as full:
            with pytest.raises(StoreError, match=r"audits\.db: "):
                await full.results.save(unit, big)
        assert await store.history.findings() == []
        assert await store.results.save(unit, big) is not None
