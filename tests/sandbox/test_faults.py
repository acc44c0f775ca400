"""Each fault: the bytes that arrive, and the entry in the journal."""

import asyncio
import contextlib
import gzip
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import (
    CannedResponse,
    CloseAfterResponse,
    CutShort,
    Fault,
    GzipBomb,
    Gzipped,
    HangUp,
    Html,
    Meanwhile,
    Raw,
    Redirect,
    Reset,
    StallBeforeHeaders,
    StallInBody,
    Status,
    Trickle,
    WrongLength,
)

RECORD = {"ID": 535, "Name": "Campaign 1000"}
CORRECT = b'{"records":[{"ID":535,"Name":"Campaign 1000"}],"count":1,"status":200}'


async def until(condition: Callable[[], bool]) -> None:
    """Let the server, which runs in the same loop, continue until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the condition depends on plain values
            await asyncio.sleep(0)


class Wire:
    """One TCP connection to a sandbox, for requests as bytes."""

    def __init__(self, sandbox: Sandbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sandbox = sandbox
        self.reader = reader
        self.writer = writer

    def ask(self, method: str, path: str, body: bytes = b"") -> None:
        lines = [
            f"{method} /rest/v1.0/1/dialler/campaigns{path} HTTP/1.1",
            "Host: x",
            f"Authorization: Bearer {self.sandbox.token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "\r\n",
        ]
        self.writer.write("\r\n".join(lines).encode() + body)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def response(self) -> tuple[int, bytes]:
        """Return status and body of a response whose length matches its headers."""
        head = await self.head()
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def is_alive(self) -> bool:
        """Return whether another request on this connection gets a response."""
        self.ask("GET", "/535")
        return await self.response() == (200, CORRECT)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox([RECORD]) as sandbox:
        yield sandbox


@pytest.fixture
async def wire(sandbox: Sandbox) -> AsyncIterator[Wire]:
    url = URL(sandbox.base_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    yield Wire(sandbox, reader, writer)
    writer.close()
    # Some of the faults close the connection.
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


def journal_of(sandbox: Sandbox) -> list[tuple[str | None, bool, int | None]]:
    return [(one.call, one.carried_out, one.status) for one in sandbox.journal]


@pytest.mark.parametrize("carried_out", [False, True])
async def test_reset_closes_the_connection_with_rst(wire: Wire, carried_out: bool) -> None:
    wire.sandbox.faults.next(Reset(carried_out))
    wire.ask("DELETE", "/campaign/535")
    with pytest.raises(ConnectionResetError):
        await wire.reader.read()
    assert journal_of(wire.sandbox) == [("delete", carried_out, None)]
    assert (535 in wire.sandbox.campaigns) is not carried_out


@pytest.mark.parametrize("fault", [Reset(), HangUp()])
async def test_body_is_not_read_if_the_connection_is_closed_before(wire: Wire, fault: Fault) -> None:
    wire.sandbox.faults.next(fault)
    wire.ask("POST", "/clone", b" " * 300_000)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await wire.reader.readexactly(1)
    assert wire.sandbox.journal[0].body == b""
    assert journal_of(wire.sandbox) == [("clone", False, None)]


@pytest.mark.parametrize("carried_out", [False, True])
async def test_hang_up_closes_the_connection_with_fin(wire: Wire, carried_out: bool) -> None:
    wire.sandbox.faults.next(HangUp(carried_out))
    wire.ask("DELETE", "/campaign/535")
    assert await wire.reader.read() == b""
    assert journal_of(wire.sandbox) == [("delete", carried_out, None)]
    assert (535 in wire.sandbox.campaigns) is not carried_out


async def test_hang_up_on_the_second_request_of_a_kept_alive_connection(wire: Wire) -> None:
    wire.sandbox.faults.chance(1.0, [HangUp()], match=lambda one: one.nth_on_connection > 1)
    assert await wire.is_alive()
    wire.ask("DELETE", "/campaign/535")
    assert await wire.reader.read() == b""
    assert journal_of(wire.sandbox) == [("get", True, 200), ("delete", False, None)]


async def test_close_after_response_sends_everything_first(wire: Wire) -> None:
    wire.sandbox.faults.next(CloseAfterResponse())
    wire.ask("GET", "/535")
    head = await wire.head()
    assert b"connection" not in head.lower()
    assert await wire.reader.read() == CORRECT
    assert journal_of(wire.sandbox) == [("get", True, 200)]


async def test_cut_short_sends_half_of_the_body(wire: Wire) -> None:
    wire.sandbox.faults.next(CutShort())
    wire.ask("GET", "/535")
    assert b"Content-Length: %d\r\n" % len(CORRECT) in await wire.head()
    assert await wire.reader.read() == CORRECT[: len(CORRECT) // 2]
    assert journal_of(wire.sandbox) == [("get", True, 200)]


@pytest.mark.usefixtures("virtual_time")
@pytest.mark.parametrize("carried_out", [False, True])
async def test_stall_before_headers_sends_nothing(carried_out: bool) -> None:
    async with Sandbox([RECORD]) as sandbox, aiohttp.ClientSession() as session:
        sandbox.faults.next(StallBeforeHeaders(carried_out))
        url = sandbox.base_url + "/dialler/campaigns/campaign/535"
        headers = {"Authorization": f"Bearer {sandbox.token}"}
        timeout = aiohttp.ClientTimeout(sock_read=0.05)
        with pytest.raises(aiohttp.SocketTimeoutError):
            await session.delete(url, headers=headers, timeout=timeout)
        # The client has closed the connection, so the request in flight ends by itself.
        await until(lambda: sandbox.connections.open == 0)
        assert journal_of(sandbox) == [("delete", carried_out, None)]


async def test_stall_in_body_until_the_sandbox_closes() -> None:
    async with Sandbox([RECORD]) as sandbox:
        url = URL(sandbox.base_url)
        wire = Wire(sandbox, *await asyncio.open_connection(url.host, url.port))
        sandbox.faults.next(StallInBody())
        wire.ask("GET", "/535")
        await wire.head()
        half = len(CORRECT) // 2
        assert await wire.reader.readexactly(half) == CORRECT[:half]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.reader.read(1), 0.02)
    assert await wire.reader.read() == b""
    assert journal_of(sandbox) == [("get", True, 200)]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    wire.writer.close()
    await wire.writer.wait_closed()


async def test_trickle_keeps_the_connection_open(wire: Wire) -> None:
    writes: list[bytes] = []
    wire.sandbox.faults.next(Meanwhile(lambda: None), Trickle())
    assert await wire.is_alive()
    wire.ask("GET", "/535")
    while not writes or not b"".join(writes).endswith(b"200}"):
        writes.append(await wire.reader.read(2**16))
    assert len(writes) > 20
    assert b"".join(writes).endswith(CORRECT)
    assert await wire.is_alive()
    assert journal_of(wire.sandbox) == [("get", True, 200)] * 3


async def test_trickle_ends_when_the_client_closes_the_connection(wire: Wire) -> None:
    wire.sandbox.faults.next(Trickle())
    wire.ask("GET", "/535")
    await wire.reader.readexactly(1)
    wire.writer.transport.abort()
    await until(lambda: wire.sandbox.connections.open == 0)
    assert journal_of(wire.sandbox) == [("get", True, 200)]


async def test_too_large_content_length_closes_the_connection(wire: Wire) -> None:
    wire.sandbox.faults.next(WrongLength(by=7))
    wire.ask("GET", "/535")
    assert b"Content-Length: %d\r\n" % (len(CORRECT) + 7) in await wire.head()
    assert await wire.reader.read() == CORRECT


async def test_too_small_content_length_leaves_bytes_on_the_connection(wire: Wire) -> None:
    wire.sandbox.faults.next(WrongLength(by=-7))
    wire.ask("GET", "/535")
    assert await wire.response() == (200, CORRECT[:-7])
    assert await wire.reader.readexactly(7) == CORRECT[-7:]
    assert await wire.is_alive()


async def test_gzipped_response_decompresses_to_the_correct_one(wire: Wire) -> None:
    wire.sandbox.faults.next(Gzipped())
    wire.ask("GET", "/535")
    head = await wire.head()
    assert b"Content-Encoding: gzip\r\n" in head
    body = await wire.reader.readuntil(struct.pack("<I", len(CORRECT)))
    assert gzip.decompress(body) == CORRECT
    assert await wire.is_alive()


async def test_gzip_bomb_is_small_and_decompresses_to_a_large_body(wire: Wire) -> None:
    wire.sandbox.faults.next(GzipBomb(mebibytes=8))
    wire.ask("DELETE", "/campaign/535")
    status, body = await wire.response()
    assert (status, len(body) < 20_000, len(gzip.decompress(body))) == (200, True, 8 * 2**20)
    assert journal_of(wire.sandbox) == [("delete", False, 200)]


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("retry_after", [None, 3, "Wed, 21 Oct 2026 07:28:00 GMT"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_status_of_a_server_is_json_and_of_a_proxy_html(
    wire: Wire, status: int, retry_after: int | str | None, carried_out: bool
) -> None:
    wire.sandbox.faults.next(Status(status, retry_after, carried_out))
    wire.ask("DELETE", "/campaign/535")
    head = await wire.head()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Retry-After: %b\r\n" % str(retry_after).encode() in head) is (retry_after is not None)
    assert (b"text/html" in head) is (status > 500)
    assert journal_of(wire.sandbox) == [("delete", carried_out, status)]
    assert (535 in wire.sandbox.campaigns) is not carried_out


async def test_statuses_with_the_documented_body(wire: Wire) -> None:
    wire.sandbox.faults.next(Status(429))
    wire.ask("GET", "")
    assert await wire.response() == (429, b'{"status":429,"error":"Too Many Requests"}')
    assert await wire.is_alive()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_sends_the_location(wire: Wire, status: int) -> None:
    wire.sandbox.faults.next(Redirect("https://elsewhere.example/x", status))
    wire.ask("DELETE", "/campaign/535")
    head = await wire.head()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Location: https://elsewhere.example/x\r\n" in head
    assert journal_of(wire.sandbox) == [("delete", False, status)]


@pytest.mark.parametrize("carried_out", [False, True])
async def test_html_sends_a_page(wire: Wire, carried_out: bool) -> None:
    wire.sandbox.faults.next(Html(carried_out=carried_out))
    wire.ask("DELETE", "/campaign/535")
    status, body = await wire.response()
    assert (status, body[:6]) == (200, b"<html>")
    assert journal_of(wire.sandbox) == [("delete", carried_out, 200)]


@pytest.mark.parametrize("carried_out", [False, True])
async def test_canned_response_is_sent_as_given(wire: Wire, carried_out: bool) -> None:
    response = CannedResponse(299, b"\xff", {"X-Made-Up": "yes"}, carried_out)
    wire.sandbox.faults.next(response)
    wire.ask("DELETE", "/campaign/535")
    head = await wire.head()
    assert head.startswith(b"HTTP/1.1 299 ")
    assert b"X-Made-Up: yes\r\n" in head
    assert await wire.reader.readexactly(1) == b"\xff"
    assert journal_of(wire.sandbox) == [("delete", carried_out, 299)]


@pytest.mark.parametrize(
    ("data", "carried_out", "status"),
    [(b"HTTP/1.0 418 \r\n\r\nx", True, 418), (b"SSH-2.0-OpenSSH\r\n", False, None)],
)
async def test_raw_bytes_are_sent_unchanged(wire: Wire, data: bytes, carried_out: bool, status: int | None) -> None:
    wire.sandbox.faults.next(Raw(data, carried_out))
    wire.ask("DELETE", "/campaign/535")
    assert await wire.reader.read() == data
    assert journal_of(wire.sandbox) == [("delete", carried_out, status)]


async def test_head_of_a_status_without_a_phrase(wire: Wire) -> None:
    class Odd(Fault):
        async def play(self, exchange: Any) -> None:
            exchange.send_head(await CannedResponse(799, b"odd").play(exchange), 3)
            exchange.send(b"odd")
            exchange.keep_open = True

    wire.sandbox.faults.next(Odd())
    wire.ask("GET", "/535")
    assert await wire.response() == (799, b"odd")
    assert await wire.is_alive()


async def test_token_is_revoked_just_before_a_request(wire: Wire) -> None:
    wire.sandbox.faults.next(Meanwhile(wire.sandbox.revoke), after=1)
    assert await wire.is_alive()
    wire.ask("DELETE", "/campaign/535")
    assert (await wire.response())[0] == 401
    assert journal_of(wire.sandbox) == [("get", True, 200), ("delete", False, 401)]
    assert [one.authorised for one in wire.sandbox.journal] == [True, False]


async def test_campaign_is_renamed_between_two_calls(wire: Wire) -> None:
    rename = Meanwhile(lambda: wire.sandbox.change(535, Name="Other"))
    wire.sandbox.faults.next(rename, match="delete_by_name")
    assert await wire.is_alive()
    wire.ask("DELETE", "/campaign?name=Campaign")
    assert (await wire.response())[0] == 404
    assert 535 in wire.sandbox.campaigns
