"""One process of a fleet, for `benchmarks.fleet`: `python -m benchmarks.fleet_child '{"part": …}'`.

`coordinator` audits a few accounts of a fleet, so that it and the workers are warm, says so, and waits for a line. Then
it audits them all, and prints its figures as JSON. `stand_in` is a worker that looks nothing up: it has done
one account beforehand, and answers each job with what that came to. So broker and coordinator can be measured with as
many accounts as one likes. Prints the sizes of what it answers with, and works until it is killed.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from taskiq.acks import AcknowledgeType
from taskiq.receiver import Receiver

from dialler_async import DiallerClient
from dialler_async.audit import WRITERS, AuditReport, audit_slice, survey
from dialler_async.audit.writers.html import write_html
from dialler_async.fleet import Fleet, audit_fleet, read_fleet
from dialler_async.fleet.broker import RedisBroker
from dialler_async.fleet.messages import Result, Slice
from dialler_async.fleet.tasks import SLICE, SURVEY
from dialler_async.sandbox import Sandbox

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
WARM_UP = 12
"""Accounts, on all servers."""
WHOLE_ROW = 60
"""Filler keys that make a campaign record one of 73 keys."""


def memory(figure: str) -> float:
    """`VmRSS`, the memory of this process, or `VmHWM`, the most that it ever had; in MiB."""
    told = Path("/proc/self/status").read_text()
    return int(told.partition(f"{figure}:")[2].split()[0]) / 1024


async def coordinator(manifest: str, broker: str | None, chunk: int, write: bool) -> dict[str, float]:
    """The figures of one audit; those of its reports, too, if they are to be written."""
    fleet = read_fleet(Path(manifest))

    async def audited(fleet: Fleet) -> AuditReport:
        return await audit_fleet(fleet, broker=None if broker is None else RedisBroker(broker), chunk=chunk, now=NOW)

    accounts = list(fleet.accounts.items())
    await audited(attrs.evolve(fleet, accounts=dict(accounts[:: max(1, len(accounts) // WARM_UP)])))
    print("warm", flush=True)
    sys.stdin.readline()
    before, cpu, wall = memory("VmRSS"), time.process_time(), time.perf_counter()
    report = await audited(fleet)
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
        raise RuntimeError(f"not all accounts could be audited: {report.findings[0].message}")
    if write:
        for format, writer in {"json": WRITERS["json"], "csv": WRITERS["csv"], "html": write_html}.items():
            cpu = time.process_time()
            figures[format] = sum(len(text.encode()) for text in writer(report))
            figures[f"{format} cpu"] = time.process_time() - cpu
            figures[f"{format} memory"] = memory("VmHWM") - before
    return figures


async def stand_in(broker: str, campaigns: int, chunk: int, places: int) -> None:
    """Answers jobs until it is killed."""
    surveyed, slices = await _recorded(campaigns, chunk)
    mediator = RedisBroker(broker, places=places)
    mediator.is_worker_process = True

    async def survey(account: str, orders: dict[str, Any], concurrency: int | None) -> dict[str, Any]:
        return surveyed

    async def slice(account: str, orders: dict[str, Any], concurrency: int | None, packed: str) -> dict[str, Any]:
        return slices[packed]

    mediator.task(SURVEY)(survey)
    mediator.task(SLICE)(slice)
    await mediator.startup()
    sizes = {"survey": len(json.dumps(surveyed)), "slices": list(map(len, slices))}
    print(json.dumps({**sizes, "results": [len(json.dumps(result)) for result in slices.values()]}), flush=True)
    receiver = Receiver(mediator, max_async_tasks=places, run_startup=False, ack_type=AcknowledgeType.WHEN_SAVED)
    await receiver.listen(asyncio.Event())


async def _recorded(campaigns: int, chunk: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What the survey of an account comes to, and what its slices do."""
    async with (
        Sandbox(campaigns=campaigns, filler_keys=WHOLE_ROW, now=NOW.replace(tzinfo=None)) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token) as dialler,
    ):
        found = await survey(dialler, now=NOW, chunk=chunk)
        left = tuple(map(Slice.of, found.left))
        slices = {
            slice.packed: Result(part=await audit_slice(dialler, campaigns, now=NOW)).to_json()
            for slice, campaigns in zip(left, found.left, strict=True)
        }
    return Result(part=found.part, left=left).to_json(), slices


async def _main(part: str, **asked: Any) -> None:
    if part == "stand_in":
        await stand_in(**asked)
    else:
        print(json.dumps(await coordinator(**asked)))


if __name__ == "__main__":
    asyncio.run(_main(**json.loads(sys.argv[1])))
