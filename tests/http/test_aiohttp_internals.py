"""The undocumented attributes of aiohttp that this library uses. A failing test shows a change in aiohttp."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from dialler_async._http import aiohttp_internals
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.http.conftest import Listening


async def noop(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    return await handler(request)


@pytest.fixture
async def url(sandbox: Sandbox) -> str:
    return f"{sandbox.base_url}/dialler/campaigns"


async def test_loop_and_middlewares_of_a_session_are_found() -> None:
    async with aiohttp.ClientSession(middlewares=(noop,)) as session:
        assert aiohttp_internals.loop_of(session) is asyncio.get_running_loop()
        assert aiohttp_internals.middlewares_of(session) == (noop,)
    assert aiohttp_internals.loop_of(None) is None
    assert aiohttp_internals.middlewares_of(None) == ()


async def test_request_is_written_when_it_has_a_response(url: str) -> None:
    written: list[bool] = []

    async def record(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        written.append(aiohttp_internals.is_written(request))
        response = await handler(request)
        written.append(aiohttp_internals.is_written(request))
        return response

    async with aiohttp.ClientSession() as session, session.get(url, middlewares=(record,)):
        assert written == [False, True]


async def test_idle_connection_is_found_and_has_no_unread_response(url: str) -> None:
    found: list[list[Any]] = []

    async def record(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        found.append(aiohttp_internals.idle_protocols(request.session.connector, request))
        return await handler(request)

    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(url, middlewares=(record,)) as response:
                await response.read()
        nothing, [protocol] = found
        assert nothing == []
        assert aiohttp_internals.was_used(protocol)
        assert not protocol.should_close
        assert not aiohttp_internals.has_unread_response(protocol)


async def test_partial_response_on_an_idle_connection_is_detected(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            await response.read()
        connector: Any = session.connector
        [[(protocol, _)]] = connector._conns.values()
        protocol.data_received(b"HTTP/1.1 200 OK\r\nContent-Le")
        assert protocol.should_close or aiohttp_internals.has_unread_response(protocol)


@pytest.mark.parametrize("received", [b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}x"])
async def test_bytes_that_the_parser_refused_are_found(listening: Listening, received: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(received)

    async with listening(answer) as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.get(url)
    assert aiohttp_internals.rejected_bytes(caught.value) == received


async def test_detached_connections_survive_closing_the_session(url: str) -> None:
    session = aiohttp.ClientSession()
    async with session.get(url) as response:
        await response.read()
    objects = list(aiohttp_internals.detach_connections(session.connector))
    await session.close()
    [(_, transport)] = [pair for pair in objects if isinstance(pair, tuple)]
    assert not transport.is_closing()
    transport.abort()
    assert list(aiohttp_internals.detach_connections(session.connector)) == []
