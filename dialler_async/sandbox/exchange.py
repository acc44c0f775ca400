"""One request and the connection that it came on: what a fault can do with them."""

from collections.abc import Awaitable, Callable

from attrs import define

from dialler_async.sandbox.connections import Connection
from dialler_async.sandbox.journal import Received
from dialler_async.sandbox.reply import Reply


@define(eq=False)
class Exchange:
    """A request in flight. What is done here shows in the journal as it happens."""

    received: Received
    connection: Connection
    carry_out: Callable[[], Awaitable[Reply]]
    """Do what was asked and get the honest answer, without sending it."""
    keep_open: bool = False
    """Whether the connection serves further requests after an answer that was sent by hand."""

    def send_head(self, reply: Reply, length: int) -> None:
        """Put status line and headers on the wire, promising a body of `length` bytes."""
        self.send(reply.head(length), reply.status)

    def send(self, data: bytes, status: int | None = None) -> None:
        """Put bytes on the wire; with a `status`, if they tell the client one."""
        if self.connection.closed.is_set():
            return
        if status is not None:
            self.received.status = status
        self.connection.transport.write(data)

    def hang_up(self) -> None:
        """Close the connection after what was sent."""
        self.connection.transport.close()

    async def until_client_hangs_up(self) -> None:
        """Wait until the client closes the connection, or the sandbox does."""
        await self.connection.closed.wait()
