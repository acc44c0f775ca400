"""Compare concurrency="auto" with fixed concurrencies: `python -m benchmarks.auto_concurrency`.

A sandbox in another process runs a limited number of calls at once, its capacity, and queues the others. A call takes
20 ms. For each capacity, several fixed concurrencies and "auto" run in turns. Then the capacity is halved during a run.

The bars are:

- 95 % of the best fixed throughput after the start phase, and 90 % with the start phase;
- a p95 of at most three times the p95 of single calls;
- the same bars three seconds after the capacity is halved.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Iterator

import attrs

from dialler_async import AutoConcurrency, DiallerClient, PoolConfig
from dialler_async._bulk.fan_out import Concurrency, fan_out

from .sandbox_process import SandboxProcess, sandbox_process

WORK = 0.020
POOL = 256
SETTLED_AFTER = 2.0
CAPACITIES = {2: (2, 3, 4), 8: (8, 10, 14), 32: (32, 36, 44, 64), 128: (32, 48, 64, 96, 128, 160)}


@attrs.frozen
class Run:
    """The results of a run.

    Attributes:
        ended: the end of each call, in seconds since the start.
        durations: the duration of each call, in seconds.
        levels: the changes of the concurrency: the seconds since the start, and the new value.
    """

    ended: list[float]
    durations: list[float]
    levels: list[tuple[float, int]]

    def throughput(self, since: float, until: float) -> float:
        """Return the calls per second in an interval."""
        return sum(since <= at < until for at in self.ended) / (until - since)

    def p95(self, since: float, until: float) -> float:
        """Return the 95th percentile of the durations in an interval, in seconds."""
        durations = sorted(
            duration for at, duration in zip(self.ended, self.durations, strict=True) if since <= at < until
        )
        return durations[int(0.95 * len(durations))]


async def run(
    sandbox: SandboxProcess, concurrency: Concurrency, seconds: float, change: Callable[[float], None] | None = None
) -> Run:
    """Look up result codes for some seconds, as `for_campaigns` does. `change(now)` is called after each lookup."""
    auto = AutoConcurrency(POOL) if concurrency == "auto" else None
    result = Run([], [], [])
    # This clears the journal, which would slow this run.
    sandbox.set()
    async with DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(limit=POOL)) as client:
        begin = time.perf_counter()

        def campaigns() -> Iterator[int]:
            while time.perf_counter() - begin < seconds:
                yield 535

        async def look_up(campaign: int) -> None:
            sent = time.perf_counter()
            await client.result_codes.list(campaign)
            now = time.perf_counter()
            result.durations.append(now - sent)
            result.ended.append(now - begin)
            if auto and (not result.levels or result.levels[-1][1] != auto.level):
                result.levels.append((now - begin, auto.level))

        async for outcome in fan_out(look_up, campaigns(), concurrency=auto or concurrency):
            if outcome.error:
                raise outcome.error
            if change:
                change(time.perf_counter() - begin)
    return result


def format_levels(levels: list[tuple[float, int]]) -> str:
    """Return a line with each level and the time when it began."""
    shown = levels if len(levels) <= 16 else [*levels[:11], *levels[-5:]]
    return " ".join(f"{level}@{at:.1f}s" for at, level in shown)


async def compare_at_capacity(sandbox: SandboxProcess, capacity: int, rounds: int, seconds: float) -> None:
    """Compare fixed concurrencies and "auto" at one capacity, and print the results."""
    sandbox.set(capacity=capacity)
    fixed: dict[int, list[float]] = {level: [] for level in CAPACITIES[capacity]}
    settled, whole, p95, single = [], [], [], []
    for _ in range(rounds):
        single_run = await run(sandbox, 1, 1.5)
        single.append(single_run.p95(0.2, 1.5))
        for level, throughputs in fixed.items():
            throughputs.append((await run(sandbox, level, seconds / 2)).throughput(0.5, seconds / 2))
        auto = await run(sandbox, "auto", seconds)
        settled.append(auto.throughput(SETTLED_AFTER, seconds))
        whole.append(auto.throughput(0, seconds))
        p95.append(auto.p95(SETTLED_AFTER, seconds))
    best_level = max(fixed, key=lambda level: statistics.median(fixed[level]))
    best = statistics.median(fixed[best_level])
    share = statistics.median(settled) / best
    share_whole = statistics.median(whole) / best
    slower = statistics.median(p95) / statistics.median(single)
    print(
        f"capacity {capacity}: best fixed {best_level} with {best:.0f}/s; auto {statistics.median(settled):.0f}/s:"
        f" {share:.1%} {_verdict(share >= 0.95)}; with the start"
        f" phase {share_whole:.1%} {_verdict(share_whole >= 0.9)};"
        f" p95 {statistics.median(p95) * 1000:.0f} ms, {slower:.2f} x {statistics.median(single) * 1000:.0f} ms"
        f" {_verdict(slower <= 3)}\n  last run: {format_levels(auto.levels)}",
        flush=True,
    )


async def halve_capacity(sandbox: SandboxProcess, capacity: int, seconds: float) -> None:
    """Halve the capacity during a run with "auto", and print the results."""
    sandbox.set(capacity=capacity)
    half = seconds / 2
    changed: list[float] = []

    def change(now: float) -> None:
        if now > half and not changed:
            changed.append(now)
            sandbox.set(capacity=capacity // 2)

    auto = await run(sandbox, "auto", seconds, change)
    since = changed[0] + 3
    sandbox.set(capacity=capacity // 2)
    best = max([(await run(sandbox, level, 3)).throughput(0.5, 3) for level in (capacity // 2, capacity * 3 // 4)])
    single = (await run(sandbox, 1, 1.5)).p95(0.2, 1.5)
    share, slower = auto.throughput(since, seconds) / best, auto.p95(since, seconds) / single
    print(
        f"capacity {capacity}, {capacity // 2} after {changed[0]:.1f} s: from 3 s later on {share:.1%} of the best"
        f" fixed {_verdict(share >= 0.95)}, p95 {slower:.2f} x {_verdict(slower <= 3)}\n  {format_levels(auto.levels)}",
        flush=True,
    )


def _verdict(holds: bool) -> str:
    return "(holds)" if holds else "(FALLS SHORT)"


async def main() -> None:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--capacities", type=int, nargs="+", choices=CAPACITIES, default=list(CAPACITIES))
    options = parser.parse_args()
    with sandbox_process(campaigns=5, latency=WORK) as sandbox:
        for capacity in options.capacities:
            await compare_at_capacity(sandbox, capacity, options.rounds, options.seconds)
        for capacity in (8, 32):
            await halve_capacity(sandbox, capacity, 2 * options.seconds)


if __name__ == "__main__":
    asyncio.run(main())
