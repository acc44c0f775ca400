"""The connection options, and the client that is made from them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import attrs
from cyclopts import Group, Parameter

from .. import DiallerClient
from .. import _environment as environment
from .._text.token_files import read_token_file
from ..client import ClientOptions
from ..config import PoolConfig, RetryPolicy, Timeouts
from ..observer import Observer
from .exits import UsageError, print_warnings, printed_log
from .numbers import Positive, PositiveDecimal
from .options import Flag


@Parameter(name="*", group=Group("Connection", sort_key=1))
@attrs.frozen(kw_only=True)
class ConnectionOptions:
    """The connection options of all commands that use one account.

    Attributes:
        base_url: URL of the account, such as https://acd.example.com/rest/v1.0/1. Default: DIALLER_BASE_URL.
        token_file: File that contains the token. Default: DIALLER_TOKEN.
        ca_file: PEM file of CA certificates to trust instead of the system's. Default: DIALLER_CA_FILE.
        client_cert: PEM file of a client certificate. Default: DIALLER_CLIENT_CERT.
        client_key: PEM file of its private key, if --client-cert does not contain it. Default: DIALLER_CLIENT_KEY.
        proxy: URL of a proxy. Default: DIALLER_PROXY, or HTTP_PROXY and HTTPS_PROXY.
            If the URL contains a password, set DIALLER_PROXY: other users can read arguments.
        max_rate: Maximum number of calls per second. Default: DIALLER_MAX_RATE. Needs the extra [rate].
        deadline: Maximum duration of a call in seconds, including retries. Default: DIALLER_DEADLINE, or 120.
        attempts: Maximum number of attempts of a call; 1 means no retries. Default: DIALLER_ATTEMPTS.
        verbose: Print each request on stderr: method, path template, status and time.
        sandbox: Use an embedded dialler with 500 generated campaigns. Needs no settings; changes are lost.
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
    verbose: Flag = False
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
            pool: the command's pool settings. Options and environment variables override them.
            retry: the command's retry policy. `--attempts` and DIALLER_ATTEMPTS override the number of attempts.
            observer: the observer of every call.
        Raises:
            UsageError: an option is missing, or two options contradict each other.
            ConfigurationError: the base URL, the token or an environment variable is invalid.
        """
        with printed_log() if self.verbose else nullcontext():
            async with self._open(pool, retry, observer) as dialler:
                yield dialler

    @asynccontextmanager
    async def _open(
        self, pool: PoolConfig, retry: RetryPolicy, observer: Observer | None
    ) -> AsyncIterator[DiallerClient]:
        if not self.sandbox:
            async with self._client(self._options(pool, retry, observer)) as dialler:
                yield dialler
            return
        if self.base_url is not None or self.token_file is not None:
            raise UsageError("--sandbox has its own base URL and token: leave out --base-url and --token-file")
        if any(option is not None for option in (self.ca_file, self.client_cert, self.client_key, self.proxy)):
            raise UsageError("--sandbox uses no TLS and no proxy: leave out certificates and --proxy")
        options = self._options(pool, retry, observer)
        # Imported here, because the import is slow and only --sandbox needs it.
        from ..sandbox import Sandbox

        async with (
            Sandbox(campaigns=500, seed=1) as sandbox,
            DiallerClient(sandbox.base_url, sandbox.token, **options) as dialler,
        ):
            yield dialler

    def _options(self, pool: PoolConfig, retry: RetryPolicy, observer: Observer | None) -> ClientOptions:
        options = ClientOptions(pool=attrs.evolve(pool, **self._network()), retry=retry, observer=observer)
        if (attempts := self.attempts or environment.attempts()) is not None:
            options["retry"] = attrs.evolve(retry, attempts=attempts)
        if (deadline := self.deadline or environment.deadline()) is not None:
            options["timeouts"] = Timeouts(deadline=deadline)
        if (max_rate := self.max_rate or environment.max_rate()) is not None:
            options["max_rate"] = max_rate
        return options

    def _network(self) -> environment.PoolSettings:
        """Return the attributes of `PoolConfig` that the options and the environment set."""
        if self.sandbox:
            return {"proxy": None}
        settings = environment.pool_settings()
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
        base_url = self.base_url or environment.base_url()
        if not base_url:
            raise UsageError("no base URL: set DIALLER_BASE_URL, or give --base-url (or try --sandbox)")
        return base_url

    def _token(self) -> str:
        if self.token_file is None:
            token = environment.token().strip()
            if not token:
                raise UsageError("no token: set DIALLER_TOKEN, or give --token-file (or try --sandbox)")
            return token
        return read_token_file(self.token_file, f"the token file {self.token_file}")


FROM_ENVIRONMENT = ConnectionOptions()
"""The default: the environment contains all settings."""
