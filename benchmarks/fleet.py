"""Measure fleets: `python -m benchmarks.fleet`, or with --quick for a short run.

With `--before DIR`, a checkout of the code to compare with that has its own `.venv`, both run in turns:

    git worktree add ../before 12a8220 && cd ../before && python3 -m venv .venv && .venv/bin/pip install -e '.[test]'
    python -m benchmarks.fleet --before ../before

The variants, each in new processes:

- "one process": 1,000 accounts of 20 campaigns on one server, with a SQLite file; the code before has no store.
- "two workers": 4 servers of 25 accounts, in a PostgreSQL that this benchmark starts; the code before needs a Redis.
- "rated": as "one process" with fewer accounts, and with a `max_rate` that is never reached.
- "dead": 200 accounts of a server that refuses connections.

The benchmark needs PostgreSQL's programs under /usr/lib/postgresql, and with --before a redis-server.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .harness import ROOT, Bar, Figures, Spread, ratio
from .sandbox_process import sandbox_process

# It runs with the code before, too, so it imports what differs where it is used.
PROGRAM = """
import asyncio, json, resource, sys, time
from pathlib import Path
from dialler_async.fleet import audit_fleet, read_fleet

async def main(manifest, store):
    fleet = read_fleet(Path(manifest))
    began = time.perf_counter()
    if store is None:
        report = await audit_fleet(fleet)
    else:
        from dialler_async.store import Store
        async with Store(store) as opened:
            report = await audit_fleet(fleet, store=opened)
    wall = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024,
                      "lookups": report.lookups, "accounts": len(report.accounts)}))

asyncio.run(main(*json.loads(sys.argv[1])))
"""
COORDINATOR = """
import asyncio, json, sys, time
from pathlib import Path
from dialler_async.fleet import read_fleet

async def before(fleet, broker):
    from dialler_async.fleet import audit_fleet
    from dialler_async.fleet.redis_broker import RedisBroker
    began = time.perf_counter()
    await audit_fleet(fleet, broker=RedisBroker(broker))
    return time.perf_counter() - began

async def now(fleet, location):
    from dialler_async.audit import AuditSettings
    from dialler_async.fleet.coordinator import begin_run, fleet_report, wait_for_run
    from dialler_async.store import Store
    async with Store(location) as store:
        began = time.perf_counter()
        run = await begin_run(store, fleet, AuditSettings())
        await wait_for_run(store, run)
        await fleet_report(store, run)
        return time.perf_counter() - began

