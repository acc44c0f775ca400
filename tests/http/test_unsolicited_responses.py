"""Kept connections on which the server wrote more than was asked for."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import aiohttp
import attrs
import pytest

from dialler_async import DiallerClient, ServerError


def response(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def campaign(id: int) -> bytes:
    return response(200, json.dumps({"records": [{"ID": id, "Name": "other"}]}).encode())


DONE = response(200, b'{"records": []}')
FAILED = response(500, b"")


@attrs.define
class Raw:
    """A server that writes given bytes: to the first request on its first connection `first`, then `FAILED`."""

    first: bytes
    url: str = ""
    connections: int = 0
    writers: list[asyncio.StreamWriter] = attrs.Factory(list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connections += 1
        answer = self.first if self.connections == 1 else FAILED
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                answer = FAILED
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def raw(first: bytes) -> AsyncIterator[Raw]:
    playing = Raw(first)
    server = await asyncio.start_server(playing.serve, "127.0.0.1", 0)
    playing.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/rest/v1.0/1"
    async with server:
        yield playing
        for writer in playing.writers:
            writer.close()


@asynccontextmanager
async def client(url: str, brought: bool) -> AsyncIterator[DiallerClient]:
    async with (
        aiohttp.ClientSession() if brought else nullcontext() as session,
        DiallerClient(url, "t", session=session) as dialler,
    ):
        yield dialler


PARTS: list[Callable[[bytes], bytes]] = [lambda surplus: surplus, lambda surplus: surplus[:1], lambda s: s[:30]]


@pytest.mark.parametrize("brought", [False, True])
@pytest.mark.parametrize("part", PARTS, ids=["whole", "one byte", "half a head"])
class TestSurplus:
    async def test_one_that_came_with_the_first_response_is_no_answer(self, brought: bool, part: Any) -> None:
        async with raw(campaign(1) + part(DONE)) as server, client(server.url, brought) as dialler:
            await dialler.campaigns.get(1)
            with pytest.raises(ServerError):
                await dialler.campaigns.delete(5)
        assert server.connections == 2

    async def test_one_that_came_while_idle_is_no_answer(self, brought: bool, part: Any) -> None:
        async with raw(campaign(1)) as server, client(server.url, brought) as dialler:
            await dialler.campaigns.get(1)
            server.writers[0].write(part(DONE))
            for _ in range(20):
                await asyncio.sleep(0)
            with pytest.raises(ServerError):
                await dialler.campaigns.delete(5)
        assert server.connections == 2

    async def test_one_that_the_loop_has_not_read_yet_is_no_answer(self, brought: bool, part: Any) -> None:
        async with raw(campaign(1)) as server, client(server.url, brought) as dialler:
            await dialler.campaigns.get(1)
            # Written at once to the socket, and the loop has no turn before the call.
            server.writers[0].write(part(DONE))
            with pytest.raises(ServerError):
                await dialler.campaigns.delete(5)
        assert server.connections == 2


@pytest.mark.parametrize("brought", [False, True])
async def test_a_delete_by_name_does_not_take_a_surplus_response_for_its_own(brought: bool) -> None:
    surplus = response(200, json.dumps({"records": [{"ID": 9, "Name": "mine"}]}).encode())
    async with raw(campaign(1) + surplus) as server, client(server.url, brought) as dialler:
        await dialler.campaigns.get(1)
        with pytest.raises(ServerError):
            await dialler.campaigns.delete_by_name("mine")
    assert server.connections == 2
