"""What arrived at the sandbox and what became of it."""

from collections.abc import Mapping

from attrs import define, field


@define(eq=False)
class Received:
    """A request that arrived, in the journal as soon as its headers were read.

    `carried_out` and `status` are filled in when that happens, so they can still change for a
    request that is in flight.
    """

    method: str
    target: str
    """Path and query as they arrived, nothing decoded."""
    query: Mapping[str, str]
    """Query names and values, decoded; the first one where a name comes twice."""
    headers: Mapping[str, str] = field(repr=False)
    """Without `Authorization`: the token is kept nowhere. Names compare without case."""
    authorised: bool
    """Whether token and ClientsID were right when the headers arrived."""
    call: str | None
    """`list`, `get`, `find`, `result_codes`, `clone`, `delete`, `delete_by_name`, or None."""
    connection: int
    """The number of the TCP connection, counted from 1 in the order of their opening."""
    nth_on_connection: int
    """1 for the first request on its connection, more on a kept-alive one."""
    body: bytes = b""
    """Empty, too, when the sandbox hung up before reading it."""
    carried_out: bool = False
    """Whether the server did what was asked (its own answer is 200), told or not."""
    status: int | None = None
    """The status that went out to the client; None when none did."""

    @property
    def path(self) -> str:
        """The path as it arrived, nothing decoded."""
        return self.target.partition("?")[0]
