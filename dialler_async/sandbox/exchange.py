"""A request in flight and its connection, as a fault uses them."""

from collections.abc import Awaitable, Callable

from attrs import define

from dialler_async.sandbox.connections import Connection
from dialler_async.sandbox.journal import Received
from dialler_async.sandbox.response import Response


@define(eq=False)
class Exchange:
    """A request in flight. The journal shows at once what is done here.

    Attributes:
        received: the request in the journal.
        connection: the connection on which it arrived.
        carry_out: does what the request asks for, and returns the correct response without sending it.
        keep_open: whether the connection serves further requests after a response that the fault sent itself.
    """

    received: Received
    connection: Connection
    carry_out: Callable[[], Awaitable[Response]]
    keep_open: bool = False

    def send_head(self, response: Response, length: int) -> None:
        """Send status line and headers with this Content-Length."""
        self.send(response.head(length), response.status)

    def send(self, data: bytes, status: int | None = None) -> None:
        """Send bytes. `status` is the status that they tell the client, if they do."""
        if self.connection.closed.is_set():
            return
        if status is not None:
            self.received.status = status
        self.connection.transport.write(data)

    def hang_up(self) -> None:
        """Close the connection as soon as everything is sent."""
        self.connection.transport.close()

    async def until_client_hangs_up(self) -> None:
        """Wait until the client or the sandbox closes the connection."""
        await self.connection.closed.wait()
