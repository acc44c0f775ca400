"""The options of a client: `PoolConfig`, `Timeouts` and `RetryPolicy`, and the types of its other arguments."""

import os
from collections.abc import Awaitable, Callable, Mapping
from ssl import SSLContext
from typing import Final, Protocol, TypeAlias, final, runtime_checkable

import attrs

from ._public import public
from .errors import is_number, require

__all__ = [
    "HeaderSource",
    "PoolConfig",
    "RateLimiter",
    "RetryPolicy",
    "Timeouts",
    "TokenSource",
]

BASE_PATH: Final = "/rest/v1.0"
"""Path of the API on its server. The account's ClientsID follows it.

Source: API reference, "Access".
"""

PROXY_FROM_ENVIRONMENT: Final = "environment"
"""The default of `PoolConfig.proxy`."""

_MIB: Final = 1024 * 1024

TokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that returns a token or an awaitable of a token.

The function is called before the first request and after a 401.
"""

HeaderSource: TypeAlias = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Headers, or a function that returns headers. The function is called once for each call, in the caller's context."""


@public
@final
@attrs.frozen(kw_only=True)
class PoolConfig:
    """The network settings of a client.

    Attributes:
        limit: maximum number of calls in flight, and so of open connections. Further calls wait in a queue.
        max_body: maximum size of a response in bytes, after decompression. A larger response raises PayloadError.
        proxy: URL of an HTTP proxy, with credentials if the proxy needs them; None for no proxy. By default, the
            environment variables `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` decide. A netrc file is never
            read.
        ca_file: PEM file of the trusted CAs for https, instead of the system's CAs.
        client_cert: PEM file of a client certificate. Without `client_key`, the file also contains the key.
        client_key: PEM file of the client certificate's key, without a passphrase.
        keep_alive: seconds after which an idle connection is closed.
        ssl: SSL context for https, instead of `ca_file`, `client_cert` and `client_key`.
    Raises:
        ConfigurationError: a value is out of range, or two values contradict each other.
    """

    limit: int = 32
    max_body: int = 256 * _MIB
    proxy: str | None = attrs.field(default=PROXY_FROM_ENVIRONMENT, repr=False)
    ca_file: str | os.PathLike[str] | None = None
    client_cert: str | os.PathLike[str] | None = None
    client_key: str | os.PathLike[str] | None = None
    keep_alive: float = 15.0
    ssl: SSLContext | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        require(type(self.limit) is int and self.limit >= 1, "PoolConfig(limit=…) must be a positive int")
        require(
            type(self.max_body) is int and self.max_body >= 1,
            "PoolConfig(max_body=…) must be a positive int, in bytes",
        )
        require(
            self.ssl is None or isinstance(self.ssl, SSLContext),
            "PoolConfig(ssl=…) must be an ssl.SSLContext; to skip the verification, pass a context that skips it",
        )
        files = (self.ca_file, self.client_cert, self.client_key)
        require(
            self.ssl is None or files == (None, None, None),
            "PoolConfig(ssl=…) can't be combined with ca_file, client_cert or client_key: load them into the context",
        )
        require(self.client_key is None or self.client_cert is not None, "PoolConfig(client_key=…) needs client_cert=…")
        require(
            is_number(self.keep_alive) and self.keep_alive > 0,
            "PoolConfig(keep_alive=…) must be a positive number of seconds",
        )
        require(
            self.proxy is None or isinstance(self.proxy, str), "PoolConfig(proxy=…) must be a URL, or None for no proxy"
        )


@public
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


@public
@final
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """The number of attempts of a call, and the delays between them.

    The backoff begins with `base_delay` and doubles with each attempt, up to `max_delay`. Each delay is a random time
    between half of the backoff and the backoff ("equal jitter"), but not shorter than a `Retry-After`.

    While a server fails every request, retries wait for each other: one at a time is sent, until one succeeds. A call
    waits at most as long as all its delays could take: 1.75 s with the defaults.

    Attributes:
        attempts: maximum number of attempts; 1 means no retries.
        base_delay: maximum of the first delay, in seconds.
        max_delay: maximum of all delays, in seconds.
        max_retry_after: longest `Retry-After` that is obeyed, in seconds. If the server sends a longer time, the error
            is raised without a retry.
    Raises:
        ConfigurationError: a value is out of range.
    """

    attempts: int = 4
    base_delay: float = 0.25
    max_delay: float = 8.0
    max_retry_after: float = 60.0

    @classmethod
    def patient(cls) -> "RetryPolicy":
        """Return a policy for nightly jobs: calls survive an outage of the server of 30 s.

        A call is retried for 37 to 75 s. `Timeouts.deadline` must be longer; the default is 120 s.
        """
        return cls(attempts=12, base_delay=0.5, max_delay=10.0)

    def __attrs_post_init__(self) -> None:
        is_positive_int = type(self.attempts) is int and self.attempts >= 1
        require(is_positive_int, "RetryPolicy(attempts=…) must be a positive int; 1 means no retries")
        for name in ("base_delay", "max_delay", "max_retry_after"):
            value = getattr(self, name)
            is_valid = is_number(value) and value >= 0
            require(is_valid, f"RetryPolicy({name}=…) must be a number of seconds, and not negative")


@public
@runtime_checkable
class RateLimiter(Protocol):
    """A custom rate limiter, such as a limiter that several processes share."""

    async def acquire(self) -> object:
        """Wait until the next request may be sent. The result is ignored."""
