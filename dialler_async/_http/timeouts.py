"""How long a call may take."""

import math
from typing import final

import aiohttp
import attrs

from ..errors import is_number, require


@final
@attrs.frozen(kw_only=True)
class Timeouts:
    """How long a call may take, in seconds; `math.inf` sets no limit.

    Attributes:
        connect: to make a connection, TLS included, in one attempt. Looking up the host's name comes before that, and
            counts against `deadline` only.
        read: between two pieces of a response, in one attempt.
        deadline: for the whole call: its attempts, the delays between them, and the wait in the client's queue.
    Raises:
        ConfigurationError: a value is not a positive number.
    """

    connect: float = 10.0
    read: float = 30.0
    deadline: float = 120.0

    def __attrs_post_init__(self) -> None:
        for name in ("connect", "read", "deadline"):
            value = getattr(self, name)
            require(is_number(value) and value > 0, f"Timeouts({name}=…) is a positive number of seconds")

    def of_attempt(self) -> aiohttp.ClientTimeout:
        """Return aiohttp's timeouts for one attempt.

        Neither `total` nor `connect` is set: waiting for a place in aiohttp's pool would count against both.
        """
        # aiohttp would round infinity.
        connect = None if self.connect == math.inf else self.connect
        return aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=self.read)
