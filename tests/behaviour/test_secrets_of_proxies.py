"""No error of a call through a proxy shows the proxy's credentials, whatever the proxy answers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import ConnectError, DeadlineError, DiallerClient, NoReplyError, PoolConfig, RetryPolicy, Timeouts
from dialler_async.errors import PayloadError, RequestError, ServerError

if TYPE_CHECKING:
    from tests.behaviour.conftest import AssertHidden, ErrorOf

# The password. Letters at both ends, which no encoding changes.
TOKEN = "Zm9vYmFyMjE3-of-the-proxy"
BASIC = base64.b64encode(f"user:{TOKEN}".encode())
ECHO = b"Proxy-Authorization: Basic %b, http://user:%b@proxy" % (BASIC, TOKEN.encode())


def status(code: int) -> bytes:
    """Return a response that repeats the credentials in its reason, in a header and in its body."""
    return b"HTTP/1.1 %d %b\r\nX-Echo: %b\r\nContent-Length: %d\r\n\r\n%b" % (code, ECHO, ECHO, len(ECHO), ECHO)


# The proxy's answer; the error of an http base URL; the error of an https base URL.
CASES: dict[str, tuple[bytes, type[RequestError], type[RequestError]]] = {
    "407": (status(407), ConnectError, ConnectError),
    "403": (status(403), RequestError, ConnectError),
    "502": (status(502), ServerError, ConnectError),
    "tunnel without TLS": (b"HTTP/1.1 200 OK\r\n\r\n" + ECHO, PayloadError, ConnectError),
    "another protocol": (b"SSH-2.0 " + ECHO + b"\r\n\r\n", NoReplyError, ConnectError),
    "broken headers": (b"HTTP/1.1 200 OK\r\n" + ECHO.replace(b":", b"") + b"\r\n\r\n", NoReplyError, ConnectError),
    "hang-up": (b"", NoReplyError, ConnectError),
    "silence": (b"...", DeadlineError, ConnectError),
}


@asynccontextmanager
async def proxy_answering(answer: bytes, asked: asyncio.Event | None = None) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if asked is not None:
                asked.set()
            if answer == b"...":
                await reader.read()
            else:
                writer.write(answer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*filter(None, tasks))


async def get(dialler: DiallerClient) -> Any:
    return await dialler.campaigns.get(535)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_error_of_a_call_through_a_proxy_shows_its_credentials(
    case: str,
    scheme: str,
    caplog: pytest.LogCaptureFixture,
    error_of: ErrorOf,
    assert_hidden: AssertHidden,
) -> None:
    caplog.set_level(0)
    answer, plain, tunnel = CASES[case]
    async with proxy_answering(answer) as port:
        pool = PoolConfig(proxy=f"http://user:{TOKEN}@127.0.0.1:{port}")
        short = 0.05 if case == "silence" else 30
        async with DiallerClient(
            f"{scheme}://127.0.0.1:9/rest/v1.0/1",
            "token",
            pool=pool,
            timeouts=Timeouts(connect=short, read=short),
            retry=RetryPolicy(attempts=2, base_delay=0.01),
        ) as dialler:
            error = await error_of(get, dialler)
    assert isinstance(error, plain if scheme == "http" else tunnel)
    assert_hidden.in_pickle_and_value(error)
    assert_hidden.in_text(repr(error).replace(BASIC.decode(), TOKEN))
    assert_hidden.in_log(caplog.records)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_cancelled_call_through_a_proxy_shows_no_credentials(
    scheme: str, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    asked = asyncio.Event()
    async with proxy_answering(b"...", asked) as port:
        pool = PoolConfig(proxy=f"http://user:{TOKEN}@127.0.0.1:{port}")
        async with DiallerClient(f"{scheme}://127.0.0.1:9/rest/v1.0/1", "token", pool=pool) as dialler:
            calling = asyncio.create_task(error_of(get, dialler))
            await asyncio.wait_for(asked.wait(), 60)
            calling.cancel()
            error = await calling
    assert isinstance(error, asyncio.CancelledError)
    assert_hidden.in_value(error)
