"""Responses of the sandbox, before they are sent."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from attrs import field, frozen

JSON_TYPE: Mapping[str, str] = {"Content-Type": "application/json"}


@frozen
class SandboxResponse:
    """The status, body and headers of a response, without Content-Length."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = JSON_TYPE

    def head(self, length: int) -> bytes:
        """Return the encoded status line and headers, with this Content-Length."""
        lines = [
            f"HTTP/1.1 {self.status} {phrase(self.status)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            f"Content-Length: {length}",
        ]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def phrase(status: int) -> str:
    """Return the reason phrase of a status, or "" if the status has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def error(status: int, message: str) -> SandboxResponse:
    """Return a response with the documented error body (API reference, "Status codes and error bodies")."""
    return SandboxResponse(status, msgspec.json.encode({"status": status, "error": message}))


# With an empty body, clients recognise a wrong URL. The response for a missing record has a JSON body.
NO_SUCH_ENDPOINT = SandboxResponse(404, headers={})
