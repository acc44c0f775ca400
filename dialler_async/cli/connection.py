"""Which dialler a command talks to: its options, and the client made of them."""

import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from cyclopts import Group, Parameter

from dialler_async import DiallerClient, PoolConfig
from dialler_async.observer import Observer

from .exits import UsageError, say
from .options import Flag


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
    sandbox
        Talk to an embedded dialler with 500 made-up campaigns. Needs no settings; all changes are lost.
    """

    base_url: str | None = None
    token_file: Path | None = None
    sandbox: Flag = False

    @asynccontextmanager
    async def open(
        self, pool: PoolConfig | None = None, *, observer: Observer | None = None
    ) -> AsyncIterator[DiallerClient]:
        """A client for these options.

        Args:
            pool: connections; the usual ones, if left out.
            observer: is told of every call.

        Raises:
            UsageError: an option is missing, or contradicts another.
            ConfigurationError: the base URL or the token can't work.
        """
        pool = pool or PoolConfig()
        if not self.sandbox:
            async with self._client(pool, observer) as dialler:
                yield dialler
            return
        if self.base_url is not None or self.token_file is not None:
            raise UsageError("--sandbox brings its own base URL and token: leave out --base-url and --token-file")
        # Only here, as no other command needs a server.
        from dialler_async.sandbox import Sandbox

        async with (
            Sandbox(campaigns=500, seed=1) as sandbox,
            DiallerClient(sandbox.base_url, sandbox.token, pool=pool, observer=observer) as dialler,
        ):
            yield dialler

    def _client(self, pool: PoolConfig, observer: Observer | None) -> DiallerClient:
        with warnings.catch_warnings(record=True, action="always") as warned:
            dialler = DiallerClient(self._base_url(), self._token(), pool=pool, observer=observer)
        # Without the place in our code that Python would add.
        for warning in warned:
            say(f"warning: {warning.message}")
        return dialler

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
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(f"can't read the token file {self.token_file}: {reason}") from None
        if not token:
            raise UsageError(f"the token file {self.token_file} is empty")
        return token


FROM_ENVIRONMENT = Connection()
"""No option given: settings come from the environment."""
