"""The objects that related clients share."""

from collections.abc import Callable
from typing import final

import attrs

from ..config import RateLimiter, RetryPolicy, Timeouts
from ..errors import ResponseInfo, require_type
from ..observer import Observer
from .headers import RequestHeaders
from .pool import Pool


@final
@attrs.frozen
class Shared:
    """The objects that a client shares with clients made by `for_account` and `with_options`.

    Attributes:
        pool: the connection pool.
        policy: the retry policy.
        timeouts: the timeouts.
        observer: the observer; None for no observer.
        headers: the headers of each request, without `Authorization`.
        limiter: the rate limiter of a group of calls, in addition to the pool's rate limiter; None for no limit.
        on_response: called with each response; None for no function.
    """

    pool: Pool
    policy: RetryPolicy
    timeouts: Timeouts
    observer: Observer | None
    headers: RequestHeaders
    limiter: RateLimiter | None = None
    on_response: Callable[[ResponseInfo], object] | None = None

    def __attrs_post_init__(self) -> None:
        require_type("retry", self.policy, RetryPolicy)
        require_type("timeouts", self.timeouts, Timeouts)
        if self.observer is not None:
            require_type("observer", self.observer, Observer)
