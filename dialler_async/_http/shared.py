"""What the clients of one server share."""

from typing import final

import attrs

from ..observer import Observer
from .backpressure import Backpressure
from .headers import RequestHeaders
from .pool import Pool
from .rate_limit import RateLimiter
from .retry import RetryPolicy
from .timeouts import Timeouts


@final
@attrs.frozen
class Shared:
    """What a client shares with the clients of other accounts that are made from it.

    Attributes:
        pool: the connection pool.
        policy: the retry policy.
        timeouts: the timeouts.
        backpressure: the circuit breaker and the pauses.
        observer: the observer; None if there is none.
        headers: the headers of each request, without the token's.
        limiter: the rate limiter of a group of calls, besides the pool's; None for no limit.
    """

    pool: Pool
    policy: RetryPolicy
    timeouts: Timeouts
    backpressure: Backpressure
    observer: Observer | None
    headers: RequestHeaders
    limiter: RateLimiter | None = None
