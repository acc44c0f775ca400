"""A response of the server before it is sent."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from attrs import field, frozen

JSON_TYPE: Mapping[str, str] = {"Content-Type": "application/json"}


@frozen
class Response:
    """Status, body and headers of a response; the sender adds the length."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = JSON_TYPE

    def head(self, length: int) -> bytes:
        """Return the status line and the headers as bytes, with this Content-Length."""
        lines = [
            f"HTTP/1.1 {self.status} {phrase(self.status)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            f"Content-Length: {length}",
        ]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def phrase(status: int) -> str:
    """Return the reason phrase of a status, or an empty text if it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def error(status: int, message: str) -> Response:
    """Return a response with the documented error body (API reference, "Status codes and error bodies")."""
    return Response(status, msgspec.json.encode({"status": status, "error": message}))


# By its empty body, clients can tell a wrong address from a record that doesn't exist.
NO_SUCH_ENDPOINT = Response(404, headers={})
