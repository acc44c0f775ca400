"""Which dialler a command talks to: its options, and the client made of them."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
from cyclopts import Group, Parameter

from dialler_async import DiallerClient, Timeouts
from dialler_async._http.pool import PoolConfig
from dialler_async._http.retry import RetryPolicy
from dialler_async._text.token_files import read_token_file
from dialler_async.client import Options
from dialler_async.observer import Observer

from .exits import UsageError, print_warnings
from .numbers import Positive, PositiveDecimal, positive, positive_decimal
from .options import Flag

_T = TypeVar("_T")


@Parameter(name="*", group=Group("Connection", sort_key=1))
@attrs.frozen(kw_only=True)
class Connection:
    """The options that every command has.

    Parameters
    ----------
    base_url
        Such as https://acd.example.com/rest/v1.0/1; otherwise DIALLER_BASE_URL.
    token_file
        File that holds the token; otherwise DIALLER_TOKEN. A token is never an argument: others could read it.
    ca_file
        PEM file with the CA certificates to trust, in place of the system's; otherwise DIALLER_CA_FILE.
    client_cert
        PEM file with a client certificate; otherwise DIALLER_CLIENT_CERT.
    client_key
        PEM file with its private key, if --client-cert does not hold it; otherwise DIALLER_CLIENT_KEY.
    proxy
        Such as http://proxy.example.com:3128; otherwise DIALLER_PROXY, or HTTP_PROXY and the like. If it needs a
        password, use DIALLER_PROXY: others could read an argument.
    max_rate
        Calls per second, at most; otherwise DIALLER_MAX_RATE. Needs the extra: pip install 'dialler-async[rate]'.
    deadline
        Seconds that a call may take, with its retries; otherwise DIALLER_DEADLINE, or 120.
    attempts
        How often a call is sent, at most; 1 means no retries. Otherwise DIALLER_ATTEMPTS.
    sandbox
        Talk to an embedded dialler with 500 made-up campaigns. Needs no settings; all changes are lost.
    """

    base_url: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    proxy: str | None = None
    max_rate: PositiveDecimal | None = None
    deadline: PositiveDecimal | None = None
    attempts: Positive | None = None
    sandbox: Flag = False

    @asynccontextmanager
    async def open(
        self,
        pool: PoolConfig = PoolConfig(),
        *,
        retry: RetryPolicy = RetryPolicy(),
        observer: Observer | None = None,
    ) -> AsyncIterator[DiallerClient]:
        """A client for these options.

        Args:
            pool: connections.
            retry: how the command retries, unless an option or the environment says how often.
            observer: is told of every call.

        Raises:
            UsageError: an option is missing, or contradicts another.
            ConfigurationError: the base URL or the token can't work.
        """
        if not self.sandbox:
            async with self._client(self._options(pool, retry, observer)) as dialler:
                yield dialler
            return
        if self.base_url is not None or self.token_file is not None:
            raise UsageError("--sandbox brings its own base URL and token: leave out --base-url and --token-file")
        if any(option is not None for option in (self.ca_file, self.client_cert, self.client_key, self.proxy)):
            raise UsageError("--sandbox is on this machine and without TLS: leave out certificates and --proxy")
        options = self._options(pool, retry, observer)
        # Only here, as no other command needs a server.
        from dialler_async.sandbox import Sandbox

        async with (
            Sandbox(campaigns=500, seed=1) as sandbox,
            DiallerClient(sandbox.base_url, sandbox.token, **options) as dialler,
        ):
            yield dialler

    def _options(self, pool: PoolConfig, retry: RetryPolicy, observer: Observer | None) -> Options:
        options = Options(pool=attrs.evolve(pool, **self._network()), retry=retry, observer=observer)
        if (attempts := self.attempts or _from_environment("DIALLER_ATTEMPTS", positive)) is not None:
            options["retry"] = attrs.evolve(retry, attempts=attempts)
        if (deadline := self.deadline or _from_environment("DIALLER_DEADLINE", positive_decimal)) is not None:
            options["timeouts"] = Timeouts(deadline=deadline)
        if (max_rate := self.max_rate or _from_environment("DIALLER_MAX_RATE", positive_decimal)) is not None:
            options["max_rate"] = max_rate
        return options

    def _network(self) -> dict[str, Any]:
        """Return what of `PoolConfig` the options and the environment settle."""
        if self.sandbox:
            return {"proxy": None}
        files = {
            "ca_file": self.ca_file or os.environ.get("DIALLER_CA_FILE"),
            "client_cert": self.client_cert or os.environ.get("DIALLER_CLIENT_CERT"),
            "client_key": self.client_key or os.environ.get("DIALLER_CLIENT_KEY"),
        }
        settled: dict[str, Any] = {name: str(file) for name, file in files.items() if file}
        # No local variable holds it, as it may have a password in it.
        if self.proxy or "DIALLER_PROXY" in os.environ:
            settled["proxy"] = self.proxy or os.environ["DIALLER_PROXY"] or None
        return settled

    def _client(self, options: Options) -> DiallerClient:
        with print_warnings():
            return DiallerClient(self._base_url(), self._token(), **options)

    def _base_url(self) -> str:
        base_url = self.base_url or os.environ.get("DIALLER_BASE_URL")
        if not base_url:
            raise UsageError("no base URL: set DIALLER_BASE_URL, or give --base-url (or try --sandbox)")
        return base_url

    def _token(self) -> str:
        if self.token_file is None:
            token = os.environ.get("DIALLER_TOKEN", "").strip()
            if not token:
                raise UsageError("no token: set DIALLER_TOKEN, or give --token-file (or try --sandbox)")
            return token
        return read_token_file(self.token_file, f"the token file {self.token_file}")


def _from_environment(name: str, convert: Callable[[str], _T]) -> _T | None:
    """Return what an environment variable says, or None where it is missing or empty."""
    text = os.environ.get(name)
    try:
        return convert(text) if text else None
    except ValueError as error:
        raise UsageError(f"Invalid value for {name}: {error}") from None


FROM_ENVIRONMENT = Connection()
"""No option given: settings come from the environment."""
