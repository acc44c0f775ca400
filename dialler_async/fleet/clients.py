"""The clients of a worker: one connection pool for each server, shared by its accounts."""

import warnings
from typing import Final, final

import attrs
from redis.asyncio import Redis

from dialler_async._http.pool_config import PoolConfig
from dialler_async._http.retry import RetryPolicy
from dialler_async._http.timeouts import Timeouts
from dialler_async.client import ClientOptions, DiallerClient
from dialler_async.errors import ConfigurationError

from .limits import SharedRate
from .manifest import Fleet, Server

_RATE_LIMITED_DEADLINE: Final = 3600.0
"""Seconds that a call may take at a server with a `max_rate`, where calls of other workers come first."""


@final
class Clients:
    """Makes clients, and closes their pools.

    Args:
        fleet: The servers and accounts.
        redis: Where the workers share the rates of the servers; None if this process works alone.
    """

    def __init__(self, fleet: Fleet, redis: Redis | None = None) -> None:
        self._fleet = fleet
        self._redis = redis
        self._by_server: dict[str, DiallerClient] = {}

    def get(self, account: str) -> DiallerClient:
        """Return a client for an account. It needs no closing.

        Raises:
            ConfigurationError: There is no such account.
        """
        known = self._fleet.accounts.get(account)
        if known is None:
            raise ConfigurationError(f"the fleet.toml of this worker has no account “{account}”")
        client = self._by_server.get(known.server)
        if client is not None:
            return client.for_account(known.clients_id, known.token)
        server = self._fleet.servers[known.server]
        with warnings.catch_warnings():
            # `Server` has already warned of an unencrypted token.
            warnings.simplefilter("ignore", UserWarning)
            client = DiallerClient.for_server(server.url, known.clients_id, known.token, **self._options(server))
        self._by_server[known.server] = client
        return client

    async def aclose(self) -> None:
        """Close the pools of all servers."""
        for client in self._by_server.values():
            await client.aclose()

    def _options(self, server: Server) -> ClientOptions:
        # An audit can wait for the restart of a server.
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
            options["max_rate"] = SharedRate(server, self._redis)
            deadline = deadline or _RATE_LIMITED_DEADLINE
        if deadline is not None:
            options["timeouts"] = Timeouts(deadline=deadline)
        return options
