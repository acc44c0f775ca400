"""Run one measurement in this process: `python -m benchmarks.child '{"measure": …}'` prints its figures as JSON."""

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
"""Number of lookups before the measurement, which open connections and warm up the code."""


class Stopwatch:
    """Measures the CPU time of this process, the wall time, and the peak memory."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def figures(self, divisor: int = 1) -> dict[str, float]:
        """Return the seconds since the start, divided by `divisor`, and the peak memory in MiB."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"cpu": cpu / divisor, "wall": wall / divisor, "memory": peak_memory()}


def peak_memory() -> float:
    """Return the peak memory of this process in MiB."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def fan_out(way: Way, lookups: int) -> dict[str, float]:
    """Measure lookups, 32 at once."""
    await way.fan_out(range(1, WARM_UP + 1))
    watch = Stopwatch()
    assert await way.fan_out(range(1, lookups + 1)) == lookups
    return watch.figures(lookups)


async def fan_out_with_replacement(way: Way, lookups: int, replacement: str) -> dict[str, float]:
    """Measure lookups, 32 at once, with a part of this library replaced."""
    from .call_cost import REPLACEMENTS

    with REPLACEMENTS[replacement]():
        return await fan_out(way, lookups)


async def one_by_one(way: Way, lookups: int) -> dict[str, float]:
    """Measure sequential lookups."""
    await way.fan_out(range(1, WARM_UP + 1))
    watch = Stopwatch()
    for campaign in range(1, lookups + 1):
        await way.lookup(campaign)
    return watch.figures(lookups)


async def whole_list(way: Way) -> dict[str, float]:
    """Measure the list of all campaigns, which stays in memory."""
    watch = Stopwatch()
    campaigns = await way.list()
    figures = watch.figures()
    del campaigns
    return figures


async def list_with_wires(way: Way) -> dict[str, float]:
    """Measure the list of all campaigns, and the access to each `wire`."""
    watch = Stopwatch()
    campaigns = await way.list()
    if isinstance(campaigns, Sequence):
        deque((campaign.wire for campaign in campaigns), maxlen=0)
    return watch.figures()


def decode_codes(body: str, decoder: str, times: int = 5000) -> dict[str, float]:
    """Measure the decoding of the result codes of one lookup, without requests."""
    import orjson

    from dialler_async._api.decoding import RESULT_CODES
    from dialler_async._http.response import finish

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
    """Measure the longest time for which the list blocks the event loop."""
    return await longest_block(way.list)


async def longest_block(work: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """Return the longest time for which a task that always yields does not run, in CPU time and wall time.

    CPU time is what the work itself uses. Wall time includes other load on the machine.
    """
    cpu_blocks, wall_blocks = [0.0], [0.0]

    async def tick() -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        while True:
            await asyncio.sleep(0)
            cpu_now, wall_now = time.thread_time(), time.perf_counter()
            if cpu_now - cpu > cpu_blocks[-1]:
                cpu_blocks.append(cpu_now - cpu)
            if wall_now - wall > wall_blocks[-1]:
                wall_blocks.append(wall_now - wall)
            cpu, wall = cpu_now, wall_now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    # The result is kept until the ticker runs again, because freeing it takes time that is not measured.
    result = await work()
    await asyncio.sleep(0)
    ticker.cancel()
    await asyncio.gather(ticker, return_exceptions=True)
    del result
    return {"cpu": cpu_blocks[-1], "wall": wall_blocks[-1]}


async def accounts(base_url: str, clients: int, lookups: int) -> dict[str, float]:
    """Measure lookups, 32 at once, by several clients of different accounts on one pool."""
    from dialler_async import DiallerClient, PoolConfig

    async with DiallerClient(base_url, TOKEN, pool=PoolConfig(limit=LIMIT)) as first:
        all_clients = [first, *(first.for_account(number, TOKEN) for number in range(2, clients + 1))]
        calls = [(all_clients[number % clients].result_codes.list, number + 1) for number in range(lookups)]

        async def look_up(call: tuple[Callable[..., Awaitable[Any]], int]) -> None:
            list_codes, campaign = call
            await list_codes(campaign, language=2)

        await by_workers(look_up, calls[:WARM_UP])
        watch = Stopwatch()
        assert await by_workers(look_up, calls) == lookups
        return watch.figures(lookups)


async def own_work(part: str, calls: int) -> dict[str, float]:
    """Measure a lookup without network I/O: `send`, or a single attempt without retry and deadline."""
    from unittest.mock import patch

    from dialler_async import DiallerClient
    from dialler_async._api import endpoints
    from dialler_async._http.attempt import Sender
    from dialler_async._http.call import Call
    from dialler_async._http.response import Response

    async def respond(*_: object) -> Any:
        return Response(200, {}, b'{"records":[],"count":0,"status":200}')

    async def attempt(request: Any) -> Any:
        call = Call(request, sender._shared.policy, sender._shared.headers.of_call(), "", None)
        call.deadline = deadline
        return await sender._attempt(call)

    request = endpoints.list_result_codes(535, 2)
    with patch.object(Sender, "send", respond):
        async with DiallerClient("http://127.0.0.1:1/rest/v1.0/1", TOKEN) as client:
            sender = client.result_codes._transport
            deadline = sender._deadlines.start(asyncio.get_running_loop())
            function = {"send": sender.send, "attempt": attempt}[part]
            for _ in range(WARM_UP):
                await function(request)
            watch = Stopwatch()
            for _ in range(calls):
                await function(request)
            return watch.figures(calls)


async def audit(base_url: str, token: str, concurrency: int) -> dict[str, float]:
    """Measure an audit of the account in two languages, and single lookups before it."""
    from dialler_async import DiallerClient, PoolConfig
    from dialler_async.audit import audit

    async with DiallerClient(base_url, token, pool=PoolConfig(limit=concurrency)) as client:
        single = []
        for campaign in [campaign.id or 0 for campaign in await client.campaigns.list()][:100]:
            watch = Stopwatch()
            await client.result_codes.list(campaign)
            single.append(watch.figures()["wall"])
        watch = Stopwatch()
        report = await audit(client, concurrency=concurrency)
        assert not [finding for finding in report.findings if finding.rule == "unreachable-codes"]
        return watch.figures() | {"lookups": report.lookups, "alone": statistics.median(single)}


async def crowded_pool(client: str, base_url: str, token: str, callers: int, limit: int) -> dict[str, float]:
    """Measure lookups of more callers than there are connections. `wall` is the 99th percentile of a lookup."""
    import aiohttp

    from dialler_async import DiallerClient, PoolConfig

    async def measure(look_up: Callable[[int], Awaitable[object]]) -> dict[str, float]:
        times: list[float] = []

        async def call() -> None:
            for number in range(30):
                started = time.perf_counter()
                await look_up(1 + number % 10)
                times.append(time.perf_counter() - started)

        # This opens the connections.
        await asyncio.gather(*(look_up(1) for _ in range(limit)))
        watch = Stopwatch()
        await asyncio.gather(*(call() for _ in range(callers)))
        return watch.figures(len(times)) | {"wall": statistics.quantiles(times, n=100)[98]}

    if client == "ours":
        async with DiallerClient(base_url, token, pool=PoolConfig(limit=limit)) as dialler:
            return await measure(dialler.result_codes.list)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit), headers=headers) as session:

        async def look_up(campaign: int) -> object:
            url = f"{base_url}/dialler/campaigns/campaign/{campaign}/resultCodes?languagesID=2"
            async with session.get(url) as response:
                return await response.json()

        return await measure(look_up)


async def read_or_write(call: str, base_url: str, token: str, ca_file: str | None, times: int) -> dict[str, float]:
    """Measure reads on a kept connection, or clones, each on a connection of its own."""
    from dialler_async import DiallerClient, PoolConfig

    async with DiallerClient(base_url, token, pool=PoolConfig(ca_file=ca_file)) as client:
        (campaign,) = await client.campaigns.list()
        assert campaign.id is not None
        watch = Stopwatch()
        for number in range(times):
            if call == "read":
                await client.campaigns.get(campaign.id)
            else:
                await client.campaigns.clone(campaign.name, f"clone {number}")
        return watch.figures(times)


def import_time(module: str) -> dict[str, float]:
    """Measure the import of a module with its dependencies."""
    # An installation compiles the source. Without this, Python may compile it at each import.
    compileall.compile_dir(Path(__file__).parent.parent / "dialler_async", quiet=1)
    watch = Stopwatch()
    import_module(module)
    return watch.figures()


def main() -> None:
    """Run the measurement that the command line names."""
    options = json.loads(sys.argv[1])
    measure, way = options.pop("measure"), options.pop("way", None)
    sys.path.extend(options.pop("path", []))

    async def measured() -> dict[str, float]:
        if way is None:
            return await globals()[measure](**options)
        async with WAYS[way](options.pop("base_url")) as opened:
            return await globals()[measure](opened, **options)

    figures = globals()[measure](**options) if measure in ("import_time", "decode_codes") else asyncio.run(measured())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
