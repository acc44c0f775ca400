"""Nothing is lost: databases that are away, locked or full during a run.

Each run ends with the report of an undisturbed run, or with an error after which it is resumed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from asyncio.subprocess import PIPE
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from dialler_async.store import Store

if sys.platform != "win32":
    import resource
if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Command
    from tests.fleet.conftest import Night, Nights, StartAudit, StartWorker
    from tests.postgresql import PostgreSQL

STOP_SECONDS = 15
"""The TimeoutStopSec of the guide."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
]


@pytest.fixture
def small_disk(postgresql_server: PostgreSQL) -> Iterator[Path]:
    """Yield a directory on a file system of its own, which a file can fill. PostgreSQL can use it, too."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    directory = postgresql_server.directory / "disk"
    directory.mkdir()
    mount = ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=32m,mode=777", "tmpfs", str(directory)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        yield directory
    finally:
        subprocess.run(["/usr/bin/umount", "--lazy", str(directory)], check=True)
        directory.rmdir()


def fill(directory: Path) -> Path:
    """Fill the disk of a directory with a file, and return the file."""
    file = directory / "full"
    with file.open("wb", buffering=0) as full, suppress(OSError):
        while True:
            full.write(bytes(2**16))
    return file


async def fail(audit: Process) -> None:
    """Wait until an audit has ended with an error of one line about its store."""
    async with asyncio.timeout(60):
        output, errors = await audit.communicate()
    assert (audit.returncode, output) == (5, b""), errors
    # A slow machine may show the progress before.
    assert errors.splitlines()[-1].startswith(b"dialler: the store ")
    assert b"Traceback" not in errors


async def stop_soon(worker: Process) -> None:
    """Stop a worker as systemd does."""
    worker.send_signal(signal.SIGTERM)
    async with asyncio.timeout(STOP_SECONDS):
        assert await worker.wait() == 0


@contextmanager
def locked(location: str) -> Iterator[None]:
    """Hold SQLite's lock for writers, as another process does."""
    with closing(sqlite3.connect(location, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def resume(night: Night, start_audit: StartAudit) -> None:
    """Resume a run that has not ended, and compare its report."""
    assert not await night.is_over()
    async with start_audit(night) as audit:
        await audit.communicate()
    assert audit.returncode == 0
    await night.check()


class TestFile:
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path / "audits.db")

    async def test_file_that_another_process_locks_for_longer_than_the_busy_timeout_delays_the_run(
        self, location: str, nights: Nights, start_worker: StartWorker
    ) -> None:
        async with nights(location) as night, start_worker(night):
            await night.reach(0.3)
            with locked(location):
                await asyncio.sleep(6)  # the length of the fault, in real time
            await night.check()

    async def test_worker_ends_soon_after_sigterm_while_another_process_locks_the_file(
        self, location: str, nights: Nights, start_worker: StartWorker
    ) -> None:
        async with nights(location) as night:
            async with start_worker(night) as first:
                await night.reach(0.3)
                with locked(location):
                    await stop_soon(first)
            async with start_worker(night):
                await night.check()

    async def test_file_that_can_not_grow_ends_the_audit_with_an_error_and_the_run_is_resumed(
        self, location: str, nights: Nights, start_audit: StartAudit
    ) -> None:
        async with nights(location) as night:
            async with start_audit(night) as audit:
                await night.reach(0.3)
                size = os.stat(f"{location}-wal").st_size
                resource.prlimit(audit.pid, resource.RLIMIT_FSIZE, (size, size))
                await fail(audit)
            await resume(night, start_audit)

    async def test_file_that_is_read_only_is_an_error_of_one_line(self, tmp_path: Path, command: Command) -> None:
        directory = tmp_path / "store"
        directory.mkdir()
        file = directory / "audits.db"
        async with Store(file):
            pass
        file.chmod(0o444)
        directory.chmod(0o555)
        # Without this capability, the mode of a file is valid for root, too.
        drop = ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()
        audit = await asyncio.create_subprocess_exec(
            *(*drop, *command.argv, "audit", "--sandbox", "--store", str(file)),
            stdout=PIPE,
            stderr=PIPE,
            env=command.environment(),
        )
        _, errors = await audit.communicate()
        assert (audit.returncode, errors.count(b"\n")) == (5, 1)
        assert errors.startswith(f"dialler: the store {file}: ".encode())


class TestFullDisk:
    @pytest.fixture(params=["sqlite", "postgresql"])
    def location(
        self, request: pytest.FixtureRequest, small_disk: Path, postgresql_server: PostgreSQL
    ) -> Iterator[str]:
        if request.param == "sqlite":
            yield str(small_disk / "audits.db")
            return
        directory = small_disk / "data"
        directory.mkdir()
        shutil.chown(directory, "postgres")
        postgresql_server.run(f"CREATE TABLESPACE small LOCATION '{directory}'")
        postgresql_server.run("CREATE DATABASE on_small_disk TABLESPACE small")
        yield postgresql_server.url("on_small_disk")
        postgresql_server.run("DROP DATABASE on_small_disk WITH (FORCE)")
        postgresql_server.run("DROP TABLESPACE small")

    async def test_full_disk_ends_the_audit_with_an_error_and_the_run_is_resumed(
        self, location: str, small_disk: Path, nights: Nights, start_audit: StartAudit
    ) -> None:
        async with nights(location) as night:
            async with start_audit(night) as audit:
                await night.reach(0.3)
                file = fill(small_disk)
                await fail(audit)
            file.unlink()
            await resume(night, start_audit)


class TestPostgreSQL:
    @pytest.fixture
    def location(self, postgresql: str) -> str:
        return postgresql

    async def test_server_that_is_away_for_eight_seconds_loses_nothing(
        self,
        location: str,
        postgresql_server: PostgreSQL,
        nights: Nights,
        start_worker: StartWorker,
    ) -> None:
        async with nights(location) as night, start_worker(night), start_worker(night):
            await night.reach(0.3)
            await asyncio.to_thread(postgresql_server.stop)
            await asyncio.sleep(8)  # the length of the fault, in real time
            await asyncio.to_thread(postgresql_server.start)
            await night.check()

    async def test_terminated_connections_lose_nothing(
        self,
        location: str,
        postgresql_server: PostgreSQL,
        nights: Nights,
        start_worker: StartWorker,
    ) -> None:
        database = psycopg.conninfo.conninfo_to_dict(location)["dbname"]
        terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"  # noqa: S608  our own name
        async with nights(location) as night, start_worker(night), start_worker(night):
            for moment in (0.2, 0.4, 0.6, 0.8):
                await night.reach(moment)
                await asyncio.to_thread(postgresql_server.run, terminate)
            await night.check()

    async def test_lock_on_a_table_for_longer_than_the_lock_timeout_delays_the_run(
        self, location: str, nights: Nights, start_worker: StartWorker
    ) -> None:
        async with nights(location) as night, start_worker(night):
            await night.reach(0.3)
            async with await psycopg.AsyncConnection.connect(location) as connection:
                await connection.execute("LOCK TABLE units IN ACCESS EXCLUSIVE MODE")
                await asyncio.sleep(7)  # the length of the fault, in real time
            await night.check()

    async def test_worker_ends_soon_after_sigterm_while_the_server_is_away(
        self, location: str, postgresql_server: PostgreSQL, nights: Nights, start_worker: StartWorker
    ) -> None:
        async with nights(location) as night:
            async with start_worker(night) as first:
                await night.reach(0.3)
                await asyncio.to_thread(postgresql_server.stop)
                try:
                    await stop_soon(first)
                finally:
                    await asyncio.to_thread(postgresql_server.start)
            async with start_worker(night):
                await night.check()

    async def test_worker_ends_soon_after_sigterm_while_its_connections_hang(
        self, location: str, postgresql_server: PostgreSQL, nights: Nights, start_worker: StartWorker
    ) -> None:
        database = psycopg.conninfo.conninfo_to_dict(location)["dbname"]
        backends = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}'"  # noqa: S608  our own name
        async with nights(location) as night:
            async with start_worker(night) as first:
                await night.reach(0.3)
                pids = [int(str(pid)) for (pid,) in await asyncio.to_thread(postgresql_server.run, backends)]
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
                try:
                    await stop_soon(first)
                finally:
                    for pid in pids:
                        os.kill(pid, signal.SIGCONT)
            async with start_worker(night):
                await night.check()
