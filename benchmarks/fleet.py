"""How does a fleet grow with its workers? `python -m benchmarks.fleet`, with --quick for a look.

Sandboxes, Redis, workers (`dialler fleet worker`) and the coordinator are processes of their own on this machine.
First, four servers with 20 ms of work a call, audited in one process and by 1, 2, 4 and 8 workers, in turns:

- "limited": a worker takes two accounts at once, and makes four calls at once for each. So few that latency is the
  limit, as it is where each worker has a core of its own, until the workers are too many for the cores of this machine.
- "wide": eight accounts at once, and sixteen calls at once for each. The cores are the limit.
- "default": no limits; four accounts at once, and as many calls as the client finds worth while.
- "rated": as limited, with a limit of calls a second, too, that is never reached: what it costs to keep one.

Then what 10,000 accounts can be reckoned with: what an account costs broker and coordinator, when a worker that looks
nothing up answers at once. Needs a redis-server, and Linux, whose /proc tells the CPU time of processes.
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
"""On each server, and in each account."""
CHUNK = 250
"""The default of `audit_fleet`."""
SAMPLED_EVERY = 0.1
STAND_IN_PLACES = 40
LIMITED = {"max_concurrency": 16}
"""Four calls at once for each of four jobs at a server."""
_REDIS = shutil.which("redis-server") or ""
WIDE = {"max_concurrency": 64}
WORKER = "import sys; from dialler_async.cli import main; sys.exit(main())"


@attrs.frozen
class Way:
    """How many workers there are, accounts at once of each, and the limits of the servers."""

    workers: int
    at_once: int = 2
    limits: Mapping[str, float] = attrs.field(factory=LIMITED.copy)


WAYS = {
    "limited, in one process": Way(0),
    "limited, 1 worker": Way(1),
    "limited, 2 workers": Way(2),
    "limited, 4 workers": Way(4),
    "limited, 8 workers": Way(8),
    "wide, 1 worker": Way(1, 8, WIDE),
    "wide, 2 workers": Way(2, 8, WIDE),
    "wide, 4 workers": Way(4, 8, WIDE),
    "default, 1 worker": Way(1, 4, {}),
    "default, 4 workers": Way(4, 4, {}),
    "rated, 2 workers": Way(2, limits={**LIMITED, "max_rate": 2000}),
}
COMPARED = {name: f"{name}, 1 worker" for name in ("limited", "wide", "default")} | {"rated": "limited, 2 workers"}
"""What each is told in terms of."""


@attrs.frozen
class Broker:
    """A Redis of one run."""

    url: str
    redis: Redis
    empty: int
    """The most memory that it had before anybody came."""

    def info(self) -> dict[str, Any]:
        """Everything that it tells of itself."""
        told: dict[str, Any] = self.redis.info("everything")
        return told

    def cpu(self) -> float:
        """Seconds that it has computed so far; finer than /proc tells."""
        told = self.redis.info("cpu")
        return float(told["used_cpu_user"] + told["used_cpu_sys"])


@contextmanager
def redis_server() -> Iterator[Broker]:
    """A Redis on 127.0.0.1 that keeps nothing on disk."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as directory:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", directory]
        with subprocess.Popen([_REDIS, *options], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = ""
                while not re.search("ready to accept connections", said, re.IGNORECASE):
                    line = process.stdout.readline()
                    if not line:
                        raise RuntimeError(f"redis-server has ended:\n{said}")
                    said += line
                with Redis(port=port) as redis:
                    empty = redis.info("memory")["used_memory_peak"]
                    yield Broker(f"redis://127.0.0.1:{port}", redis, empty)
            finally:
                process.terminate()


def commands(broker: Broker | None) -> int:
    """How many commands a Redis has carried out, those in scripts included, but for our own questions."""
    told = {} if broker is None else broker.redis.info("commandstats")
    return sum(counted["calls"] for command, counted in told.items() if command != "cmdstat_info")


def cpu_of(*pids: int) -> float:
    """Seconds that these processes have computed so far."""
    # What comes after the name, in which there may be blanks.
    told = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in told) / os.sysconf("SC_CLK_TCK")


