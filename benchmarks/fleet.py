"""Measure how a fleet scales with its workers: `python -m benchmarks.fleet`, or with --quick for a short run.

Sandboxes, Redis, workers (`dialler fleet worker`) and the coordinator are separate processes on this machine. First,
one process and 1, 2, 4 and 8 workers audit four servers with a latency of 20 ms, in turns:

- "limited": a worker audits two accounts at once, with four concurrent calls each. These are so few that latency is the
  limit, until there are too many workers for the cores of this machine.
- "wide": a worker audits eight accounts at once, with sixteen concurrent calls each. The cores are the limit.
- "default": a worker audits four accounts at once, and concurrency adapts to the latency.
- "rated": as "limited", with a rate limit that is never reached, to measure the cost of a rate limit.

Then the cost of an account for the broker and the coordinator is measured, to estimate the cost of 10,000 accounts. A
stand-in for a worker returns recorded results at once.

The benchmark needs a redis-server, and the /proc of Linux for the CPU time of processes.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from redis import Redis

from .harness import ROOT, Figures, Spread, ratio
from .sandbox_process import SandboxProcess, sandbox_process

LATENCY = 0.020
SERVERS = 4
ACCOUNTS, CAMPAIGNS = 16, 16
"""Accounts per server, and campaigns per account."""
CHUNK = 250
"""Campaigns in a slice: the default of `audit_fleet`."""
SAMPLE_SECONDS = 0.1
STAND_IN_SLOTS = 40
LIMITED = {"max_concurrency": 16}
"""Four concurrent calls for each of four jobs of a server."""
_REDIS = shutil.which("redis-server") or ""
WIDE = {"max_concurrency": 64}
WORKER = "import sys; from dialler_async.cli import main; sys.exit(main())"


@attrs.frozen
class Variant:
    """A number of workers, the jobs that each runs at once, and the limits of the servers."""

    workers: int
    at_once: int = 2
    limits: Mapping[str, float] = attrs.field(factory=LIMITED.copy)


VARIANTS = {
    "limited, in one process": Variant(0),
    "limited, 1 worker": Variant(1),
    "limited, 2 workers": Variant(2),
    "limited, 4 workers": Variant(4),
    "limited, 8 workers": Variant(8),
    "wide, 1 worker": Variant(1, 8, WIDE),
    "wide, 2 workers": Variant(2, 8, WIDE),
    "wide, 4 workers": Variant(4, 8, WIDE),
    "default, 1 worker": Variant(1, 4, {}),
    "default, 4 workers": Variant(4, 4, {}),
    "rated, 2 workers": Variant(2, limits={**LIMITED, "max_rate": 2000}),
}
BASELINES = {name: f"{name}, 1 worker" for name in ("limited", "wide", "default")} | {"rated": "limited, 2 workers"}
"""The variant that each group of variants is compared with."""


@attrs.frozen
class Broker:
    """The Redis of a run."""

    url: str
    redis: Redis
    empty: int
    """Peak memory before the run, in bytes."""

    def info(self) -> dict[str, Any]:
        """Return all statistics of Redis."""
        statistics: dict[str, Any] = self.redis.info("everything")
        return statistics

    def cpu(self) -> float:
        """Return the CPU time of Redis in seconds, more precisely than /proc."""
        statistics = self.redis.info("cpu")
        return float(statistics["used_cpu_user"] + statistics["used_cpu_sys"])


@contextmanager
def redis_server() -> Iterator[Broker]:
    """Run a Redis on 127.0.0.1 that writes nothing to disk."""
    with socket.socket() as bound, tempfile.TemporaryDirectory() as directory:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        bound.close()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", directory]
        with subprocess.Popen([_REDIS, *options], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                output = ""
                while not re.search("ready to accept connections", output, re.IGNORECASE):
                    line = process.stdout.readline()
                    if not line:
                        raise RuntimeError(f"redis-server has ended:\n{output}")
                    output += line
                with Redis(port=port) as redis:
                    empty = redis.info("memory")["used_memory_peak"]
                    yield Broker(f"redis://127.0.0.1:{port}", redis, empty)
            finally:
                process.terminate()


def commands(broker: Broker | None) -> int:
    """Return the number of executed commands, including those in scripts, without INFO."""
    statistics = {} if broker is None else broker.redis.info("commandstats")
    return sum(counts["calls"] for command, counts in statistics.items() if command != "cmdstat_info")


def cpu_of(*pids: int) -> float:
    """Return the CPU time of these processes in seconds."""
    # The fields after the name, because the name may contain spaces.
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


def write_fleet(directory: Path, servers: Mapping[str, Mapping[str, str]], limits: Mapping[str, float]) -> Path:
    """Write a fleet.toml and the files of its tokens. `servers` has the tokens by URL of the server and ClientsID."""
    options = "".join(f"{key} = {value}\n" for key, value in limits.items())
    tables = []
    for number, (url, tokens) in enumerate(servers.items(), 1):
        tables.append(f'[[servers]]\nname = "server {number}"\nurl = "{url}"\n{options}')
        for id, token in tokens.items():
            (directory / f"{number}-{id}.token").write_text(token)
            tables.append(
                f'[[accounts]]\nname = "account {number}-{id}"\nserver = "server {number}"\nclients_id = {id}\n'
                f'token_file = "{number}-{id}.token"\n'
            )
    manifest = directory / "fleet.toml"
    manifest.write_text("\n".join(tables))
    return manifest


@contextmanager
def start_process(*command: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a Python process, and kill it at the end."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DIALLER_")}
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: "subprocess.Popen[str]") -> str:
    """Return the first line of a process, which it prints when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process has ended before it was ready")
    return line


