"""The connect timeout: it limits everything that happens before a request can be sent, and only that."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import ConnectError, DiallerClient, PoolConfig, RetryPolicy, Timeouts

if TYPE_CHECKING:
    from tests.http.conftest import Handler, Listening

TIMEOUTS = Timeouts(connect=5, read=30, deadline=120)
TWICE = RetryPolicy(attempts=2, base_delay=1, max_delay=1)
HTTPS = "https://127.0.0.1:9/rest/v1.0/1"


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await forever()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await asyncio.sleep(1)  # the pace of this server, in virtual time
        writer.write(b"X-Wait: 1\r\n")


async def opens_a_tunnel_to_a_silent_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await forever()


async def seconds(call: Callable[[], Awaitable[Any]]) -> float:
    """Return the seconds after which a call raised a ConnectError that names the timeout."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    with pytest.raises(ConnectError, match="within 5 s; nothing was sent"):
        await call()
    return loop.time() - started_at


@pytest.mark.usefixtures("virtual_time")
class TestConnectTimeout:
    """Each attempt ends after `Timeouts.connect`, and is retried: two attempts and a delay of 0.5 to 1 s."""

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("serve", [never_answers, drips, opens_a_tunnel_to_a_silent_server])
    async def test_stalled_proxy_ends_a_write_before_anything_is_sent(
        self, listening: Listening, serve: Handler, scheme: str
    ) -> None:
        async with listening(serve) as url:
            # An https proxy of this kind never finishes its own TLS handshake.
            pool = PoolConfig(proxy=url.replace("http", scheme, 1), limit=2)
            async with DiallerClient(HTTPS, "token", pool=pool, timeouts=TIMEOUTS, retry=TWICE) as dialler:
                took = await asyncio.gather(*(seconds(lambda: dialler.campaigns.delete(535)) for _ in range(2)))
        assert all(10.4 < each < 11.2 for each in took), took

    async def test_stalled_calls_release_their_slots(self, listening: Listening) -> None:
        async with listening(never_answers) as url:
            pool = PoolConfig(proxy=url, limit=2)
            once = RetryPolicy(attempts=1)
            async with DiallerClient(HTTPS, "token", pool=pool, timeouts=TIMEOUTS, retry=once) as dialler:
                took = await asyncio.gather(*(seconds(lambda: dialler.campaigns.list()) for _ in range(4)))
        assert sorted(round(each) for each in took) == [5, 5, 10, 10]

    async def test_limit_holds_for_all_addresses_of_a_host(
        self, listening: Listening, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def four_addresses(host: str, port: int, **options: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))] * 4

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", four_addresses)
        async with listening(never_answers) as url:
            base_url = url.replace("http://127.0.0.1", "https://acd.example.com")
            pool = PoolConfig(proxy=None)
            async with DiallerClient(base_url, "token", pool=pool, timeouts=TIMEOUTS, retry=TWICE) as dialler:
                assert 10.4 < await seconds(lambda: dialler.campaigns.delete(535)) < 11.2

    async def test_limit_includes_the_lookup_of_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def never(*args: Any, **options: Any) -> None:
            await forever()

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
        base_url = "https://acd.example.com/rest/v1.0/1"
        pool = PoolConfig(proxy=None)
        async with DiallerClient(base_url, "token", pool=pool, timeouts=TIMEOUTS, retry=TWICE) as dialler:
            assert 10.4 < await seconds(lambda: dialler.campaigns.delete(535)) < 11.2
