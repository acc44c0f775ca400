"""Nothing is lost: workers that are killed, stopped or blocked, as real processes.

Each run ends with the report of an undisturbed run.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from dialler_async.audit import AuditSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.conftest import Nights, StartWorker

KILLS = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
]


async def test_run_whose_only_process_is_killed_ten_times_ends_with_the_same_report(
    location: str, nights: Nights, start_worker: StartWorker
) -> None:
    moments = sorted(random.Random(1).uniform(0, 1) for _ in range(KILLS))
    async with nights(location) as night:
        for moment in moments:
            async with start_worker(night, str(night.run.id)) as process:
                await night.reach(moment)
                process.kill()
                await process.wait()
        async with start_worker(night, str(night.run.id)):
            await night.check()


async def test_run_whose_workers_are_killed_ten_times_ends_with_the_same_report(
    location: str, nights: Nights, start_worker: StartWorker
) -> None:
    moments = sorted(random.Random(2).uniform(0, 1) for _ in range(KILLS))
    async with nights(location) as night, AsyncExitStack() as workers:
        first = await workers.enter_async_context(start_worker(night))
        for moment in moments:
            second = await workers.enter_async_context(start_worker(night))
            await night.reach(moment)
            first.kill()
            await first.wait()
            first = second
        await night.check()


async def test_worker_that_is_stopped_past_its_lease_and_continued_changes_nothing(
    location: str, nights: Nights, start_worker: StartWorker
) -> None:
    async with nights(location) as night, start_worker(night) as first:
        await night.reach(0.3)
        first.send_signal(signal.SIGSTOP)
        async with start_worker(night) as second:
            async with asyncio.timeout(60):
                while any(one.host.endswith(f":{first.pid}") for one in await night.store.leases.held()):
                    pass
            # In SQLite, a process that is stopped in a transaction holds the lock, and so the other gets no lease.
            with suppress(TimeoutError):
                async with asyncio.timeout(4):
                    await night.wait_until_taken_by(second)
            first.send_signal(signal.SIGCONT)
            await night.check()


async def test_worker_ends_soon_after_sigterm_while_its_server_hangs(
    location: str, nights: Nights, start_worker: StartWorker
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
            await night.check()


# In a process with BLOCKS, the first campaign that it checks blocks its event loop until a server on this port closes.
BLOCKING_RULE = """
import os, socket
from dialler_async.audit import Severity, rule

@rule("blocks", Severity.INFO, title="t", why="w", fix="f")
def blocks(facts):
    if port := os.environ.pop("BLOCKS", None):
        with socket.create_connection(("127.0.0.1", int(port))) as connection:
            connection.recv(1)
    return ()
"""


async def test_worker_whose_event_loop_is_blocked_past_its_lease_loses_the_server_to_another(
    location: str, nights: Nights, start_worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "blocking_rule.py").write_text(BLOCKING_RULE)
    rules = "blocking_rule:blocks"
    blocked, released = asyncio.Event(), asyncio.Event()

    async def block(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        blocked.set()
        await released.wait()
        writer.close()

    blocker = await asyncio.start_server(block, "127.0.0.1", 0)
    port = blocker.sockets[0].getsockname()[1]
    async with (
        blocker,
        nights(location, AuditSettings(rules=(rules,))) as night,
        start_worker(night, RULES=rules, BLOCKS=f"{port}") as first,
        asyncio.timeout(120),
    ):
        await blocked.wait()
        async with start_worker(night, RULES=rules) as second:
            await night.wait_until_taken_by(second)
            released.set()
            await night.check()
            first.send_signal(signal.SIGTERM)
            assert await first.wait() == 0
