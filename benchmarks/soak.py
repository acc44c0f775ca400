"""Soak test under faults: `python -m benchmarks.soak [--reads 100000] [--writes 2000] [--faults 0.05]`.

The client sends reads and writes, 32 at once. A sandbox in another process injects faults into a share of the requests,
and has an outage of 0.4 s in the middle. At the end, the result of every write is compared with the sandbox's journal.
The exit code is 1 if anything is wrong.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import attrs

from dialler_async import (
    Campaign,
    DiallerClient,
    DiallerError,
    OutcomeUnknownError,
    PoolConfig,
    RetryPolicy,
    ServerError,
    Timeouts,
)

CONCURRENCY = 32
DEADLINE = 20.0
OUTAGE = 0.4
"""Duration of the outage in seconds."""
CAMPAIGNS = 500
TEMPLATE = "Template of the soak"


async def serve(share: float) -> None:
    """Run the sandbox. Print its URL and token, and at the end a report of all requests."""
    from dialler_async.sandbox import Sandbox, faults

    injected: Counter[str] = Counter()
    faults_before_and_after_execution = [
        kind(carried_out=done)
        for kind in (faults.Reset, faults.HangUp, faults.StallBeforeHeaders, faults.Html)
        for done in (False, True)
    ]
    planned_faults = [
        *faults_before_and_after_execution,
        faults.CloseAfterResponse(),
        faults.CutShort(),
        faults.StallInBody(),
        faults.Trickle(),
        faults.WrongLength(5),
        faults.WrongLength(-5),
        faults.Gzipped(),
        faults.Raw(b"garbage\r\n\r\n"),
        faults.Status(429, retry_after=0),
        faults.Status(500),
        faults.Status(502, carried_out=True),
        faults.Status(503),
        faults.Status(503, retry_after=0),
        faults.Status(504),
    ]
    async with Sandbox(CAMPAIGNS, seed=1) as sandbox:
        sandbox.load({"ID": 100_000, "Name": TEMPLATE})
        pick = sandbox.faults.pick

        def pick_and_count(received: Any) -> Any:
            fault = pick(received)
            if fault is not None:
                injected[type(fault).__name__] += 1
            return fault

        sandbox.faults.chance(share, planned_faults, seed=1)
        sandbox.faults.pick = pick_and_count  # type: ignore[method-assign]  # the plan itself does not count faults
        print(json.dumps([sandbox.base_url, sandbox.token, list(sandbox.campaigns)]), flush=True)
        while await asyncio.to_thread(sys.stdin.readline) == "restart\n":
            async with sandbox.refusing():
                await asyncio.sleep(OUTAGE)
        done = [received for received in sandbox.journal if received.carried_out]
        report = {
            "requests": len(sandbox.journal),
            "faults": injected.total(),
            "connections": sandbox.connections.opened,
            "peak": sandbox.connections.peak,
            "cloned": Counter(
                json.loads(received.body)["destination"] for received in done if received.call == "clone"
            ),
            "deleted": Counter(received.path.rpartition("/")[2] for received in done if received.call == "delete"),
            "by name": sum(received.call == "delete_by_name" for received in done),
            "remaining": {str(id): record["Name"] for id, record in sandbox.campaigns.items()},
        }
        print(json.dumps(report), flush=True)


@attrs.define
class Results:
    """The results that the callers got, and what is wrong with them."""

    reads: Counter[str] = attrs.field(factory=Counter)
    writes: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)
    clones: dict[str, str] = attrs.field(factory=dict)
    deletes: dict[str, str] = attrs.field(factory=dict)
    slowest: float = 0.0


@attrs.define
class Soak:
    """The calls of the client, and their results."""

    dialler: DiallerClient
    ids: list[int]
    random: random.Random
    results: Results = attrs.field(factory=Results)

    async def timed(self, call: Awaitable[Any]) -> Any:
        begin = time.perf_counter()
        try:
            return await call
        except DiallerError as error:
            return error
        finally:
            self.results.slowest = max(self.results.slowest, time.perf_counter() - begin)

    async def read(self, kind: str) -> None:
        id = self.random.choice(self.ids)
        is_correct: Callable[[Any], bool]
        call: Awaitable[Any]
        match kind:
            case "get":
                call, is_correct = self.dialler.campaigns.get(id), lambda got: got.id == id
            case "find":
                call, is_correct = self.dialler.campaigns.find(TEMPLATE), lambda got: got[0].name == TEMPLATE
            case "codes":
                call = self.dialler.result_codes.list(id)
                is_correct = lambda got: all(code.dialler_campaigns_id == id for code in got)  # noqa: E731  # a lambda in each case
            case _:
                call, is_correct = self.dialler.campaigns.list(), lambda got: len(got) > CAMPAIGNS
        got = await self.timed(call)
        if isinstance(got, DiallerError):
            self.results.reads[type(got).__name__] += 1
        elif is_correct(got):
            self.results.reads["succeeded"] += 1
        else:
            self.results.wrong.append(f"{kind} {id}: a wrong result")

    async def write(self, number: int) -> None:
        """Clone the template, and delete the clone."""
        name = f"Soak {number}"
        clone = await self.timed(self.dialler.campaigns.clone(TEMPLATE, name, exist_ok=number % 2 == 0))
        self.results.clones[name] = self._write(clone)
        while not isinstance(clone, Campaign):
            # If the outcome of a clone is unknown, the caller looks for it, here until a lookup succeeds.
            found = await self.timed(self.dialler.campaigns.find(name))
            if isinstance(found, DiallerError):
                continue
            clone = next((campaign for campaign in found if campaign.name == name), None)
            if clone is None:
                # The clone did not take place. The next attempt needs a new name for the comparison with the journal.
                name += "'"
                clone = await self.timed(self.dialler.campaigns.clone(TEMPLATE, name))
                self.results.clones[name] = self._write(clone)
        deleted = await self.timed(self.dialler.campaigns.delete(clone))
        self.results.deletes[str(clone.id)] = self._write(deleted)

    def _write(self, outcome: Any) -> str:
        match outcome:
            case OutcomeUnknownError():
                result = "unknown"
            case ServerError(status=500):
                # A 500 to a delete by ID is raised unchanged. It does not show whether the delete took place.
                result = "500"
            case DiallerError():
                result = type(outcome).__name__
            case _:
                result = "done"
        self.results.writes[result] += 1
        return result

    def check(self, report: dict[str, Any]) -> None:
        """Compare the results with the journal."""
        wrong = self.results.wrong
        for call, results, done in (
            ("clone", self.results.clones, report["cloned"]),
            ("delete", self.results.deletes, report["deleted"]),
        ):
            wrong += [f"{call} of {target}: it was not requested" for target in done.keys() - results.keys()]
            for target, outcome in results.items():
                times = done.get(target, 0)
                if times > 1:
                    wrong.append(f"{call} of {target}: done {times} times")
                if outcome == "done" and not times:
                    wrong.append(f"{call} of {target}: the result is done, but it did not take place")
                if outcome not in ("done", "unknown", "500") and times:
                    wrong.append(f"{call} of {target}: the result is {outcome}, but it took place")
        if report["by name"]:
            wrong.append("a delete by name was sent")
        missing = {str(id) for id in self.ids} - report["remaining"].keys()
        wrong += [f"campaign {id} was deleted without a request" for id in missing]


def rss() -> float:
    """Return the memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def work(reads: int, writes: int, rng: random.Random) -> Iterator[Callable[[Soak], Awaitable[None]]]:
    """Yield all calls, evenly mixed. Two writes belong together: a clone, and the deletion of the clone."""
    every = max(1, reads // max(1, writes // 2))
    pairs = 0
    for number in range(reads):
        kind = rng.choices(("get", "codes", "find", "list"), (45, 45, 9.5, 0.5))[0]
        yield lambda soak, kind=kind: soak.read(kind)
        if number % every == 0 and pairs < writes // 2:
            pairs += 1
            yield lambda soak, pair=pairs: soak.write(pair)


async def soak(
    base_url: str, token: str, ids: list[int], reads: int, writes: int, restart: Callable[[], object]
) -> tuple[Soak, list[float], int]:
    """Make all calls. Return the results, the memory after each tenth of them, and the most open files."""
    dialler = DiallerClient(
        base_url,
        token,
        pool=PoolConfig(limit=CONCURRENCY),
        retry=RetryPolicy(),
        timeouts=Timeouts(read=1, deadline=DEADLINE),
    )
    memory: list[float] = []
    most_files = 0
    started = 0
    tenth = max(1, (reads + writes // 2) // 10)
    async with dialler:
        running = Soak(dialler, ids, random.Random(2))
        todo = work(reads, writes, random.Random(3))

        async def worker() -> None:
            nonlocal started, most_files
            for call in todo:
                started += 1
                if started == 5 * tenth:
                    restart()
                if started % tenth == 0:
                    memory.append(rss())
                    most_files = max(most_files, open_files())
                await call(running)

        await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    if len(asyncio.all_tasks()) > 1:
        running.results.wrong.append(f"{len(asyncio.all_tasks()) - 1} tasks are left")
    return running, memory, most_files


def main() -> int:
    """Run the soak test and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--writes", type=int, default=2_000)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.faults))
        return 0
    # Thousands of warnings about retries are expected here.
    logging.getLogger("dialler_async").setLevel(logging.ERROR)
    command = [sys.executable, "-m", "benchmarks.soak", "--serve", "--faults", str(options.faults)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        base_url, token, ids = json.loads(server.stdout.readline())
        files_before = open_files()
        begin = time.perf_counter()

        def restart(requests: TextIO = server.stdin) -> None:
            requests.write("restart\n")
            requests.flush()

        running, memory, most_files = asyncio.run(soak(base_url, token, ids, options.reads, options.writes, restart))
        seconds = time.perf_counter() - begin
        files_after = open_files()
        report = json.loads(server.communicate("report\n")[0])
    running.check(report)
    results = running.results
    if results.slowest > DEADLINE + 1:
        results.wrong.append(f"a call took {results.slowest:.1f} s, and its deadline is {DEADLINE:g} s")
    if files_after > files_before:
        results.wrong.append(f"{files_after - files_before} files are left open")
    if memory[-1] > memory[len(memory) // 5] * 1.1 + 2:
        results.wrong.append("memory grows")
    rows = {
        "seconds": f"{seconds:.0f}",
        "received requests": f"{report['requests']:,}, {report['faults']:,} of them with a fault"
        f" ({report['faults'] / report['requests']:.1%})",
        "connections": f"{report['connections']:,} in all, {report['peak']} at once",
        "reads": _counts(results.reads),
        "writes": _counts(results.writes),
        "slowest call": f"{results.slowest:.1f} s of {DEADLINE:g} s",
        "memory (RSS), MiB": f"{', '.join(f'{tenth:.1f}' for tenth in memory)} after each tenth of the calls",
        "open files": f"{files_before} before, {most_files} at most, {files_after} after",
        "wrong": str(len(results.wrong)),
    }
    for name, figure in rows.items():
        print(f"{name:22}  {figure}")
    for line in results.wrong[:20]:
        print(f"  {line}")
    return 1 if results.wrong else 0


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counter.most_common())


if __name__ == "__main__":
    sys.exit(main())
