"""The client options in environment variables, for `DiallerClient.from_env` and the command line.

An empty variable counts as missing, except DIALLER_PROXY: an empty DIALLER_PROXY means no proxy.
"""

import re
from collections.abc import Mapping
from typing import Final, TypedDict

from ..config import PoolConfig, RetryPolicy, Timeouts
from ..errors import ConfigurationError

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


def network_options(environ: Mapping[str, str]) -> NetworkOptions:
    """Return the options that the environment sets, without base URL and token.

    Raises:
        ConfigurationError: a variable has an invalid value; the message names the variable.
    """
    options = NetworkOptions()
    if settings := pool_settings(environ):
        options["pool"] = PoolConfig(**settings)
    if (number := attempts(environ)) is not None:
        options["retry"] = RetryPolicy(attempts=number)
    if (seconds := deadline(environ)) is not None:
        options["timeouts"] = Timeouts(deadline=seconds)
    if (rate := max_rate(environ)) is not None:
        options["max_rate"] = rate
    return options


def base_url(environ: Mapping[str, str]) -> str:
    """Return DIALLER_BASE_URL, or "" if it is missing."""
    return environ.get("DIALLER_BASE_URL", "")


def token(environ: Mapping[str, str]) -> str:
    """Return DIALLER_TOKEN, or "" if it is missing."""
    return environ.get("DIALLER_TOKEN", "")


def pool_settings(environ: Mapping[str, str]) -> PoolSettings:
    """Return the values of DIALLER_CA_FILE, DIALLER_CLIENT_CERT, DIALLER_CLIENT_KEY and DIALLER_PROXY."""
    settings = PoolSettings()
    if file := environ.get("DIALLER_CA_FILE"):
        settings["ca_file"] = file
    if file := environ.get("DIALLER_CLIENT_CERT"):
        settings["client_cert"] = file
    if file := environ.get("DIALLER_CLIENT_KEY"):
        settings["client_key"] = file
    if "DIALLER_PROXY" in environ:
        settings["proxy"] = environ["DIALLER_PROXY"] or None
    return settings


def attempts(environ: Mapping[str, str]) -> int | None:
    """Return DIALLER_ATTEMPTS: the maximum number of attempts of a call.

    Raises:
        ConfigurationError: the value is not a positive integer.
    """
    text = _matching(environ, "DIALLER_ATTEMPTS", r"[1-9][0-9]{0,8}", "a whole number in digits, 1 or more")
    return None if text is None else int(text)


def deadline(environ: Mapping[str, str]) -> float | None:
    """Return DIALLER_DEADLINE: the deadline of a call in seconds.

    Raises:
        ConfigurationError: the value is not a positive number.
    """
    return _decimal(environ, "DIALLER_DEADLINE")


def max_rate(environ: Mapping[str, str]) -> float | None:
    """Return DIALLER_MAX_RATE: calls per second.

    Raises:
        ConfigurationError: the value is not a positive number.
    """
    return _decimal(environ, "DIALLER_MAX_RATE")


def _decimal(environ: Mapping[str, str], name: str) -> float | None:
    text = _matching(environ, name, _DECIMAL, "a number above 0 in digits, such as 30 or 0.5")
    return None if text is None else float(text)


def _matching(environ: Mapping[str, str], name: str, pattern: str, accepted: str) -> str | None:
    value = environ.get(name)
    if not value:
        return None
    # `float` and `int` alone would accept "5_3", "nan" and "inf".
    if not re.fullmatch(pattern, value) or not float(value):
        raise ConfigurationError(f"{name} must be {accepted}, not {value[:20]!r}")
    return value
