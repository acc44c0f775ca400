"""The circuit breaker of a client. Pure: times and random numbers are passed in.

While a server fails every request, all calls wait, and one of them probes the server. So no read fails in a short
outage, and a server that stays down gets little more than one request per call.

- Closed: every call is sent. `FAILURES_TO_OPEN` failed requests in a row open the circuit.
- Open: calls wait. When the backoff is over, one call is sent as a probe. A success closes the circuit; a failure
  doubles the backoff. A probe costs a token, and each call deposits `DEPOSIT` tokens.
- A call waits at most as long as the delays of its retries could take (`max_total_delay`). After this time, a call that
  was never sent is sent once. A call that was sent before fails with its latest error.

A response that a retry would not change, such as a 404, counts as a success: the server works.
"""

from enum import Enum
from typing import Final, final

from ..config import RetryPolicy
from ..errors import DiallerError, StatusError
from .retry import backoff, is_transient, max_total_delay

FAILURES_TO_OPEN: Final = 5
"""Failed requests in a row that open the circuit. With a lower number, a few unlucky calls would stop all others."""
TOKENS: Final = 10.0
"""Tokens at the start, and the maximum number of tokens."""
DEPOSIT: Final = 0.1
"""Tokens that each call deposits. While a server stays down, there is at most one probe for every ten calls."""


class Permit(Enum):
    """The next step of a call."""

    SEND = "send the request, since the circuit is closed"
    PROBE = "send the request as the probe of the open circuit"
    SEND_ONCE = "send the request once, although the circuit stays open, since it was never sent"
    GIVE_UP = "raise the latest error, since the circuit stays open"


@final
class CircuitBreaker:
    """A circuit breaker that counts the outcomes of all requests of a client.

    Attributes:
        is_open: whether calls wait.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self.is_open: bool = False
        self._policy = policy
        self._max_total_delay = max_total_delay(policy)
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
        """Deposit the tokens of a new call in the budget for probes."""
        if self._tokens < TOKENS:
            self._tokens = min(TOKENS, self._tokens + DEPOSIT)

    def permit(self, now: float, waiting_since: float, *, sent: bool) -> Permit | float:
        """Return the permit of a call, or the seconds until the call should ask again.

        Args:
            now: the time in seconds, from any clock that never goes backward.
            waiting_since: time of the call's first failure, or of the beginning of its wait.
            sent: whether the call was sent before.
        """
        if not self.is_open:
            return Permit.SEND
        may_probe = not self._probing and self._tokens >= 1
        # Calls that failed before probe first, since they have less time left. Also, a server may fail the first
        # request of each call. Then only the probe of a call that failed before succeeds.
        probe_at = self._probe_at if sent else self._probe_at + self._policy.base_delay
        if may_probe and now >= probe_at:
            self._probing = True
            self._tokens -= 1
            return Permit.PROBE
        give_up_at = self._give_up_at(waiting_since)
        if now >= give_up_at:
            return Permit.GIVE_UP if sent else Permit.SEND_ONCE
        return (min(give_up_at, probe_at) if may_probe else give_up_at) - now

    def must_give_up(self, now: float, waiting_since: float) -> bool:
        """Return whether the circuit is open, and a failed call has waited for its maximum time."""
        return self.is_open and now >= self._give_up_at(waiting_since)

    def record(self, now: float, random: float, outcome: object, *, probe: bool) -> bool:
        """Count the outcome of a request; return whether the circuit opened or closed, or a probe failed.

        Args:
            now: the time in seconds.
            random: a random number from 0 to 1.
            outcome: the result of the request. A transient error is a failure; all other results are successes.
            probe: whether the call was the probe.
        """
        if not (isinstance(outcome, DiallerError) and is_transient(outcome)):
            self._failures = 0
            self._last_success = now
            self._retry_after = 0.0
            if not self.is_open:
                return False
            self.is_open = self._probing = False
            if probe:
                self._tokens += 1
            return True
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
        """Let another call probe, since the probe ended without an outcome."""
        self._probing = False
        self._tokens += 1

    def _give_up_at(self, waiting_since: float) -> float:
        # If the server sends `Retry-After`, each of the retries waits for that time, too.
        pauses = (self._policy.attempts - 1) * self._retry_after
        return max(waiting_since, self._last_success) + self._max_total_delay + pauses
