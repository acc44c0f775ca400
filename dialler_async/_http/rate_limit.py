"""The rate limiter of a client: calls per second."""

import math

from .._extras import needs_extra
from ..config import RateLimiter
from ..errors import ConfigurationError, is_number, require


def rate_limiter(max_rate: float | RateLimiter) -> RateLimiter:
    """Return the rate limiter for a value of `max_rate`.

    Args:
        max_rate: calls per second, or a rate limiter.
    Raises:
        ConfigurationError: the rate is out of range, or aiolimiter is not installed.
    """
    if isinstance(max_rate, RateLimiter):
        return max_rate
    # The limiter computes with the inverse, too.
    is_in_range = is_number(max_rate) and 0 < max_rate < math.inf and 0 < 2 / max_rate < math.inf
    require(is_in_range, "max_rate=… must be a positive number of calls per second, or a RateLimiter")
    try:
        from aiolimiter import AsyncLimiter
    except ImportError:
        raise ConfigurationError(needs_extra("max_rate=…", "rate")) from None
    # The bucket has a capacity of two, since timers are up to a millisecond late. Measured in the first second with 16
    # callers, at rates of 50, 200 and 1000 calls per second: a capacity of one allowed 49, 190 and 856 calls; a
    # capacity of two allowed 52, 201 and 986 calls.
    return AsyncLimiter(2, 2 / max_rate)
