"""Make all calls of a client wait while the server is down or overloaded. `circuit` decides how long they wait."""

import asyncio
import logging
from typing import Protocol, final

from ..config import RetryPolicy
from .circuit import FAILURES_TO_OPEN, CircuitBreaker, Permit
from .clock import CLOCK

_log = logging.getLogger("dialler_async")


class WaitingCall(Protocol):
    """The attributes of a call that `Backpressure` reads and writes."""

    @property
    def attempts(self) -> int:
        """Number of attempts so far."""

    waiting_since: float | None
    """Time of the first failure, or of the beginning of the wait for the circuit; None if neither has happened."""
    probing: bool
    """Whether the attempt is the probe of an open circuit."""


@final
class Backpressure:
    """The circuit breaker and the pauses of a client, shared by all its calls.

    Attributes:
        circuit: the circuit breaker.
        paused_until: end of the pause, by the monotonic clock. A 429 with `Retry-After` pauses all calls.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self.circuit: CircuitBreaker = CircuitBreaker(policy)
        self.paused_until: float = 0.0
        self._max_pause: float = policy.max_retry_after
        # A dict keeps the order of the calls, so that the first call probes first.
        self._waiters: dict[asyncio.Future[None], None] = {}

    def pause(self, seconds: float | None) -> None:
        """Pause all calls after a 429. A pause longer than `max_retry_after` is ignored."""
        if seconds and seconds <= self._max_pause:
            self.paused_until = max(self.paused_until, CLOCK.monotonic() + seconds)

    def pause_left(self) -> float:
        """Return the seconds until the end of the pause; 0 or less without a pause."""
        if not self.paused_until:
            return 0.0
        left = self.paused_until - CLOCK.monotonic()
        if left <= 0:
            self.paused_until = 0.0
        return left

    async def admit(self, call: WaitingCall) -> Permit:
        """Return the circuit's permit for a call, after waiting for it."""
        while True:
            now = CLOCK.monotonic()
            if call.waiting_since is None and self.circuit.is_open:
                call.waiting_since = now
            permit = self.circuit.permit(now, call.waiting_since or now, sent=call.attempts > 0)
            if isinstance(permit, Permit):
                return permit
            await self._wait_for_change(permit)

    def record(self, call: WaitingCall, outcome: object) -> None:
        """Count the outcome of an attempt."""
        circuit = self.circuit
        was_open = circuit.is_open
        now = CLOCK.monotonic()
        open_for = circuit.open_for(now)
        probe, call.probing = call.probing, False
        if not circuit.record(now, CLOCK.random(), outcome, probe=probe):
            return
        if circuit.is_open and not was_open:
            _log.warning("circuit opened: the latest %d requests failed; calls wait", FAILURES_TO_OPEN)
        elif was_open and not circuit.is_open:
            _log.warning("circuit closed after %.1f s: the server works again", open_for)
        self._notify()

    def abandon_probe(self, call: WaitingCall) -> None:
        """Let another call probe, since this call was the probe and has ended without an outcome."""
        call.probing = False
        self.circuit.abandon_probe()
        self._notify()

    async def _wait_for_change(self, timeout: float) -> None:
        """Wait until the circuit changes, or until the timeout in seconds expires."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        timer = asyncio.ensure_future(CLOCK.sleep(timeout))
        try:
            await asyncio.wait((waiter, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            self._waiters.pop(waiter)

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
