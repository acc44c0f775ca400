"""Client options by environment variables, for `DiallerClient.from_env` and the command line."""

import re
from collections.abc import Mapping
from typing import TypedDict

import attrs

from ..errors import ConfigurationError
from .pool_config import PoolConfig
from .retry import RetryPolicy
from .timeouts import Timeouts


class NetworkOptions(TypedDict, total=False):
    """Those keyword arguments of `DiallerClient` that the environment can set."""

    pool: PoolConfig
    retry: RetryPolicy
    timeouts: Timeouts
    max_rate: float


def network_options(
    environ: Mapping[str, str],
    *,
    pool: PoolConfig,
    retry: RetryPolicy,
    timeouts: Timeouts,
) -> NetworkOptions:
    """Return the options that environment variables set, on top of others.

    Args:
        environ: the variables `DIALLER_CA_FILE`, `DIALLER_CLIENT_CERT`, `DIALLER_CLIENT_KEY`, `DIALLER_PROXY` (empty
            for no proxy), `DIALLER_MAX_RATE` (calls per second), `DIALLER_DEADLINE` (seconds of a call) and
            `DIALLER_ATTEMPTS`. Any may be missing.
        pool: what the variables of the connection change.
        retry: what `DIALLER_ATTEMPTS` changes.
        timeouts: what `DIALLER_DEADLINE` changes.
    Raises:
        ConfigurationError: a variable can't work; the message names it.
    """
    pool = attrs.evolve(
        pool,
        ca_file=environ.get("DIALLER_CA_FILE") or pool.ca_file,
        client_cert=environ.get("DIALLER_CLIENT_CERT") or pool.client_cert,
        client_key=environ.get("DIALLER_CLIENT_KEY") or pool.client_key,
        proxy=environ.get("DIALLER_PROXY", pool.proxy) or None,
    )
    if (attempts := _number(environ, "DIALLER_ATTEMPTS", r"[1-9][0-9]*")) is not None:
        retry = attrs.evolve(retry, attempts=int(attempts))
    if (deadline := _number(environ, "DIALLER_DEADLINE", _DECIMAL)) is not None:
        timeouts = attrs.evolve(timeouts, deadline=float(deadline))
    options = NetworkOptions(pool=pool, retry=retry, timeouts=timeouts)
    if (max_rate := _number(environ, "DIALLER_MAX_RATE", _DECIMAL)) is not None:
        options["max_rate"] = float(max_rate)
    return options


_DECIMAL = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"


def _number(environ: Mapping[str, str], name: str, pattern: str) -> str | None:
    value = environ.get(name)
    if not value:
        return None
    # Not by `float` and `int`: they take "5_3", "nan" and "inf".
    if len(value) > 20 or not re.fullmatch(pattern, value) or not float(value):
        option = "--" + name.removeprefix("DIALLER_").lower().replace("_", "-")
        raise ConfigurationError(f"{name} ({option}) is a positive number in digits, not {value!r}")
    return value
