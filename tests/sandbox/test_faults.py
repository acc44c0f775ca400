"""Each fault: the bytes that the client receives, and the journal."""

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
    """Run the event loop, and so the server in it, until the condition is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the condition depends on plain values
            await asyncio.sleep(0)


class RawConnection:
    """A TCP connection to a sandbox, for raw requests."""

    def __init__(self, sandbox: Sandbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sandbox = sandbox
        self.reader = reader
        self.writer = writer

    def send(self, method: str, path: str, body: bytes = b"") -> None:
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
        """Return the status and the body of a response with a correct Content-Length."""
        head = await self.head()
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def is_alive(self) -> bool:
        """Return whether another request on this connection gets a response."""
        self.send("GET", "/535")
        return await self.response() == (200, CORRECT)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox([RECORD]) as sandbox:
        yield sandbox


@pytest.fixture
async def connection(sandbox: Sandbox) -> AsyncIterator[RawConnection]:
    url = URL(sandbox.base_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    yield RawConnection(sandbox, reader, writer)
    writer.close()
    # Some faults reset the connection.
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


def journal_of(sandbox: Sandbox) -> list[tuple[str | None, bool, int | None]]:
    return [(received.call, received.carried_out, received.status) for received in sandbox.journal]


@pytest.mark.parametrize("carried_out", [False, True])
async def test_reset_closes_the_connection_with_rst(connection: RawConnection, carried_out: bool) -> None:
    connection.sandbox.faults.next(Reset(carried_out))
    connection.send("DELETE", "/campaign/535")
    with pytest.raises(ConnectionResetError):
        await connection.reader.read()
    assert journal_of(connection.sandbox) == [("delete", carried_out, None)]
    assert (535 in connection.sandbox.campaigns) is not carried_out


@pytest.mark.parametrize("fault", [Reset(), HangUp()])
async def test_reset_and_hang_up_do_not_read_the_body(connection: RawConnection, fault: Fault) -> None:
    connection.sandbox.faults.next(fault)
    connection.send("POST", "/clone", b" " * 300_000)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await connection.reader.readexactly(1)
    assert connection.sandbox.journal[0].body == b""
    assert journal_of(connection.sandbox) == [("clone", False, None)]


@pytest.mark.parametrize("carried_out", [False, True])
async def test_hang_up_closes_the_connection_with_fin(connection: RawConnection, carried_out: bool) -> None:
    connection.sandbox.faults.next(HangUp(carried_out))
    connection.send("DELETE", "/campaign/535")
    assert await connection.reader.read() == b""
    assert journal_of(connection.sandbox) == [("delete", carried_out, None)]
    assert (535 in connection.sandbox.campaigns) is not carried_out


async def test_hang_up_on_the_second_request_of_a_kept_alive_connection(connection: RawConnection) -> None:
    connection.sandbox.faults.chance(1.0, [HangUp()], match=lambda received: received.nth_on_connection > 1)
    assert await connection.is_alive()
    connection.send("DELETE", "/campaign/535")
    assert await connection.reader.read() == b""
    assert journal_of(connection.sandbox) == [("get", True, 200), ("delete", False, None)]


async def test_close_after_response_sends_the_whole_response_first(connection: RawConnection) -> None:
    connection.sandbox.faults.next(CloseAfterResponse())
    connection.send("GET", "/535")
    head = await connection.head()
    assert b"connection" not in head.lower()
    assert await connection.reader.read() == CORRECT
    assert journal_of(connection.sandbox) == [("get", True, 200)]


async def test_cut_short_sends_half_of_the_body(connection: RawConnection) -> None:
    connection.sandbox.faults.next(CutShort())
    connection.send("GET", "/535")
    assert b"Content-Length: %d\r\n" % len(CORRECT) in await connection.head()
    assert await connection.reader.read() == CORRECT[: len(CORRECT) // 2]
    assert journal_of(connection.sandbox) == [("get", True, 200)]


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
        # The client has closed the connection, which ends the request in flight.
        await until(lambda: sandbox.connections.open == 0)
        assert journal_of(sandbox) == [("delete", carried_out, None)]


async def test_stall_in_body_ends_when_the_sandbox_closes() -> None:
    async with Sandbox([RECORD]) as sandbox:
        url = URL(sandbox.base_url)
        connection = RawConnection(sandbox, *await asyncio.open_connection(url.host, url.port))
        sandbox.faults.next(StallInBody())
        connection.send("GET", "/535")
        await connection.head()
        half = len(CORRECT) // 2
        assert await connection.reader.readexactly(half) == CORRECT[:half]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.reader.read(1), 0.02)
    assert await connection.reader.read() == b""
    assert journal_of(sandbox) == [("get", True, 200)]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    connection.writer.close()
    await connection.writer.wait_closed()


async def test_trickle_keeps_the_connection_open(connection: RawConnection) -> None:
    writes: list[bytes] = []
    connection.sandbox.faults.next(Meanwhile(lambda: None), Trickle())
    assert await connection.is_alive()
    connection.send("GET", "/535")
    while not writes or not b"".join(writes).endswith(b"200}"):
        writes.append(await connection.reader.read(2**16))
    assert len(writes) > 20
    assert b"".join(writes).endswith(CORRECT)
    assert await connection.is_alive()
    assert journal_of(connection.sandbox) == [("get", True, 200)] * 3


async def test_trickle_ends_when_the_client_closes_the_connection(connection: RawConnection) -> None:
    connection.sandbox.faults.next(Trickle())
    connection.send("GET", "/535")
    await connection.reader.readexactly(1)
    connection.writer.transport.abort()
    await until(lambda: connection.sandbox.connections.open == 0)
    assert journal_of(connection.sandbox) == [("get", True, 200)]


async def test_too_large_content_length_closes_the_connection(connection: RawConnection) -> None:
    connection.sandbox.faults.next(WrongLength(by=7))
    connection.send("GET", "/535")
    assert b"Content-Length: %d\r\n" % (len(CORRECT) + 7) in await connection.head()
    assert await connection.reader.read() == CORRECT


async def test_too_small_content_length_leaves_bytes_on_the_connection(connection: RawConnection) -> None:
    connection.sandbox.faults.next(WrongLength(by=-7))
    connection.send("GET", "/535")
    assert await connection.response() == (200, CORRECT[:-7])
    assert await connection.reader.readexactly(7) == CORRECT[-7:]
    assert await connection.is_alive()


async def test_gzipped_response_decompresses_to_the_correct_body(connection: RawConnection) -> None:
    connection.sandbox.faults.next(Gzipped())
    connection.send("GET", "/535")
    head = await connection.head()
    assert b"Content-Encoding: gzip\r\n" in head
    body = await connection.reader.readuntil(struct.pack("<I", len(CORRECT)))
    assert gzip.decompress(body) == CORRECT
    assert await connection.is_alive()


async def test_gzip_bomb_is_small_and_decompresses_to_a_large_body(connection: RawConnection) -> None:
    connection.sandbox.faults.next(GzipBomb(mebibytes=8))
    connection.send("DELETE", "/campaign/535")
    status, body = await connection.response()
    assert (status, len(body) < 20_000, len(gzip.decompress(body))) == (200, True, 8 * 2**20)
    assert journal_of(connection.sandbox) == [("delete", False, 200)]


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("retry_after", [None, 3, "Wed, 21 Oct 2026 07:28:00 GMT"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_status_body_is_json_up_to_500_and_html_above(
    connection: RawConnection, status: int, retry_after: int | str | None, carried_out: bool
) -> None:
    connection.sandbox.faults.next(Status(status, retry_after, carried_out))
    connection.send("DELETE", "/campaign/535")
    head = await connection.head()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Retry-After: %b\r\n" % str(retry_after).encode() in head) is (retry_after is not None)
    assert (b"text/html" in head) is (status > 500)
    assert journal_of(connection.sandbox) == [("delete", carried_out, status)]
    assert (535 in connection.sandbox.campaigns) is not carried_out


async def test_status_429_has_the_documented_body(connection: RawConnection) -> None:
    connection.sandbox.faults.next(Status(429))
    connection.send("GET", "")
    assert await connection.response() == (429, b'{"status":429,"error":"Too Many Requests"}')
    assert await connection.is_alive()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_sends_the_location(connection: RawConnection, status: int) -> None:
    connection.sandbox.faults.next(Redirect("https://elsewhere.example/x", status))
    connection.send("DELETE", "/campaign/535")
    head = await connection.head()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Location: https://elsewhere.example/x\r\n" in head
    assert journal_of(connection.sandbox) == [("delete", False, status)]


@pytest.mark.parametrize("carried_out", [False, True])
async def test_html_sends_a_page(connection: RawConnection, carried_out: bool) -> None:
    connection.sandbox.faults.next(Html(carried_out=carried_out))
    connection.send("DELETE", "/campaign/535")
    status, body = await connection.response()
    assert (status, body[:6]) == (200, b"<html>")
    assert journal_of(connection.sandbox) == [("delete", carried_out, 200)]


@pytest.mark.parametrize("carried_out", [False, True])
async def test_canned_response_is_sent_unchanged(connection: RawConnection, carried_out: bool) -> None:
    response = CannedResponse(299, b"\xff", {"X-Made-Up": "yes"}, carried_out)
    connection.sandbox.faults.next(response)
    connection.send("DELETE", "/campaign/535")
    head = await connection.head()
    assert head.startswith(b"HTTP/1.1 299 ")
    assert b"X-Made-Up: yes\r\n" in head
    assert await connection.reader.readexactly(1) == b"\xff"
    assert journal_of(connection.sandbox) == [("delete", carried_out, 299)]


@pytest.mark.parametrize(
    ("data", "carried_out", "status"),
    [(b"HTTP/1.0 418 \r\n\r\nx", True, 418), (b"SSH-2.0-OpenSSH\r\n", False, None)],
)
async def test_raw_bytes_are_sent_unchanged(
    connection: RawConnection, data: bytes, carried_out: bool, status: int | None
) -> None:
    connection.sandbox.faults.next(Raw(data, carried_out))
    connection.send("DELETE", "/campaign/535")
    assert await connection.reader.read() == data
    assert journal_of(connection.sandbox) == [("delete", carried_out, status)]


async def test_status_without_a_reason_phrase_is_sent(connection: RawConnection) -> None:
    class UnknownStatus(Fault):
        async def apply(self, request: Any) -> None:
            request.send_head(await CannedResponse(799, b"odd").apply(request), 3)
            request.send(b"odd")
            request.keep_open = True

    connection.sandbox.faults.next(UnknownStatus())
    connection.send("GET", "/535")
    assert await connection.response() == (799, b"odd")
    assert await connection.is_alive()


async def test_meanwhile_revokes_the_token_before_a_request_is_carried_out(connection: RawConnection) -> None:
    connection.sandbox.faults.next(Meanwhile(connection.sandbox.revoke), after=1)
    assert await connection.is_alive()
    connection.send("DELETE", "/campaign/535")
    assert (await connection.response())[0] == 401
    assert journal_of(connection.sandbox) == [("get", True, 200), ("delete", False, 401)]
    assert [received.authorised for received in connection.sandbox.journal] == [True, False]


async def test_meanwhile_renames_a_campaign_before_a_request_is_carried_out(connection: RawConnection) -> None:
    rename = Meanwhile(lambda: connection.sandbox.change(535, Name="Other"))
    connection.sandbox.faults.next(rename, match="delete_by_name")
    assert await connection.is_alive()
    connection.send("DELETE", "/campaign?name=Campaign")
    assert (await connection.response())[0] == 404
    assert 535 in connection.sandbox.campaigns