version, manifest, place = json.loads(sys.argv[1])
print(json.dumps({"wall": asyncio.run({"before": before, "now": now}[version](read_fleet(Path(manifest)), place))}))
"""
COMMAND = "import sys; from dialler_async.cli import main; sys.exit(main())"


def write_fleet(directory: Path, servers: Mapping[str, Mapping[str, str]], limits: str = "") -> str:
    """Write a fleet.toml and the files of its tokens. `servers` has the tokens by URL of the server and ClientsID."""
    tables = []
    for number, (url, tokens) in enumerate(servers.items(), 1):
        tables.append(f'[[servers]]\nname = "server {number}"\nurl = "{url}"\n{limits}')
        for id, token in tokens.items():
            (directory / f"{number}-{id}.token").write_text(token)
            tables.append(
                f'[[accounts]]\nname = "account {number}-{id}"\nserver = "server {number}"\nclients_id = {id}\n'
                f'token_file = "{number}-{id}.token"\n'
            )
    (directory / "fleet.toml").write_text("\n".join(tables))
    return str(directory / "fleet.toml")


def python_of(checkout: Path | None) -> str:
    """Return the Python of a checkout; without one, the Python of this process."""
    return sys.executable if checkout is None else str(checkout / ".venv" / "bin" / "python")


def run_once(checkout: Path | None, manifest: str, store: str | None) -> Figures:
    """Audit a fleet in one new process, and return its figures."""
    command = [python_of(checkout), "-c", PROGRAM, json.dumps([manifest, store])]
    done = subprocess.run(command, cwd=checkout or ROOT, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return {**figures, "rate": figures["accounts"] / figures["wall"], "cpu per lookup": _per_lookup(figures)}


def _per_lookup(figures: Figures) -> float:
    return figures["cpu"] / figures["lookups"] if figures["lookups"] else 0.0


@contextmanager
def database() -> Iterator[str]:
    """Run a PostgreSQL, and yield the URL of its database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    options: dict[str, Any] = {"user": "postgres", "cwd": "/"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        if options:
            shutil.chown(name, "postgres")
        initialise = [programs / "initdb", "-A", "trust", "-U", "postgres", "-D", f"{name}/data"]
        subprocess.run(initialise, check=True, stdout=subprocess.DEVNULL, **options)
        server = [programs / "postgres", "-D", f"{name}/data", "-k", name, "-c", "listen_addresses="]
        with subprocess.Popen(server, stderr=subprocess.DEVNULL, **options) as process:
            try:
                while subprocess.run([programs / "pg_isready", "-q", "-h", name], check=False).returncode:
                    time.sleep(0.05)
                yield f"postgresql://postgres@/postgres?host={name}"
            finally:
                process.terminate()


@contextmanager
def redis() -> Iterator[str]:
    """Run a Redis for the code before, and yield its URL."""
    with tempfile.TemporaryDirectory() as name:
        options = ["--port", "0", "--unixsocket", f"{name}/socket", "--save", "", "--dir", name]
        with subprocess.Popen([shutil.which("redis-server") or "", *options], stdout=subprocess.DEVNULL) as process:
            try:
                while not Path(name, "socket").exists():
                    time.sleep(0.05)
                yield f"unix://{name}/socket"
            finally:
                process.terminate()


def two_workers(checkout: Path | None, manifest: str) -> Figures:
    """Let two workers audit a fleet, and return the time of the process that waits for them, without its start."""
    command = [python_of(checkout), "-c", COMMAND, "fleet"]
    options = {"cwd": checkout or ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with ExitStack() as stack:
        place = stack.enter_context(database() if checkout is None else redis())
        where = ["--store", place] if checkout is None else ["--broker", place]
        for _ in range(2):
            worker = stack.enter_context(subprocess.Popen([*command, "worker", manifest, *where], **options))
            stack.callback(worker.kill)
            assert worker.stdout is not None
            worker.stdout.readline()
        version = "now" if checkout is None else "before"
        coordinator = [python_of(checkout), "-c", COORDINATOR, json.dumps([version, manifest, place])]
        figures: Figures = json.loads(subprocess.run(coordinator, check=True, **options).stdout)
        return figures


def measure(rounds: int, accounts: int, before: Path | None) -> list[str | Bar]:
    """Measure all variants, and return the lines and the bars to print."""
    lines: list[str | Bar] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        one = stack.enter_context(sandbox_process(campaigns=20, accounts=accounts))
        four = [stack.enter_context(sandbox_process(campaigns=20, accounts=25, seed=seed)) for seed in range(1, 5)]
        places = {name: directory / name for name in ("one", "rated", "four", "dead")}
        for place in places.values():
            place.mkdir()
        url = one.base_url.partition("/rest/")[0]
        some = dict(list(one.tokens.items())[: max(50, accounts // 5)])
        manifests = {
            "one": write_fleet(places["one"], {url: one.tokens}),
            "plain": write_fleet(places["dead"], {url: some}),
            "rated": write_fleet(places["rated"], {url: some}, "max_rate = 1000000\n"),
            "four": write_fleet(places["four"], {box.base_url.partition("/rest/")[0]: box.tokens for box in four}),
        }
        measured: dict[str, list[Figures]] = {}
        sizes: list[Figures] = []
        run_once(None, manifests["one"], None)  # The sandbox generates its campaigns at the first access.
        for number in range(rounds):
            for checkout in (None, before) if before else (None,):
                name = "now" if checkout is None else "before"
                file = directory / f"{number}.db" if checkout is None else None
                for variant in ("one", "plain", "rated"):
                    store = None if file is None else f"{file}-{variant}"
                    one.set()
                    figures = run_once(checkout, manifests[variant], store)
                    measured.setdefault(f"{variant}, {name}", []).append(figures)
                if file is not None:
                    first = os.path.getsize(f"{file}-one")
                    run_once(None, manifests["one"], f"{file}-one")
                    sizes.append({"night": os.path.getsize(f"{file}-one") - first, "first": first})
                for box in four:
                    box.set()
                measured.setdefault(f"four, {name}", []).append(two_workers(checkout, manifests["four"]))
        dead = write_fleet(places["dead"], {"http://127.0.0.1:9": {str(id): "unused" for id in range(1, 201)}})
        waited = run_once(None, dead, str(directory / "dead.db"))
    for name, runs in measured.items():
        if "rate" in runs[0]:
            rate, cpu = (Spread.of([run[figure] for run in runs]) for figure in ("rate", "cpu per lookup"))
            lines.append(f"{name}: {rate.format(1, 1)} accounts/s, {cpu.format(1e6)} µs of CPU per lookup")
        else:
            lines.append(f"{name}: {Spread.of([run['wall'] for run in runs]).format(1, 2)} s")
    night, first = (Spread.of([size[key] / accounts for size in sizes]) for key in ("night", "first"))
    lines.append(
        f"store: {first.format(1 / 1000, 1)} kB per account in the first night, {night.format(1 / 1000, 1)} later"
    )
    lines.append(f"dead: 200 accounts of a server that refuses connections: {waited['wall']:.0f} s (bar: 60 s)")
    rated = ratio(measured["rated, now"], measured["plain, now"], "cpu per lookup")
    lines.append(Bar("CPU per lookup, with max_rate / without", 1.05, rated))
    if before:
        rate = ratio(measured["one, now"], measured["one, before"], "rate")
        wall = ratio(measured["four, before"], measured["four, now"], "wall")
        lines.append(Bar("accounts per second, one process with SQLite / before", 0.85, rate, at_least=True))
        lines.append(Bar("speed of two workers / before", 0.95, wall, at_least=True))
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of fewer accounts")
    parser.add_argument("--before", type=Path, help="a checkout of the code to compare with, with its own .venv")
    options = parser.parse_args()
    for line in measure(1 if options.quick else 5, 100 if options.quick else 1000, options.before):
        print(line)
