"""A process of a fleet, for `benchmarks.fleet`: `python -m benchmarks.fleet_child '{"part": …}'`.

`coordinator` audits a few accounts to warm up, prints "warm", and waits for a line. Then it audits all accounts, and
prints its figures as JSON.

`stand_in` is a worker that sends no requests. It records the results of one account, and returns them for each job. So
the broker and the coordinator can be measured with any number of accounts. It prints the sizes of the results, and runs
until it is killed.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from dialler_async.fleet.messages import Result, Slice
from dialler_async.fleet.redis_broker import RedisBroker
from dialler_async.fleet.wire import SLICE, SURVEY
from taskiq.acks import AcknowledgeType
from taskiq.receiver import Receiver

from dialler_async import DiallerClient
from dialler_async.audit import WRITERS, AuditReport, audit_slice, survey
from dialler_async.audit.writers.html import write_html
from dialler_async.fleet import Fleet, audit_fleet, read_fleet
from dialler_async.sandbox import Sandbox

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
WARM_UP = 12
"""Number of accounts in the warm-up, on all servers."""
FILLER_KEYS = 60
"""Number of filler keys, which give a campaign 73 keys."""


def memory(figure: str) -> float:
    """Return `VmRSS`, the memory of this process, or `VmHWM`, its peak, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{figure}:")[2].split()[0]) / 1024


async def coordinator(manifest: str, broker: str | None, chunk: int, write: bool) -> dict[str, float]:
    """Return the figures of an audit; with `write`, also of its reports."""
    fleet = read_fleet(Path(manifest))

    async def audit(fleet: Fleet) -> AuditReport:
        return await audit_fleet(fleet, broker=None if broker is None else RedisBroker(broker), chunk=chunk, now=NOW)

    accounts = list(fleet.accounts.items())
    await audit(attrs.evolve(fleet, accounts=dict(accounts[:: max(1, len(accounts) // WARM_UP)])))
    print("warm", flush=True)
    sys.stdin.readline()
    before, cpu, wall = memory("VmRSS"), time.process_time(), time.perf_counter()
    report = await audit(fleet)
    figures = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": memory("VmHWM") - before,
        "accounts": len(report.accounts),
        "campaigns": report.campaigns,
        "lookups": report.lookups,
        "requests": report.requests,
        "findings": len(report.findings),
    }
    if report.unfinished:
        raise RuntimeError(f"some accounts were not audited: {report.findings[0].message}")
    if write:
        for format, writer in {"json": WRITERS["json"], "csv": WRITERS["csv"], "html": write_html}.items():
            cpu = time.process_time()
            figures[format] = sum(len(text.encode()) for text in writer(report))
            figures[f"{format} cpu"] = time.process_time() - cpu
            figures[f"{format} memory"] = memory("VmHWM") - before
    return figures


async def stand_in(broker: str, campaigns: int, chunk: int, slots: int) -> None:
    """Return recorded results for jobs, until the process is killed."""
    surveyed, slices = await _record_results(campaigns, chunk)
    redis_broker = RedisBroker(broker, slots=slots)
    redis_broker.is_worker_process = True

    async def survey(account: str, spec: dict[str, Any], concurrency: int | None) -> dict[str, Any]:
        return surveyed

    async def slice(account: str, spec: dict[str, Any], concurrency: int | None, packed: str) -> dict[str, Any]:
        return slices[packed]

    redis_broker.task(SURVEY)(survey)
    redis_broker.task(SLICE)(slice)
    await redis_broker.startup()
    sizes = {"survey": len(json.dumps(surveyed)), "slices": list(map(len, slices))}
    print(json.dumps({**sizes, "results": [len(json.dumps(result)) for result in slices.values()]}), flush=True)
    receiver = Receiver(redis_broker, max_async_tasks=slots, run_startup=False, ack_type=AcknowledgeType.WHEN_SAVED)
    await receiver.listen(asyncio.Event())


async def _record_results(campaigns: int, chunk: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the result of the survey of an account, and the results of its slices."""
    async with (
        Sandbox(campaigns=campaigns, filler_keys=FILLER_KEYS, now=NOW.replace(tzinfo=None)) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token) as dialler,
    ):
        surveyed = await survey(dialler, now=NOW, chunk=chunk)
        left = tuple(map(Slice.pack, surveyed.remaining))
        slices = {
            slice.packed: Result(part=await audit_slice(dialler, campaigns, now=NOW)).to_json()
            for slice, campaigns in zip(left, surveyed.remaining, strict=True)
        }
    return Result(part=surveyed.part, left=left).to_json(), slices


async def _main(part: str, **options: Any) -> None:
    if part == "stand_in":
        await stand_in(**options)
    else:
        print(json.dumps(await coordinator(**options)))


if __name__ == "__main__":
    asyncio.run(_main(**json.loads(sys.argv[1])))
