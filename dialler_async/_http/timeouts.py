"""The timeouts of a call."""

from typing import final

import attrs

from ..errors import is_number, require


@final
@attrs.frozen(kw_only=True)
class Timeouts:
    """The timeouts of a call, in seconds. `math.inf` means no limit.

    Attributes:
        connect: maximum time for making a connection in one attempt: DNS lookup, all addresses of the host, proxy, and
            TLS. With `session=…`, aiohttp's `sock_connect` applies: only TCP and TLS are limited, for each address.
        read: maximum time until the headers of a response have arrived, then until the next part of its body, in one
            attempt. With `session=…`, aiohttp's `sock_read` applies: each received byte starts the time again.
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