def run_coordinator(
    manifest: Path, broker: Broker | None, *, begin: Callable[[], None], write: bool = False
) -> dict[str, float]:
    """Run an audit by a coordinator in a new process. Return its figures and the peak of connections to Redis.

    `begin` is called just before the audit, after a warm-up.
    """
    options = {"part": "coordinator", "manifest": str(manifest), "chunk": CHUNK, "write": write}
    options["broker"] = None if broker is None else broker.url
    command = [sys.executable, "-m", "benchmarks.fleet_child", json.dumps(options)]
    connections = 0
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        if child.stdout.readline() == "warm\n":
            begin()
            child.stdin.write("go\n")
            child.stdin.flush()
        while child.poll() is None:
            if broker is not None:
                # Without the connection of this process.
                connections = max(connections, broker.redis.info("clients")["connected_clients"] - 1)
            time.sleep(SAMPLE_SECONDS)
        if child.returncode:
            raise RuntimeError("the coordinator failed")
        figures: dict[str, float] = json.loads(child.stdout.read())
    return {**figures, "redis connections": connections}


def run(variant: Variant, sandboxes: Sequence[SandboxProcess], directory: Path) -> dict[str, float]:
    """Run an audit of all accounts of the sandboxes, and return its figures."""
    servers = {sandbox.base_url.partition("/rest/")[0]: sandbox.tokens for sandbox in sandboxes}
    manifest = write_fleet(directory, servers, variant.limits)
    with ExitStack() as stack:
        broker = stack.enter_context(redis_server()) if variant.workers else None
        broker_options = [] if broker is None else ["--broker", broker.url, "--at-once", str(variant.at_once)]
        command = ["-c", WORKER, "fleet", "worker", str(manifest), *broker_options]
        workers = [stack.enter_context(start_process(*command)) for _ in range(variant.workers)]
        for worker in workers:
            first_line(worker)
        groups: dict[str, Callable[[], float]] = {
            "workers": partial(cpu_of, *(worker.pid for worker in workers)),
            "sandboxes": partial(cpu_of, *(sandbox.process.pid for sandbox in sandboxes)),
            "redis": broker.cpu if broker else float,
        }
        before: dict[str, float] = {}

        def begin() -> None:
            for sandbox in sandboxes:
                # This clears the journal, which would slow the run.
                sandbox.set()
            before["commands"] = commands(broker)
            before.update({group: cpu() for group, cpu in groups.items()})

        figures = run_coordinator(manifest, broker, begin=begin)
        figures |= {f"{group} cpu": cpu() - before[group] for group, cpu in groups.items()}
        counts = [sandbox.set() for sandbox in sandboxes]
        figures["commands"] = commands(broker) - before["commands"]
        if broker is not None:
            figures["redis memory"] = broker.info()["used_memory_peak"] - broker.empty
    figures["server connections"] = max(count["peak"] for count in counts)
    figures["rate"] = figures["lookups"] / figures["wall"]
    return figures


