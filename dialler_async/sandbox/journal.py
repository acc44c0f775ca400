"""The journal: which requests arrived at the sandbox, and what became of them."""

from collections.abc import Mapping
from typing import Final

from attrs import define, field
from multidict import CIMultiDict

_SECRET_HEADERS: Final = ("Authorization", "Proxy-Authorization", "Cookie")


@define(eq=False)
class Received:
    """A request that arrived. It stands in the journal as soon as its headers were read.

    While the request is in flight, `authorised`, `body`, `carried_out` and `status` can still change.

    Attributes:
        method: HTTP method.
        target: path and query as they arrived, not decoded.
        query: decoded query names and values; the first value if a name comes twice.
        headers: header names compare without case; secret values are redacted.
        authorised: whether token and ClientsID were right when the headers arrived.
        call: `list`, `get`, `find`, `result_codes`, `clone`, `delete`, `delete_by_name`, or None.
        connection: number of the TCP connection; the first one that was opened is 1.
        nth_on_connection: 1 for the first request on its connection, more on a kept-alive one.
        body: body of the request; also empty if the sandbox closed the connection before it read the body.
        carried_out: whether the server did what the request asks for, even if the client never got the response.
        status: status that was sent to the client; None if none was.
    """

    method: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    authorised: bool
    call: str | None
    connection: int
    nth_on_connection: int
    body: bytes = b""
    carried_out: bool = False
    status: int | None = None

    @property
    def path(self) -> str:
        """The path as it arrived, not decoded."""
        return self.target.partition("?")[0]


def redacted(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers without secrets; of `Authorization`, the scheme is kept if it is Bearer."""
    kept = CIMultiDict(headers)
    for name in _SECRET_HEADERS:
        if name in kept:
            is_bearer = kept[name].lower().startswith("bearer ")
            kept[name] = "Bearer [redacted]" if is_bearer else "[redacted]"
    return kept
