"""The undocumented attributes of aiohttp that this library uses. A failing test shows a change in aiohttp."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from aiohttp import http_exceptions
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from dialler_async import ClientStateError, DiallerClient, NoReplyError, PoolConfig, RetryPolicy
from dialler_async._http import aiohttp_internals
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Raw

if TYPE_CHECKING:
    from tests.http.conftest import Listening


async def noop(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    return await handler(request)


@pytest.fixture
async def url(sandbox: Sandbox) -> str:
    return f"{sandbox.base_url}/dialler/campaigns"


@pytest.fixture
def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server and of a client that trusts it."""
    of_server, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(of_server)
    return of_server, ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())


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


async def test_idle_connections_are_closed_before_a_request(sandbox: Sandbox, url: str) -> None:
    async def close(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        aiohttp_internals.close_idle_connections(request)
        return await handler(request)

    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(url, middlewares=(close,)) as response:
                await response.read()
    assert sandbox.connections.opened == 2


async def test_connection_with_a_response_without_a_request_is_not_reused(sandbox: Sandbox, url: str) -> None:
    connector = aiohttp_internals.CheckingConnector()
    async with aiohttp.ClientSession(connector=connector) as session:
        for _ in range(2):
            async with session.get(url) as response:
                await response.read()
        assert sandbox.connections.opened == 1
        [[(protocol, _)]] = connector._conns.values()
        protocol.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        async with session.get(url) as response:
            assert await response.read()
    assert sandbox.connections.opened == 2


@pytest.mark.parametrize("received", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n"])
async def test_bytes_that_the_parser_refused_are_found(listening: Listening, received: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(received)

    async with listening(answer) as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.get(url)
    assert aiohttp_internals.rejected_bytes(caught.value) == received


async def test_reading_fails_when_the_connection_is_closed_before_or_while_the_body_is_read() -> None:
    protocol = aiohttp.base_protocol.BaseProtocol(asyncio.get_running_loop())
    content = aiohttp.StreamReader(protocol, 2**16)
    closed: asyncio.Future[None] | None = None
    connection = SimpleNamespace(protocol=SimpleNamespace(closed=closed))
    response: Any = SimpleNamespace(content=content, connection=connection)
    assert aiohttp_internals.fail_when_closed(response) is None
    with pytest.raises(RuntimeError, match="Connection closed"):
        await content.readany()
    protocol.transport = asyncio.Transport()
    connection.protocol.closed = closed = asyncio.get_running_loop().create_future()
    assert aiohttp_internals.fail_when_closed(response) is not None
    asyncio.get_running_loop().call_soon(closed.set_result, None)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with asyncio.timeout(5):
            await content.readany()


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


class TestMissingAttributes:
    """Another version of aiohttp may lack an attribute. Calls still work, and one warning names the version."""

    @pytest.fixture(autouse=True)
    def _warn_again(self) -> Iterator[None]:
        aiohttp_internals._warn_once.cache_clear()
        yield
        aiohttp_internals._warn_once.cache_clear()

    @staticmethod
    def hide(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        """Remove an attribute for this library only, because aiohttp itself needs it."""
        original = owner.__getattribute__

        def hiding(self: object, attribute: str) -> Any:
            if attribute == name and sys._getframe(1).f_globals["__name__"] == aiohttp_internals.__name__:
                raise AttributeError(attribute)
            return original(self, attribute)

        monkeypatch.setattr(owner, "__getattribute__", hiding)

    @staticmethod
    def check_one_warning(caplog: pytest.LogCaptureFixture, consequence: str) -> None:
        (warning,) = (
            record.getMessage()
            for record in caplog.records
            if record.levelno == logging.WARNING
            and record.name == "dialler_async"
            and "lacks an attribute" in record.msg
        )
        assert f"aiohttp {aiohttp.__version__} " in warning
        assert consequence in warning

    @pytest.mark.parametrize(
        ("owner", "name", "consequence"),
        [
            (aiohttp.ClientSession, "_loop", "another event loop is not detected"),
            (aiohttp.ClientSession, "_middlewares", "middlewares of session=… do not run"),
            (aiohttp.ClientRequest, "response", "counts as sent"),
            (aiohttp.ClientRequest, "connection_key", "may reuse a connection"),
            (aiohttp.BaseConnector, "_conns", "may reuse a connection"),
            (ResponseHandler, "close", "may reuse a connection"),
            (ResponseHandler, "should_close", "not checked for unsolicited responses"),
        ],
    )
    async def test_calls_work_without_an_attribute(
        self,
        owner: type,
        name: str,
        consequence: str,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.hide(monkeypatch, owner, name)
        async with (
            aiohttp.ClientSession() as session,
            DiallerClient(sandbox.base_url, sandbox.token, session=session) as with_session,
            DiallerClient(sandbox.base_url, sandbox.token) as dialler,
        ):
            for client in (with_session, dialler):
                first, *_ = await client.campaigns.list()
                await client.campaigns.delete(first)
                assert first.id not in [campaign.id for campaign in await client.campaigns.list()]
        self.check_one_warning(caplog, consequence)

    async def test_calls_work_when_a_connection_has_no_protocol(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.hide(monkeypatch, Connection, "protocol")
        async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
            for _ in range(2):
                assert await dialler.campaigns.list()
        self.check_one_warning(caplog, "not checked for unsolicited responses")

    @pytest.mark.parametrize("name", ["_closed", "_conns", "_acquired"])
    async def test_session_closes_when_its_connections_are_not_found(
        self, name: str, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                await response.read()
            with monkeypatch.context() as hidden:
                self.hide(hidden, aiohttp.BaseConnector, name)
                found = aiohttp_internals._open_protocols(session.connector)
            assert found == ()
        self.check_one_warning(caplog, "connections are not detached")

    async def test_large_response_is_read_when_the_end_of_its_connection_is_not_seen(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.hide(monkeypatch, ResponseHandler, "closed")
        # So large that the body has not arrived with the headers.
        async with (
            Sandbox(campaigns=500) as sandbox,
            DiallerClient(sandbox.base_url, sandbox.token) as dialler,
        ):
            assert len(await dialler.campaigns.list()) == 500
        self.check_one_warning(caplog, "waits for its read timeout")

    async def test_connector_without_a_way_to_close_at_once_is_left_to_the_garbage_collector(
        self, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with aiohttp.ClientSession() as session:
            assert session.connector is not None
            with monkeypatch.context() as hidden:
                self.hide(hidden, aiohttp.BaseConnector, "_close")
                aiohttp_internals.close_without_waiting(session.connector)
            async with session.get(url) as response:
                assert await response.read()
        self.check_one_warning(caplog, "closed by the garbage collector")

    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("LineTooLong", Raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")),
            (
                "ContentEncodingError",
                CannedResponse(200, b"no gzip", {"Content-Type": "text/json", "Content-Encoding": "gzip"}),
            ),
        ],
    )
    async def test_unreadable_response_raises_the_same_class_without_an_exception_of_aiohttp(
        self,
        name: str,
        fault: Raw | CannedResponse,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.delattr(http_exceptions, name)
        sandbox.faults.next(fault)
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=RetryPolicy(attempts=1)) as dialler:
            with pytest.raises(NoReplyError):
                await dialler.campaigns.list()
        self.check_one_warning(caplog, "the error of")

    @pytest.mark.parametrize("parser_error", [None, ValueError("without a traceback")])
    async def test_response_that_is_not_http_has_an_error_when_its_bytes_are_not_found(
        self, parser_error: Exception | None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(aiohttp_internals, "_parser_error", lambda _: parser_error)
        sandbox.faults.next(Raw(b"SSH-2.0\r\n\r\n"))
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=RetryPolicy(attempts=1)) as dialler:
            with pytest.raises(NoReplyError, match="is invalid HTTP"):
                await dialler.campaigns.list()
            assert await dialler.campaigns.list()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("name", ["_sock", "_ssl_protocol", "_transport"])
def test_client_is_closed_after_its_loop_when_the_sockets_are_not_found(
    name: str, tls: bool, monkeypatch: pytest.MonkeyPatch, tls_contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Another version of Python, or another event loop, may lack an attribute of a transport."""
    of_server, of_client = tls_contexts
    owners = {
        "_sock": asyncio.selector_events._SelectorTransport,  # type: ignore[attr-defined]  private
        "_ssl_protocol": asyncio.sslproto._SSLProtocolTransport,
        "_transport": asyncio.sslproto.SSLProtocol,
    }
    with Sandbox(campaigns=1, ssl_context=of_server if tls else None) as sandbox:
        dialler = DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(ssl=of_client))
        asyncio.run(dialler.campaigns.list())
        TestMissingAttributes.hide(monkeypatch, owners[name], name)
        asyncio.run(dialler.aclose())
        monkeypatch.undo()
        with pytest.raises(ClientStateError):
            asyncio.run(dialler.campaigns.list())
        del dialler
        gc.collect()


async def test_connection_that_is_lost_after_its_responses_logs_no_error() -> None:
    loop = asyncio.get_running_loop()
    logged: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: logged.append(context))
    protocol = SimpleNamespace(closed=loop.create_future())
    content = aiohttp.StreamReader(aiohttp.base_protocol.BaseProtocol(loop), 2**16)
    response: Any = SimpleNamespace(content=content, connection=SimpleNamespace(protocol=protocol))
    for _ in range(3):
        stop_watching = aiohttp_internals.fail_when_closed(response)
        assert stop_watching is not None
        stop_watching()
    del stop_watching
    protocol.closed.set_exception(aiohttp.ClientConnectionError())
    await asyncio.sleep(0)
    del protocol.closed
    gc.collect()
    assert logged == []