def throughput(rounds: int, accounts: int) -> None:
    """Measure and print how the throughput grows with the workers."""
    calls = SERVERS * accounts * (1 + 2 * CAMPAIGNS)
    print(f"{SERVERS} servers, {accounts} accounts each, {CAMPAIGNS} campaigns in two languages each: {calls:,} calls")
    with ExitStack() as stack:
        sandboxes = [
            stack.enter_context(sandbox_process(campaigns=CAMPAIGNS, accounts=accounts, latency=LATENCY))
            for _ in range(SERVERS)
        ]
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # This run is not measured, because a sandbox generates its campaigns at the first access.
        run(VARIANTS["limited, in one process"], sandboxes, directory)
        measured: dict[str, list[Figures]] = {name: [] for name in VARIANTS}
        for number in range(rounds):
            names = list(VARIANTS)
            # Each round begins with another variant, because the first one may have an advantage or disadvantage.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                measured[name].append(run(VARIANTS[name], sandboxes, directory))
    for name, runs in measured.items():
        print(format_variant(name, VARIANTS[name], runs, measured[BASELINES[name.partition(",")[0]]]))


def format_variant(name: str, variant: Variant, runs: Sequence[Figures], baseline: Sequence[Figures]) -> str:
    """Return the lines with the figures of a variant."""

    def median(figure: str) -> float:
        return Spread.of([run.get(figure, 0.0) for run in runs]).median

    def spread(figure: str, factor: float = 1.0, digits: int = 0) -> str:
        return Spread.of([run[figure] for run in runs]).format(factor, digits)

    accounts = Spread.of([run["accounts"] / run["wall"] for run in runs]).format(1, 1)
    groups = ("workers cpu", "sandboxes cpu", "cpu", "redis cpu")
    cores = Spread.of([sum(run[group] for group in groups) / run["wall"] for run in runs]).format(1, 2)
    caller = "workers" if median("workers cpu") else "process"
    by_calls = median("workers cpu") or median("cpu")
    lines = [
        f"{name}: {spread('rate')} lookups/s, {ratio(runs, baseline, 'rate').format(1, 2)} times the baseline;"
        f" {accounts} accounts/s; wall {spread('wall', 1, 2)} s",
        f"  CPU s: workers {median('workers cpu'):.2f}, sandboxes {median('sandboxes cpu'):.2f},"
        f" coordinator {median('cpu'):.2f}, Redis {median('redis cpu'):.3f}; cores busy {cores}",
        f"  per call: {by_calls / median('requests') * 1e6:.0f} µs of the {caller},"
        f" {median('redis cpu') / median('requests') * 1e6:.1f} µs of Redis,"
        f" {median('commands') / median('requests'):.2f} commands",
        f"  peaks: connections to one server {median('server connections'):.0f}, to Redis"
        f" {median('redis connections'):.0f}; Redis memory {median('redis memory') / 1024:.0f} KiB",
    ]
    if variant.workers and variant.limits == LIMITED:
        allowed = variant.workers * variant.at_once * LIMITED["max_concurrency"] / 4 / LATENCY
        lines[0] += f"; {median('rate') / allowed:.0%} of the maximum with {LATENCY * 1000:.0f} ms latency"
    return "\n".join(lines)


