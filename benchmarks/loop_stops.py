"""How long the event loop stands still while a list of 10,000 campaigns is read: `python -m benchmarks.loop_stops`.

The body is 12 MB: 10,000 campaigns with the 13 published keys and 60 more. Measured is the longest time in which a
task that only ever yields had no turn, for the client's way (split, then structured slice by slice) and for decoding
and structuring in one go, interleaved, several times over.
"""

import argparse
import asyncio
import collections
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from dialler_async import codec
from dialler_async.sandbox import Sandbox


async def longest_stop(work: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
    """Seconds of the longest stop while the work runs, and of the whole work."""
    stops: list[float] = []

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            stops.append(now - last)
            last = now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    begun = time.perf_counter()
    await work()
    took = time.perf_counter() - begun
    await asyncio.sleep(0)
    ticker.cancel()
    await asyncio.gather(ticker, return_exceptions=True)
    return max(stops), took


async def sliced(body: bytes) -> None:
    """As the transport does it."""
    decoding = codec.CAMPAIGNS.decode(body)
    try:
        while True:
            next(decoding)
            await asyncio.sleep(0)
    except StopIteration:
        pass


async def in_one_go(body: bytes) -> None:
    """The same work without letting others run."""
    collections.deque(codec.CAMPAIGNS.decode(body), maxlen=0)


async def stdlib_json(body: bytes) -> None:
    """`await response.json()` without any structuring."""
    json.loads(body)


async def list_body(campaigns: int) -> bytes:
    """The list of a sandbox, as it goes over the wire."""
    async with Sandbox(campaigns=campaigns, seed=1, filler_keys=60) as sandbox:
        records = [dict(record) for record in sandbox.campaigns.values()]
    return msgspec.json.encode({"records": records, "count": len(records), "status": 200})


def report(name: str, stops: Iterable[float], took: Iterable[float]) -> str:
    """One line of the result."""
    stops = sorted(stops)
    return (
        f"{name:12} longest stop {statistics.median(stops) * 1000:6.1f} ms"
        f" ({stops[0] * 1000:.1f} to {stops[-1] * 1000:.1f}), whole {statistics.median(took) * 1000:6.1f} ms"
    )


async def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    body = await list_body(options.campaigns)
    print(f"{options.campaigns} campaigns, {len(body) / 1e6:.1f} MB, median of {options.runs} runs (range)")
    ways = {"sliced": sliced, "in one go": in_one_go, "json.loads": stdlib_json}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(options.runs):
        for name, way in ways.items():
            measured[name].append(await longest_stop(lambda way=way: way(body)))
    for name, runs in measured.items():
        print(report(name, [stop for stop, _ in runs], [took for _, took in runs]))


if __name__ == "__main__":
    asyncio.run(main())
