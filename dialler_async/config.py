"""The options of a client: `PoolConfig`, `Timeouts` and `RetryPolicy`, and the types of its other arguments.

The guide is `dialler_async/README.md`.

.. include:: README.md
"""

import math
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from ssl import SSLContext
from typing import Any, Final, Protocol, TypeAlias, final, runtime_checkable

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


_Validator: TypeAlias = Callable[[object, "attrs.Attribute[Any]", object], None]


def _must_be(accepted: str, is_valid: Callable[[object], bool]) -> _Validator:
    """Return a validator of an attribute; its error says which values are accepted."""

    def validate(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        require(is_valid(value), f"{type(instance).__name__}({attribute.name}=…) must be {accepted}")

    return validate


def _is_count(value: object) -> bool:
    return type(value) is int and 1 <= value <= sys.maxsize


def _is_time(value: object) -> bool:
    return is_number(value) and 0 <= value < math.inf


def _is_limit(value: object) -> bool:
    return is_number(value) and value > 0


def _is_file(value: object) -> bool:
    return value is None or (isinstance(value, str | os.PathLike) and bool(os.fspath(value)))


_A_COUNT: Final = _must_be("a positive int", _is_count)
_A_TIME: Final = _must_be("a number of seconds, and not negative", _is_time)
_A_LIMIT: Final = _must_be("a positive number of seconds; math.inf means no limit", _is_limit)
_A_FILE: Final = _must_be("the path of a file, or None", _is_file)


@public
@final
@attrs.frozen(kw_only=True)
class PoolConfig:
    """The network settings of a client.

    Attributes:
        limit: maximum number of calls in flight, and of connections that are kept for further reads. Further calls wait
            in a queue. A write opens a connection of its own beside those that are kept.
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

    limit: int = attrs.field(default=32, validator=_A_COUNT)
    max_body: int = attrs.field(default=256 * _MIB, validator=_A_COUNT)
    proxy: str | None = attrs.field(
        default=PROXY_FROM_ENVIRONMENT,
        repr=False,
        validator=_must_be("a URL, or None for no proxy", lambda value: value is None or isinstance(value, str)),
    )
    ca_file: str | os.PathLike[str] | None = attrs.field(default=None, validator=_A_FILE)
    client_cert: str | os.PathLike[str] | None = attrs.field(default=None, validator=_A_FILE)
    client_key: str | os.PathLike[str] | None = attrs.field(default=None, validator=_A_FILE)
    keep_alive: float = attrs.field(
        default=15.0, validator=_must_be("a positive number of seconds", lambda value: _is_time(value) and value != 0)
    )
    ssl: SSLContext | None = attrs.field(
        default=None,
        repr=False,
        validator=_must_be(
            "an ssl.SSLContext; to skip the verification, pass a context that skips it",
            lambda value: value is None or isinstance(value, SSLContext),
        ),
    )

    def __attrs_post_init__(self) -> None:
        files = (self.ca_file, self.client_cert, self.client_key)
        require(
            self.ssl is None or files == (None, None, None),
            "PoolConfig(ssl=…) can't be combined with ca_file, client_cert or client_key: load them into the context",
        )
        require(self.client_key is None or self.client_cert is not None, "PoolConfig(client_key=…) needs client_cert=…")


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

    connect: float = attrs.field(default=10.0, validator=_A_LIMIT)
    read: float = attrs.field(default=30.0, validator=_A_LIMIT)
    deadline: float = attrs.field(default=120.0, validator=_A_LIMIT)


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

    attempts: int = attrs.field(default=4, validator=_must_be("a positive int; 1 means no retries", _is_count))
    base_delay: float = attrs.field(default=0.25, validator=_A_TIME)
    max_delay: float = attrs.field(default=8.0, validator=_A_TIME)
    max_retry_after: float = attrs.field(default=60.0, validator=_A_TIME)

    @classmethod
    def patient(cls) -> "RetryPolicy":
        """Return a policy for nightly jobs: calls survive an outage of the server of 30 s.

        A call is retried for 37 to 75 s. `Timeouts.deadline` must be longer; the default is 120 s.
        """
        return cls(attempts=12, base_delay=0.5, max_delay=10.0)


@public
@runtime_checkable
class RateLimiter(Protocol):
    """A custom rate limiter, such as a limiter that several processes share."""

    async def acquire(self) -> object:
        """Wait until the next request may be sent. The result is ignored.

        The call raises what this raises, or an OutcomeUnknownError if it is a write that may have run.
        """