def run_with_stand_in(campaigns: int, accounts: int, *, write: bool = False) -> dict[str, Any]:
    """Run an audit whose worker returns recorded results, and return the figures."""
    with tempfile.TemporaryDirectory() as name, redis_server() as broker:
        tokens = {str(id): "unused" for id in range(1, accounts // 10 + 1)}
        manifest = write_fleet(Path(name), {f"http://127.0.0.1:{port}": tokens for port in range(1, 11)}, {})
        options = {"part": "stand_in", "campaigns": campaigns, "chunk": CHUNK, "slots": STAND_IN_SLOTS}
        with start_process("-m", "benchmarks.fleet_child", json.dumps({**options, "broker": broker.url})) as worker:
            sizes = json.loads(first_line(worker))
            before: dict[str, Any] = {}

            def begin() -> None:
                before.update(broker.info() | {"commands": commands(broker), "cpu": broker.cpu()})

            figures = run_coordinator(manifest, broker, begin=begin, write=write)
            after = broker.info() | {"commands": commands(broker), "cpu": broker.cpu()}
    figures["redis memory"] = after["used_memory_peak"] - broker.empty
    figures["redis cpu"] = after["cpu"] - before["cpu"]
    figures["commands"] = after["commands"] - before["commands"]
    figures["in"] = after["total_net_input_bytes"] - before["total_net_input_bytes"]
    figures["out"] = after["total_net_output_bytes"] - before["total_net_output_bytes"]
    # These are the jobs, and the results that the script adds.
    figures["messages"] = after["cmdstat_xadd"]["calls"] - before["cmdstat_xadd"]["calls"]
    return {**figures, **sizes}


def cost_per_account(rounds: int, accounts: int) -> None:
    """Measure and print the cost of an account for the broker and the coordinator."""
    small, few, many = [], [], []
    for _ in range(rounds):
        small.append(run_with_stand_in(200, accounts))
        few.append(run_with_stand_in(500, accounts // 5, write=True))
        many.append(run_with_stand_in(500, accounts, write=True))
    print(f"\nRecorded results, {accounts:,} accounts, {STAND_IN_SLOTS} slots of workers")
    for title, runs in (("200 campaigns, in one part", small), ("500 campaigns, in slices", many)):

        def each(figure: str, factor: float = 1.0, digits: int = 1, runs: Sequence[Figures] = runs) -> str:
            return Spread.of([run[figure] / run["accounts"] for run in runs]).format(factor, digits)

        rate = Spread.of([run["accounts"] / run["wall"] for run in runs]).format(1, 0)
        memory = Spread.of([run["redis memory"] for run in runs]).format(1 / 2**20, 1)
        print(
            f"{title}; per account: {each('messages')} messages, {each('in', 1 / 1024)} KiB into Redis,"
            f" {each('out', 1 / 1024)} out of it, {each('commands')} commands, {each('redis cpu', 1e3, 2)} ms of Redis,"
            f" {each('cpu', 1e3)} ms of the coordinator, {each('findings')} findings\n"
            f"  {rate} accounts/s; Redis memory peak {memory} MiB; bytes: result of the survey"
            f" {runs[0]['survey']:,}, slices {runs[0]['slices']}, their results {runs[0]['results']}"
        )
    print(f"500 campaigns, growth per account from {accounts // 5} to {accounts:,} accounts:")

    def growth(figure: str, factor: float = 1.0, digits: int = 0) -> str:
        pairs = zip(few, many, strict=True)
        return Spread.of(
            [(after[figure] - before[figure]) / (accounts - accounts // 5) for before, after in pairs]
        ).format(factor, digits)

    print(f"  coordinator: CPU {growth('cpu', 1e3, 1)} ms, memory {growth('memory', 1024)} KiB")
    for format in ("json", "csv", "html"):
        print(
            f"  report as {format}: {growth(format, 1 / 1024, 1)} KiB, CPU {growth(f'{format} cpu', 1e3, 1)} ms,"
            f" memory up to then {growth(f'{format} memory', 1024)} KiB"
        )


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="do a short run")
    options = parser.parse_args()
    if not _REDIS or not Path("/proc/self/stat").exists():
        print("skipped, because redis-server or the /proc of Linux is missing")
        return
    begin_time = time.perf_counter()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    rounds = 1 if options.quick else 3
    throughput(rounds, 10 if options.quick else ACCOUNTS)
    cost_per_account(rounds, 50 if options.quick else 100)
    print(f"\nfinished after {time.perf_counter() - begin_time:.0f} s")


if __name__ == "__main__":
    main()