def write_fleet(directory: Path, servers: Mapping[str, Mapping[str, str]], limits: Mapping[str, float]) -> Path:
    """A fleet.toml, with the tokens beside it. `servers`: the tokens by ClientsID, by the server's address."""
    told = "".join(f"{key} = {value}\n" for key, value in limits.items())
    tables = []
    for number, (url, tokens) in enumerate(servers.items(), 1):
        tables.append(f'[[servers]]\nname = "server {number}"\nurl = "{url}"\n{told}')
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
def started(*command: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that says something once it is ready. In the end it is killed, as nobody needs its Redis any more."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("DIALLER_")}
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, env=ours, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said_by(process: "subprocess.Popen[str]") -> str:
    """The line that says it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process has ended before it was ready")
    return line


def coordinated(
    manifest: Path, broker: Broker | None, *, begin: Callable[[], None], write: bool = False
) -> dict[str, float]:
    """The figures of one audit by a coordinator in a fresh process, and how many connections Redis had at most.

    `begin` is called when everything is warm, just before.
    """
    asked = {"part": "coordinator", "manifest": str(manifest), "chunk": CHUNK, "write": write}
    asked["broker"] = None if broker is None else broker.url
    command = [sys.executable, "-m", "benchmarks.fleet_child", json.dumps(asked)]
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
                # But for the one that asks.
                connections = max(connections, broker.redis.info("clients")["connected_clients"] - 1)
            time.sleep(SAMPLED_EVERY)
        if child.returncode:
            raise RuntimeError("the coordinator failed")
        figures: dict[str, float] = json.loads(child.stdout.read())
    return {**figures, "redis connections": connections}


def run(way: Way, sandboxes: Sequence[SandboxProcess], directory: Path) -> dict[str, float]:
    """The figures of one audit of all accounts of these."""
    servers = {sandbox.base_url.partition("/rest/")[0]: sandbox.tokens for sandbox in sandboxes}
    manifest = write_fleet(directory, servers, way.limits)
    with ExitStack() as stack:
        broker = stack.enter_context(redis_server()) if way.workers else None
        told = [] if broker is None else ["--broker", broker.url, "--at-once", str(way.at_once)]
        command = ["-c", WORKER, "fleet", "worker", str(manifest), *told]
        workers = [stack.enter_context(started(*command)) for _ in range(way.workers)]
        for worker in workers:
            said_by(worker)
        groups: dict[str, Callable[[], float]] = {
            "workers": partial(cpu_of, *(worker.pid for worker in workers)),
            "sandboxes": partial(cpu_of, *(sandbox.process.pid for sandbox in sandboxes)),
            "redis": broker.cpu if broker else float,
        }
        before: dict[str, float] = {}

        def begin() -> None:
            for sandbox in sandboxes:
                # The journal of what was before would cost this one time.
                sandbox.set()
            before["commands"] = commands(broker)
            before.update({group: cpu() for group, cpu in groups.items()})

        figures = coordinated(manifest, broker, begin=begin)
        figures |= {f"{group} cpu": cpu() - before[group] for group, cpu in groups.items()}
        counted = [sandbox.set() for sandbox in sandboxes]
        figures["commands"] = commands(broker) - before["commands"]
        if broker is not None:
            figures["redis memory"] = broker.info()["used_memory_peak"] - broker.empty
    figures["server connections"] = max(counts["peak"] for counts in counted)
    figures["rate"] = figures["lookups"] / figures["wall"]
    return figures


def throughput(rounds: int, accounts: int) -> None:
    """Measures and prints how it grows."""
    calls = SERVERS * accounts * (1 + 2 * CAMPAIGNS)
    print(f"{SERVERS} servers, {accounts} accounts each, {CAMPAIGNS} campaigns in two languages each: {calls:,} calls")
    with ExitStack() as stack:
        sandboxes = [
            stack.enter_context(sandbox_process(campaigns=CAMPAIGNS, accounts=accounts, latency=LATENCY))
            for _ in range(SERVERS)
        ]
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Campaigns are made up when they are first asked for.
        run(WAYS["limited, in one process"], sandboxes, directory)
        measured: dict[str, list[Figures]] = {name: [] for name in WAYS}
        for number in range(rounds):
            names = list(WAYS)
            # Another begins each time: whatever the first of a round may have for or against it.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                measured[name].append(run(WAYS[name], sandboxes, directory))
    for name, runs in measured.items():
        print(told_of(name, WAYS[name], runs, measured[COMPARED[name.partition(",")[0]]]))


def told_of(name: str, way: Way, runs: Sequence[Figures], compared: Sequence[Figures]) -> str:
    """What was measured of one way."""

    def middle(figure: str) -> float:
        return Spread.of([run.get(figure, 0.0) for run in runs]).median

    def spread(figure: str, factor: float = 1.0, digits: int = 0) -> str:
        return Spread.of([run[figure] for run in runs]).told(factor, digits)

    accounts = Spread.of([run["accounts"] / run["wall"] for run in runs]).told(1, 1)
    groups = ("workers cpu", "sandboxes cpu", "cpu", "redis cpu")
    cores = Spread.of([sum(run[group] for group in groups) / run["wall"] for run in runs]).told(1, 2)
    caller = "workers" if middle("workers cpu") else "process"
    by_calls = middle("workers cpu") or middle("cpu")
    lines = [
        f"{name}: {spread('rate')} lookups/s, {ratio(runs, compared, 'rate').told(1, 2)} times as many;"
        f" {accounts} accounts/s; wall {spread('wall', 1, 2)} s",
        f"  CPU s: workers {middle('workers cpu'):.2f}, sandboxes {middle('sandboxes cpu'):.2f},"
        f" coordinator {middle('cpu'):.2f}, Redis {middle('redis cpu'):.3f}; cores busy {cores}",
        f"  a call: {by_calls / middle('requests') * 1e6:.0f} µs of the {caller},"
        f" {middle('redis cpu') / middle('requests') * 1e6:.1f} µs of Redis,"
        f" {middle('commands') / middle('requests'):.2f} commands",
        f"  at most: connections to one server {middle('server connections'):.0f}, to Redis"
        f" {middle('redis connections'):.0f}; Redis memory {middle('redis memory') / 1024:.0f} KiB",
    ]
    if way.workers and way.limits == LIMITED:
        allowed = way.workers * way.at_once * LIMITED["max_concurrency"] / 4 / LATENCY
        lines[0] += f"; {middle('rate') / allowed:.0%} of what {LATENCY * 1000:.0f} ms allow"
    return "\n".join(lines)


def answered_at_once(campaigns: int, accounts: int, *, write: bool = False) -> dict[str, Any]:
    """The figures of an audit in which nothing is looked up."""
    with tempfile.TemporaryDirectory() as name, redis_server() as broker:
        tokens = {str(id): "nobody asks" for id in range(1, accounts // 10 + 1)}
        manifest = write_fleet(Path(name), {f"http://127.0.0.1:{port}": tokens for port in range(1, 11)}, {})
        asked = {"part": "stand_in", "campaigns": campaigns, "chunk": CHUNK, "places": STAND_IN_PLACES}
        with started("-m", "benchmarks.fleet_child", json.dumps({**asked, "broker": broker.url})) as worker:
            sizes = json.loads(said_by(worker))
            before: dict[str, Any] = {}

            def begin() -> None:
                before.update(broker.info() | {"commands": commands(broker), "cpu": broker.cpu()})

            figures = coordinated(manifest, broker, begin=begin, write=write)
            after = broker.info() | {"commands": commands(broker), "cpu": broker.cpu()}
    figures["redis memory"] = after["used_memory_peak"] - broker.empty
    figures["redis cpu"] = after["cpu"] - before["cpu"]
    figures["commands"] = after["commands"] - before["commands"]
    figures["in"] = after["total_net_input_bytes"] - before["total_net_input_bytes"]
    figures["out"] = after["total_net_output_bytes"] - before["total_net_output_bytes"]
    # Jobs, and results from within the script.
    figures["messages"] = after["cmdstat_xadd"]["calls"] - before["cmdstat_xadd"]["calls"]
    return {**figures, **sizes}


def of_an_account(rounds: int, accounts: int) -> None:
    """Measures and prints what an account costs broker and coordinator."""
    small, few, many = [], [], []
    for _ in range(rounds):
        small.append(answered_at_once(200, accounts))
        few.append(answered_at_once(500, accounts // 5, write=True))
        many.append(answered_at_once(500, accounts, write=True))
    print(f"\nAnswered at once, {accounts:,} accounts, {STAND_IN_PLACES} places of workers")
    for title, runs in (("200 campaigns, in one part", small), ("500 campaigns, in slices", many)):

        def each(figure: str, factor: float = 1.0, digits: int = 1, runs: Sequence[Figures] = runs) -> str:
            return Spread.of([run[figure] / run["accounts"] for run in runs]).told(factor, digits)

        rate = Spread.of([run["accounts"] / run["wall"] for run in runs]).told(1, 0)
        memory = Spread.of([run["redis memory"] for run in runs]).told(1 / 2**20, 1)
        print(
            f"{title}; an account: {each('messages')} messages, {each('in', 1 / 1024)} KiB into Redis,"
            f" {each('out', 1 / 1024)} out of it, {each('commands')} commands, {each('redis cpu', 1e3, 2)} ms of Redis,"
            f" {each('cpu', 1e3)} ms of the coordinator, {each('findings')} findings\n"
            f"  {rate} accounts/s; Redis memory at most {memory} MiB; bytes: result of the survey"
            f" {runs[0]['survey']:,}, slices {runs[0]['slices']}, their results {runs[0]['results']}"
        )
    print(f"500 campaigns, with each account more, from {accounts // 5} to {accounts:,}:")

    def grown(figure: str, factor: float = 1.0, digits: int = 0) -> str:
        pairs = zip(few, many, strict=True)
        return Spread.of(
            [(after[figure] - before[figure]) / (accounts - accounts // 5) for before, after in pairs]
        ).told(factor, digits)

    print(f"  coordinator: CPU {grown('cpu', 1e3, 1)} ms, memory {grown('memory', 1024)} KiB")
    for format in ("json", "csv", "html"):
        print(
            f"  report as {format}: {grown(format, 1 / 1024, 1)} KiB, CPU {grown(f'{format} cpu', 1e3, 1)} ms,"
            f" memory until then {grown(f'{format} memory', 1024)} KiB"
        )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, for a look")
    options = parser.parse_args()
    if not _REDIS or not Path("/proc/self/stat").exists():
        print("skipped: this needs a redis-server, and the /proc of Linux")
        return
    begun = time.perf_counter()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    rounds = 1 if options.quick else 3
    throughput(rounds, 10 if options.quick else ACCOUNTS)
    of_an_account(rounds, 50 if options.quick else 100)
    print(f"\nall in {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
