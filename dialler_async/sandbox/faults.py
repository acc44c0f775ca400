"""Faults: what can go wrong with a single request between a client and the dialler.

    sandbox.faults.next(Reset(carried_out=True), match="clone")
    sandbox.faults.chance(0.05, [Status(503, retry_after=1), StallInBody()], seed=1)

With `carried_out=True` the server first does what the request asks for; the journal shows whether it did. No fault can
refuse a connection, because a request has one already: `sandbox.refusing()` does that.
"""

import asyncio
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from attrs import evolve, field, frozen

from dialler_async.sandbox.exchange import Exchange
from dialler_async.sandbox.response import JSON_TYPE, Response, error, phrase

_HTML_TYPE = {"Content-Type": "text/html"}
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})")
_CHUNK = bytes(2**20)


class Fault(ABC):
    """Something that goes wrong with one request. Subclass it for your own faults."""

    __slots__ = ()

    @property
    def reads_body(self) -> bool:
        """Whether the body of the request is read before the fault happens."""
        return True

    @abstractmethod
    async def play(self, exchange: Exchange) -> Response | None:
        """Apply the fault, and return the response to send.

        None sends nothing more. Then the connection is closed, unless `exchange.keep_open` is set.
        """


@frozen
class Reset(Fault):
    """Reset the connection (RST) without a response: before the request is read, or after it was carried out."""

    carried_out: bool = False

    @property
    def reads_body(self) -> bool:
        return self.carried_out

    async def play(self, exchange: Exchange) -> None:
        if self.carried_out:
            await exchange.carry_out()
        exchange.connection.reset()


@frozen
class HangUp(Fault):
    """Close the connection (FIN) without a response.

    A client sees the same when the server closes a kept-alive connection just as the client sends a request. To
    simulate that, match requests with `nth_on_connection > 1`.
    """

    carried_out: bool = False

    @property
    def reads_body(self) -> bool:
        return self.carried_out

    async def play(self, exchange: Exchange) -> None:
        if self.carried_out:
            await exchange.carry_out()
        exchange.hang_up()


@frozen
class CloseAfterResponse(Fault):
    """Send a correct keep-alive response, and then close the connection."""

    async def play(self, exchange: Exchange) -> None:
        response = await exchange.carry_out()
        exchange.send_head(response, len(response.body))
        exchange.send(response.body)
        exchange.hang_up()


@frozen
class CutShort(Fault):
    """Send the headers and half of the body, and then close the connection."""

    async def play(self, exchange: Exchange) -> None:
        _send_half(exchange, await exchange.carry_out())
        exchange.hang_up()


@frozen
class StallBeforeHeaders(Fault):
    """Send nothing, and keep the connection open until the client or the sandbox closes it."""

    carried_out: bool = False

    async def play(self, exchange: Exchange) -> None:
        if self.carried_out:
            await exchange.carry_out()
        await exchange.until_client_hangs_up()


@frozen
class StallInBody(Fault):
    """Send the headers and half of the body, and keep the connection open until the client or the sandbox closes it."""

    async def play(self, exchange: Exchange) -> None:
        _send_half(exchange, await exchange.carry_out())
        await exchange.until_client_hangs_up()


@frozen
class Trickle(Fault):
    """Send a correct response, one byte at a time."""

    async def play(self, exchange: Exchange) -> None:
        response = await exchange.carry_out()
        status: int | None = response.status
        for byte in response.head(len(response.body)) + response.body:
            exchange.send(bytes((byte,)), status)
            status = None
            # So that the loop sends it, and other tasks run.
            await asyncio.sleep(0)
        exchange.keep_open = True


@frozen
class WrongLength(Fault):
    """Send a correct body whose Content-Length is wrong by `by` bytes.

    If the length is too large, the connection is closed after the body. If it is too small, the connection stays open,
    and the client finds the rest of the body on it.
    """

    by: int

    async def play(self, exchange: Exchange) -> None:
        response = await exchange.carry_out()
        exchange.send_head(response, max(0, len(response.body) + self.by))
        exchange.send(response.body)
        exchange.keep_open = self.by < 0


