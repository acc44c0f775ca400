"""Measure the memory of a fleet's report: `python -m benchmarks.fleet_memory`, or with --quick for small fleets.

A store is filled with the results of 200 and of 2,000 accounts of 500 campaigns, without a request: the result of one
generated account, stored under many names. Then `dialler report` writes each format in a new process, whose peak
memory (VmHWM) and time are printed. The bar is the memory of 2,000 accounts divided by that of 200.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs

from dialler_async import DiallerClient
from dialler_async.audit import AccountIdentity, AuditReport, audit
from dialler_async.sandbox import Sandbox
from dialler_async.store import NewUnit, Plan, Store

from .harness import ROOT, Bar, Figures, Spread

SERVER = "https://acd.example.com"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
FORMATS = ("jsonl", "csv", "json", "sarif", "junit", "markdown", "summary", "table", "pages")
BAR = 1.3
PROGRAM = """
import json, sys, time
from pathlib import Path
from dialler_async.cli import main

began = time.perf_counter()
status = 0
try:
    status = main()
except SystemExit as exit:
    status = exit.code
memory = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
figures = {"memory": memory, "wall": time.perf_counter() - began}
Path(sys.argv[-1]).with_suffix(".figures").write_text(json.dumps(figures))
sys.exit(status)
"""


async def audited(campaigns: int) -> AuditReport:
    """Return the report of one generated account."""
    async with (
        Sandbox(campaigns=campaigns, seed=1) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token) as dialler,
    ):
        return attrs.evolve(await audit(dialler, now=NOW), records=())


async def fill(location: Path, accounts: int, report: AuditReport) -> None:
    """Store the report as the result of so many accounts."""
    units = [NewUnit(name=f"account {id}", url=SERVER, clients_id=id) for id in range(1, accounts + 1)]
    async with Store(location) as store:
        plan = Plan(languages=(1, 2), now=NOW)
        run = await store.runs.create(units, plan, settings="", is_fleet=True)
        for unit in await store.runs.units(run.id):
            identity = AccountIdentity(f"{SERVER.removeprefix('https://')}/rest/v1.0", unit.clients_id)
            await store.results.save(unit, attrs.evolve(report, identity=identity))
        await store.runs.finish(run.id)


def written(store: Path, format: str) -> Figures:
    """Write the report of the stored fleet in a new process, and return its figures."""
    output = store.with_suffix(f".{format}")
    option = ["--html"] if format == "pages" else ["--format", format, "--output"]
    command = [sys.executable, "-c", PROGRAM, "report", "--store", store, *option, output]
    environment = {**os.environ, "COLUMNS": "120"}
    subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    figures: dict[str, float] = json.loads(output.with_suffix(".figures").read_text())
    return figures


def measure(few: int, many: int, campaigns: int) -> Iterator[str | Bar]:
    """Measure each format with both fleets, and yield the lines and the bars to print."""
    with tempfile.TemporaryDirectory() as directory:
        report = asyncio.run(audited(campaigns))
        stores = {accounts: Path(directory) / f"{accounts}.db" for accounts in (few, many)}
        for accounts, store in stores.items():
            asyncio.run(fill(store, accounts, report))
        for format in FORMATS:
            small, large = written(stores[few], format), written(stores[many], format)
            yield (
                f"{format}: {small['memory']:.0f} MiB and {small['wall']:.1f} s with {few:,} accounts, "
                f"{large['memory']:.0f} MiB and {large['wall']:.1f} s with {many:,}"
            )
            ratio = large["memory"] / small["memory"]
            yield Bar(f"{format}: memory, {many:,} accounts / {few:,}", BAR, Spread.of([ratio]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 and 200 accounts of 50 campaigns")
    options = parser.parse_args()
    for line in measure(20, 200, 50) if options.quick else measure(200, 2000, 500):
        print(line, flush=True)
