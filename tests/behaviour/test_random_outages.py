"""Random outages during random concurrent reads and writes, on real sockets and in real time.

An outage lasts at most 0.8 s, which is less than the shortest sum of delays between the attempts of a call. So no
read may fail, and no write may run twice. The server may receive only slightly more requests than there are calls.
"""

import asyncio
import json
import random
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from dialler_async import (
    ConnectError,
    DiallerClient,
    DiallerError,
    OutcomeUnknownError,
    PoolConfig,
    ServerError,
    StatusError,
    Timeouts,
)
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Fault, Reset, StallBeforeHeaders, Status
from dialler_async.sandbox.in_flight_request import InFlightRequest
from dialler_async.sandbox.response import SandboxResponse

pytestmark = pytest.mark.slow

FAULTS = {
    "reset": Reset(),
    "reset after execution": Reset(carried_out=True),
    "no response": StallBeforeHeaders(),
    **{f"{status}": Status(status) for status in (500, 502, 503, 504, 429)},
}
PHASES = ("refused", *FAULTS)
IN_FLIGHT = 16
PROBES = 12
CALLS = 120


class Outage(Fault):
    """Fails every request in the way of the current phase. The phase "" ends the outage."""

    reads_body = True

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._refusing = AsyncExitStack()
        self._phase = ""
        self.failed = 0

    async def enter(self, phase: str) -> None:
        await self._refusing.aclose()
        if phase == "refused":
            await self._refusing.enter_async_context(self._sandbox.refusing())
        self._phase = phase

    async def apply(self, request: InFlightRequest) -> SandboxResponse | None:
        if self._phase not in FAULTS:
            return await request.carry_out()
        self.failed += 1
        return await FAULTS[self._phase].apply(request)


def run_counts(sandbox: Sandbox) -> Counter[str]:
    """Return how often the server carried out each write."""
    counts: Counter[str] = Counter()
    for received in sandbox.journal:
        if received.carried_out and received.call == "clone":
            counts[f"clone {json.loads(received.body)['destination']}"] += 1
        elif received.carried_out and received.call == "delete":
            counts[f"delete {received.path.rpartition('/')[2]}"] += 1
    return counts


async def result_of(call: object) -> object:
    try:
        return await call  # type: ignore[misc]  any awaitable
    except DiallerError as error:
        return error


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize("seed", range(14))
async def test_reads_survive_and_writes_run_at_most_once_in_a_random_outage(seed: int) -> None:
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox([{"ID": id, "Name": f"A{id}"} for id in range(1, CALLS + 1)]))
        outage = Outage(sandbox)
        sandbox.faults.chance(1, [outage])
        timeouts = Timeouts(connect=5, read=0.25, deadline=30)
        pool = PoolConfig(limit=IN_FLIGHT)
        client = await stack.enter_async_context(
            DiallerClient(sandbox.base_url, sandbox.token, timeouts=timeouts, pool=pool)
        )
        await client.campaigns.get(1)
        kinds = [rng.choice(["get", "get", "get", "delete", "clone"]) for _ in range(rng.choice([1, 5, 40, CALLS]))]
        phases = rng.choices(PHASES, k=rng.randint(1, 3))
        loop = asyncio.get_running_loop()
        end = rng.uniform(0.1, 0.8)
        starts = sorted(rng.uniform(0, end) for _ in phases[1:])
        await outage.enter(phases[0])
        for start, phase in [*zip(starts, phases[1:], strict=True), (end, "")]:
            loop.call_later(start, lambda phase=phase: changes.append(loop.create_task(outage.enter(phase))))
        changes: list[asyncio.Task[None]] = []
        calls = {
            "get": lambda index: client.campaigns.get(index + 1),
            "delete": lambda index: client.campaigns.delete(index + 1),
            "clone": lambda index: client.campaigns.clone(f"A{index + 1}", f"C{index}"),
        }
        results = await asyncio.gather(*(result_of(calls[kind](index)) for index, kind in enumerate(kinds)))
        await asyncio.gather(*changes)
        ran_by_write = run_counts(sandbox)
    for index, (kind, result) in enumerate(zip(kinds, results, strict=True)):
        ran = ran_by_write[f"{kind} C{index}" if kind == "clone" else f"{kind} {index + 1}"]
        context = f"seed {seed}, {phases}, {kind} {index}: {result!r}"
        match kind:
            case "get":
                assert not isinstance(result, DiallerError), context
            case "delete":
                # A delete is retried until it succeeds, but a 500 is raised at once.
                assert ran == 1 or isinstance(result, ServerError | OutcomeUnknownError), context
                assert result is None or "500" in phases, context
            case _:
                assert ran <= 1, context
                assert isinstance(result, DiallerError) or ran == 1, context
                assert ran == 0 or not isinstance(result, ConnectError | StatusError), context
    # A first attempt never waits; of the retries, one at a time is sent.
    assert outage.failed <= 1.35 * len(kinds) + PROBES, (seed, phases)