@frozen
class Gzipped(Fault):
    """Send a correct response with gzip. It is no fault, but clients must support it."""

    async def play(self, exchange: Exchange) -> Response:
        response = await exchange.carry_out()
        headers = {**response.headers, "Content-Encoding": "gzip"}
        return evolve(response, body=_gzip([response.body]), headers=headers)


@frozen
class GzipBomb(Fault):
    """Send a small response that decompresses to `mebibytes` MiB of zeros; the request is not carried out."""

    mebibytes: int

    async def play(self, exchange: Exchange) -> Response:
        # In a thread, because large ones take seconds.
        body = await asyncio.to_thread(_gzip, [_CHUNK] * self.mebibytes)
        return Response(200, body, {**JSON_TYPE, "Content-Encoding": "gzip"})


@frozen
class CannedResponse(Fault):
    """Send any status, body and headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=lambda: JSON_TYPE)
    carried_out: bool = False

    async def play(self, exchange: Exchange) -> Response:
        if self.carried_out:
            await exchange.carry_out()
        return Response(self.status, self.body, self.headers)


@frozen
class Status(Fault):
    """Send an error status: with JSON as the server does (4xx, 500), or with HTML as a proxy does (other 5xx).

    Attributes:
        status: HTTP status.
        retry_after: the `Retry-After` header as it is sent: seconds, or an HTTP date.
        carried_out: whether the request is carried out first.
    """

    status: int
    retry_after: int | str | None = None
    carried_out: bool = False

    async def play(self, exchange: Exchange) -> Response:
        if self.carried_out:
            await exchange.carry_out()
        response = _page(self.status) if self.status > 500 else error(self.status, phrase(self.status))
        if self.retry_after is None:
            return response
        return evolve(response, headers={**response.headers, "Retry-After": str(self.retry_after)})


@frozen
class Redirect(Fault):
    """Redirect the client, as a load balancer does; the request is not carried out."""

    location: str
    status: int = 301

    async def play(self, exchange: Exchange) -> Response:
        return Response(self.status, headers={"Location": self.location})


@frozen
class Html(Fault):
    """Send a web page, as proxies and login portals do, with status 200 by default."""

    status: int = 200
    carried_out: bool = False

    async def play(self, exchange: Exchange) -> Response:
        if self.carried_out:
            await exchange.carry_out()
        return _page(self.status)


@frozen
class Raw(Fault):
    """Send any bytes unchanged, and then close the connection."""

    data: bytes
    carried_out: bool = False

    async def play(self, exchange: Exchange) -> None:
        if self.carried_out:
            await exchange.carry_out()
        status_line = _STATUS_LINE.match(self.data)
        exchange.send(self.data, None if status_line is None else int(status_line[1]))
        exchange.hang_up()


@frozen
class Meanwhile(Fault):
    """Call a function just before the request is carried out, and then send the correct response.

    `Meanwhile(sandbox.revoke)` invalidates the token during a run; `Meanwhile(lambda: sandbox.change(535, Name="x"))`
    renames a campaign between two calls.

    Attributes:
        act: the function. It is called without arguments in the event loop of the sandbox.
    """

    act: Callable[[], object]

    async def play(self, exchange: Exchange) -> Response:
        self.act()
        return await exchange.carry_out()


def _send_half(exchange: Exchange, response: Response) -> None:
    exchange.send_head(response, len(response.body))
    exchange.send(response.body[: len(response.body) // 2])


def _page(status: int) -> Response:
    title = f"{status} {phrase(status)}"
    return Response(status, f"<html><body><h1>{title}</h1></body></html>\n".encode(), _HTML_TYPE)


def _gzip(chunks: list[bytes]) -> bytes:
    # 16 more than the window bits makes zlib write the gzip format.
    packer = zlib.compressobj(level=9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(map(packer.compress, chunks)) + packer.flush()
