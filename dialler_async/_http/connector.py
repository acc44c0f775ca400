"""The connector of a client's own sessions."""

from collections.abc import Callable

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from .aiohttp_internals import has_unsolicited_data


class TrackedRequest(aiohttp.ClientRequest):
    """A request that tells when it has its connection.

    Attributes:
        on_connected: called when `CheckingConnector` has the connection.
    """

    on_connected: Callable[[], None] | None = None


class CheckingConnector(aiohttp.TCPConnector):
    """A connector that closes an idle connection instead of reusing it if a response without a request has arrived.

    aiohttp would return that response as the response to the next request.
    """

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return a new connection, or an idle connection without unsolicited data."""
        while has_unsolicited_data(connection := await super().connect(req, traces, timeout)):
            connection.close()
        if isinstance(req, TrackedRequest) and req.on_connected is not None:
            req.on_connected()
        return connection
