"""The journal: the requests that the sandbox received, and their outcomes."""

from collections.abc import Mapping
from typing import Final

from attrs import define, field
from multidict import CIMultiDict

_SECRET_HEADERS: Final = ("Authorization", "Proxy-Authorization", "Cookie")


@define(eq=False)
class Received:
    """A received request. The journal contains it as soon as its headers are read.

    While the request is in flight, `authorised`, `body`, `carried_out` and `status` can still change.

    Attributes:
        method: the HTTP method.
        target: the path and the query, still encoded.
        query: the decoded query; the first value if a name occurs twice.
        headers: the headers, with case-insensitive names. Secret values are redacted.
        authorised: whether the token and the ClientsID are valid. They are checked when the headers arrive, and again
            before the request is carried out.
        call: `list`, `get`, `find`, `result_codes`, `clone`, `delete`, `delete_by_name`; None for an unknown endpoint.
        connection: the number of the TCP connection; the first one is 1.
        nth_on_connection: the number of the request on its connection; the first one is 1.
        body: the body of the request; empty if the sandbox didn't read it.
        carried_out: whether the server carried out the request, even if the client received no response.
        status: the status that was sent; None if none was sent.
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
        """The path, still encoded."""
        return self.target.partition("?")[0]


def redact_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers without secrets. In `Authorization`, the scheme Bearer is kept."""
    kept = CIMultiDict(headers)
    for name in _SECRET_HEADERS:
        if name in kept:
            is_bearer = kept[name].lower().startswith("bearer ")
            kept[name] = "Bearer [redacted]" if is_bearer else "[redacted]"
    return kept
