"""Idle connections on which the server wrote unsolicited data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest

from dialler_async import DiallerClient, ServerError

if TYPE_CHECKING:
    from tests.http.conftest import Listening


def response(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def campaign(id: int) -> bytes:
    return response(200, json.dumps({"records": [{"ID": id, "Name": "other"}]}).encode())


DONE = response(200, b'{"records": []}')
FAILED = response(500, b"")
DELETED = response(200, b'{"status": 200}')


@attrs.define
class RawServer:
    """A server that writes `first` as the response to its first request, and `FAILED` to all others."""

    first: bytes
    url: str = ""
    connections: int = 0
    writers: list[asyncio.StreamWriter] = attrs.Factory(list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connections += 1
        reply = self.first if self.connections == 1 else FAILED
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(reply)
                reply = FAILED
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def running_server(first: bytes) -> AsyncIterator[RawServer]:
    raw_server = RawServer(first)
    server = await asyncio.start_server(raw_server.serve, "127.0.0.1", 0)
    raw_server.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/rest/v1.0/1"
    async with server:
        yield raw_server
        for writer in raw_server.writers:
            writer.close()


@asynccontextmanager
async def client(url: str, user_session: bool) -> AsyncIterator[DiallerClient]:
    async with (
        aiohttp.ClientSession() if user_session else nullcontext() as session,
        DiallerClient(url, "t", session=session) as dialler,
    ):
        yield dialler


PARTS: list[Callable[[bytes], bytes]] = [
    lambda unsolicited: unsolicited,
    lambda unsolicited: unsolicited[:1],
    lambda s: s[:30],
]


@pytest.mark.parametrize("user_session", [False, True])
@pytest.mark.parametrize("part", PARTS, ids=["whole", "one byte", "half a head"])
class TestUnsolicitedResponse:
    async def test_bytes_after_the_first_response_are_not_read_as_the_next_response(
        self, user_session: bool, part: Any
    ) -> None:
        async with running_server(campaign(1) + part(DONE)) as server, client(server.url, user_session) as dialler:
            await dialler.campaigns.get(1)
            with pytest.raises(ServerError):
                await dialler.campaigns.delete(5)
        assert server.connections == 2

    async def test_bytes_received_while_idle_are_not_read_as_the_next_response(
        self, user_session: bool, part: Any
    ) -> None:
        async with running_server(campaign(1)) as server, client(server.url, user_session) as dialler:
            await dialler.campaigns.get(1)
            server.writers[0].write(part(DONE))
            for _ in range(20):
                await asyncio.sleep(0)
            with pytest.raises(ServerError):
                await dialler.campaigns.delete(5)
        assert server.connections == 2

    async def test_bytes_still_in_the_socket_are_not_read_as_the_next_response(
        self, user_session: bool, part: Any
    ) -> None:
        async with running_server(campaign(1)) as server, client(server.url, user_session) as dialler:
            await dialler.campaigns.get(1)
            # The bytes are in the socket, but the event loop has not read them before the call.
            server.writers[0].write(part(DONE))
            with pytest.raises(ServerError):
                await dialler.campaigns.delete(5)
        assert server.connections == 2


@pytest.mark.parametrize("user_session", [False, True])
async def test_delete_by_name_does_not_read_an_unsolicited_response(user_session: bool) -> None:
    unsolicited = response(200, json.dumps({"records": [{"ID": 9, "Name": "mine"}]}).encode())
    async with running_server(campaign(1) + unsolicited) as server, client(server.url, user_session) as dialler:
        await dialler.campaigns.get(1)
        with pytest.raises(ServerError):
            await dialler.campaigns.delete_by_name("mine")
    assert server.connections == 2


@pytest.mark.parametrize("user_session", [False, True])
async def test_write_does_not_read_a_copy_that_arrives_just_after_a_connection_is_reused(
    user_session: bool, listening: Listening
) -> None:
    """The copy of an earlier response arrives after all checks of the connection, before the response to the write."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        copy = b""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                reply = FAILED if head.startswith(b"DELETE") else DELETED
                writer.write(copy + reply)
                copy = reply

    async with listening(serve) as url, client(url, user_session) as dialler:
        assert await dialler.request("GET", "/other", idempotent=True) == {"status": 200}
        for id in (5, 6):
            with pytest.raises(ServerError):
                await dialler.campaigns.delete(id)
    assert connections == 3
