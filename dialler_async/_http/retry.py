"""Decide whether a failed request is retried, and after which delay. Pure.

| request                       | never sent | lost after sending | 502, 504        | 429, 503       | 500     |
|-------------------------------|------------|--------------------|-----------------|----------------|---------|
| list, get, find, result codes | retry      | retry              | retry           | retry          | retry   |
| clone with `exist_ok`         | retry      | retry              | retry           | retry          | retry   |
| delete by ID                  | retry      | retry (1)          | retry (1)       | retry          | error   |
| clone, delete by name as is   | retry      | outcome unknown    | outcome unknown | retry (2)      | unknown |

(1) and a 404 to a retry means done; (2) only with a `Retry-After`, else the error.
Reads, and a clone with `exist_ok`, are also retried after a 408. Reads are also retried after a 200 whose body is no
JSON at all, such as the error page of a proxy. Any other status is an error at once, and so is any other 200 that is
not as documented. Where a write may have run all the same (after a 2xx or another 5xx), its outcome is unknown.

What limits retries when a server stays down is `circuit`: calls wait together, and one of them probes the server.
These alternatives were considered:

- A retry budget of 10 tokens with 0.1 for each call, as in gRPC A6. A burst of 32 lost connections spent it, and 22 of
  32 reads failed that a retry would have saved.
- botocore's quota of 500 tokens, with a refund for a retry that succeeds. It survives that burst, but a server that
  stays down sees 4 requests for each of the first hundred calls, and then reads fail without a retry.
- A rate that adapts to the errors, as in botocore's adaptive mode. It answers throttling, but not a closed port.

Source: API reference, "Status codes and error bodies" and the traps below "The seven calls" (a clone sent again answers
409 though it worked, a delete 404).
"""

from typing import Any, Final, final

import attrs

from .._api.endpoints import Repeat, Request
from ..errors import (
    ConflictError,
    ConnectError,
    DiallerError,
    NoReplyError,
    PayloadError,
    StatusError,
    is_number,
    require,
)

NOT_CARRIED_OUT: Final = frozenset({429, 503})
"""Statuses by which a server, or a proxy in front of it, turns a request away unread."""


@final
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often a call is retried, where that is safe, and after which delays.

    The bound of the backoff is `base_delay`, doubled with each attempt, up to `max_delay`. The delay is drawn between
    half of the bound and the bound ("equal jitter"), and is never shorter than a `Retry-After`.

    While a server fails every request, the calls of a client wait together, and one of them probes the server. Each
    waits as long as its own delays could have taken: 1.75 s with the defaults.

    Attributes:
        attempts: how often a call is sent at most; 1 means no retries.
        base_delay: seconds.
        max_delay: seconds.
        max_retry_after: longest `Retry-After` in seconds that is obeyed. If the server asks for more, the error is
            raised at once.
    """

    attempts: int = 4
    base_delay: float = 0.25
    max_delay: float = 8.0
    max_retry_after: float = 60.0

    @classmethod
    def patient(cls) -> "RetryPolicy":
        """Return the policy for nightly work: a call outlasts a server that is down for 30 s.

        A call is retried for 37 to 75 s. `Timeouts.deadline` has to be longer than that, as its default is.
        """
        return cls(attempts=12, base_delay=0.5, max_delay=10.0)

    def __attrs_post_init__(self) -> None:
        whole = type(self.attempts) is int and self.attempts >= 1
        require(whole, "RetryPolicy(attempts=…) is a positive int: the first try counts")
        for name in ("base_delay", "max_delay", "max_retry_after"):
            value = getattr(self, name)
            require(is_number(value) and value >= 0, f"RetryPolicy({name}=…) is a number, and not negative")


def decide(
    request: Request[Any], happened: DiallerError, *, attempt: int, time_left: float, random: float, policy: RetryPolicy
) -> float | None:
    """Return the seconds to wait before the request is retried, or None to stop.

    Args:
        request: what was sent.
        happened: how the attempt failed.
        attempt: how many attempts there were so far, this one included.
        time_left: seconds until the call's deadline.
        random: a number from 0 to 1.
        policy: the limits.
    """
    if attempt >= policy.attempts or not _may_retry(request, happened):
        return None
    wait = backoff(policy, attempt, random)
    retry_after = happened.retry_after if isinstance(happened, StatusError) else None
    if retry_after is not None:
        if retry_after > policy.max_retry_after:
            return None
        wait = max(wait, retry_after)
    return wait if wait < time_left else None


def backoff(policy: RetryPolicy, attempt: int, random: float) -> float:
    """Return the seconds to wait after an attempt that failed.

    Args:
        policy: the limits.
        attempt: which attempt it was; the first is 1.
        random: a number from 0 to 1.
    """
    return _bound(policy, attempt) * (0.5 + 0.5 * random)


def patience(policy: RetryPolicy) -> float:
    """Return the seconds that the delays between all attempts of a call take at most."""
    delays = policy.attempts - 1
    doubled = min(delays, _DOUBLINGS)
    seconds = sum(_bound(policy, attempt) for attempt in range(1, doubled + 1))
    return seconds + (delays - doubled) * _bound(policy, _DOUBLINGS) if delays > doubled else seconds


_DOUBLINGS: Final = 100
"""Beyond 2.0 ** 1023 there is no float. No delay needs to come near it."""


def _bound(policy: RetryPolicy, attempt: int) -> float:
    return min(policy.max_delay, policy.base_delay * 2.0 ** (min(attempt, _DOUBLINGS) - 1))


def is_transient(happened: DiallerError) -> bool:
    """Return whether a failure says that the server, or a proxy in front of it, doesn't work at the moment."""
    match happened:
        case NoReplyError():
            return True
        case StatusError():
            return happened.status in _TRANSIENT
        case PayloadError():
            return happened.not_json
        case _:
            return False


_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})


def _may_retry(request: Request[Any], happened: DiallerError) -> bool:
    repeat = request.repeat
    match happened:
        case ConnectError():
            return True
        case NoReplyError():
            return repeat is not Repeat.NEVER
        case StatusError(status=429 | 503):
            return repeat is not Repeat.NEVER or happened.retry_after is not None
        case StatusError(status=502 | 504):
            return repeat is not Repeat.NEVER
        case StatusError(status=408 | 500):
            return repeat is Repeat.SAFE
        case PayloadError():
            return happened.not_json and not request.is_write
        case _:
            return False


def may_be_carried_out(request: Request[Any], happened: DiallerError) -> bool:
    """Whether a write may have been carried out although its attempt failed in this way."""
    if not request.is_write:
        return False
    match happened:
        case ConnectError():
            return False
        case NoReplyError():
            return True
        case StatusError(status=500):
            # A delete by ID can be looked up and sent again by anyone who sees a 500; it is told as it is.
            return request.repeat is not Repeat.GONE_MEANS_DONE
        case StatusError():
            # A 2xx other than 200 is not documented, but hardly means that nothing was done.
            return happened.status < 300 or (happened.status > 500 and happened.status not in NOT_CARRIED_OUT)
        case PayloadError():
            # Whatever it was that answered said 200.
            return True
        case _:
            return False


def settles(request: Request[Any], happened: DiallerError) -> bool:
    """Whether this failure tells by itself what became of earlier attempts whose outcome is unknown.

    A conflict says that a clone's destination is there. What it says of a delete is documented nowhere.
    """
    return isinstance(happened, ConflictError) and request.repeat is Repeat.SAFE
