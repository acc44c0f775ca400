"""A pure decision: after (request, what happened, attempt), stop, or wait so long and repeat.

| request                       | never sent | lost after sending | 502, 504        | 429, 503       | 500     |
|-------------------------------|------------|--------------------|-----------------|----------------|---------|
| list, get, find, result codes | repeat     | repeat             | repeat          | repeat         | repeat  |
| clone with `exist_ok`         | repeat     | repeat             | repeat          | repeat         | repeat  |
| delete by ID                  | repeat     | repeat (1)         | repeat (1)      | repeat         | error   |
| clone, delete by name as is   | repeat     | outcome unknown    | outcome unknown | repeat (2)     | unknown |

(1) and a 404 to a repeat means done; (2) only with a `Retry-After`, else the error.
Any other status is an error at once, and so is a 200 that is not as documented; where a write may have been carried
out all the same (after a 2xx or another 5xx), its outcome is unknown.

Source: API reference, "Status codes and error bodies" and the traps below "The seven calls" (a clone sent again answers
409 though it worked, a delete 404).
"""

from typing import Any, Final, final

import attrs

from .endpoints import Repeat, Request
from .errors import (
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
    """How often and how patiently a call is repeated, where it may be.

    The wait before a repeat is drawn between 0 and `base_delay` doubled with each attempt, up to `max_delay` ("full
    jitter"), and is never shorter than a `Retry-After`.

    Attributes:
        attempts: how often a call is tried in all; 1 means no repeats.
        base_delay: seconds.
        max_delay: seconds.
        max_retry_after: seconds of `Retry-After` that are waited; asked for more, the error comes at once.
        budget: repeats allowed for each call made, over all calls of the client, so that repeats add no more than
            this share to the load of a server that is down; 10 more are allowed at the start.
    """

    attempts: int = 4
    base_delay: float = 0.25
    max_delay: float = 8.0
    max_retry_after: float = 60.0
    budget: float = 0.1

    def __attrs_post_init__(self) -> None:
        whole = type(self.attempts) is int and self.attempts >= 1
        require(whole, "RetryPolicy(attempts=…) is a positive int: the first try counts")
        for name in ("base_delay", "max_delay", "max_retry_after", "budget"):
            value = getattr(self, name)
            require(is_number(value) and value >= 0, f"RetryPolicy({name}=…) is a number, and not negative")


def decide(
    request: Request[Any], happened: DiallerError, *, attempt: int, time_left: float, random: float, policy: RetryPolicy
) -> float | None:
    """Seconds to wait before the request is sent again, or None to stop.

    Args:
        request: what was sent.
        happened: how the attempt failed.
        attempt: how many attempts there were so far, this one included.
        time_left: seconds until the call's deadline.
        random: a number from 0 to 1.
        policy: the limits.
    """
    if attempt >= policy.attempts or not _may_repeat(request.repeat, happened):
        return None
    # Beyond 2.0 ** 1023 there is no float; no delay needs to come near it.
    wait = random * min(policy.max_delay, policy.base_delay * 2.0 ** min(attempt - 1, 100))
    retry_after = happened.retry_after if isinstance(happened, StatusError) else None
    if retry_after is not None:
        if retry_after > policy.max_retry_after:
            return None
        wait = max(wait, retry_after)
    return wait if wait < time_left else None


def _may_repeat(repeat: Repeat, happened: DiallerError) -> bool:
    match happened:
        case ConnectError():
            return True
        case NoReplyError():
            return repeat is not Repeat.NEVER
        case StatusError(status=429 | 503):
            return repeat is not Repeat.NEVER or happened.retry_after is not None
        case StatusError(status=502 | 504):
            return repeat is not Repeat.NEVER
        case StatusError(status=500):
            return repeat is Repeat.SAFE
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


class Budget:
    """Repeats that may still be made: each call pays a share in, each repeat takes one out.

    When nothing fails it fills up to `START` and stays there; when everything fails, repeats soon come only with
    the calls that pay for them.
    """

    START: Final = 10.0

    def __init__(self, share: float) -> None:
        self._share = share
        self._repeats = self.START

    def pay_in(self) -> None:
        """A call was made."""
        self._repeats = min(self.START, self._repeats + self._share)

    def take_out(self) -> bool:
        """Whether one more repeat may be made; if so, it is counted."""
        if self._repeats < 1:
            return False
        self._repeats -= 1
        return True
