"""A request in flight and its connection, for faults."""

from collections.abc import Awaitable, Callable

from attrs import define

from .connections import Connection
from .journal import Received
from .response import SandboxResponse


@define(eq=False)
class InFlightRequest:
    """A request in flight, to which `Fault.apply` responds. Its methods update the journal.

    Attributes:
        received: the request in the journal.
        connection: the connection on which it arrived.
        carry_out: a function that carries out the request and returns the correct response, without sending it.
        keep_open: whether the connection stays open for further requests after the fault sent a response itself.
    """

    received: Received
    connection: Connection
    carry_out: Callable[[], Awaitable[SandboxResponse]]
    keep_open: bool = False

    def send_head(self, response: SandboxResponse, length: int) -> None:
        """Send the status line and the headers, with this Content-Length."""
        self.send(response.head(length), response.status)

    def send(self, data: bytes, status: int | None = None) -> None:
        """Send bytes, and record `status` in the journal if they contain a status line."""
        if self.connection.closed.is_set():
            return
        if status is not None:
            self.received.status = status
        self.connection.transport.write(data)

    def close(self) -> None:
        """Close the connection after everything is sent."""
        self.connection.transport.close()

    async def wait_closed(self) -> None:
        """Wait until the client or the sandbox closes the connection."""
        await self.connection.closed.wait()
