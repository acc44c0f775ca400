"""Decide whether a failed request is retried, and after which delay. Pure.

The table of what is retried is in the guide, `dialler_async/README.md`. `retry_gate` holds retries back while a server
stays down.

Source: API reference, "Status codes and error bodies" and the traps below "The seven calls". The retry of a successful
clone gets a 409; the retry of a successful delete gets a 404.
"""

from typing import Final

from .._api.endpoints import Idempotency, Request
from ..config import RetryPolicy
from ..errors import (
    ConflictError,
    ConnectError,
    DiallerError,
    NoReplyError,
    PayloadError,
    StatusError,
)

_REFUSED_BEFORE_RUN: Final = frozenset({429, 503})
"""Statuses with which a server or a proxy refuses a request before the request runs."""


def decide(
    request: Request[object], error: DiallerError, *, attempt: int, time_left: float, random: float, policy: RetryPolicy
) -> float | None:
    """Return the seconds to wait before the request is retried; None if it is not retried.

    Args:
        request: the request that failed.
        error: the error of the latest attempt.
        attempt: number of attempts so far.
        time_left: seconds until the call's deadline.
        random: a random number from 0 to 1, for the jitter.
        policy: the retry policy.
    """
    if attempt >= policy.attempts or not _may_retry(request, error):
        return None
    wait = backoff(policy, attempt, random)
    retry_after = error.retry_after if isinstance(error, StatusError) else None
    if retry_after is not None:
        if retry_after > policy.max_retry_after:
            return None
        wait = max(wait, retry_after)
    return wait if wait < time_left else None


def backoff(policy: RetryPolicy, attempt: int, random: float) -> float:
    """Return the seconds to wait after the failed attempt with this number; `random` is from 0 to 1."""
    return _max_delay(policy, attempt) * (0.5 + 0.5 * random)


def max_total_delay(policy: RetryPolicy) -> float:
    """Return the maximum sum of the delays between all attempts of a call, in seconds."""
    delays = policy.attempts - 1
    doubled = min(delays, _MAX_DOUBLINGS)
    seconds = sum(_max_delay(policy, attempt) for attempt in range(1, doubled + 1))
    return seconds + (delays - doubled) * _max_delay(policy, _MAX_DOUBLINGS) if delays > doubled else seconds


_MAX_DOUBLINGS: Final = 100
"""The limit prevents an overflow: 2.0 ** 1024 is too large for a float."""


def _max_delay(policy: RetryPolicy, attempt: int) -> float:
    return min(policy.max_delay, policy.base_delay * 2.0 ** (min(attempt, _MAX_DOUBLINGS) - 1))


def is_transient(error: DiallerError) -> bool:
    """Return whether an error shows that the server, or a proxy in front of it, does not work at the moment."""
    match error:
        case NoReplyError():
            return not error.permanent
        case StatusError():
            return error.status in _TRANSIENT
        case PayloadError():
            return error.not_json
        case _:
            return False


_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})


def _may_retry(request: Request[object], error: DiallerError) -> bool:
    idempotency = request.idempotency
    if idempotency is Idempotency.UNKNOWN:
        return False
    match error:
        case NoReplyError(permanent=True):
            return False
        case ConnectError():
            return True
        case NoReplyError():
            return idempotency is not Idempotency.NEVER
        case StatusError(status=429 | 503):
            return idempotency is not Idempotency.NEVER or error.retry_after is not None
        case StatusError(status=502 | 504):
            return idempotency is not Idempotency.NEVER
        case StatusError(status=408 | 500):
            return idempotency is Idempotency.SAFE
        case PayloadError():
            return error.not_json and not request.is_write
        case _:
            return False


def may_have_run(request: Request[object], error: DiallerError) -> bool:
    """Return whether a write may have run although its attempt failed with this error."""
    if not request.is_write:
        return False
    match error:
        case ConnectError():
            return False
        case NoReplyError():
            return True
        case StatusError(status=500):
            # A delete by ID is excluded: after a 500, the caller can look the campaign up and delete it again.
            return request.idempotency is not Idempotency.DELETE
        case StatusError():
            # A 2xx other than 200 is not documented, but the write has probably run.
            return error.status < 300 or (error.status > 500 and error.status not in _REFUSED_BEFORE_RUN)
        case PayloadError():
            # The status was 200. With UNKNOWN, the user's own decoder may have refused a valid JSON body.
            return error.not_json or request.idempotency is not Idempotency.UNKNOWN
        case _:
            return False


def resolves_outcome(request: Request[object], error: DiallerError) -> bool:
    """Return whether an error resolves the unknown outcome of earlier attempts.

    A conflict shows that the destination of a clone exists. For a delete, the API does not document conflicts.
    """
    return isinstance(error, ConflictError) and request.exists_after_409
