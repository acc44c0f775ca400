"""Hold back retries while a server fails every request.

- A first attempt never waits.
- `FAILURES_TO_SHUT` failed requests in a row shut the gate. While it is shut, retries wait. One of them at a time is
  sent, when the shared backoff is over. Each such retry that fails doubles the backoff.
- A success opens the gate, and all retries that wait are sent.
- A call waits at most as long as the delays of all its retries can take, by its own policy.

So a server that stays down gets little more than one request per call, and a server that is back is used at once.
A response that a retry would not change, such as a 404, is a success: the server works.

A budget of retries was worse. With gRPC's, a burst of 32 lost connections failed 22 reads that a retry would have
saved. With botocore's, a server that stays down gets 4 requests for each of the first hundred calls.
"""

import asyncio
import logging
from typing import Final, final

from ..errors import DiallerError, StatusError
from .call import Call
from .clock import CLOCK
from .retry import backoff, is_transient, max_total_delay

_log = logging.getLogger("dialler_async")

FAILURES_TO_SHUT: Final = 5
"""Failed requests in a row that shut the gate. With a lower number, a few unlucky calls would hold up all others."""


@final
class RetryGate:
    """The gate that all retries of the clients with the same pool pass.

    Attributes:
        failures: failed requests in a row. A success of a call needs to be recorded only if there are any.
    """

    def __init__(self) -> None:
        self.failures: int = 0
        self._shut_at = 0.0
        self._failed_path = ""
        self._retry_after = 0.0
        self._retrying: Call[object] | None = None
        """The one retry in flight while the gate is shut."""
        self._failed_retries = 0
        self._backoff_from = 0.0
        self._jitter = 0.0
        """The random number of the shared backoff."""
        # A dict keeps the order of the calls, so that the first call is sent first.
        self._changes: dict[asyncio.Future[None], None] = {}

    @property
    def is_shut(self) -> bool:
        """Whether retries wait."""
        return self.failures >= FAILURES_TO_SHUT

    def shut_for(self) -> float:
        """Return the seconds for which the gate has been shut."""
        return CLOCK.monotonic() - self._shut_at

    async def wait(self, call: Call[object]) -> bool:
        """Return True when a retry may be sent, and False if the call has waited for as long as its policy allows."""
        arrived_at = CLOCK.monotonic()
        longest = max_total_delay(call.policy) - call.waited
        try:
            while self.is_shut:
                now = CLOCK.monotonic()
                delay = max(backoff(call.policy, self._failed_retries + 1, self._jitter), self._retry_after)
                turn_at = self._backoff_from + delay
                if self._retrying is None and now >= turn_at:
                    self._retrying = call
                    return True
                # If the server sends `Retry-After`, each of the retries waits for that time, too.
                give_up_at = arrived_at + longest + (call.policy.attempts - 1) * self._retry_after
                if now >= give_up_at:
                    return False
                await self._wait_for_change((give_up_at if self._retrying else min(give_up_at, turn_at)) - now)
            return True
        finally:
            call.waited += CLOCK.monotonic() - arrived_at

    def succeeded(self) -> None:
        """Open the gate, because a request succeeded."""
        if self.is_shut:
            _log.warning("the server works again after %.1f s: retries are sent", self.shut_for())
        self.failures = 0
        self._retry_after = 0.0
        self._retrying = None
        self._notify()

    def failed(self, call: Call[object], error: DiallerError) -> None:
        """Count the failure of an attempt. An error that a retry would not change counts as a success."""
        if not is_transient(error):
            self.succeeded()
            return
        was_shut = self.is_shut
        if isinstance(error, StatusError):
            if error.retry_after is not None and error.retry_after <= call.policy.max_retry_after:
                self._retry_after = max(self._retry_after, error.retry_after)
            # One record that always gets a 500 says nothing about the server.
            if error.status != 500 or call.request.path != self._failed_path:
                self.failures += 1
        else:
            self.failures += 1
        self._failed_path = call.request.path
        if self._retrying is call:
            self._failed_retries += 1
            self.leave(call)
        elif self.is_shut and not was_shut:
            _log.warning("the latest %d requests failed: retries wait until one succeeds", self.failures)
            self._shut_at = CLOCK.monotonic()
            self._failed_retries = 0
        else:
            return
        self._backoff_from = CLOCK.monotonic()
        self._jitter = CLOCK.random()

    def leave(self, call: Call[object]) -> None:
        """Let another retry be sent, because the attempt of a call has ended."""
        if self._retrying is call:
            self._retrying = None
            self._notify()

    async def _wait_for_change(self, timeout: float) -> None:
        """Wait until the gate changes, or until the timeout in seconds expires."""
        change = asyncio.get_running_loop().create_future()
        self._changes[change] = None
        timer = asyncio.ensure_future(CLOCK.sleep(timeout))
        try:
            await asyncio.wait((change, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            del self._changes[change]

    def _notify(self) -> None:
        for change in self._changes:
            if not change.done():
                change.set_result(None)
