"""A long bad day: `python -m benchmarks.soak [--reads 100000] [--writes 2000] [--faults 0.05]`.

Reads and writes, 32 at once, against a sandbox in another process that spoils a share of the requests, and restarts in
the middle: for 0.4 s it drops its connections and refuses new ones. At the end, the result of every write is compared
with the sandbox's journal. Exits with 1 if anything is wrong.
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
RESTART = 0.4
"""Seconds for which the sandbox is down."""
CAMPAIGNS = 500
TEMPLATE = "Template of the soak"


async def serve(share: float) -> None:
    """The sandbox: prints where it is, and what became of everything when a line arrives on standard input."""
    from dialler_async.sandbox import Sandbox, faults

    spoilt: Counter[str] = Counter()
    either_way = [
        kind(carried_out=done)
        for kind in (faults.Reset, faults.HangUp, faults.StallBeforeHeaders, faults.Html)
        for done in (False, True)
    ]
    bad_days = [
        *either_way,
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

        def counted(received: Any) -> Any:
            fault = pick(received)
            if fault is not None:
                spoilt[type(fault).__name__] += 1
            return fault

        sandbox.faults.chance(share, bad_days, seed=1)
        # In place of the plan's own: it tells of a fault to none but the request that meets with it.
        sandbox.faults.pick = counted  # type: ignore[method-assign]
        print(json.dumps([sandbox.base_url, sandbox.token, list(sandbox.campaigns)]), flush=True)
        while await asyncio.to_thread(sys.stdin.readline) == "restart\n":
            async with sandbox.refusing():
                await asyncio.sleep(RESTART)
        done = [received for received in sandbox.journal if received.carried_out]
        report = {
            "requests": len(sandbox.journal),
            "spoilt": spoilt.total(),
            "connections": sandbox.connections.opened,
            "peak": sandbox.connections.peak,
            "cloned": Counter(json.loads(one.body)["destination"] for one in done if one.call == "clone"),
            "deleted": Counter(one.path.rpartition("/")[2] for one in done if one.call == "delete"),
            "by name": sum(one.call == "delete_by_name" for one in done),
            "left": {str(id): record["Name"] for id, record in sandbox.campaigns.items()},
        }
        print(json.dumps(report), flush=True)


@attrs.define
class Told:
    """What callers were told."""

    reads: Counter[str] = attrs.field(factory=Counter)
    writes: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)
    clones: dict[str, str] = attrs.field(factory=dict)
    deletes: dict[str, str] = attrs.field(factory=dict)
    slowest: float = 0.0


@attrs.define
class Soak:
    """The client's side."""

    dialler: DiallerClient
    ids: list[int]
    random: random.Random
    told: Told = attrs.field(factory=Told)

    async def timed(self, call: Awaitable[Any]) -> Any:
        begun = time.perf_counter()
        try:
            return await call
        except DiallerError as error:
            return error
        finally:
            self.told.slowest = max(self.told.slowest, time.perf_counter() - begun)

    async def read(self, kind: str) -> None:
        id = self.random.choice(self.ids)
        right: Callable[[Any], bool]
        call: Awaitable[Any]
        match kind:
            case "get":
                call, right = self.dialler.campaigns.get(id), lambda got: got.id == id
            case "find":
                call, right = self.dialler.campaigns.find(TEMPLATE), lambda got: got[0].name == TEMPLATE
            case "codes":
                call = self.dialler.result_codes.list(id)
                right = lambda got: all(code.dialler_campaigns_id == id for code in got)  # noqa: E731  # as above
            case _:
                call, right = self.dialler.campaigns.list(), lambda got: len(got) > CAMPAIGNS
        got = await self.timed(call)
        if isinstance(got, DiallerError):
            self.told.reads[type(got).__name__] += 1
        elif right(got):
            self.told.reads["answered"] += 1
        else:
            self.told.wrong.append(f"{kind} {id}: a wrong answer")

    async def write(self, number: int) -> None:
        """One clone, and one delete of what it made, if it is known."""
        name = f"Soak {number}"
        made = await self.timed(self.dialler.campaigns.clone(TEMPLATE, name, exist_ok=number % 2 == 0))
        self.told.clones[name] = self._write(made)
        while not isinstance(made, Campaign):
            # What the library says to do when nobody knows: look, until somebody answers.
            found = await self.timed(self.dialler.campaigns.find(name))
            if isinstance(found, DiallerError):
                continue
            made = next((one for one in found if one.name == name), None)
            if made is None:
                # It has not been done; another name, since this one's journal is closed.
                name += "'"
                made = await self.timed(self.dialler.campaigns.clone(TEMPLATE, name))
                self.told.clones[name] = self._write(made)
        deleted = await self.timed(self.dialler.campaigns.delete(made))
        self.told.deletes[str(made.id)] = self._write(deleted)

    def _write(self, outcome: Any) -> str:
        match outcome:
            case OutcomeUnknownError():
                told = "unknown"
            case ServerError(status=500):
                # A 500 to a delete by ID is told as it is, and leaves open what was done.
                told = "500"
            case DiallerError():
                told = type(outcome).__name__
            case _:
                told = "done"
        self.told.writes[told] += 1
        return told

    def check(self, report: dict[str, Any]) -> None:
        """Holds what was told against the journal."""
        wrong = self.told.wrong
        for what, told, done in (
            ("clone", self.told.clones, report["cloned"]),
            ("delete", self.told.deletes, report["deleted"]),
        ):
            wrong += [f"{what} of {one}: nobody asked for it" for one in done.keys() - told.keys()]
            for one, outcome in told.items():
                times = done.get(one, 0)
                if times > 1:
                    wrong.append(f"{what} of {one}: done {times} times")
                if outcome == "done" and not times:
                    wrong.append(f"{what} of {one}: told as done, and was not")
                if outcome not in ("done", "unknown", "500") and times:
                    wrong.append(f"{what} of {one}: told as {outcome}, and was done")
        if report["by name"]:
            wrong.append("a delete by name was sent")
        missing = {str(id) for id in self.ids} - report["left"].keys()
        wrong += [f"campaign {id} is gone, and nobody asked for it" for id in missing]


