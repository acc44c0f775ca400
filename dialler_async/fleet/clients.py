"""The clients of a worker. All accounts of a server share one connection pool."""

import warnings
from typing import Final, final

import attrs
from redis.asyncio import Redis

from dialler_async.client import ClientOptions, DiallerClient
from dialler_async.config import PoolConfig, RetryPolicy, Timeouts
from dialler_async.errors import ConfigurationError

from .limits import SharedRate
from .manifest import Fleet, Server

_RATE_LIMITED_DEADLINE: Final = 3600.0
"""Default deadline for a server with a `max_rate`, where a call may wait for the calls of other workers."""


@final
class Clients:
    """Creates clients, and closes their pools.

    Args:
        fleet: the servers and accounts.
        redis: the Redis in which workers share rate limits; None if this process runs all jobs.
    """

    def __init__(self, fleet: Fleet, redis: Redis | None = None) -> None:
        self._fleet = fleet
        self._redis = redis
        self._by_server: dict[str, DiallerClient] = {}

    def get(self, account: str) -> DiallerClient:
        """Return a client for an account. The caller need not close it.

        Raises:
            ConfigurationError: the fleet has no such account.
        """
        configured = self._fleet.accounts.get(account)
        if configured is None:
            raise ConfigurationError(f"the fleet.toml of this worker has no account “{account}”: add it")
        client = self._by_server.get(configured.server)
        if client is not None:
            return client.for_account(configured.clients_id, configured.token)
        server = self._fleet.servers[configured.server]
        with warnings.catch_warnings():
            # `Server` has already warned about an unencrypted token.
            warnings.simplefilter("ignore", UserWarning)
            client = DiallerClient.for_server(
                server.url, configured.clients_id, configured.token, **self._options(server)
            )
        self._by_server[configured.server] = client
        return client

    async def aclose(self) -> None:
        """Close the pools of all servers."""
        for client in self._by_server.values():
            await client.aclose()

    def _options(self, server: Server) -> ClientOptions:
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
            options["max_rate"] = SharedRate(server, self._redis)
            deadline = deadline or _RATE_LIMITED_DEADLINE
        if deadline is not None:
            options["timeouts"] = Timeouts(deadline=deadline)
        return options
