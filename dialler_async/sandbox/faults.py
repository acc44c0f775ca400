"""Faults: what can go wrong between a client and the dialler, done to single requests.

    sandbox.faults.next(Reset(carried_out=True), match="clone")
    sandbox.faults.chance(0.05, [Status(503, retry_after=1), StallInBody()], seed=1)

`sandbox.refusing()` refuses connections, which can't be done to a single request: it comes too late
for that. Where a fault leaves open whether the server did what was asked, `carried_out` decides;
the journal tells.
"""

import asyncio
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from attrs import evolve, field, frozen

from dialler_async.sandbox.exchange import Exchange
from dialler_async.sandbox.reply import JSON_TYPE, Reply, error, phrase

_HTML_TYPE = {"Content-Type": "text/html"}
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})")
_CHUNK = bytes(2**20)


class Fault(ABC):
    """Something that goes wrong with one request. Subclass it for faults of your own."""

    __slots__ = ()

    @property
    def reads_body(self) -> bool:
        """Whether the body of the request is read before the fault happens."""
        return True

    @abstractmethod
    async def play(self, exchange: Exchange) -> Reply | None:
        """Let it happen.

        Answers with the reply that is to be sent, or with None when nothing more is: then the
        connection is closed, unless `exchange.keep_open` says otherwise.
        """


@frozen
class Reset(Fault):
    """The connection is reset (RST) without an answer: before the request is read, or after it was
    carried out.
    """

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
    """The connection is closed (FIN) without an answer.

    That is what a client sees whose request crosses the server's closing of a kept-alive
    connection: match by `nth_on_connection > 1` for it.
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
class CloseAfterAnswer(Fault):
    """An honest answer that lets the connection live, which is then closed without a word."""

    async def play(self, exchange: Exchange) -> None:
        reply = await exchange.carry_out()
        exchange.send_head(reply, len(reply.body))
        exchange.send(reply.body)
        exchange.hang_up()


@frozen
class CutShort(Fault):
    """The headers and half of the body; then the connection is closed."""

    async def play(self, exchange: Exchange) -> None:
        _send_half(exchange, await exchange.carry_out())
        exchange.hang_up()


@frozen
class StallBeforeHeaders(Fault):
    """No answer at all, on an open connection, until the client hangs up or the sandbox closes."""

    carried_out: bool = False

    async def play(self, exchange: Exchange) -> None:
        if self.carried_out:
            await exchange.carry_out()
        await exchange.until_client_hangs_up()


@frozen
class StallInBody(Fault):
    """The headers and half of the body, and no more until the client hangs up or the sandbox
    closes.
    """

    async def play(self, exchange: Exchange) -> None:
        _send_half(exchange, await exchange.carry_out())
        await exchange.until_client_hangs_up()


@frozen
class Trickle(Fault):
    """An honest answer, one byte at a time."""

    async def play(self, exchange: Exchange) -> None:
        reply = await exchange.carry_out()
        status: int | None = reply.status
        for byte in reply.head(len(reply.body)) + reply.body:
            exchange.send(bytes((byte,)), status)
            status = None
            # Lets the loop send it, and others have their turn.
            await asyncio.sleep(0)
        exchange.keep_open = True


@frozen
class WrongLength(Fault):
    """An honest answer whose Content-Length is `by` bytes off.

    When it promises too much, the connection is closed after the body. When it promises too
    little, the rest is left on a connection that stays open.
    """

    by: int

    async def play(self, exchange: Exchange) -> None:
        reply = await exchange.carry_out()
        exchange.send_head(reply, max(0, len(reply.body) + self.by))
        exchange.send(reply.body)
        exchange.keep_open = self.by < 0


@frozen
class Gzipped(Fault):
    """An honest answer, compressed: no fault of a proxy, but a client must be ready for it."""

    async def play(self, exchange: Exchange) -> Reply:
        reply = await exchange.carry_out()
        headers = {**reply.headers, "Content-Encoding": "gzip"}
        return evolve(reply, body=_gzip([reply.body]), headers=headers)


@frozen
class GzipBomb(Fault):
    """A small answer that unpacks to `mebibytes` of zeros; the request is not carried out."""

    mebibytes: int

    async def play(self, exchange: Exchange) -> Reply:
        # In a thread, for it takes seconds where it is worth the name.
        body = await asyncio.to_thread(_gzip, [_CHUNK] * self.mebibytes)
        return Reply(200, body, {**JSON_TYPE, "Content-Encoding": "gzip"})


@frozen
class Answer(Fault):
    """An answer of your own: any status, body and headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=lambda: JSON_TYPE)
    carried_out: bool = False

    async def play(self, exchange: Exchange) -> Reply:
        if self.carried_out:
            await exchange.carry_out()
        return Reply(self.status, self.body, self.headers)


@frozen
class Status(Fault):
    """A status that means trouble, as the server says it (429, 500, other 4xx: JSON) or a proxy
    (other 5xx: HTML). `retry_after` is the header as it goes out: seconds, or an HTTP date.
    """

    status: int
    retry_after: int | str | None = None
    carried_out: bool = False

    async def play(self, exchange: Exchange) -> Reply:
        if self.carried_out:
            await exchange.carry_out()
        reply = _page(self.status) if self.status > 500 else error(self.status, phrase(self.status))
        if self.retry_after is None:
            return reply
        return evolve(reply, headers={**reply.headers, "Retry-After": str(self.retry_after)})


@frozen
class Redirect(Fault):
    """A balancer that sends the client elsewhere; the request is not carried out."""

    location: str
    status: int = 301

    async def play(self, exchange: Exchange) -> Reply:
        return Reply(self.status, headers={"Location": self.location})


@frozen
class Html(Fault):
    """A web page in place of the answer, as proxies and portals send it, 200 by default."""

    status: int = 200
    carried_out: bool = False

    async def play(self, exchange: Exchange) -> Reply:
        if self.carried_out:
            await exchange.carry_out()
        return _page(self.status)


@frozen
class Raw(Fault):
    """Bytes of your own in place of the answer, put on the wire as they are; then the connection
    is closed.
    """

    data: bytes
    carried_out: bool = False

    async def play(self, exchange: Exchange) -> None:
        if self.carried_out:
            await exchange.carry_out()
        told = _STATUS_LINE.match(self.data)
        exchange.send(self.data, None if told is None else int(told[1]))
        exchange.hang_up()


@frozen
class Meanwhile(Fault):
    """Something happens just before the request is carried out, which then goes its honest way.

    `act` is called without arguments: `Meanwhile(sandbox.revoke)` invalidates the token in mid-run,
    `Meanwhile(lambda: sandbox.change(535, Name="x"))` renames a campaign between two calls.
    """

    act: Callable[[], object]

    async def play(self, exchange: Exchange) -> Reply:
        self.act()
        return await exchange.carry_out()


def _send_half(exchange: Exchange, reply: Reply) -> None:
    exchange.send_head(reply, len(reply.body))
    exchange.send(reply.body[: len(reply.body) // 2])


def _page(status: int) -> Reply:
    title = f"{status} {phrase(status)}"
    return Reply(status, f"<html><body><h1>{title}</h1></body></html>\n".encode(), _HTML_TYPE)


def _gzip(chunks: list[bytes]) -> bytes:
    # Above the bits of the window, 16 asks zlib for the wrapping of gzip.
    packer = zlib.compressobj(level=9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(map(packer.compress, chunks)) + packer.flush()
