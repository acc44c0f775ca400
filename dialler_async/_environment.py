"""The client options in environment variables, for `DiallerClient.from_env` and the command line.

An empty variable counts as missing, except DIALLER_PROXY: an empty DIALLER_PROXY means no proxy.

No value is in an error message, and no value or environment is a local variable of a function that raises an error: a
tool that records tracebacks would record it. A token may also be in a wrong variable.
"""

import os
import re
from typing import Final, TypedDict

from ._http.transport_errors import strip_traceback
from .config import PoolConfig, RetryPolicy, Timeouts
from .errors import ConfigurationError

_DECIMAL: Final = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"


class PoolSettings(TypedDict, total=False):
    """The attributes of `PoolConfig` that the environment can set."""

    ca_file: str
    client_cert: str
    client_key: str
    proxy: str | None


class NetworkOptions(TypedDict, total=False):
    """The keyword arguments of `DiallerClient` that the environment can set."""

    pool: PoolConfig
    retry: RetryPolicy
    timeouts: Timeouts
    max_rate: float


def network_options() -> NetworkOptions:
    """Return the options that the environment sets, without base URL and token.

    Raises:
        ConfigurationError: a variable has an invalid value; the message names the variable.
    """
    options = _network_options()
    if isinstance(options, ConfigurationError):
        raise options
    return options


def _network_options() -> NetworkOptions | ConfigurationError:
    options = NetworkOptions()
    try:
        if settings := pool_settings():
            options["pool"] = PoolConfig(**settings)
        if (number := attempts()) is not None:
            options["retry"] = RetryPolicy(attempts=number)
        if (seconds := deadline()) is not None:
            options["timeouts"] = Timeouts(deadline=seconds)
        if (rate := max_rate()) is not None:
            options["max_rate"] = rate
    except ConfigurationError as error:
        return strip_traceback(error)
    return options


def base_url() -> str:
    """Return DIALLER_BASE_URL, or "" if it is missing."""
    return os.environ.get("DIALLER_BASE_URL", "")


def token() -> str:
    """Return DIALLER_TOKEN, or "" if it is missing."""
    return os.environ.get("DIALLER_TOKEN", "")


def pool_settings() -> PoolSettings:
    """Return the values of DIALLER_CA_FILE, DIALLER_CLIENT_CERT, DIALLER_CLIENT_KEY and DIALLER_PROXY."""
    settings = PoolSettings()
    if file := os.environ.get("DIALLER_CA_FILE"):
        settings["ca_file"] = file
    if file := os.environ.get("DIALLER_CLIENT_CERT"):
        settings["client_cert"] = file
    if file := os.environ.get("DIALLER_CLIENT_KEY"):
        settings["client_key"] = file
    if "DIALLER_PROXY" in os.environ:
        settings["proxy"] = os.environ["DIALLER_PROXY"] or None
    return settings


def attempts() -> int | None:
    """Return DIALLER_ATTEMPTS: the maximum number of attempts of a call.

    Raises:
        ConfigurationError: the value is not a positive integer.
    """
    text = _matching("DIALLER_ATTEMPTS", r"[1-9][0-9]{0,8}", "a whole number in digits, 1 or more")
    return None if text is None else int(text)


def deadline() -> float | None:
    """Return DIALLER_DEADLINE: the deadline of a call in seconds.

    Raises:
        ConfigurationError: the value is not a positive number.
    """
    return _decimal("DIALLER_DEADLINE")


def max_rate() -> float | None:
    """Return DIALLER_MAX_RATE: calls per second.

    Raises:
        ConfigurationError: the value is not a positive number.
    """
    return _decimal("DIALLER_MAX_RATE")


def _decimal(name: str) -> float | None:
    text = _matching(name, _DECIMAL, "a number above 0 in digits, such as 30 or 0.5")
    return None if text is None else float(text)


def _matching(name: str, pattern: str, accepted: str) -> str | None:
    # `float` and `int` alone would accept "5_3", "nan" and "inf".
    if os.environ.get(name) and not (re.fullmatch(pattern, os.environ[name]) and float(os.environ[name])):
        raise ConfigurationError(f"{name} must be {accepted}")
    return os.environ.get(name) or None
