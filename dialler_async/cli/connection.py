"""The connection options of every command, and the client that they make."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from cyclopts import Group, Parameter

from dialler_async import DiallerClient, Timeouts
from dialler_async._http import environment
from dialler_async._http.pool_config import PoolConfig
from dialler_async._http.retry import RetryPolicy
from dialler_async._text.token_files import read_token_file
from dialler_async.client import ClientOptions
from dialler_async.observer import Observer

from .exits import UsageError, print_warnings
from .numbers import Positive, PositiveDecimal
from .options import Flag


@Parameter(name="*", group=Group("Connection", sort_key=1))
@attrs.frozen(kw_only=True)
class Connection:
    """The options that every command has.

    Attributes:
        base_url: Such as https://acd.example.com/rest/v1.0/1; otherwise DIALLER_BASE_URL.
        token_file: File that holds the token; otherwise DIALLER_TOKEN. Other users could read an argument.
        ca_file: PEM file with the CA certificates to trust, in place of the system's; otherwise DIALLER_CA_FILE.
        client_cert: PEM file with a client certificate; otherwise DIALLER_CLIENT_CERT.
        client_key: PEM file with its private key, if --client-cert does not hold it; otherwise DIALLER_CLIENT_KEY.
        proxy: Such as http://proxy.example.com:3128; otherwise DIALLER_PROXY, or HTTP_PROXY and the like. If it needs a
            password, use DIALLER_PROXY: others could read an argument.
        max_rate: Calls per second; otherwise DIALLER_MAX_RATE. Needs an extra: pip install 'dialler-async[rate]'.
        deadline: Seconds that a call may take, with its retries; otherwise DIALLER_DEADLINE, or 120.
        attempts: How often a call is sent, at most; 1 means no retries. Otherwise DIALLER_ATTEMPTS.
        sandbox: Talk to an embedded dialler with 500 made-up campaigns. Needs no settings; all changes are lost.
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
        """Yield a client with these options.

        Args:
            pool: the pool's settings that no option and no environment variable sets.
            retry: the command's retry policy. An option or the environment may set its number of attempts.
            observer: observes every call.

        Raises:
            UsageError: an option is missing or contradicts another.
            ConfigurationError: the base URL, the token or an environment variable is invalid.
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
        # Imported here, since other commands need no server.
        from dialler_async.sandbox import Sandbox

        async with (
            Sandbox(campaigns=500, seed=1) as sandbox,
            DiallerClient(sandbox.base_url, sandbox.token, **options) as dialler,
        ):
            yield dialler

    def _options(self, pool: PoolConfig, retry: RetryPolicy, observer: Observer | None) -> ClientOptions:
        options = ClientOptions(pool=attrs.evolve(pool, **self._network()), retry=retry, observer=observer)
        if (attempts := self.attempts or environment.attempts(os.environ)) is not None:
            options["retry"] = attrs.evolve(retry, attempts=attempts)
        if (deadline := self.deadline or environment.deadline(os.environ)) is not None:
            options["timeouts"] = Timeouts(deadline=deadline)
        if (max_rate := self.max_rate or environment.max_rate(os.environ)) is not None:
            options["max_rate"] = max_rate
        return options

    def _network(self) -> environment.PoolSettings:
        """Return the attributes of `PoolConfig` that the options and the environment set."""
        if self.sandbox:
            return {"proxy": None}
        settings = environment.pool_settings(os.environ)
        if self.ca_file is not None:
            settings["ca_file"] = str(self.ca_file)
        if self.client_cert is not None:
            settings["client_cert"] = str(self.client_cert)
        if self.client_key is not None:
            settings["client_key"] = str(self.client_key)
        if self.proxy:
            settings["proxy"] = self.proxy
        return settings

    def _client(self, options: ClientOptions) -> DiallerClient:
        with print_warnings():
            return DiallerClient(self._base_url(), self._token(), **options)

    def _base_url(self) -> str:
        base_url = self.base_url or environment.base_url(os.environ)
        if not base_url:
            raise UsageError("no base URL: set DIALLER_BASE_URL, or give --base-url (or try --sandbox)")
        return base_url

    def _token(self) -> str:
        if self.token_file is None:
            token = environment.token(os.environ).strip()
            if not token:
                raise UsageError("no token: set DIALLER_TOKEN, or give --token-file (or try --sandbox)")
            return token
        return read_token_file(self.token_file, f"the token file {self.token_file}")


FROM_ENVIRONMENT = Connection()
"""No options: the settings come from the environment."""
