"""The sandbox as a server: connections, latency, TLS, start and stop."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.connections import CountingServer
from dialler_async.sandbox.faults import Reset

HEAD = "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"


async def until(condition: Callable[[], bool]) -> None:
    """Run the event loop, and so the server in it, until the condition is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the condition depends on plain values
            await asyncio.sleep(0)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(30) as sandbox:
        yield sandbox


async def get(session: aiohttp.ClientSession, sandbox: Sandbox) -> int:
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    async with session.get(f"{sandbox.base_url}/dialler/campaigns", headers=headers) as response:
        await response.read()
        return response.status


def port_of(sandbox: Sandbox) -> int:
    return aiohttp.client.URL(sandbox.base_url).port or 0


def request_of(sandbox: Sandbox, path: str = "/dialler/campaigns/535") -> bytes:
    return HEAD.format(path="/rest/v1.0/1" + path, token=sandbox.token).encode()


async def test_ten_sequential_calls_open_one_connection(sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(10):
            assert await get(session, sandbox) == 200
        counts = sandbox.connections
        assert (counts.opened, counts.open, counts.peak) == (1, 1, 1)
    assert [received.connection for received in sandbox.journal] == [1] * 10
    assert [received.nth_on_connection for received in sandbox.journal] == list(range(1, 11))


async def test_connections_are_counted_when_they_open_and_close(sandbox: Sandbox) -> None:
    connector = aiohttp.TCPConnector(limit=8)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(get(session, sandbox))
        assert sandbox.connections.peak == sandbox.connections.opened == 8
    await until(lambda: sandbox.connections.open == 0)
    async with aiohttp.ClientSession() as session:
        assert await get(session, sandbox) == 200
        counts = sandbox.connections
        assert (counts.opened, counts.open, counts.peak) == (9, 1, 8)


async def test_pipelined_requests_get_responses_in_order(sandbox: Sandbox) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
    writer.write(request_of(sandbox) + request_of(sandbox, "/nothing"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 404" in await reader.readuntil(b"404 Not Found")
    writer.close()
    await writer.wait_closed()


@pytest.mark.usefixtures("virtual_time")
async def test_latencies_of_concurrent_requests_overlap() -> None:
    loop = asyncio.get_running_loop()
    async with Sandbox(1, latency=0.1) as sandbox, aiohttp.ClientSession() as session:
        begin = loop.time()
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(get(session, sandbox))
        assert loop.time() - begin == pytest.approx(0.1)


async def test_request_is_carried_out_after_the_client_closes_the_connection() -> None:
    async with Sandbox(1, latency=0.02) as sandbox:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
        delete = request_of(sandbox, "/dialler/campaigns/campaign/535")
        writer.write(delete.replace(b"GET", b"DELETE"))
        await until(lambda: bool(sandbox.journal))
        writer.close()
        await writer.wait_closed()
        await until(lambda: not sandbox.campaigns)
        (received,) = sandbox.journal
        assert (received.carried_out, received.status) == (True, None)


async def test_request_with_half_a_body_is_not_carried_out(sandbox: Sandbox) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
    half = request_of(sandbox, "/dialler/campaigns/clone").replace(b"GET", b"POST")
    half = half.replace(b"\r\n\r\n", b"\r\nContent-Type: application/json\r\nContent-Length: 99\r\n")
    writer.write(half + b'\r\n{"source": ')
    await until(lambda: bool(sandbox.journal))
    writer.close()
    await writer.wait_closed()
    await until(lambda: sandbox.connections.open == 0)
    (received,) = sandbox.journal
    assert (received.call, received.body) == ("clone", b"")
    assert (received.carried_out, received.status) == (False, None)


@pytest.mark.usefixtures("virtual_time")
async def test_closing_cancels_requests_in_flight_and_leaves_no_task_or_connection() -> None:
    loop = asyncio.get_running_loop()
    async with Sandbox(1, latency=3600) as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
        writer.write(request_of(sandbox))
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
        await until(lambda: bool(sandbox.journal))
        begin = loop.time()
    assert loop.time() - begin < 2
    assert await reader.read() == await idle_reader.read() == b""
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (sandbox.journal[0].carried_out, sandbox.journal[0].status) == (False, None)
    assert sandbox.connections.open == 0
    for stream in (writer, idle_writer):
        stream.close()
        await stream.wait_closed()


async def test_request_on_a_connection_that_is_already_closed_is_ignored(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The patch simulates a race between two steps of the event loop, which a test can't provoke.
    monkeypatch.setattr(CountingServer, "connection_of", lambda *_: None)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
    writer.write(request_of(sandbox))
    assert await reader.read() == b""
    assert sandbox.journal == []
    writer.close()
    await writer.wait_closed()


async def test_sandbox_can_be_reopened_but_not_opened_twice() -> None:
    sandbox = Sandbox(1)
    with pytest.raises(RuntimeError, match="not open"):
        _ = sandbox.base_url
    for _ in range(2):
        async with sandbox, aiohttp.ClientSession() as session:
            assert await get(session, sandbox) == 200
            with pytest.raises(RuntimeError, match="already"):
                await sandbox.__aenter__()
    with pytest.raises(RuntimeError, match="not open"):
        sandbox.close_idle()
    assert len(sandbox.journal) == 2


async def test_several_sandboxes_run_at_once_on_different_ports() -> None:
    async with Sandbox(1, 1) as one, Sandbox(2, 2) as two, aiohttp.ClientSession() as session:
        assert await get(session, one) == await get(session, two) == 200
        assert (len(one.journal), len(two.journal)) == (1, 1)
        third = Sandbox(1, port=port_of(one))
        with pytest.raises(OSError) as caught:  # noqa: PT011  the error number tells, below
            await third.__aenter__()
        assert caught.value.errno == errno.EADDRINUSE
        with pytest.raises(RuntimeError, match="not open"):
            _ = third.base_url


async def test_sandbox_listens_on_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        async with Sandbox(1, host="::1") as sandbox, aiohttp.ClientSession() as session:
            assert sandbox.base_url.startswith("http://[::1]:")
            assert await get(session, sandbox) == 200
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")


@pytest.fixture
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a server and of a client that trusts the server."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def test_sandbox_serves_https_with_a_tls_context(certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = certificates
    connector = aiohttp.TCPConnector(ssl=client)
    async with (
        Sandbox(1, ssl_context=server) as sandbox,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        assert sandbox.base_url.startswith("https://127.0.0.1:")
        assert await get(session, sandbox) == 200
        sandbox.faults.next(Reset(), Reset())
        # There are two faults, because aiohttp retries a GET when a kept-alive connection is closed.
        with pytest.raises(aiohttp.ClientOSError):
            await get(session, sandbox)
        assert await get(session, sandbox) == 200
        statuses = [received.status for received in sandbox.journal]
        assert statuses == [200, None, None, 200]
        assert sandbox.connections.opened == 3


async def test_refusing_resets_connections_and_refuses_new_ones_until_its_end(
    sandbox: Sandbox,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
    port = port_of(sandbox)
    async with aiohttp.ClientSession() as session:
        assert await get(session, sandbox) == 200
        async with sandbox.refusing():
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        assert await get(session, sandbox) == 200
    assert port_of(sandbox) == port
    writer.close()
    with pytest.raises(ConnectionResetError):
        await writer.wait_closed()


async def test_close_idle_does_not_close_connections_with_a_request_in_flight() -> None:
    async with Sandbox(1, latency=0.02) as sandbox:
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
        writer.write(request_of(sandbox))
        await until(lambda: bool(sandbox.journal))
        sandbox.close_idle()
        assert await idle_reader.read() == b""
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        for stream in (writer, idle_writer):
            stream.close()
            await stream.wait_closed()


@pytest.mark.parametrize("turns", range(4))
async def test_sandbox_that_is_cancelled_again_while_it_stops_closes_its_connections(turns: int) -> None:
    sandbox = Sandbox()
    opened = asyncio.Event()

    async def serve() -> None:
        async with sandbox:
            opened.set()
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await opened.wait()
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(sandbox))
    await until(lambda: sandbox.connections.open == 1)
    serving.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await until(lambda: sandbox.connections.open == 0)
    writer.close()
