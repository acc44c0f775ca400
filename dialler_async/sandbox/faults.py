"""Faults that the sandbox injects into single requests.

    sandbox.faults.next(Reset(carried_out=True), match="clone")
    sandbox.faults.chance(0.05, [Status(503, retry_after=1), StallInBody()], seed=1)

With `carried_out=True`, the server carries out the request before the fault. The journal shows whether it did. Use
`sandbox.refusing()` to refuse connections.
"""

import asyncio
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from attrs import evolve, field, frozen

from .in_flight_request import InFlightRequest
from .response import JSON_TYPE, SandboxResponse, error, phrase

_HTML_TYPE = {"Content-Type": "text/html"}
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})")
_CHUNK = bytes(2**20)


class Fault(ABC):
    """A fault of one request. Subclass it to write your own faults."""

    __slots__ = ()

    @property
    def reads_body(self) -> bool:
        """Whether the body of the request is read before the fault is applied."""
        return True

    @abstractmethod
    async def apply(self, request: InFlightRequest) -> SandboxResponse | None:
        """Apply the fault, and return the response to send.

        If it is None, nothing more is sent, and the connection is closed unless `request.keep_open` is set.
        """


@frozen
class Reset(Fault):
    """Reset the connection (RST) without a response, before the body is read or after the request is carried out."""

    carried_out: bool = False

    @property
    def reads_body(self) -> bool:
        return self.carried_out

    async def apply(self, request: InFlightRequest) -> None:
        if self.carried_out:
            await request.carry_out()
        request.connection.reset()


@frozen
class HangUp(Fault):
    """Close the connection (FIN) without a response.

    The same happens if the server closes a kept-alive connection while the client sends a request. To simulate that,
    match requests with `nth_on_connection > 1`.
    """

    carried_out: bool = False

    @property
    def reads_body(self) -> bool:
        return self.carried_out

    async def apply(self, request: InFlightRequest) -> None:
        if self.carried_out:
            await request.carry_out()
        request.close()


@frozen
class CloseAfterResponse(Fault):
    """Send a correct response without `Connection: close`, and then close the connection."""

    async def apply(self, request: InFlightRequest) -> None:
        response = await request.carry_out()
        request.send_head(response, len(response.body))
        request.send(response.body)
        request.close()


@frozen
class CutShort(Fault):
    """Send the headers and half of the body, and then close the connection."""

    async def apply(self, request: InFlightRequest) -> None:
        _send_half(request, await request.carry_out())
        request.close()


@frozen
class StallBeforeHeaders(Fault):
    """Send nothing, and keep the connection open until the client or the sandbox closes it."""

    carried_out: bool = False

    async def apply(self, request: InFlightRequest) -> None:
        if self.carried_out:
            await request.carry_out()
        await request.wait_closed()


@frozen
class StallInBody(Fault):
    """Send the headers and half of the body, and keep the connection open until the client or the sandbox closes it."""

    async def apply(self, request: InFlightRequest) -> None:
        _send_half(request, await request.carry_out())
        await request.wait_closed()


@frozen
class Trickle(Fault):
    """Send a correct response, one byte at a time."""

    async def apply(self, request: InFlightRequest) -> None:
        response = await request.carry_out()
        status: int | None = response.status
        for byte in response.head(len(response.body)) + response.body:
            request.send(bytes((byte,)), status)
            status = None
            # The loop sends the byte now, and other tasks run.
            await asyncio.sleep(0)
        request.keep_open = True


@frozen
class WrongLength(Fault):
    """Send a correct body whose Content-Length is wrong by `by` bytes.

    If the length is too large, the connection is closed after the body. If it is too small, the connection stays open,
    so the client receives the rest of the body before the next response.
    """

    by: int

    async def apply(self, request: InFlightRequest) -> None:
        response = await request.carry_out()
        request.send_head(response, max(0, len(response.body) + self.by))
        request.send(response.body)
        request.keep_open = self.by < 0


@frozen
class Gzipped(Fault):
    """Send a correct response that is compressed with gzip. This is not an error, but clients must support it."""

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        response = await request.carry_out()
        headers = {**response.headers, "Content-Encoding": "gzip"}
        return evolve(response, body=_gzip([response.body]), headers=headers)


@frozen
class GzipBomb(Fault):
    """Send a small response that decompresses to `mebibytes` MiB of zeros. The request is not carried out."""

    mebibytes: int

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        # In a thread, because compressing a large body takes seconds.
        body = await asyncio.to_thread(_gzip, [_CHUNK] * self.mebibytes)
        return SandboxResponse(200, body, {**JSON_TYPE, "Content-Encoding": "gzip"})


@frozen
class CannedResponse(Fault):
    """Send the given status, body and headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=lambda: JSON_TYPE)
    carried_out: bool = False

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        if self.carried_out:
            await request.carry_out()
        return SandboxResponse(self.status, self.body, self.headers)


@frozen
class Status(Fault):
    """Send an error status, with a JSON body like the server's (4xx, 500) or an HTML body like a proxy's (other 5xx).

    Attributes:
        status: the HTTP status.
        retry_after: the value of the `Retry-After` header: seconds, or an HTTP date.
        carried_out: whether the request is carried out before the response.
    """

    status: int
    retry_after: int | str | None = None
    carried_out: bool = False

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        if self.carried_out:
            await request.carry_out()
        response = _page(self.status) if self.status > 500 else error(self.status, phrase(self.status))
        if self.retry_after is None:
            return response
        return evolve(response, headers={**response.headers, "Retry-After": str(self.retry_after)})


@frozen
class Redirect(Fault):
    """Send a redirect, as a load balancer does. The request is not carried out."""

    location: str
    status: int = 301

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        return SandboxResponse(self.status, headers={"Location": self.location})


@frozen
class Html(Fault):
    """Send an HTML page, as proxies and login portals do. The default status is 200."""

    status: int = 200
    carried_out: bool = False

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        if self.carried_out:
            await request.carry_out()
        return _page(self.status)


@frozen
class Raw(Fault):
    """Send the given bytes unchanged, and then close the connection."""

    data: bytes
    carried_out: bool = False

    async def apply(self, request: InFlightRequest) -> None:
        if self.carried_out:
            await request.carry_out()
        status_line = _STATUS_LINE.match(self.data)
        request.send(self.data, None if status_line is None else int(status_line[1]))
        request.close()


@frozen
class Meanwhile(Fault):
    """Call a function, then execute the request and send the correct response.

    `Meanwhile(sandbox.revoke)` invalidates the token just before the request is carried out.

    Attributes:
        act: the function. It is called without arguments, in the event loop of the sandbox.
    """

    act: Callable[[], object]

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        self.act()
        return await request.carry_out()


def _send_half(request: InFlightRequest, response: SandboxResponse) -> None:
    request.send_head(response, len(response.body))
    request.send(response.body[: len(response.body) // 2])


def _page(status: int) -> SandboxResponse:
    title = f"{status} {phrase(status)}"
    return SandboxResponse(status, f"<html><body><h1>{title}</h1></body></html>\n".encode(), _HTML_TYPE)


def _gzip(chunks: list[bytes]) -> bytes:
    # Adding 16 to the window bits selects the gzip format.
    compressor = zlib.compressobj(level=9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(map(compressor.compress, chunks)) + compressor.flush()
