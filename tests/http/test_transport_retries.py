"""Retries: which call is retried after which failure, and which error the caller gets."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from dialler_async import (
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConflictError,
    ConnectError,
    DeadlineError,
    DiallerClient,
    DiallerError,
    EndpointNotFoundError,
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    PoolConfig,
    RateLimitedError,
    RedirectError,
    RetryPolicy,
    ServerError,
    StatusError,
    Timeouts,
    TokenSourceError,
)
from dialler_async._http.transport_errors import ConnectionLostError
from dialler_async.sandbox.faults import (
    CannedResponse,
    CutShort,
    Fault,
    HangUp,
    Html,
    Meanwhile,
    Raw,
    Redirect,
    Reset,
    StallBeforeHeaders,
    StallInBody,
    Status,
)

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock, Until
    from tests.http.conftest import AdvanceClock, Settle

NAME = "Spring 26"
COPY = "Monday"
ID = 535
READS = ("list", "get", "find", "result_codes")
WRITES = ("delete", "clone", "clone, exist_ok", "delete_by_name")
CALLS = READS + WRITES
NOT_IDEMPOTENT = ("clone", "delete_by_name")

ATTEMPTS = 4
LOST = [Reset(), HangUp(), Raw(b"SMTP?\r\n\r\n"), Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")]
LOST_AFTER_RUN = [
    Reset(carried_out=True),
    HangUp(carried_out=True),
    CutShort(),
    Raw(b"SMTP?\r\n\r\n", carried_out=True),
]
STALLS = [StallBeforeHeaders(), StallBeforeHeaders(carried_out=True), StallInBody()]


@pytest.fixture(autouse=True)
async def _no_debug_mode() -> None:
    # In debug mode, recording the source of each callback takes most of the time of such short calls.
    asyncio.get_running_loop().set_debug(False)


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


class TestNeverSent:
    @pytest.mark.parametrize("call", CALLS)
    async def test_every_call_is_retried_until_the_server_accepts_connections(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        async with AsyncExitStack() as down:
            await down.enter_async_context(server.refusing())
            clock.meanwhile = down.aclose
            server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [True]
        assert len(clock.slept) == 1

    @pytest.mark.parametrize("call", CALLS)
    async def test_every_call_raises_connect_error_when_the_server_stays_down(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        async with server.refusing():
            error = await failure(server.send(call, dialler))
        assert type(error) is ConnectError
        assert error.attempts == ATTEMPTS
        assert len(clock.slept) == ATTEMPTS - 1
        assert "nothing was sent" in str(error)
        assert str(error).endswith("(4 attempts)")
        assert server.journal == []

    @pytest.mark.parametrize("call", CALLS)
    async def test_every_call_raises_connect_error_when_dns_fails(
        self, clock: Clock, call: str, server: CampaignServer
    ) -> None:
        class FailingResolver(aiohttp.abc.AbstractResolver):
            async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
                raise OSError(None, "no such host")

            async def close(self) -> None:
                pass

        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=FailingResolver())) as session,
            DiallerClient("https://acd.example.com/rest/v1.0/1", "t", session=session) as dialler,
        ):
            error = await failure(server.send(call, dialler))
        assert type(error) is ConnectError
        assert error.attempts == ATTEMPTS

    @pytest.mark.parametrize(
        "connection_error",
        [
            aiohttp.ClientConnectionError("Connector is closed."),
            aiohttp.ServerFingerprintMismatch(b"expected", b"got", "acd.example.com", 443),
            OSError("the tunnel is shut"),
            TimeoutError(),
        ],
        ids=repr,
    )
    async def test_clone_raises_connect_error_for_any_failure_before_connecting(
        self, server: CampaignServer, clock: Clock, connection_error: Exception
    ) -> None:
        class FailingConnector(aiohttp.TCPConnector):
            async def connect(self, *_: Any, **__: Any) -> Any:
                raise connection_error

        async with (
            aiohttp.ClientSession(connector=FailingConnector()) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            error = await failure(dialler.campaigns.clone(NAME, COPY))
        assert type(error) is ConnectError
        # A wrong fingerprint stays wrong.
        assert error.permanent == isinstance(connection_error, aiohttp.ServerFingerprintMismatch)
        assert error.attempts == (1 if error.permanent else ATTEMPTS)
        assert "nothing was sent" in str(error)

    @pytest.mark.parametrize("call", WRITES)
    async def test_write_raises_connect_error_after_failed_tls_handshake(
        self, server: CampaignServer, clock: Clock, call: str
    ) -> None:
        async with DiallerClient(server.base_url.replace("http:", "https:"), server.token) as dialler:
            error = await failure(server.send(call, dialler))
        assert type(error) is ConnectError
        assert server.journal == []


class TestLostAfterSending:
    @pytest.mark.parametrize("call", READS)
    async def test_read_is_retried_after_lost_connection(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        for fault in LOST + LOST_AFTER_RUN:
            server.restore()
            clock.slept.clear()
            server.faults.next(fault)
            server.assert_result(call, await server.send(call, dialler))
            assert len(server.arrived(call)) == 2
            assert len(clock.slept) == 1

    @pytest.mark.parametrize("call", READS)
    async def test_read_raises_after_all_attempts_are_lost(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.faults.chance(1, [Reset()])
        error = await failure(server.send(call, dialler))
        assert type(error) is NoReplyError
        assert error.attempts == len(server.journal) == ATTEMPTS

    @pytest.mark.parametrize("fault", LOST, ids=repr)
    async def test_retry_deletes_when_the_lost_attempt_did_not(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        await dialler.campaigns.delete(ID)
        assert server.arrived("delete") == [False, True]
        assert server.is_done("delete")

    @pytest.mark.parametrize("fault", LOST_AFTER_RUN, ids=repr)
    async def test_delete_succeeds_when_the_retry_of_a_lost_attempt_gets_404(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        await dialler.campaigns.delete(ID)
        assert server.arrived("delete") == [True, False]
        assert server.journal[-1].status == 404

    async def test_delete_raises_not_found_on_404_after_failed_connection(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        async with AsyncExitStack() as down:
            await down.enter_async_context(server.refusing())
            clock.meanwhile = down.aclose
            assert type(await failure(dialler.campaigns.delete(999))) is NotFoundError

    async def test_delete_raises_not_found_on_404_after_429_and_503(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Status(429), Status(503))
        error = await failure(dialler.campaigns.delete(999))
        assert type(error) is NotFoundError
        assert error.attempts == 3

    @pytest.mark.parametrize("fault", LOST + LOST_AFTER_RUN, ids=repr)
    @pytest.mark.parametrize("call", NOT_IDEMPOTENT)
    async def test_non_idempotent_call_is_not_retried_and_has_unknown_outcome_after_lost_connection(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str, fault: Fault
    ) -> None:
        server.faults.next(fault)
        error = await failure(server.send(call, dialler))
        assert type(error) is OutcomeUnknownError
        assert server.arrived(call) == [server.is_done(call)]
        assert clock.slept == []

    @pytest.mark.parametrize("fault", LOST, ids=repr)
    async def test_retry_clones_with_exist_ok_when_the_lost_attempt_did_not(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        clone = await dialler.campaigns.clone(NAME, COPY, exist_ok=True)
        assert clone.name == COPY
        assert server.arrived("clone") == [False, True]

    @pytest.mark.parametrize("fault", LOST_AFTER_RUN, ids=repr)
    async def test_clone_with_exist_ok_finds_the_clone_of_a_lost_attempt(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        clone = await dialler.campaigns.clone(NAME, COPY, exist_ok=True)
        assert server.campaigns[clone.id or 0]["Name"] == COPY
        assert [received.call for received in server.journal] == ["clone", "clone", "find"]
        assert server.arrived("clone") == [True, False]

    @pytest.mark.parametrize("call", [call for call in CALLS if call not in NOT_IDEMPOTENT])
    async def test_idempotent_call_is_retried_after_read_timeout(
        self,
        server: CampaignServer,
        dialler: DiallerClient,
        clock: Clock,
        advance_clock: AdvanceClock,
        call: str,
        until: Until,
    ) -> None:
        for fault in STALLS:
            server.restore()
            server.faults.next(fault)
            calling = asyncio.ensure_future(server.send(call, dialler))
            await until(lambda: server.journal)
            await advance_clock(30.01)
            server.assert_result(call, await calling)
            assert len(server.arrived(call)) == 2
            assert call in READS or server.is_done(call)

    @pytest.mark.parametrize("call", NOT_IDEMPOTENT)
    async def test_non_idempotent_call_has_unknown_outcome_after_read_timeout(
        self, server: CampaignServer, dialler: DiallerClient, advance_clock: AdvanceClock, call: str, until: Until
    ) -> None:
        for fault in STALLS:
            server.restore()
            server.faults.next(fault)
            calling = asyncio.create_task(failure(server.send(call, dialler)))
            await until(lambda: server.journal)
            await advance_clock(30.01)
            assert type(await calling) is OutcomeUnknownError
            assert server.arrived(call) == [server.is_done(call)]


class TestRefusedByProxyOrServer:
    @pytest.mark.parametrize("retry_after", [None, 1])
    @pytest.mark.parametrize("call", [call for call in CALLS if call not in NOT_IDEMPOTENT])
    async def test_idempotent_call_is_retried_after_429_502_503_and_504(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str, retry_after: int | None
    ) -> None:
        for status in (429, 502, 503, 504):
            server.restore()
            clock.slept.clear()
            server.faults.next(Status(status, retry_after))
            server.assert_result(call, await server.send(call, dialler))
            assert server.arrived(call) == [False, True]
            assert sum(clock.slept) == (retry_after or 0.1875)

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("call", NOT_IDEMPOTENT)
    async def test_non_idempotent_call_is_retried_after_429_and_503_with_retry_after(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str, status: int
    ) -> None:
        server.faults.next(Status(status, retry_after=1))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, True]

    @pytest.mark.parametrize(("status", "kind"), [(429, RateLimitedError), (503, ServerError)])
    @pytest.mark.parametrize("call", NOT_IDEMPOTENT)
    async def test_non_idempotent_call_raises_after_429_and_503_without_retry_after(
        self, server: CampaignServer, dialler: DiallerClient, call: str, status: int, kind: type[StatusError]
    ) -> None:
        server.faults.next(Status(status))
        error = await failure(server.send(call, dialler))
        assert type(error) is kind
        assert error.attempts == 1
        assert server.arrived(call) == [False]

    @pytest.mark.parametrize("carried_out", [False, True])
    @pytest.mark.parametrize("retry_after", [None, 1])
    @pytest.mark.parametrize("call", NOT_IDEMPOTENT)
    async def test_non_idempotent_call_has_unknown_outcome_after_502_and_504(
        self, server: CampaignServer, dialler: DiallerClient, call: str, retry_after: int | None, carried_out: bool
    ) -> None:
        for status in (502, 504):
            server.restore()
            server.faults.next(Status(status, retry_after, carried_out))
            error = await failure(server.send(call, dialler))
            assert type(error) is OutcomeUnknownError
            assert server.arrived(call) == [carried_out]

    @pytest.mark.parametrize("status", [502, 504])
    @pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
    async def test_idempotent_write_runs_once_when_it_ran_before_502_or_504(
        self, server: CampaignServer, dialler: DiallerClient, call: str, status: int
    ) -> None:
        server.faults.next(Status(status, carried_out=True))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [True, False]

    @pytest.mark.parametrize("call", [call for call in CALLS if call not in NOT_IDEMPOTENT])
    async def test_last_error_is_raised_after_all_attempts(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.faults.chance(1, [Status(503)])
        error = await failure(server.send(call, dialler))
        assert type(error) is ServerError
        assert error.attempts == len(server.journal) == ATTEMPTS

    @pytest.mark.parametrize("call", CALLS)
    async def test_call_is_not_retried_with_one_attempt(self, server: CampaignServer, clock: Clock, call: str) -> None:
        server.faults.next(Status(503, retry_after=1))
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            assert type(await failure(server.send(call, dialler))) is ServerError
        assert len(server.journal) == 1


class TestRequestTimeout:
    """A proxy sends 408 if it did not receive the whole request in time."""

    @pytest.mark.parametrize("call", [*READS, "clone, exist_ok"])
    async def test_read_and_clone_with_exist_ok_are_retried_after_408(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.faults.next(Status(408))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, True]

    @pytest.mark.parametrize("call", ["delete", "clone", "delete_by_name"])
    async def test_other_writes_raise_408(self, server: CampaignServer, dialler: DiallerClient, call: str) -> None:
        server.faults.next(Status(408))
        error = await failure(server.send(call, dialler))
        assert isinstance(error, StatusError)
        assert error.status == 408
        assert server.arrived(call) == [False]


class TestNoJson:
    """A proxy sends an error page with status 200."""

    @pytest.mark.parametrize("body", [b"<html>Busy</html>", b"", b"  ", b'{"records": [', b'{"status": 200'])
    @pytest.mark.parametrize("call", READS)
    async def test_read_is_retried_after_200_without_json(
        self, server: CampaignServer, dialler: DiallerClient, call: str, body: bytes
    ) -> None:
        server.faults.next(CannedResponse(200, body))
        server.assert_result(call, await server.send(call, dialler))
        assert len(server.journal) == 2

    @pytest.mark.parametrize("call", WRITES)
    async def test_write_has_unknown_outcome_after_200_without_json(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.faults.next(CannedResponse(200, b"<html>Busy</html>"))
        assert type(await failure(server.send(call, dialler))) is OutcomeUnknownError
        assert len(server.journal) == 1

    @pytest.mark.parametrize("body", [b"[]", b'"busy"', b'{"records": 5, "status": 200}'])
    async def test_undocumented_json_is_raised_without_a_retry(
        self, server: CampaignServer, dialler: DiallerClient, body: bytes
    ) -> None:
        server.faults.next(CannedResponse(200, body))
        assert type(await failure(dialler.campaigns.list())) is PayloadError
        assert len(server.journal) == 1


class TestInternalError:
    @pytest.mark.parametrize("call", [*READS, "clone, exist_ok"])
    async def test_read_and_clone_with_exist_ok_are_retried_after_500(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.faults.next(Status(500))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, True]

    async def test_clone_with_exist_ok_finds_the_clone_of_an_attempt_with_500(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Status(500, carried_out=True))
        assert (await dialler.campaigns.clone(NAME, COPY, exist_ok=True)).name == COPY
        assert server.arrived("clone") == [True, False]

    async def test_delete_by_id_raises_500(self, server: CampaignServer, dialler: DiallerClient) -> None:
        server.faults.next(Status(500))
        assert type(await failure(dialler.campaigns.delete(ID))) is ServerError
        assert server.arrived("delete") == [False]

    @pytest.mark.parametrize("carried_out", [False, True])
    @pytest.mark.parametrize("call", NOT_IDEMPOTENT)
    async def test_non_idempotent_call_has_unknown_outcome_after_500(
        self, server: CampaignServer, dialler: DiallerClient, call: str, carried_out: bool
    ) -> None:
        server.faults.next(Status(500, carried_out=carried_out))
        assert type(await failure(server.send(call, dialler))) is OutcomeUnknownError
        assert server.arrived(call) == [carried_out]


class TestOtherStatuses:
    KINDS: tuple[tuple[Fault, type[StatusError]], ...] = (
        (Status(400), BadRequestError),
        (Status(401), AuthenticationError),
        (Status(403), StatusError),
        (CannedResponse(404), EndpointNotFoundError),
        (Status(409), ConflictError),
        (Status(413), StatusError),
        (Redirect("https://elsewhere.example/"), RedirectError),
    )

    @pytest.mark.parametrize("call", CALLS)
    async def test_other_statuses_are_raised_without_a_retry(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        for fault, kind in self.KINDS:
            server.journal.clear()
            server.faults.next(fault)
            error = await failure(server.send(call, dialler))
            assert type(error) is kind
            assert error.attempts == 1
            assert server.arrived(call) == [False]
        assert clock.slept == []

    @pytest.mark.parametrize("call", ["get", "result_codes", "delete", "clone", "clone, exist_ok", "delete_by_name"])
    async def test_missing_record_is_raised_without_a_retry(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.remove(ID)
        server.remove(537)
        assert type(await failure(server.send(call, dialler))) is NotFoundError
        assert len(server.journal) == 1

    @pytest.mark.parametrize(
        "fault",
        [
            Html(carried_out=True),
            CannedResponse(200, b"", carried_out=True),
            CannedResponse(202, b"{}", carried_out=True),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("call", WRITES)
    async def test_write_has_unknown_outcome_after_undocumented_2xx(
        self, server: CampaignServer, dialler: DiallerClient, call: str, fault: Fault
    ) -> None:
        server.faults.next(fault)
        assert type(await failure(server.send(call, dialler))) is OutcomeUnknownError
        assert server.arrived(call) == [True]

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("call", [call for call in CALLS if call not in NOT_IDEMPOTENT])
    async def test_status_in_the_body_of_a_200_is_retried_like_the_http_status(
        self, server: CampaignServer, dialler: DiallerClient, call: str, status: int
    ) -> None:
        server.faults.next(CannedResponse(200, json.dumps({"status": status, "error": "not now"}).encode()))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, True]


class TestUnknownOutcomes:
    """The connection was lost in a write, and the retries do not resolve its outcome."""

    UNRESOLVING: tuple[Fault, ...] = (
        Reset(),
        Status(400),
        Status(401),
        Status(403),
        CannedResponse(404),
        Status(429),
        Status(503),
        Status(503, retry_after=3600),
        Html(),
        Redirect("https://elsewhere.example/"),
    )

    @pytest.mark.parametrize("first_fault", [Reset(carried_out=True), Reset(), Status(502), Status(504)], ids=repr)
    @pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
    async def test_outcome_stays_unknown_when_the_retries_fail_with_any_error(
        self, server: CampaignServer, clock: Clock, call: str, first_fault: Fault
    ) -> None:
        for later_fault in self.UNRESOLVING:
            async with DiallerClient(server.base_url, server.token) as dialler:
                server.restore()
                server.faults.next(first_fault)
                server.faults.chance(1, [later_fault])
                error = await failure(server.send(call, dialler))
                assert type(error) is OutcomeUnknownError
                assert error.attempts == len(server.journal) > 1

    @pytest.mark.parametrize("later_fault", [Status(500), Status(409)], ids=repr)
    async def test_outcome_of_delete_stays_unknown_when_the_retry_gets_500_or_409(
        self, server: CampaignServer, dialler: DiallerClient, later_fault: Fault
    ) -> None:
        server.faults.next(Reset(carried_out=True), later_fault)
        assert type(await failure(dialler.campaigns.delete(ID))) is OutcomeUnknownError

    async def test_outcome_of_clone_stays_unknown_when_the_source_is_gone_at_the_retry(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Reset(carried_out=True), Status(404))
        error = await failure(dialler.campaigns.clone(NAME, COPY, exist_ok=True))
        assert type(error) is OutcomeUnknownError

    @pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
    async def test_outcome_stays_unknown_when_the_server_is_down_at_the_retry(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        server.faults.next(Reset(carried_out=True))
        async with AsyncExitStack() as down:
            clock.meanwhile = lambda: down.enter_async_context(server.refusing())
            error = await failure(server.send(call, dialler))
        assert type(error) is OutcomeUnknownError
        assert error.attempts == ATTEMPTS
        assert len(server.journal) == 1

    @pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
    async def test_outcome_stays_unknown_when_the_client_is_closed_before_the_retry(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        server.faults.next(Reset(carried_out=True))
        clock.meanwhile = dialler.aclose
        error = await failure(server.send(call, dialler))
        assert type(error) is OutcomeUnknownError
        assert "closed" in str(error)
        assert error.attempts == 1

    async def test_read_raises_client_state_error_when_the_client_is_closed_before_the_retry(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Reset())
        clock.meanwhile = dialler.aclose
        assert type(await failure(dialler.campaigns.list())) is ClientClosedError

    @pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
    async def test_outcome_stays_unknown_when_the_retry_gate_stays_shut(
        self, server: CampaignServer, clock: Clock, call: str
    ) -> None:
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy()) as dialler:
            server.faults.chance(1, [Status(503)])
            for _ in range(40):
                await failure(dialler.campaigns.list())
            server.journal.clear()
            server.faults.clear()
            server.faults.next(Reset(carried_out=True))
            assert type(await failure(server.send(call, dialler))) is OutcomeUnknownError
        assert server.arrived(call) == [True]

    async def test_outcome_stays_unknown_when_the_token_source_fails_at_the_retry(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        tokens = [server.token]
        server.faults.next(Reset(carried_out=True), Status(401))
        async with DiallerClient(server.base_url, tokens.pop) as dialler:
            error = await failure(dialler.campaigns.delete(ID))
        assert type(error) is OutcomeUnknownError
        assert "the function that returns the token raised IndexError" in str(error)

    async def test_conflict_resolves_the_unknown_outcome_of_clone_with_exist_ok(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Reset(carried_out=True), Status(503), Reset())
        assert (await dialler.campaigns.clone(NAME, COPY, exist_ok=True)).name == COPY
        assert server.arrived("clone") == [True, False, False, False]

    @pytest.mark.parametrize(
        ("call", "sent", "hint"),
        [
            ("delete", "DELETE /dialler/campaigns/campaign/{DiallerCampaignsID}", "campaigns.get(campaign)"),
            ("clone", "POST /dialler/campaigns/clone", "campaigns.get_by_name(destination)"),
            ("clone, exist_ok", "POST /dialler/campaigns/clone", "campaigns.get_by_name(destination)"),
            ("delete_by_name", "DELETE /dialler/campaigns/campaign", "campaigns.find(name)"),
        ],
    )
    async def test_outcome_unknown_error_says_what_was_sent_and_how_to_check(
        self, server: CampaignServer, dialler: DiallerClient, call: str, sent: str, hint: str
    ) -> None:
        server.faults.chance(1, [HangUp()])
        error = await failure(server.send(call, dialler))
        assert isinstance(error, OutcomeUnknownError)
        assert str(error.request) == sent
        assert str(error).startswith(f"{sent}: ")
        assert hint in str(error)
        assert NAME not in str(error)
        assert COPY not in str(error)


class TestAiohttpRetry:
    """aiohttp sends GET and DELETE again after a lost connection. This client prevents the second request."""

    FAULTS = (HangUp(), HangUp(carried_out=True), Reset(), Reset(carried_out=True))

    @staticmethod
    def fail_on_reused_connection(server: CampaignServer, fault: Fault) -> None:
        server.faults.next(fault, match=lambda received: received.nth_on_connection > 1)

    @pytest.mark.parametrize("fault", FAULTS, ids=repr)
    async def test_plain_aiohttp_sends_a_delete_twice(self, server: CampaignServer, fault: Fault) -> None:
        headers = {"Authorization": f"Bearer {server.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.get(f"{server.base_url}/dialler/campaigns") as response:
                await response.read()
            self.fail_on_reused_connection(server, fault)
            async with session.delete(f"{server.base_url}/dialler/campaigns/campaign?name=26"):
                pass
        assert len(server.arrived("delete_by_name")) == 2

    @pytest.mark.parametrize("user_session", [False, True])
    @pytest.mark.parametrize("call", CALLS)
    async def test_one_attempt_sends_one_request(
        self, server: CampaignServer, clock: Clock, call: str, user_session: bool
    ) -> None:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession()) if user_session else None
            once = RetryPolicy(attempts=1)
            dialler = DiallerClient(server.base_url, server.token, session=session, retry=once)
            await stack.enter_async_context(dialler)
            for fault in self.FAULTS:
                await dialler.campaigns.get(536)
                server.restore()
                if call in WRITES:
                    server.faults.next(fault)
                else:
                    self.fail_on_reused_connection(server, fault)
                error = await failure(server.send(call, dialler))
                assert type(error) is (OutcomeUnknownError if call in WRITES else NoReplyError)
                assert len(server.arrived(call)) == 1
                if call in WRITES:
                    assert server.arrived(call) == [server.is_done(call)]

    @pytest.mark.parametrize("fault", FAULTS, ids=repr)
    async def test_delete_by_name_is_never_sent_twice(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        # Two campaigns match: a second request would delete the other campaign.
        assert type(await failure(dialler.campaigns.delete_by_name("pring 26", exact=False))) is OutcomeUnknownError
        assert len(server.arrived("delete_by_name")) == 1
        assert 537 in server.campaigns

    async def test_connection_closed_while_idle_is_replaced_without_a_retry(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        await dialler.campaigns.get(ID)
        await server.drop_idle_connections()
        await dialler.campaigns.get(ID)
        assert clock.slept == []
        assert server.connections.opened == 2

    async def test_middlewares_of_a_user_session_run_in_their_order(self, server: CampaignServer, clock: Clock) -> None:
        middlewares_run: list[str] = []

        def make_middleware(name: str) -> aiohttp.ClientMiddlewareType:
            async def middleware(
                request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
            ) -> aiohttp.ClientResponse:
                middlewares_run.append(name)
                request.headers["X-Passed"] = name
                return await handler(request)

            return middleware

        async with (
            aiohttp.ClientSession(middlewares=(make_middleware("outer"), make_middleware("inner"))) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            server.faults.next(Reset())
            await dialler.campaigns.list()
        assert middlewares_run == ["outer", "inner"] * 2
        assert [received.headers["X-Passed"] for received in server.journal] == ["inner", "inner"]

    async def test_outcome_is_unknown_when_a_middleware_of_a_user_session_sends_again(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        async def send_twice(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            with pytest.raises(ConnectionLostError):
                await handler(request)
            async with server.refusing():
                return await handler(request)

        async with (
            aiohttp.ClientSession(middlewares=(send_twice,)) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            server.faults.next(Reset(carried_out=True))
            error = await failure(dialler.campaigns.clone(NAME, COPY))
        assert server.is_done("clone")
        assert type(error) is OutcomeUnknownError


class TestRetryAfter:
    @pytest.mark.parametrize("status", [429, 503])
    async def test_retry_waits_the_seconds_of_retry_after(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, status: int
    ) -> None:
        server.faults.next(Status(status, retry_after=7))
        await dialler.campaigns.list()
        assert sum(clock.slept) == 7

    async def test_retry_waits_until_the_date_of_retry_after(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        date = format_datetime(clock.now().replace(microsecond=0), usegmt=True)
        clock.seconds -= 25
        server.faults.next(Status(503, retry_after=date))
        await dialler.campaigns.list()
        assert clock.slept == [25]

    async def test_retry_after_with_a_past_date_does_not_lengthen_the_delay(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Status(429, retry_after="Thu, 01 Jan 2015 00:00:00 GMT"))
        await dialler.campaigns.list()
        assert clock.slept == [0.1875]

    async def test_unreadable_retry_after_is_ignored(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Status(503, retry_after="soon"))
        await dialler.campaigns.list()
        assert clock.slept == [0.1875]

    async def test_retry_after_never_shortens_the_delay(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(*[Status(503, retry_after=0)] * 3)
        await dialler.campaigns.list()
        assert clock.slept == [0.1875, 0.375, 0.75]

    @pytest.mark.parametrize("call", CALLS)
    async def test_retry_after_beyond_the_maximum_is_raised_without_a_retry(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        server.faults.next(Status(429, retry_after=61))
        error = await failure(server.send(call, dialler))
        assert isinstance(error, RateLimitedError)
        assert error.retry_after == 61
        assert clock.slept == []
        # A pause beyond the maximum does not pause other calls.
        await dialler.campaigns.list()
        assert clock.slept == []

    async def test_retry_after_beyond_the_deadline_is_raised_without_a_retry(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        server.faults.next(Status(503, retry_after=31))
        async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(deadline=30)) as dialler:
            error = await failure(dialler.campaigns.list())
        assert isinstance(error, ServerError)
        assert error.retry_after == 31
        assert clock.slept == []


class TestDelays:
    @pytest.mark.parametrize(("chance", "waits"), [(0.0, [0.125, 0.25, 0.5]), (1.0, [0.25, 0.5, 1.0])])
    async def test_delays_double_with_jitter(
        self, server: CampaignServer, clock: Clock, chance: float, waits: list[float]
    ) -> None:
        clock.chance = chance
        server.faults.next(*[Status(500)] * 3)
        async with DiallerClient(server.base_url, server.token) as dialler:
            await dialler.campaigns.list()
        assert clock.slept == waits

    async def test_delays_do_not_exceed_max_delay(self, server: CampaignServer, clock: Clock) -> None:
        clock.chance = 1.0
        server.faults.next(*[Status(500)] * 4)
        policy = RetryPolicy(attempts=5, base_delay=1, max_delay=3)
        async with DiallerClient(server.base_url, server.token, retry=policy) as dialler:
            await dialler.campaigns.list()
        assert clock.slept == [1.0, 2.0, 3.0, 3.0]

    async def test_delay_beyond_the_deadline_is_raised_without_a_retry(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        clock.chance = 1.0
        server.faults.chance(1, [Status(500)])
        policy, timeouts = RetryPolicy(base_delay=10, max_delay=10), Timeouts(deadline=9)
        async with DiallerClient(server.base_url, server.token, retry=policy, timeouts=timeouts) as dialler:
            error = await failure(dialler.campaigns.list())
        assert type(error) is ServerError
        assert len(server.journal) == 1
        assert clock.slept == []


class TestPause:
    async def test_429_with_retry_after_pauses_every_call_of_the_client(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Status(429, retry_after=30))
        started_at = clock.seconds
        await failure(dialler.campaigns.delete_by_name("no such", exact=False))
        assert clock.seconds == started_at + 30
        server.faults.next(Status(429, retry_after=61), Status(429, retry_after=20))
        await failure(dialler.campaigns.clone(NAME, COPY))
        assert clock.seconds == started_at + 30
        clock.meanwhile = dialler.campaigns.list
        await dialler.campaigns.list()
        assert clock.seconds == started_at + 30 + 20 + 20

    async def test_429_with_retry_after_pauses_queued_calls(self, server: CampaignServer, clock: Clock) -> None:
        server.faults.next(Status(429, retry_after=30))
        sent_at: list[float] = []
        server.faults.chance(1, [Meanwhile(lambda: sent_at.append(clock.seconds))])
        started_at = clock.seconds
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(5)))
        assert len(sent_at) == 5
        assert min(sent_at) >= started_at + 30

    async def test_429_with_retry_after_pauses_calls_of_another_account_on_the_same_pool(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        sibling = dialler.for_account(1, server.token)
        server.faults.next(Status(429, retry_after=30))
        await failure(dialler.campaigns.delete_by_name("no such", exact=False))
        started_at = clock.seconds
        server.faults.next(Status(429, retry_after=20))
        clock.slept.clear()
        await asyncio.gather(dialler.campaigns.list(), sibling.campaigns.list())
        assert clock.seconds - started_at >= 20

    async def test_calls_after_the_pause_do_not_wait(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Status(429, retry_after=30))
        await dialler.campaigns.list()
        clock.slept.clear()
        await dialler.campaigns.list()
        assert clock.slept == []

    async def test_longest_of_several_pauses_counts(self, server: CampaignServer, clock: Clock) -> None:
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            server.faults.next(*(Status(429, retry_after=wait) for wait in (10, 40, 20)))
            await asyncio.gather(*(failure(dialler.campaigns.list()) for _ in range(3)))
            assert clock.slept == []
            await dialler.campaigns.list()
        assert clock.slept == [40]

    @pytest.mark.parametrize("fault", [Status(503, retry_after=30), Status(429), Status(429, retry_after=0)], ids=repr)
    async def test_503_and_429_without_retry_after_pause_no_other_call(
        self, server: CampaignServer, clock: Clock, fault: Fault
    ) -> None:
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            server.faults.next(fault)
            await failure(dialler.campaigns.list())
            await dialler.campaigns.list()
        assert clock.slept == []


class TestTokenRenewal:
    @pytest.mark.parametrize("call", CALLS)
    async def test_401_renews_the_token_and_retries_the_call_once(
        self, server: CampaignServer, clock: Clock, call: str
    ) -> None:
        source_calls: list[str] = []

        async def source() -> str:
            source_calls.append(server.token)
            return server.token

        async with DiallerClient(server.base_url, source) as dialler:
            await dialler.campaigns.get(536)
            server.journal.clear()
            server.revoke()
            server.assert_result(call, await server.send(call, dialler))
        assert len(source_calls) == 2
        assert server.arrived(call) == [False, True]
        assert clock.slept == []

    @pytest.mark.parametrize("call", CALLS)
    async def test_second_401_is_raised(self, server: CampaignServer, clock: Clock, call: str) -> None:
        async with DiallerClient(server.base_url, lambda: "wrong") as dialler:
            error = await failure(server.send(call, dialler))
        assert type(error) is AuthenticationError
        assert error.attempts == 2
        assert server.arrived(call) == [False, False]

    async def test_second_401_after_another_failure_is_raised(self, server: CampaignServer, clock: Clock) -> None:
        server.faults.next(Status(401), Status(503), Status(401))
        async with DiallerClient(server.base_url, lambda: server.token) as dialler:
            assert type(await failure(dialler.campaigns.list())) is AuthenticationError
        assert len(server.journal) == 3

    @pytest.mark.parametrize("call", CALLS)
    async def test_two_rotations_in_a_row_renew_the_token_twice(
        self, server: CampaignServer, clock: Clock, call: str
    ) -> None:
        tokens = iter(["replaced", "replaced-again", server.token])
        async with DiallerClient(server.base_url, lambda: next(tokens)) as dialler:
            server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, False, True]

    async def test_401_for_each_new_token_is_raised_after_three_requests(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        numbers = itertools.count(1)
        async with DiallerClient(server.base_url, lambda: f"wrong-{next(numbers)}") as dialler:
            assert type(await failure(dialler.campaigns.list())) is AuthenticationError
        assert len(server.journal) == 3

    async def test_concurrent_calls_with_401_renew_the_token_once(
        self, server: CampaignServer, clock: Clock, settle: Settle
    ) -> None:
        source_calls: list[str] = []

        async def source() -> str:
            source_calls.append(server.token)
            await settle()
            return source_calls[-1]

        async with DiallerClient(server.base_url, source) as dialler:
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(20)))
            assert len(source_calls) == 1
            server.revoke()
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(20)))
        assert len(source_calls) == 2
        assert len(server.journal) == 60

    async def test_call_with_late_401_uses_the_token_that_another_call_renewed(
        self, server: CampaignServer, clock: Clock, until: Until
    ) -> None:
        source_calls: list[str] = []

        def source() -> str:
            source_calls.append(server.token)
            return server.token

        async with DiallerClient(server.base_url, source) as dialler:
            await dialler.campaigns.get(ID)
            release = asyncio.Event()
            server.faults.next(Held(release, Status(401)))
            late_call = asyncio.create_task(dialler.campaigns.get(ID))
            await until(lambda: len(server.journal) == 2)
            server.revoke()
            await dialler.campaigns.get(ID)
            release.set()
            await late_call
        assert len(source_calls) == 2

    async def test_401_with_a_fixed_token_is_raised_without_a_retry(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.revoke()
        error = await failure(dialler.campaigns.list())
        assert type(error) is AuthenticationError
        assert len(server.journal) == 1

    async def test_failing_token_source_raises_token_source_error(self, server: CampaignServer, clock: Clock) -> None:
        def source() -> str:
            raise LookupError("the vault is sealed")

        async with DiallerClient(server.base_url, source) as dialler:
            with pytest.raises(TokenSourceError, match="LookupError"):
                await dialler.campaigns.delete(ID)
        assert server.journal == []

        tokens = [server.token]
        async with DiallerClient(server.base_url, tokens.pop) as dialler:
            server.faults.next(Status(401))
            with pytest.raises(TokenSourceError, match="IndexError"):
                await dialler.campaigns.delete(ID)
        assert server.arrived("delete") == [False]

    async def test_timeout_error_of_the_token_source_is_not_a_deadline_error(self, server: CampaignServer) -> None:
        async def source() -> str:
            raise TimeoutError("the vault does not respond")

        async with DiallerClient(server.base_url, source) as dialler:
            with pytest.raises(TokenSourceError, match="TimeoutError") as raised:
                await dialler.campaigns.list()
        assert not isinstance(raised.value, DeadlineError)


class Held(Fault):
    """Another fault, which happens after `release` is set."""

    def __init__(self, release: asyncio.Event, fault: Fault) -> None:
        self.release = release
        self.fault = fault

    async def apply(self, request: Any) -> Any:
        await self.release.wait()
        return await self.fault.apply(request)


async def test_call_names_are_those_of_the_journal() -> None:
    assert {call.partition(",")[0] for call in CALLS} == {
        "list",
        "get",
        "find",
        "result_codes",
        "delete",
        "clone",
        "delete_by_name",
    }
