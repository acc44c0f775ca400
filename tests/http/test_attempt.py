"""One attempt: whatever escapes from aiohttp is mapped by whether the request was sent."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import http_exceptions
from aiohttp.http_writer import StreamWriter
from aiohttp.payload import BytesPayload

from dialler_async import (
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    DiallerClient,
    DiallerError,
    NoReplyError,
    OutcomeUnknownError,
    RetryPolicy,
)
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox.faults import Trickle
from dialler_async.testing import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import CampaignServer, HeldRequest, Until
    from tests.http.conftest import Listening, Settle

ONCE = RetryPolicy(attempts=1)
REQUEST_INFO: Any = aiohttp.RequestInfo("http://127.0.0.1", "GET", {}, "http://127.0.0.1")  # type: ignore[arg-type]  its values are not read

ESCAPING: list[Exception] = [
    aiohttp.ClientError(),
    aiohttp.ClientConnectionError(),
    aiohttp.ClientConnectionResetError(),
    aiohttp.ClientOSError(),
    aiohttp.ClientPayloadError(),
    aiohttp.ClientResponseError(REQUEST_INFO, ()),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ServerTimeoutError(),
    aiohttp.SocketTimeoutError(),
    aiohttp.ConnectionTimeoutError(),
    aiohttp.InvalidURL("http://"),
    http_exceptions.HttpProcessingError(),
    http_exceptions.TransferEncodingError("bad"),
    http_exceptions.BadHttpMessage("bad"),
    TimeoutError(),
    asyncio.InvalidStateError(),
    asyncio.IncompleteReadError(b"", 1),
    asyncio.LimitOverrunError("too long", 1),
    ssl.SSLError(1, "broken"),
    ssl.SSLZeroReturnError(),
    ssl.SSLEOFError(),
    ssl.CertificateError(),
    OSError(),
    ConnectionResetError(),
    BrokenPipeError(),
    RuntimeError("Session is closed"),
    ValueError(),
    AttributeError(),
]


async def error_of(call: Any) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


@pytest.fixture(params=[False, True], ids=["own session", "user session"])
async def dialler(request: pytest.FixtureRequest, server: CampaignServer) -> Any:
    """Return a client that does not retry, with a session of its own or of the user."""
    session = aiohttp.ClientSession() if request.param else None
    async with DiallerClient(server.base_url, server.token, session=session, retry=ONCE) as dialler:
        yield dialler
    if session is not None:
        await session.close()


def raising(escaping: Exception) -> Any:
    async def fail(*_: Any, **__: Any) -> Any:
        raise escaping

    return fail


def raising_later(original: Any, escaping: Exception) -> Any:
    """Return a method whose second call for the same object raises an exception."""
    called: set[int] = set()

    async def fail_later(self: Any, *args: Any, **kwargs: Any) -> Any:
        if id(self) in called:
            raise escaping
        called.add(id(self))
        return await original(self, *args, **kwargs)

    return fail_later


@pytest.fixture(params=ESCAPING, ids=lambda error: type(error).__name__)
def escaping(request: pytest.FixtureRequest) -> Exception:
    """Return an exception that an await of an attempt may raise."""
    error: Exception = request.param
    return error


class TestEscapingException:
    """An attempt has these awaits: a slot of a user's session, name, connection, headers, body, response, its body."""

    @pytest.mark.parametrize(
        ("owner", "method"),
        [
            (aiohttp.TCPConnector, "_resolve_host"),
            (aiohttp.TCPConnector, "_create_connection"),
            (StreamWriter, "write_headers"),
        ],
    )
    async def test_exception_before_sending_is_a_connect_error(
        self,
        server: CampaignServer,
        dialler: DiallerClient,
        monkeypatch: pytest.MonkeyPatch,
        escaping: Exception,
        owner: Any,
        method: str,
    ) -> None:
        monkeypatch.setattr(owner, method, raising(escaping))
        for call in ("get", "clone", "delete"):
            assert type(await error_of(server.send(call, dialler))) is ConnectError
        assert server.journal == []

    async def test_exception_while_waiting_for_a_connection_of_a_user_session_is_a_connect_error(
        self, server: CampaignServer, monkeypatch: pytest.MonkeyPatch, escaping: Exception
    ) -> None:
        monkeypatch.setattr(aiohttp.TCPConnector, "_available_connections", lambda *_: 0)
        monkeypatch.setattr(aiohttp.TCPConnector, "_wait_for_available_connection", raising(escaping))
        async with (
            aiohttp.ClientSession() as session,
            DiallerClient(server.base_url, server.token, session=session, retry=ONCE) as dialler,
        ):
            for call in ("get", "clone", "delete"):
                assert type(await error_of(server.send(call, dialler))) is ConnectError
        assert server.journal == []

    @pytest.mark.parametrize(
        "inject",
        [
            pytest.param(lambda error: (aiohttp.ClientResponse, "start", raising(error)), id="headers"),
            pytest.param(lambda error: (aiohttp.StreamReader, "readany", raising(error)), id="body"),
            pytest.param(
                lambda error: (
                    aiohttp.StreamReader,
                    "readany",
                    raising_later(aiohttp.StreamReader.readany, error),
                ),
                id="rest of the body",
            ),
        ],
    )
    async def test_exception_after_sending_leaves_the_outcome_of_a_write_unknown(
        self,
        server: CampaignServer,
        dialler: DiallerClient,
        monkeypatch: pytest.MonkeyPatch,
        escaping: Exception,
        inject: Callable[[Exception], tuple[Any, str, Any]],
    ) -> None:
        # Byte by byte, so that the body has a rest after its first part.
        server.faults.next(*[Trickle()] * 3)
        monkeypatch.setattr(*inject(escaping))
        error = await error_of(server.send("get", dialler))
        assert isinstance(error, NoReplyError)
        assert not isinstance(error, ConnectError)
        for call in ("clone", "delete"):
            assert type(await error_of(server.send(call, dialler))) is OutcomeUnknownError

    async def test_exception_while_writing_the_body_leaves_the_outcome_unknown(
        self, server: CampaignServer, dialler: DiallerClient, monkeypatch: pytest.MonkeyPatch, escaping: Exception
    ) -> None:
        monkeypatch.setattr(BytesPayload, "write_with_length", raising(escaping))
        assert type(await error_of(server.send("clone", dialler))) is OutcomeUnknownError


