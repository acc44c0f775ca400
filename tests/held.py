"""A request that is held up, so that a test can do something meanwhile."""

import asyncio

from dialler_async.sandbox.exchange import Exchange
from dialler_async.sandbox.faults import Fault
from dialler_async.sandbox.response import Response


class Held(Fault):
    """Carried out at once or, by default, in the end; answered when a test lets it go, or the client hangs up."""

    def __init__(self, *, carried_out: bool = False) -> None:
        self._carried_out = carried_out
        self.arrived = asyncio.Event()
        self.let_go = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def play(self, exchange: Exchange) -> Response | None:
        reply = await exchange.carry_out() if self._carried_out else None
        self.arrived.set()
        waits = [asyncio.create_task(event.wait()) for event in (self.let_go, exchange.connection.closed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if exchange.connection.closed.is_set():
            self.hung_up.set()
            return None
        return reply or await exchange.carry_out()


async def soon(event: asyncio.Event) -> None:
    """Waits for what happens at once, or never."""
    await asyncio.wait_for(event.wait(), 10)