def rss() -> float:
    """Memory of this process, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def work(reads: int, writes: int, rng: random.Random) -> Iterator[Callable[[Soak], Awaitable[None]]]:
    """All there is to do, evenly mixed. Two writes go together: a clone, and the delete of what it made."""
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
    """Do all the work; return the results, memory at each tenth of it, and the most files open at a time."""
    dialler = DiallerClient(
        base_url,
        token,
        pool=PoolConfig(limit=CONCURRENCY),
        retry=RetryPolicy(),
        timeouts=Timeouts(read=1, deadline=DEADLINE),
    )
    memory: list[float] = []
    most_files = 0
    begun = 0
    tenth = max(1, (reads + writes // 2) // 10)
    async with dialler:
        running = Soak(dialler, ids, random.Random(2))
        todo = work(reads, writes, random.Random(3))

        async def worker() -> None:
            nonlocal begun, most_files
            for one in todo:
                begun += 1
                if begun == 5 * tenth:
                    restart()
                if begun % tenth == 0:
                    memory.append(rss())
                    most_files = max(most_files, open_files())
                await one(running)

        await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    if len(asyncio.all_tasks()) > 1:
        running.told.wrong.append(f"{len(asyncio.all_tasks()) - 1} tasks are left")
    return running, memory, most_files


def main() -> int:
    """Runs it all, and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--writes", type=int, default=2_000)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve(asked.faults))
        return 0
    # Thousands of repeats are what is wanted here.
    logging.getLogger("dialler_async").setLevel(logging.ERROR)
    command = [sys.executable, "-m", "benchmarks.soak", "--serve", "--faults", str(asked.faults)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        base_url, token, ids = json.loads(server.stdout.readline())
        files_before = open_files()
        begun = time.perf_counter()

        def restart(requests: TextIO = server.stdin) -> None:
            requests.write("restart\n")
            requests.flush()

        running, memory, most_files = asyncio.run(soak(base_url, token, ids, asked.reads, asked.writes, restart))
        seconds = time.perf_counter() - begun
        files_after = open_files()
        report = json.loads(server.communicate("report\n")[0])
    running.check(report)
    told = running.told
    if told.slowest > DEADLINE + 1:
        told.wrong.append(f"a call took {told.slowest:.1f} s, and its deadline is {DEADLINE:g} s")
    if files_after > files_before:
        told.wrong.append(f"{files_after - files_before} files are left open")
    if memory[-1] > memory[len(memory) // 5] * 1.1 + 2:
        told.wrong.append("memory grows")
    rows = {
        "seconds": f"{seconds:.0f}",
        "requests that arrived": f"{report['requests']:,}, {report['spoilt']:,} of them spoilt"
        f" ({report['spoilt'] / report['requests']:.1%})",
        "connections": f"{report['connections']:,} in all, {report['peak']} at once",
        "reads": _counts(told.reads),
        "writes": _counts(told.writes),
        "slowest call": f"{told.slowest:.1f} s of {DEADLINE:g} s",
        "memory (RSS), MiB": f"{', '.join(f'{tenth:.1f}' for tenth in memory)} after each tenth of the work",
        "open files": f"{files_before} before, {most_files} at most, {files_after} after",
        "wrong": str(len(told.wrong)),
    }
    for what, figure in rows.items():
        print(f"{what:22}  {figure}")
    for line in told.wrong[:20]:
        print(f"  {line}")
    return 1 if told.wrong else 0


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counted.most_common())


if __name__ == "__main__":
    sys.exit(main())
