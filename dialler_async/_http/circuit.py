"""The circuit breaker of a client: pure, given the time and chance.

While a server fails every request, calls wait for it together, and one of them probes it. So a short outage fails no
read, and a server that stays down sees few requests beyond one for each call.

- Closed: every call is sent. `FAILURES_TO_OPEN` failed requests in a row, with no success between them, open it.
- Open: calls wait. When the backoff is over, one call is sent as a probe. It closes the circuit if it works, and
  doubles the backoff if it fails. A probe costs a token, and each call deposits `DEPOSIT` tokens.
- A call waits as long as its own retries could have taken (`patience`). Then it is sent if it never was, and fails with
  its latest error if it was.

Any answer that a retry would not change, such as a 404, is a success: the server works.
"""

from enum import Enum
from typing import Final, final

from ..errors import DiallerError, StatusError
from .retry import RetryPolicy, backoff, is_transient, patience

FAILURES_TO_OPEN: Final = 5
"""Failed requests in a row. With fewer, a few unlucky calls would stop all others."""
TOKENS: Final = 10.0
"""Probes that may be sent at first; also the most that are saved."""
DEPOSIT: Final = 0.1
"""Tokens that each call adds, so that probes of a server that stays down add a tenth to its requests."""


class Permit(Enum):
    """What a call may do now."""

    SEND = "the circuit is closed"
    PROBE = "the circuit is open, and this call is the probe"
    LAST = "the circuit stays open, and this call was never sent"
    GIVE_UP = "the circuit stays open, and this call has failed before"


@final
class CircuitBreaker:
    """Whether a server works, by what came of the requests of all calls of a client.

    Attributes:
        is_open: whether calls wait.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self.is_open: bool = False
        self._policy = policy
        self._patience = patience(policy)
        self._failures = 0
        self._tokens = TOKENS
        self._opened_at = 0.0
        self._last_success = float("-inf")
        self._retry_after = 0.0
        self._probing = False
        self._probe_at = 0.0
        self._failed_probes = 0

    def open_for(self, now: float) -> float:
        """Return the seconds since the circuit opened; 0 if it is closed."""
        return now - self._opened_at if self.is_open else 0.0

    def deposit(self) -> None:
        """Count a call."""
        if self._tokens < TOKENS:
            self._tokens = min(TOKENS, self._tokens + DEPOSIT)

    def ask(self, now: float, waiting_since: float, *, sent: bool) -> Permit | float:
        """Return what a call may do now, or the seconds until it should ask again.

        Args:
            now: the time, of any clock that only goes forward, in seconds.
            waiting_since: when the call failed first, or began to wait here.
            sent: whether the call was sent before.
        """
        if not self.is_open:
            return Permit.SEND
        may_probe = not self._probing and self._tokens >= 1
        # Calls that failed before go first: they have less time left, and a server that fails the first request of
        # each call would fail a probe by any other.
        probe_at = self._probe_at if sent else self._probe_at + self._policy.base_delay
        if may_probe and now >= probe_at:
            self._probing = True
            self._tokens -= 1
            return Permit.PROBE
        give_up_at = self._give_up_at(waiting_since)
        if now >= give_up_at:
            return Permit.GIVE_UP if sent else Permit.LAST
        return (min(give_up_at, probe_at) if may_probe else give_up_at) - now

    def is_hopeless(self, now: float, waiting_since: float) -> bool:
        """Return whether a call that failed has waited as long as its retries may take."""
        return self.is_open and now >= self._give_up_at(waiting_since)

    def record(self, now: float, random: float, outcome: object, *, probe: bool) -> bool:
        """Count what came of a request; return whether the circuit opened or closed, or a probe failed.

        Args:
            now: the time.
            random: a number from 0 to 1.
            outcome: the error, or anything else for a success.
            probe: whether the call was the probe.
        """
        if not (isinstance(outcome, DiallerError) and is_transient(outcome)):
            return self._succeed(now, probe)
        if isinstance(outcome, StatusError) and (outcome.retry_after or 0.0) <= self._policy.max_retry_after:
            self._retry_after = max(self._retry_after, outcome.retry_after or 0.0)
        self._failures += 1
        if self.is_open:
            if not probe:
                return False
            self._probing = False
            self._failed_probes += 1
        elif self._failures >= FAILURES_TO_OPEN:
            self.is_open = True
            self._opened_at = now
            self._failed_probes = 0
        else:
            return False
        self._probe_at = now + max(backoff(self._policy, self._failed_probes + 1, random), self._retry_after)
        return True

    def abandon_probe(self) -> None:
        """Let another call probe: this one ended before anything was known."""
        self._probing = False
        self._tokens += 1

    def _succeed(self, now: float, probe: bool) -> bool:
        self._failures = 0
        self._last_success = now
        self._retry_after = 0.0
        if not self.is_open:
            return False
        self.is_open = self._probing = False
        if probe:
            self._tokens += 1
        return True

    def _give_up_at(self, waiting_since: float) -> float:
        # A server that asks for pauses is asked as often, and each time after the pause.
        pauses = (self._policy.attempts - 1) * self._retry_after
        return max(waiting_since, self._last_success) + self._patience + pauses
