"""Nothing is lost: workers, coordinators and databases that are killed, stopped or away, as real processes.

Each run ends with the report of an undisturbed run.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dialler_async.audit import AuditSettings
from dialler_async.fleet import audit_fleet
from dialler_async.fleet.coordinator import begin_run, fleet_report, wait_for_run
from dialler_async.sandbox import Sandbox
from dialler_async.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from dialler_async.store import Run
    from tests.conftest import Command
    from tests.fleet.conftest import FleetOn, WithoutTimes, WriteFleet
    from tests.postgresql import PostgreSQL

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
ACCOUNTS = 24
KILLS = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
]

# A worker of all open runs, or with a third argument the process of one run. Its lease is 2 s long instead of 15 s.
WORKER = """
import asyncio, signal, sys
from pathlib import Path
from dialler_async.audit import AuditSettings
from dialler_async.fleet import Auditor, Worker, read_fleet
from dialler_async.store import Store

async def main():
    fleet, stop = read_fleet(Path(sys.argv[1])), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    run = int(sys.argv[3]) if len(sys.argv) > 3 else None
    async with Store(sys.argv[2]) as store:
        print("ready", flush=True)
        await Worker(store, Auditor(store, fleet, AuditSettings(), None), run=run, lease_seconds=2).work(stop)

asyncio.run(main())
"""

StartWorker = Callable[..., AbstractAsyncContextManager[Process]]


class Night:
    """A run of a fleet on a sandbox, which takes long enough to be disturbed."""

    def __init__(self, sandbox: Sandbox, manifest: str, store: Store, run: Run, expected: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.manifest = manifest
        self.store = store
        self.run = run
        self._expected = expected

    async def reach(self, share: float) -> None:
        """Wait until this share of the requests of an undisturbed run has arrived."""
        number = share * (1 + 2 * 4) * ACCOUNTS
        async with asyncio.timeout(120):
            # Between two looks, the processes need the cores.
            while len(self.sandbox.journal) < number and not await self.store.runs.finish(self.run.id):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def check(self, without_times: WithoutTimes) -> None:
        """Wait for the end of the run, and compare its report."""
        async with asyncio.timeout(180):
            await wait_for_run(self.store, self.run)
        assert without_times(await fleet_report(self.store, self.run)) == self._expected


Nights = Callable[[str], AbstractAsyncContextManager[Night]]


@pytest.fixture
def nights(tmp_path: Path, fleet_on: FleetOn, write_fleet: WriteFleet, without_times: WithoutTimes) -> Nights:
    """Return a context manager that begins a run in a store."""

    @asynccontextmanager
    async def night(location: str) -> AsyncIterator[Night]:
        async with Sandbox(campaigns=4, accounts=ACCOUNTS) as sandbox, Store(location) as store:
            expected = without_times(await audit_fleet(fleet_on(sandbox), now=NOW))
            sandbox.journal.clear()
            manifest = str(write_fleet(sandbox, tmp_path, max_rate=60))
            run = await begin_run(store, fleet_on(sandbox), AuditSettings(), now=NOW)
            yield Night(sandbox, manifest, store, run, expected)

    return night


@pytest.fixture
def start_worker(command: Command, location: str) -> StartWorker:
    """Return a context manager that runs a worker of the store, and kills it at the end."""

    @asynccontextmanager
    async def start(night: Night, *arguments: str) -> AsyncIterator[Process]:
        argv = (sys.executable, "-W", "error", "-c", WORKER, night.manifest, location, *arguments)
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=command.environment()
        )
        try:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return start


async def test_run_whose_only_process_is_killed_ten_times_ends_with_the_same_report(
    location: str, nights: Nights, start_worker: StartWorker, without_times: WithoutTimes
) -> None:
    moments = sorted(random.Random(1).uniform(0, 1) for _ in range(KILLS))
    async with nights(location) as night:
        for moment in moments:
            async with start_worker(night, str(night.run.id)) as process:
                await night.reach(moment)
                process.kill()
                await process.wait()
        async with start_worker(night, str(night.run.id)):
            await night.check(without_times)


async def test_run_whose_workers_are_killed_ten_times_ends_with_the_same_report(
    location: str, nights: Nights, start_worker: StartWorker, without_times: WithoutTimes
) -> None:
    moments = sorted(random.Random(2).uniform(0, 1) for _ in range(KILLS))
    async with nights(location) as night:
        for moment in moments:
            async with start_worker(night) as first, start_worker(night):
                await night.reach(moment)
                first.kill()
                await first.wait()
        async with start_worker(night):
            await night.check(without_times)


async def test_worker_that_is_stopped_past_its_lease_and_continued_changes_nothing(
    location: str, nights: Nights, start_worker: StartWorker, without_times: WithoutTimes
) -> None:
    async with nights(location) as night, start_worker(night) as first:
        await night.reach(0.3)
        first.send_signal(signal.SIGSTOP)
        async with start_worker(night):
            # Past its lease. In SQLite, a process that is stopped in a transaction also holds the lock.
            await asyncio.sleep(4)
            first.send_signal(signal.SIGCONT)
            await night.check(without_times)


async def test_worker_ends_soon_after_sigterm_while_its_server_hangs(
    location: str, nights: Nights, start_worker: StartWorker, without_times: WithoutTimes
) -> None:
    async with nights(location) as night:
        async with start_worker(night) as first:
            await night.reach(0.2)
            night.sandbox.latency = 3600
            first.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await first.wait() == 0
        assert [one.url for one in await night.store.leases.held()] == []
        night.sandbox.latency = 0
        async with start_worker(night):
            await night.check(without_times)


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
        without_times: WithoutTimes,
    ) -> None:
        async with nights(location) as night, start_worker(night), start_worker(night):
            await night.reach(0.3)
            await asyncio.to_thread(postgresql_server.stop)
            await asyncio.sleep(8)
            await asyncio.to_thread(postgresql_server.start)
            await night.check(without_times)

    async def test_terminated_connections_lose_nothing(
        self,
        location: str,
        postgresql_server: PostgreSQL,
        nights: Nights,
        start_worker: StartWorker,
        without_times: WithoutTimes,
    ) -> None:
        database = psycopg.conninfo.conninfo_to_dict(location)["dbname"]
        terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"  # noqa: S608
        async with nights(location) as night, start_worker(night), start_worker(night):
            for moment in (0.2, 0.4, 0.6, 0.8):
                await night.reach(moment)
                await asyncio.to_thread(postgresql_server.run, terminate)
            await night.check(without_times)

    async def test_lock_on_a_table_for_longer_than_the_lock_timeout_delays_the_run(
        self, location: str, nights: Nights, start_worker: StartWorker, without_times: WithoutTimes
    ) -> None:
        async with nights(location) as night, start_worker(night):
            await night.reach(0.3)
            async with await psycopg.AsyncConnection.connect(location) as connection:
                await connection.execute("LOCK TABLE units IN ACCESS EXCLUSIVE MODE")
                await asyncio.sleep(7)
            await night.check(without_times)
