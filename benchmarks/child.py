"""One measurement in a fresh process: `python -m benchmarks.child '{"measure": …}'` prints its figures as JSON."""

import asyncio
import compileall
import json
import resource
import statistics
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .ways import LIMIT, TOKEN, WAYS, Way, by_workers

WARM_UP = 200
"""Lookups before the clock starts: connections made, code warm."""


class Stopwatch:
    """CPU time of this process and wall time, per piece of work; and the most memory that the process ever had."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def figures(self, pieces: int = 1) -> dict[str, float]:
        """Seconds per piece since the start, and MiB."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"cpu": cpu / pieces, "wall": wall / pieces, "memory": peak_memory()}


def peak_memory() -> float:
    """The most memory that this process ever had, in MiB."""
    try:
        told = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(told.partition("VmHWM:")[2].split()[0]) / 1024


async def fan_out(way: Way, lookups: int) -> dict[str, float]:
    """Lookups, 32 at once."""
    await way.fan_out(range(1, WARM_UP + 1))
    watch = Stopwatch()
    assert await way.fan_out(range(1, lookups + 1)) == lookups
    return watch.figures(lookups)


async def one_by_one(way: Way, lookups: int) -> dict[str, float]:
    """One lookup after another."""
    await way.fan_out(range(1, WARM_UP + 1))
    watch = Stopwatch()
    for campaign in range(1, lookups + 1):
        await way.lookup(campaign)
    return watch.figures(lookups)


async def whole_list(way: Way) -> dict[str, float]:
    """The list of all campaigns, kept."""
    watch = Stopwatch()
    campaigns = await way.list()
    figures = watch.figures()
    del campaigns
    return figures


async def list_with_wires(way: Way) -> dict[str, float]:
    """The list of all campaigns, kept, and the record of each as the server sent it."""
    watch = Stopwatch()
    campaigns = await way.list()
    if isinstance(campaigns, Sequence):
        deque((campaign.wire for campaign in campaigns), maxlen=0)
    return watch.figures()


def decode_codes(body: str, decoder: str, times: int = 5000) -> dict[str, float]:
    """Decode the result codes of one lookup, without any request."""
    import orjson

    from dialler_async._api.decoding import RESULT_CODES
    from dialler_async._http.slices import finish

    codes = Path(body).read_bytes()
    decode: Callable[[], object] = {
        "ours": lambda: finish(RESULT_CODES(codes)),
        "orjson": lambda: orjson.loads(codes),
    }[decoder]
    for _ in range(WARM_UP):
        decode()
    watch = Stopwatch()
    for _ in range(times):
        decode()
    return watch.figures(times)


async def list_stop(way: Way) -> dict[str, float]:
    """The longest time for which the event loop stands still during the list."""
    return await longest_stop(way.list)


async def longest_stop(work: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """The longest time in which a task that only ever yields has no turn: of this thread's CPU time, and of wall time.

    CPU time tells what the work does; wall time includes whatever else runs on the machine.
    """
    cpu_stops, wall_stops = [0.0], [0.0]

    async def tick() -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        while True:
            await asyncio.sleep(0)
            cpu_now, wall_now = time.thread_time(), time.perf_counter()
            if cpu_now - cpu > cpu_stops[-1]:
                cpu_stops.append(cpu_now - cpu)
            if wall_now - wall > wall_stops[-1]:
                wall_stops.append(wall_now - wall)
            cpu, wall = cpu_now, wall_now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    # Kept until the ticker had its turn again: to let go of so much takes its time, too, but that is the caller's.
    result = await work()
    await asyncio.sleep(0)
    ticker.cancel()
    await asyncio.gather(ticker, return_exceptions=True)
    del result
    return {"cpu": cpu_stops[-1], "wall": wall_stops[-1]}


async def accounts(base_url: str, clients: int, lookups: int) -> dict[str, float]:
    """Lookups of ours, 32 at once, by so many clients of different accounts on one pool."""
    from dialler_async import DiallerClient, PoolConfig

    async with DiallerClient(base_url, TOKEN, pool=PoolConfig(limit=LIMIT)) as first:
        all_clients = [first, *(first.for_account(number, TOKEN) for number in range(2, clients + 1))]
        calls = [(all_clients[number % clients].result_codes.list, number + 1) for number in range(lookups)]

        async def call(what: tuple[Callable[..., Awaitable[Any]], int]) -> None:
            await what[0](what[1], language=2)

        await by_workers(call, calls[:WARM_UP])
        watch = Stopwatch()
        assert await by_workers(call, calls) == lookups
        return watch.figures(lookups)


async def own_work(part: str, calls: int) -> dict[str, float]:
    """What the client itself does for a lookup, without aiohttp and the wire: of `send`, or of a bare attempt only."""
    from unittest.mock import patch

    from dialler_async import DiallerClient
    from dialler_async._api import endpoints
    from dialler_async._http.call_trace import CallTrace
    from dialler_async._http.exchange import Exchange
    from dialler_async._http.response import Response
    from dialler_async._http.transport import _Call

    async def played(*_: object) -> Any:
        return Response(200, {}, b'{"records":[],"count":0,"status":200}')

    async def attempt(request: Any) -> Any:
        return await sender._attempt(_Call(request, CallTrace(request.sent, "", None)))

    request = endpoints.list_result_codes(535, 2)
    with patch.object(Exchange, "attempt", played):
        async with DiallerClient("http://127.0.0.1:1/rest/v1.0/1", TOKEN) as client:
            sender = client.result_codes._transport
            function = {"send": sender.send, "attempt": attempt}[part]
            for _ in range(WARM_UP):
                await function(request)
            watch = Stopwatch()
            for _ in range(calls):
                await function(request)
            return watch.figures(calls)


async def audit(base_url: str, token: str, concurrency: int) -> dict[str, float]:
    """An audit of the whole account in two languages, and how long a lookup takes while nothing else goes on."""
    from dialler_async import DiallerClient, PoolConfig
    from dialler_async.audit import audit

    async with DiallerClient(base_url, token, pool=PoolConfig(limit=concurrency)) as client:
        alone = []
        for campaign in [campaign.id or 0 for campaign in await client.campaigns.list()][:100]:
            watch = Stopwatch()
            await client.result_codes.list(campaign)
            alone.append(watch.figures()["wall"])
        watch = Stopwatch()
        report = await audit(client, concurrency=concurrency)
        assert not [finding for finding in report.findings if finding.rule == "unreachable-codes"]
        return watch.figures() | {"lookups": report.lookups, "alone": statistics.median(alone)}


def importing(module: str) -> dict[str, float]:
    """A module and all it brings along."""
    # As an installation does; without, Python may compile the source each time.
    compileall.compile_dir(Path(__file__).parent.parent / "dialler_async", quiet=1)
    watch = Stopwatch()
    import_module(module)
    return watch.figures()


def main() -> None:
    """Takes what to measure from the command line."""
    asked = json.loads(sys.argv[1])
    measure, way = asked.pop("measure"), asked.pop("way", None)
    sys.path.extend(asked.pop("path", []))

    async def measured() -> dict[str, float]:
        if way is None:
            return await globals()[measure](**asked)
        async with WAYS[way](asked.pop("base_url")) as opened:
            return await globals()[measure](opened, **asked)

    figures = globals()[measure](**asked) if measure in ("importing", "decode_codes") else asyncio.run(measured())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