class RefusingLimiter:
    """A rate limiter that fails after some calls."""

    def __init__(self, error: type[BaseException] = LookupError, after: int = 1) -> None:
        self.error = error
        self.left = after

    async def acquire(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error


class TestExceptionOfTheUsersCode:
    """What a function of the user raises is raised unchanged, unless a write may have run."""

    @pytest.mark.parametrize("shared_limiter", [False, True], ids=["pool", "group"])
    async def test_exception_of_the_rate_limiter_before_a_retry_leaves_the_outcome_unknown(
        self, server: CampaignServer, shared_limiter: bool
    ) -> None:
        options: dict[str, Any] = {} if shared_limiter else {"max_rate": RefusingLimiter()}
        retry = RetryPolicy(base_delay=0.001)
        async with DiallerClient(server.base_url, server.token, retry=retry, **options) as dialler:
            client = dialler.with_options(max_rate=RefusingLimiter()) if shared_limiter else dialler
            server.faults.next(Status(502))
            error = await error_of(server.send("delete", client))
            assert type(error) is OutcomeUnknownError
            assert "LookupError" in str(error)
            with pytest.raises(LookupError):
                await server.send("delete", client)

    @pytest.mark.parametrize("fails_first", [True, False])
    async def test_cancelled_error_of_the_rate_limiter_does_not_end_the_task_as_cancelled(
        self, server: CampaignServer, fails_first: bool
    ) -> None:
        limiter = RefusingLimiter(asyncio.CancelledError, after=0 if fails_first else 1)
        retry = RetryPolicy(base_delay=0.001)
        server.faults.next(Status(502))
        async with DiallerClient(server.base_url, server.token, retry=retry, max_rate=limiter) as dialler:
            error = await error_of(server.send("delete", dialler))
        assert type(error) is (ConfigurationError if fails_first else OutcomeUnknownError)

    async def test_exception_of_a_delay_before_a_retry_leaves_the_outcome_unknown(
        self, server: CampaignServer, dialler: DiallerClient, monkeypatch: pytest.MonkeyPatch, escaping: Exception
    ) -> None:
        monkeypatch.setattr(CLOCK, "sleep", raising(escaping))
        server.faults.next(Status(502))
        error = await error_of(server.send("delete", dialler.with_options(retry=RetryPolicy())))
        assert type(error) is OutcomeUnknownError

    async def test_exception_of_the_decoders_type_leaves_the_outcome_unknown(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        path = "/dialler/campaigns/campaign/535"
        error = await error_of(dialler.request("DELETE", path, decoder=Refusing))
        assert type(error) is OutcomeUnknownError
        assert "LookupError, while decoding" in str(error)
        with pytest.raises(LookupError):
            await dialler.request("GET", "/dialler/campaigns", decoder=Refusing, idempotent=True)


@dataclass
class Refusing:
    """A type whose instances can't be made."""

    status: int = 0

    def __post_init__(self) -> None:
        raise LookupError


BROKEN_BODIES = {
    "malformed chunk": (b'5\r\n{"rec\r\n', b"zz\r\nords\r\n0\r\n\r\n"),
    "endless trailer": (b'5\r\n{"rec\r\n0\r\n', b"X: " + b"x" * 20_000),
}


def broken_response(case: str) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                first, then = BROKEN_BODIES[case]
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + first)
                await writer.drain()
                # The client has read the headers before the body breaks.
                for _ in range(20):
                    await asyncio.sleep(0)
                writer.write(then)

    return serve


@pytest.fixture(params=BROKEN_BODIES)
def case(request: pytest.FixtureRequest) -> str:
    """Return the name of a body that breaks. aiohttp's parser in Python reads an endless trailer."""
    name: str = request.param
    if name == "endless trailer":
        request.getfixturevalue("c_parser")
    return name


async def test_body_that_breaks_after_the_headers_fails_at_once(case: str, listening: Listening) -> None:
    async with (
        listening(broken_response(case)) as url,
        DiallerClient(url, "t", retry=RetryPolicy(base_delay=0.001)) as dialler,
        asyncio.timeout(10),
    ):
        error = await error_of(dialler.campaigns.list())
        assert type(error) is NoReplyError
        assert error.attempts == 4
        assert type(await error_of(dialler.campaigns.clone("A", "B"))) is OutcomeUnknownError


@pytest.mark.slow
def test_broken_responses_have_the_same_errors_without_the_c_extensions_of_aiohttp() -> None:
    """The parser in Python raises other exceptions, and some that are no ClientError."""
    broken_bodies = f"{__file__}::test_body_that_breaks_after_the_headers_fails_at_once"
    others = [
        str(Path(__file__).with_name(f"test_{name}.py")) for name in ("unreadable_responses", "aiohttp_internals")
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", broken_bodies, *others]
    # Without the options of this run, such as the required coverage.
    environment = {**os.environ, "AIOHTTP_NO_EXTENSIONS": "1", "PYTEST_ADDOPTS": ""}
    run = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stdout.decode()


class TestSessionThatItsOwnerCloses:
    async def test_delete_whose_response_is_arriving_has_an_unknown_outcome(
        self, server: CampaignServer, hold: type[HeldRequest]
    ) -> None:
        held = hold(carried_out=True)
        server.faults.next(held)
        session = aiohttp.ClientSession()
        async with DiallerClient(server.base_url, server.token, session=session) as dialler:
            deleting = asyncio.create_task(error_of(dialler.campaigns.delete(535)))
            await held.arrived.wait()
            held.release.set()
            await session.close()
            assert type(await deleting) is OutcomeUnknownError

    async def test_call_that_waits_for_a_connection_raises_client_closed_error(
        self, server: CampaignServer, hold: type[HeldRequest], settle: Settle
    ) -> None:
        held = hold()
        server.faults.next(held)
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
        async with DiallerClient(server.base_url, server.token, session=session) as dialler:
            first = asyncio.create_task(error_of(dialler.campaigns.get(535)))
            await held.arrived.wait()
            waiting = [asyncio.create_task(error_of(server.send(call, dialler))) for call in ("get", "clone")]
            await settle()
            await session.close()
            for call in (first, *waiting):
                assert type(await call) is ClientClosedError

    async def test_cancelled_call_on_a_closed_session_stays_cancelled(
        self, server: CampaignServer, hold: type[HeldRequest], settle: Settle
    ) -> None:
        held = hold()
        server.faults.next(held)
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
        async with DiallerClient(server.base_url, server.token, session=session) as dialler:
            first = asyncio.create_task(error_of(dialler.campaigns.get(535)))
            await held.arrived.wait()
            waiting = asyncio.create_task(dialler.campaigns.get(536))
            await settle()
            waiting.cancel()
            await session.close()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await first


class TestClosing:
    async def test_calls_that_wait_in_the_client_end_when_it_closes(
        self, server: CampaignServer, monkeypatch: pytest.MonkeyPatch, until: Until
    ) -> None:
        class Limiter:
            async def acquire(self) -> None:
                limited.append(1)
                if len(limited) > 2:
                    await asyncio.Event().wait()

        limited: list[int] = []
        server.faults.next(Status(503, retry_after=40), Status(429, retry_after=40))
        dialler = DiallerClient(server.base_url, server.token, max_rate=Limiter())
        calls = [asyncio.create_task(error_of(dialler.campaigns.get(535))) for _ in range(2)]
        await until(lambda: len(server.journal) == 2 and all(received.status for received in server.journal))
        calls += [asyncio.create_task(error_of(dialler.campaigns.get(535))) for _ in range(2)]
        await until(lambda: len(limited) > 2)
        async with asyncio.timeout(5):
            await dialler.aclose(timeout=0)
            assert {type(await call) for call in calls} == {ClientClosedError}

    @pytest.mark.usefixtures("virtual_time")
    async def test_leaving_the_client_by_an_error_does_not_wait_for_background_calls_until_their_deadline(
        self, server: CampaignServer, hold: type[HeldRequest]
    ) -> None:
        held = hold()
        server.faults.next(held)
        loop = asyncio.get_running_loop()
        background: list[asyncio.Task[DiallerError]] = []

        async def use() -> None:
            async with DiallerClient(server.base_url, server.token) as dialler:
                background.append(asyncio.create_task(error_of(dialler.campaigns.get(535))))
                await held.arrived.wait()
                raise LookupError

        begun = loop.time()
        with pytest.raises(LookupError):
            await use()
        assert loop.time() - begun < 6
        assert type(await background[0]) is ClientClosedError
