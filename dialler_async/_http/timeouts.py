"""The timeouts of a call."""

import math
from typing import final

import aiohttp
import attrs

from ..errors import is_number, require


@final
@attrs.frozen(kw_only=True)
class Timeouts:
    """The timeouts of a call, in seconds. `math.inf` means no limit.

    Attributes:
        connect: maximum time for making a connection, with TLS, in one attempt. DNS lookups are not included; only
            `deadline` limits them.
        read: maximum time until a response begins, and between two parts of its body, in one attempt.
        deadline: maximum time for the whole call: attempts, delays between them, and the wait in the client's queue.
    Raises:
        ConfigurationError: a value is not a positive number.
    """

    connect: float = 10.0
    read: float = 30.0
    deadline: float = 120.0

    def __attrs_post_init__(self) -> None:
        for name in ("connect", "read", "deadline"):
            value = getattr(self, name)
            require(is_number(value) and value > 0, f"Timeouts({name}=…) must be a positive number of seconds")

    def of_attempt(self, *, read: bool) -> aiohttp.ClientTimeout:
        """Return aiohttp's timeouts for one attempt, with or without the read timeout.

        `total` and `connect` are not set, since waiting for a slot in aiohttp's pool would count against both.
        """
        # aiohttp rounds timeouts up, and can't round infinity.
        connect = None if self.connect == math.inf else self.connect
        return aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=self.read if read else None)
