"""The clients of one process. All accounts of a server share one connection pool, and what its limits have learnt."""

import warnings
from typing import Final, Self, final

import attrs

from .._bulk.auto_concurrency import AutoConcurrency
from ..client import ClientOptions, DiallerClient
from ..config import PoolConfig, RetryPolicy, Timeouts
from .manifest import Account, Server
from .reachability import Reachability

_RATE_LIMITED_DEADLINE: Final = 3600.0
"""Default deadline for a server with a `max_rate`, where a call waits for the calls of other accounts."""


@final
class ServerClients:
    """The clients of the accounts of a server. `async with` closes them.

    Args:
        server: the server.
    Attributes:
        concurrency: the number of concurrent lookups of an account, as learnt from all accounts.
        reachability: whether the server answers.
    """

    def __init__(self, server: Server) -> None:
        self.reachability: Final = Reachability()
        self._server = server
        self._options: ClientOptions = {**client_options(server), "observer": self.reachability}
        self.concurrency: Final = AutoConcurrency(self._options["pool"].limit)
        self._first: DiallerClient | None = None

    def get(self, account: Account) -> DiallerClient:
        """Return a client for an account. The caller need not close it."""
        if self._first is not None:
            return self._first.for_account(account.clients_id, account.token)
        with warnings.catch_warnings():
            # `Server` has already warned about an unencrypted token.
            warnings.simplefilter("ignore", UserWarning)
            self._first = DiallerClient.for_server(self._server.url, account.clients_id, account.token, **self._options)
        return self._first

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the pool, without waiting for calls in flight."""
        if self._first is not None:
            await self._first.aclose(timeout=0)


def client_options(server: Server) -> ClientOptions:
    """Return the options of the clients of a server."""
    # An audit has time to wait for the restart of a server.
    retry = RetryPolicy.patient()
    if server.attempts is not None:
        retry = attrs.evolve(retry, attempts=server.attempts)
    pool = PoolConfig(ca_file=server.ca_file, client_cert=server.client_cert, client_key=server.client_key)
    if server.max_concurrency is not None:
        pool = attrs.evolve(pool, limit=server.max_concurrency)
    if server.proxy is not None:
        pool = attrs.evolve(pool, proxy=server.proxy or None)
    options = ClientOptions(retry=retry, pool=pool)
    deadline = server.deadline
    if server.max_rate is not None:
        options["max_rate"] = server.max_rate
        deadline = deadline or _RATE_LIMITED_DEADLINE
    if deadline is not None:
        options["timeouts"] = Timeouts(deadline=deadline)
    return options
