"""What is repeated and what the caller is told, for every kind of call and of failure, by the server's journal."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from dialler_async import (
    AuthenticationError,
    BadRequestError,
    ClientStateError,
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
from dialler_async._http.connector import ConnectionLost
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
    from tests.http.conftest import Leap, Settle

NAME = "Spring 26"
COPY = "Monday"
ID = 535
READS = ("list", "get", "find", "result_codes")
WRITES = ("delete", "clone", "clone, exist_ok", "delete_by_name")
CALLS = READS + WRITES
AS_IS = ("clone", "delete_by_name")

ATTEMPTS = 4
LOST = [Reset(), HangUp(), Raw(b"SMTP?\r\n\r\n"), Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")]
LOST_THOUGH_DONE = [
    Reset(carried_out=True),
    HangUp(carried_out=True),
    CutShort(),
    Raw(b"SMTP?\r\n\r\n", carried_out=True),
]
SILENT = [StallBeforeHeaders(), StallBeforeHeaders(carried_out=True), StallInBody()]


@pytest.fixture(autouse=True)
async def _undebugged() -> None:
    # Remembering where each callback came from takes most of the time of calls this short; other tests watch for that.
    asyncio.get_running_loop().set_debug(False)


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


class TestNeverSent:
    @pytest.mark.parametrize("call", CALLS)
    async def test_every_call_is_repeated_until_the_server_is_up(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        async with AsyncExitStack() as down:
            await down.enter_async_context(server.refusing())
            clock.meanwhile = down.aclose
            server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [True]
        assert len(clock.slept) == 1

    @pytest.mark.parametrize("call", CALLS)
    async def test_a_server_that_stays_down_is_a_connect_error_for_every_call(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        async with server.refusing():
            error = await failure(server.send(call, dialler))
        assert type(error) is ConnectError
        assert error.attempts == ATTEMPTS
        assert len(clock.slept) == ATTEMPTS - 1
        assert "nothing was sent" in str(error)
        assert str(error).endswith("(tried 4 times)")
        assert server.journal == []

    @pytest.mark.parametrize("call", CALLS)
    async def test_a_host_that_does_not_resolve_is_a_connect_error(
        self, clock: Clock, call: str, server: CampaignServer
    ) -> None:
        class Nowhere(aiohttp.abc.AbstractResolver):
            async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
                raise OSError(None, "no such host")

            async def close(self) -> None:
                pass

        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Nowhere())) as session,
            DiallerClient("https://acd.example.com/rest/v1.0/1", "t", session=session) as dialler,
        ):
            error = await failure(server.send(call, dialler))
        assert type(error) is ConnectError
        assert error.attempts == ATTEMPTS

    @pytest.mark.parametrize(
        "failure_to_connect",
        [
            aiohttp.ClientConnectionError("Connector is closed."),
            aiohttp.ServerFingerprintMismatch(b"expected", b"got", "acd.example.com", 443),
            OSError("the tunnel is shut"),
            TimeoutError(),
        ],
        ids=repr,
    )
    async def test_whatever_fails_before_there_is_a_connection_is_a_connect_error(
        self, server: CampaignServer, clock: Clock, failure_to_connect: Exception
    ) -> None:
        class Unreachable(aiohttp.TCPConnector):
            async def connect(self, *_: Any, **__: Any) -> Any:
                raise failure_to_connect

        async with (
            aiohttp.ClientSession(connector=Unreachable()) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            error = await failure(dialler.campaigns.clone(NAME, COPY))
        assert type(error) is ConnectError
        assert error.attempts == ATTEMPTS
        assert "nothing was sent" in str(error)

    @pytest.mark.parametrize("call", WRITES)
    async def test_a_failed_tls_handshake_is_a_connect_error(
        self, server: CampaignServer, clock: Clock, call: str
    ) -> None:
        async with DiallerClient(server.base_url.replace("http:", "https:"), server.token) as dialler:
            error = await failure(server.send(call, dialler))
        assert type(error) is ConnectError
        assert server.journal == []


class TestLostAfterSending:
    @pytest.mark.parametrize("call", READS)
    async def test_a_read_is_repeated(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        for fault in LOST + LOST_THOUGH_DONE:
            server.restore()
            clock.slept.clear()
            server.faults.next(fault)
            server.assert_result(call, await server.send(call, dialler))
            assert len(server.arrived(call)) == 2
            assert len(clock.slept) == 1

    @pytest.mark.parametrize("call", READS)
    async def test_a_read_that_is_always_lost_fails_after_all_attempts(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.faults.chance(1, [Reset()])
        error = await failure(server.send(call, dialler))
        assert type(error) is NoReplyError
        assert error.attempts == len(server.journal) == ATTEMPTS

    @pytest.mark.parametrize("fault", LOST, ids=repr)
    async def test_a_delete_that_was_not_carried_out_is_carried_out_by_the_repeat(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        await dialler.campaigns.delete(ID)
        assert server.arrived("delete") == [False, True]
        assert server.is_done("delete")

    @pytest.mark.parametrize("fault", LOST_THOUGH_DONE, ids=repr)
    async def test_a_delete_that_was_carried_out_is_done_although_the_repeat_finds_nothing(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        await dialler.campaigns.delete(ID)
        assert server.arrived("delete") == [True, False]
        assert server.journal[-1].status == 404

    async def test_a_404_to_a_delete_whose_first_attempt_never_left_is_no_success(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        async with AsyncExitStack() as down:
            await down.enter_async_context(server.refusing())
            clock.meanwhile = down.aclose
            assert type(await failure(dialler.campaigns.delete(999))) is NotFoundError

    async def test_a_404_to_a_delete_that_was_only_turned_away_is_no_success(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Status(429), Status(503))
        error = await failure(dialler.campaigns.delete(999))
        assert type(error) is NotFoundError
        assert error.attempts == 3

    @pytest.mark.parametrize("fault", LOST + LOST_THOUGH_DONE, ids=repr)
    @pytest.mark.parametrize("call", AS_IS)
    async def test_a_call_that_is_not_safe_to_repeat_is_not_and_nobody_claims_to_know(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str, fault: Fault
    ) -> None:
        server.faults.next(fault)
        error = await failure(server.send(call, dialler))
        assert type(error) is OutcomeUnknownError
        assert server.arrived(call) == [server.is_done(call)]
        assert clock.slept == []

    @pytest.mark.parametrize("fault", LOST, ids=repr)
    async def test_a_clone_with_exist_ok_that_was_not_carried_out_is_carried_out_by_the_repeat(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        clone = await dialler.campaigns.clone(NAME, COPY, exist_ok=True)
        assert clone.name == COPY
        assert server.arrived("clone") == [False, True]

    @pytest.mark.parametrize("fault", LOST_THOUGH_DONE, ids=repr)
    async def test_a_clone_with_exist_ok_that_was_carried_out_is_found_again(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault)
        clone = await dialler.campaigns.clone(NAME, COPY, exist_ok=True)
        assert server.campaigns[clone.id or 0]["Name"] == COPY
        assert [received.call for received in server.journal] == ["clone", "clone", "find"]
        assert server.arrived("clone") == [True, False]

    @pytest.mark.parametrize("call", [call for call in CALLS if call not in AS_IS])
    async def test_silence_counts_as_lost(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, leap: Leap, call: str, until: Until
    ) -> None:
        for fault in SILENT:
            server.restore()
            server.faults.next(fault)
            calling = asyncio.ensure_future(server.send(call, dialler))
            await until(lambda: server.journal)
            await leap(30.01)
            server.assert_result(call, await calling)
            assert len(server.arrived(call)) == 2
            assert call in READS or server.is_done(call)

    @pytest.mark.parametrize("call", AS_IS)
    async def test_silence_leaves_the_outcome_unknown_of_what_is_not_safe_to_repeat(
        self, server: CampaignServer, dialler: DiallerClient, leap: Leap, call: str, until: Until
    ) -> None:
        for fault in SILENT:
            server.restore()
            server.faults.next(fault)
            calling = asyncio.create_task(failure(server.send(call, dialler)))
            await until(lambda: server.journal)
            await leap(30.01)
            assert type(await calling) is OutcomeUnknownError
            assert server.arrived(call) == [server.is_done(call)]


class TestTurnedAway:
    @pytest.mark.parametrize("retry_after", [None, 1])
    @pytest.mark.parametrize("call", [call for call in CALLS if call not in AS_IS])
    async def test_what_is_safe_is_repeated(
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
    @pytest.mark.parametrize("call", AS_IS)
    async def test_what_is_not_safe_is_repeated_when_the_server_says_when(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str, status: int
    ) -> None:
        server.faults.next(Status(status, retry_after=1))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, True]

    @pytest.mark.parametrize(("status", "kind"), [(429, RateLimitedError), (503, ServerError)])
    @pytest.mark.parametrize("call", AS_IS)
    async def test_what_is_not_safe_is_an_error_when_the_server_does_not_say_when(
        self, server: CampaignServer, dialler: DiallerClient, call: str, status: int, kind: type[StatusError]
    ) -> None:
        server.faults.next(Status(status))
        error = await failure(server.send(call, dialler))
        assert type(error) is kind
        assert error.attempts == 1
        assert server.arrived(call) == [False]

    @pytest.mark.parametrize("carried_out", [False, True])
    @pytest.mark.parametrize("retry_after", [None, 1])
    @pytest.mark.parametrize("call", AS_IS)
    async def test_a_proxy_that_lost_the_server_leaves_the_outcome_unknown(
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
    async def test_a_write_that_a_proxy_lost_though_it_was_carried_out_is_done_once(
        self, server: CampaignServer, dialler: DiallerClient, call: str, status: int
    ) -> None:
        server.faults.next(Status(status, carried_out=True))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [True, False]

    @pytest.mark.parametrize("call", [call for call in CALLS if call not in AS_IS])
    async def test_the_last_answer_is_the_error_when_all_attempts_are_used_up(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.faults.chance(1, [Status(503)])
        error = await failure(server.send(call, dialler))
        assert type(error) is ServerError
        assert error.attempts == len(server.journal) == ATTEMPTS

    @pytest.mark.parametrize("call", CALLS)
    async def test_nothing_is_repeated_when_one_attempt_is_all_there_is(
        self, server: CampaignServer, clock: Clock, call: str
    ) -> None:
        server.faults.next(Status(503, retry_after=1))
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            assert type(await failure(server.send(call, dialler))) is ServerError
        assert len(server.journal) == 1


class TestRequestTimeout:
    """A proxy answers 408 when it did not get the whole request in time."""

    @pytest.mark.parametrize("call", [*READS, "clone, exist_ok"])
    async def test_what_is_safe_is_retried(self, server: CampaignServer, dialler: DiallerClient, call: str) -> None:
        server.faults.next(Status(408))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, True]

    @pytest.mark.parametrize("call", ["delete", "clone", "delete_by_name"])
    async def test_other_writes_raise_it(self, server: CampaignServer, dialler: DiallerClient, call: str) -> None:
        server.faults.next(Status(408))
        error = await failure(server.send(call, dialler))
        assert isinstance(error, StatusError)
        assert error.status == 408
        assert server.arrived(call) == [False]


class TestNoJson:
    """A proxy's error page with status 200."""

    @pytest.mark.parametrize("body", [b"<html>Busy</html>", b"", b"  ", b'{"records": [', b'{"status": 200'])
    @pytest.mark.parametrize("call", READS)
    async def test_a_read_is_retried(
        self, server: CampaignServer, dialler: DiallerClient, call: str, body: bytes
    ) -> None:
        server.faults.next(CannedResponse(200, body))
        server.assert_result(call, await server.send(call, dialler))
        assert len(server.journal) == 2

    @pytest.mark.parametrize("call", WRITES)
    async def test_the_outcome_of_a_write_is_unknown(
        self, server: CampaignServer, dialler: DiallerClient, call: str
    ) -> None:
        server.faults.next(CannedResponse(200, b"<html>Busy</html>"))
        assert type(await failure(server.send(call, dialler))) is OutcomeUnknownError
        assert len(server.journal) == 1

    @pytest.mark.parametrize("body", [b"[]", b'"busy"', b'{"records": 5, "status": 200}'])
    async def test_json_that_is_not_as_documented_is_an_error_at_once(
        self, server: CampaignServer, dialler: DiallerClient, body: bytes
    ) -> None:
        server.faults.next(CannedResponse(200, body))
        assert type(await failure(dialler.campaigns.list())) is PayloadError
        assert len(server.journal) == 1


class TestInternalError:
    @pytest.mark.parametrize("call", [*READS, "clone, exist_ok"])
    async def test_what_is_safe_is_repeated(self, server: CampaignServer, dialler: DiallerClient, call: str) -> None:
        server.faults.next(Status(500))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, True]

    async def test_a_clone_with_exist_ok_that_was_carried_out_nevertheless_is_found_again(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Status(500, carried_out=True))
        assert (await dialler.campaigns.clone(NAME, COPY, exist_ok=True)).name == COPY
        assert server.arrived("clone") == [True, False]

    async def test_a_delete_by_id_is_told_as_it_is(self, server: CampaignServer, dialler: DiallerClient) -> None:
        server.faults.next(Status(500))
        assert type(await failure(dialler.campaigns.delete(ID))) is ServerError
        assert server.arrived("delete") == [False]

    @pytest.mark.parametrize("carried_out", [False, True])
    @pytest.mark.parametrize("call", AS_IS)
    async def test_what_is_not_safe_has_an_unknown_outcome(
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
    async def test_they_are_errors_at_once(
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
    async def test_a_record_that_is_not_there_is_an_error_at_once(
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
    async def test_a_write_that_something_else_than_the_api_accepted_has_an_unknown_outcome(
        self, server: CampaignServer, dialler: DiallerClient, call: str, fault: Fault
    ) -> None:
        server.faults.next(fault)
        assert type(await failure(server.send(call, dialler))) is OutcomeUnknownError
        assert server.arrived(call) == [True]

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("call", [call for call in CALLS if call not in AS_IS])
    async def test_a_status_that_only_the_body_claims_counts_like_the_real_one(
        self, server: CampaignServer, dialler: DiallerClient, call: str, status: int
    ) -> None:
        server.faults.next(CannedResponse(200, json.dumps({"status": status, "error": "not now"}).encode()))
        server.assert_result(call, await server.send(call, dialler))
        assert server.arrived(call) == [False, True]


class TestUnknownOutcomes:
    """A write was lost, may be repeated, and the repeats settle nothing."""

    UNSETTLED: tuple[Fault, ...] = (
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

    @pytest.mark.parametrize("first", [Reset(carried_out=True), Reset(), Status(502), Status(504)], ids=repr)
    @pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
    async def test_no_answer_to_a_repeat_hides_that_an_earlier_attempt_may_have_worked(
        self, server: CampaignServer, clock: Clock, call: str, first: Fault
    ) -> None:
        for then in self.UNSETTLED:
            async with DiallerClient(server.base_url, server.token) as dialler:
                server.restore()
                server.faults.next(first)
                server.faults.chance(1, [then])
                error = await failure(server.send(call, dialler))
                assert type(error) is OutcomeUnknownError
                assert error.attempts == len(server.journal) > 1

    @pytest.mark.parametrize("then", [Status(500), Status(409)], ids=repr)
    async def test_nor_does_one_that_is_told_as_it_is_for_a_first_delete(
        self, server: CampaignServer, dialler: DiallerClient, then: Fault
    ) -> None:
        server.faults.next(Reset(carried_out=True), then)
        assert type(await failure(dialler.campaigns.delete(ID))) is OutcomeUnknownError

    async def test_nor_does_a_source_that_is_gone_by_now(self, server: CampaignServer, dialler: DiallerClient) -> None:
        server.faults.next(Reset(carried_out=True), Status(404))
        error = await failure(dialler.campaigns.clone(NAME, COPY, exist_ok=True))
        assert type(error) is OutcomeUnknownError

    @pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
    async def test_nor_does_a_server_that_is_down_by_now(
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
    async def test_nor_does_closing_the_client_before_the_repeat(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        server.faults.next(Reset(carried_out=True))
        clock.meanwhile = dialler.aclose
        error = await failure(server.send(call, dialler))
        assert type(error) is OutcomeUnknownError
        assert "closed" in str(error)
        assert error.attempts == 1

    async def test_a_read_whose_client_is_closed_before_the_repeat_says_just_that(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Reset())
        clock.meanwhile = dialler.aclose
        assert type(await failure(dialler.campaigns.list())) is ClientStateError

    @pytest.mark.parametrize("call", ["delete", "clone, exist_ok"])
    async def test_nor_does_a_circuit_that_stays_open(self, server: CampaignServer, clock: Clock, call: str) -> None:
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy()) as dialler:
            server.faults.chance(1, [Status(503)])
            for _ in range(4):
                await failure(dialler.campaigns.list())
            server.journal.clear()
            server.faults.clear()
            server.faults.next(Reset(carried_out=True))
            assert type(await failure(server.send(call, dialler))) is OutcomeUnknownError
        assert server.arrived(call) == [True]

    async def test_nor_does_a_token_that_can_not_be_had_any_more(self, server: CampaignServer, clock: Clock) -> None:
        tokens = [server.token]
        server.faults.next(Reset(carried_out=True), Status(401))
        async with DiallerClient(server.base_url, tokens.pop) as dialler:
            error = await failure(dialler.campaigns.delete(ID))
        assert type(error) is OutcomeUnknownError
        assert "401" in str(error)

    async def test_a_conflict_settles_a_clone_with_exist_ok(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Reset(carried_out=True), Status(503), Reset())
        assert (await dialler.campaigns.clone(NAME, COPY, exist_ok=True)).name == COPY
        assert server.arrived("clone") == [True, False, False, False]

    @pytest.mark.parametrize(
        ("call", "sent", "look"),
        [
            ("delete", "DELETE /dialler/campaigns/campaign/{DiallerCampaignsID}", "campaigns.get(campaign)"),
            ("clone", "POST /dialler/campaigns/clone", "campaigns.get_by_name(destination)"),
            ("clone, exist_ok", "POST /dialler/campaigns/clone", "campaigns.get_by_name(destination)"),
            ("delete_by_name", "DELETE /dialler/campaigns/campaign", "campaigns.find(name)"),
        ],
    )
    async def test_the_error_says_what_was_sent_and_how_to_find_out(
        self, server: CampaignServer, dialler: DiallerClient, call: str, sent: str, look: str
    ) -> None:
        server.faults.chance(1, [HangUp()])
        error = await failure(server.send(call, dialler))
        assert isinstance(error, OutcomeUnknownError)
        assert str(error.request) == sent
        assert str(error).startswith(f"{sent}: ")
        assert look in str(error)
        assert NAME not in str(error)
        assert COPY not in str(error)


class TestSilentSecondSending:
    """aiohttp sends GET and DELETE again when a connection breaks: here, it must not."""

    FAULTS = (HangUp(), HangUp(carried_out=True), Reset(), Reset(carried_out=True))

    @staticmethod
    def break_kept_alive(server: CampaignServer, fault: Fault) -> None:
        server.faults.next(fault, match=lambda received: received.nth_on_connection > 1)

    @pytest.mark.parametrize("fault", FAULTS, ids=repr)
    async def test_aiohttp_alone_does_it(self, server: CampaignServer, fault: Fault) -> None:
        headers = {"Authorization": f"Bearer {server.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.get(f"{server.base_url}/dialler/campaigns") as response:
                await response.read()
            self.break_kept_alive(server, fault)
            async with session.delete(f"{server.base_url}/dialler/campaigns/campaign?name=26"):
                pass
        assert len(server.arrived("delete_by_name")) == 2

    @pytest.mark.parametrize("brought", [False, True])
    @pytest.mark.parametrize("call", CALLS)
    async def test_one_attempt_is_one_request(
        self, server: CampaignServer, clock: Clock, call: str, brought: bool
    ) -> None:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession()) if brought else None
            once = RetryPolicy(attempts=1)
            dialler = DiallerClient(server.base_url, server.token, session=session, retry=once)
            await stack.enter_async_context(dialler)
            for fault in self.FAULTS:
                await dialler.campaigns.get(536)
                server.restore()
                self.break_kept_alive(server, fault)
                error = await failure(server.send(call, dialler))
                assert type(error) is (OutcomeUnknownError if call in WRITES else NoReplyError)
                assert len(server.arrived(call)) == 1
                if call in WRITES:
                    assert server.arrived(call) == [server.is_done(call)]

    @pytest.mark.parametrize("fault", FAULTS, ids=repr)
    async def test_an_api_delete_by_name_never_hits_twice(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        await dialler.campaigns.get(536)
        self.break_kept_alive(server, fault)
        # Both of them match: a second hit would kill the other one.
        assert type(await failure(dialler.campaigns.delete_by_name("pring 26", exact=False))) is OutcomeUnknownError
        assert len(server.arrived("delete_by_name")) == 1
        assert 537 in server.campaigns

    async def test_a_connection_that_the_server_closed_while_idle_is_just_replaced(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        await dialler.campaigns.get(ID)
        await server.drop_idle_connections()
        await dialler.campaigns.clone(NAME, COPY)
        assert clock.slept == []
        assert server.connections.opened == 2

    async def test_the_middlewares_of_a_brought_session_keep_working_in_their_order(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        passed: list[str] = []

        def named(name: str) -> aiohttp.ClientMiddlewareType:
            async def middleware(
                request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
            ) -> aiohttp.ClientResponse:
                passed.append(name)
                request.headers["X-Passed"] = name
                return await handler(request)

            return middleware

        async with (
            aiohttp.ClientSession(middlewares=(named("outer"), named("inner"))) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            server.faults.next(Reset())
            await dialler.campaigns.list()
        assert passed == ["outer", "inner"] * 2
        assert [received.headers["X-Passed"] for received in server.journal] == ["inner", "inner"]

    async def test_a_middleware_of_a_brought_session_that_sends_again_itself_is_known_to_have_sent(
        self, server: CampaignServer, clock: Clock
    ) -> None:
        async def twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            with pytest.raises(ConnectionLost):
                await handler(request)
            async with server.refusing():
                return await handler(request)

        async with (
            aiohttp.ClientSession(middlewares=(twice,)) as session,
            DiallerClient(server.base_url, server.token, session=session) as dialler,
        ):
            server.faults.next(Reset(carried_out=True))
            error = await failure(dialler.campaigns.clone(NAME, COPY))
        assert server.is_done("clone")
        assert type(error) is OutcomeUnknownError


class TestRetryAfter:
    @pytest.mark.parametrize("status", [429, 503])
    async def test_seconds_are_waited(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, status: int
    ) -> None:
        server.faults.next(Status(status, retry_after=7))
        await dialler.campaigns.list()
        assert sum(clock.slept) == 7

    async def test_a_date_is_waited_for(self, server: CampaignServer, dialler: DiallerClient, clock: Clock) -> None:
        date = format_datetime(clock.now().replace(microsecond=0), usegmt=True)
        clock.seconds -= 25
        server.faults.next(Status(503, retry_after=date))
        await dialler.campaigns.list()
        assert clock.slept == [25]

    async def test_a_date_that_has_passed_is_no_reason_to_wait_longer(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Status(429, retry_after="Thu, 01 Jan 2015 00:00:00 GMT"))
        await dialler.campaigns.list()
        assert clock.slept == [0.1875]

    async def test_one_that_nobody_can_read_is_as_none(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Status(503, retry_after="soon"))
        await dialler.campaigns.list()
        assert clock.slept == [0.1875]

    async def test_it_never_shortens_the_wait(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(*[Status(503, retry_after=0)] * 3)
        await dialler.campaigns.list()
        assert clock.slept == [0.1875, 0.375, 0.75]

    @pytest.mark.parametrize("call", CALLS)
    async def test_one_beyond_the_cap_is_the_error_at_once(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, call: str
    ) -> None:
        server.faults.next(Status(429, retry_after=61))
        error = await failure(server.send(call, dialler))
        assert isinstance(error, RateLimitedError)
        assert error.retry_after == 61
        assert clock.slept == []
        # It was too long for anybody to wait, so nobody does.
        await dialler.campaigns.list()
        assert clock.slept == []

    async def test_one_beyond_the_deadline_is_the_error_at_once(self, server: CampaignServer, clock: Clock) -> None:
        server.faults.next(Status(503, retry_after=31))
        async with DiallerClient(server.base_url, server.token, timeouts=Timeouts(deadline=30)) as dialler:
            error = await failure(dialler.campaigns.list())
        assert isinstance(error, ServerError)
        assert error.retry_after == 31
        assert clock.slept == []


class TestWaits:
    @pytest.mark.parametrize(("chance", "waits"), [(0.0, [0.125, 0.25, 0.5]), (1.0, [0.25, 0.5, 1.0])])
    async def test_they_are_drawn_from_the_upper_half_of_a_bound_that_doubles(
        self, server: CampaignServer, clock: Clock, chance: float, waits: list[float]
    ) -> None:
        clock.chance = chance
        server.faults.next(*[Status(500)] * 3)
        async with DiallerClient(server.base_url, server.token) as dialler:
            await dialler.campaigns.list()
        assert clock.slept == waits

    async def test_they_do_not_exceed_max_delay(self, server: CampaignServer, clock: Clock) -> None:
        clock.chance = 1.0
        server.faults.next(*[Status(500)] * 4)
        policy = RetryPolicy(attempts=5, base_delay=1, max_delay=3)
        async with DiallerClient(server.base_url, server.token, retry=policy) as dialler:
            await dialler.campaigns.list()
        assert clock.slept == [1.0, 2.0, 3.0, 3.0]

    async def test_none_reaches_beyond_the_deadline(self, server: CampaignServer, clock: Clock) -> None:
        clock.chance = 1.0
        server.faults.chance(1, [Status(500)])
        policy, timeouts = RetryPolicy(base_delay=10, max_delay=10), Timeouts(deadline=9)
        async with DiallerClient(server.base_url, server.token, retry=policy, timeouts=timeouts) as dialler:
            error = await failure(dialler.campaigns.list())
        assert type(error) is ServerError
        assert len(server.journal) == 1
        assert clock.slept == []


class TestCircuit:
    """Calls wait together for a server that fails every request; one of them probes it."""

    async def test_a_server_that_stays_down_gets_at_most_1_3_requests_for_each_call(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.chance(1, [Status(503)])
        errors = [await failure(dialler.campaigns.list()) for _ in range(200)]
        assert {type(error) for error in errors} == {ServerError}
        assert 200 <= len(server.journal) <= 260

    async def test_so_it_does_from_concurrent_calls(self, server: CampaignServer, dialler: DiallerClient) -> None:
        server.faults.chance(1, [Reset()])
        errors = await asyncio.gather(*(failure(dialler.campaigns.get(ID)) for _ in range(200)))
        assert {type(error) for error in errors} == {NoReplyError}
        assert 200 <= len(server.journal) <= 230

    async def test_clients_of_other_accounts_on_the_same_pool_share_it(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.chance(1, [Status(503)])
        for _ in range(50):
            await failure(dialler.campaigns.list())
        server.journal.clear()
        error = await failure(dialler.for_account(2, "another").campaigns.list())
        assert len(server.journal) == error.attempts == 1
        assert "(tried once; then the circuit stayed open" in str(error)

    async def test_a_lone_call_uses_all_its_attempts(self, server: CampaignServer, dialler: DiallerClient) -> None:
        server.faults.chance(1, [Status(503)])
        error = await failure(dialler.campaigns.list())
        assert error.attempts == len(server.journal) == 4
        assert str(error).endswith("(tried 4 times)")

    async def test_it_closes_when_a_probe_works(
        self, server: CampaignServer, dialler: DiallerClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.faults.next(*[Status(503)] * 6)
        assert type(await failure(dialler.campaigns.list())) is ServerError
        await dialler.campaigns.list()
        await dialler.campaigns.list()
        assert len(server.journal) == 4 + 3 + 1
        lines = [record.getMessage() for record in caplog.records if "circuit" in record.getMessage()]
        assert lines[0] == "the circuit is open: the latest 5 requests failed; calls wait"
        assert lines[1].startswith("the circuit is closed after ")
        assert len(lines) == 2

    async def test_a_call_that_gives_up_says_so_in_the_log(
        self, server: CampaignServer, dialler: DiallerClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.faults.chance(1, [Status(503)])
        for _ in range(10):
            await failure(dialler.campaigns.list())
        assert re.search(r"gave up after attempt \d: the circuit was open for \d+\.\d s", caplog.messages[-1])

    async def test_a_probe_that_is_cancelled_lets_another_probe(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, until: Until, settle: Settle
    ) -> None:
        server.faults.next(*[Status(503)] * 5, StallBeforeHeaders())
        assert type(await failure(dialler.campaigns.list())) is ServerError
        probing = asyncio.create_task(dialler.campaigns.list())
        await until(lambda: len(server.journal) == 6)
        other = asyncio.create_task(dialler.campaigns.list())
        await settle()
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        assert len(await other) == 3


class TestPause:
    async def test_a_429_with_retry_after_holds_up_every_call_of_the_client(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Status(429, retry_after=30))
        begun = clock.seconds
        await failure(dialler.campaigns.delete_by_name("no such", exact=False))
        assert clock.seconds == begun + 30
        server.faults.next(Status(429, retry_after=61), Status(429, retry_after=20))
        await failure(dialler.campaigns.clone(NAME, COPY))
        assert clock.seconds == begun + 30
        clock.meanwhile = dialler.campaigns.list
        await dialler.campaigns.list()
        assert clock.seconds == begun + 30 + 20 + 20

    async def test_those_who_queue_at_the_gate_are_held_up_too(self, server: CampaignServer, clock: Clock) -> None:
        server.faults.next(Status(429, retry_after=30))
        at: list[float] = []
        server.faults.chance(1, [Meanwhile(lambda: at.append(clock.seconds))])
        begun = clock.seconds
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(5)))
        assert len(at) == 5
        assert min(at) >= begun + 30

    async def test_so_are_those_of_another_account_on_the_same_pool(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        sibling = dialler.for_account(1, server.token)
        server.faults.next(Status(429, retry_after=30))
        await failure(dialler.campaigns.delete_by_name("no such", exact=False))
        begun = clock.seconds
        server.faults.next(Status(429, retry_after=20))
        clock.slept.clear()
        await asyncio.gather(dialler.campaigns.list(), sibling.campaigns.list())
        assert clock.seconds - begun >= 20

    async def test_it_is_over_when_it_is_over(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(Status(429, retry_after=30))
        await dialler.campaigns.list()
        clock.slept.clear()
        await dialler.campaigns.list()
        assert clock.slept == []

    async def test_the_longest_of_several_counts(self, server: CampaignServer, clock: Clock) -> None:
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            server.faults.next(*(Status(429, retry_after=wait) for wait in (10, 40, 20)))
            await asyncio.gather(*(failure(dialler.campaigns.list()) for _ in range(3)))
            assert clock.slept == []
            await dialler.campaigns.list()
        assert clock.slept == [40]

    @pytest.mark.parametrize("fault", [Status(503, retry_after=30), Status(429), Status(429, retry_after=0)], ids=repr)
    async def test_a_503_or_one_without_a_wait_holds_up_nobody_else(
        self, server: CampaignServer, clock: Clock, fault: Fault
    ) -> None:
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            server.faults.next(fault)
            await failure(dialler.campaigns.list())
            await dialler.campaigns.list()
        assert clock.slept == []


class TestRefusedToken:
    @pytest.mark.parametrize("call", CALLS)
    async def test_a_source_is_asked_once_more_and_the_call_goes_once_more(
        self, server: CampaignServer, clock: Clock, call: str
    ) -> None:
        asked: list[str] = []

        async def source() -> str:
            asked.append(server.token)
            return server.token

        async with DiallerClient(server.base_url, source) as dialler:
            await dialler.campaigns.get(536)
            server.journal.clear()
            server.revoke()
            server.assert_result(call, await server.send(call, dialler))
        assert len(asked) == 2
        assert server.arrived(call) == [False, True]
        assert clock.slept == []

    @pytest.mark.parametrize("call", CALLS)
    async def test_a_second_refusal_is_the_error(self, server: CampaignServer, clock: Clock, call: str) -> None:
        async with DiallerClient(server.base_url, lambda: "wrong") as dialler:
            error = await failure(server.send(call, dialler))
        assert type(error) is AuthenticationError
        assert error.attempts == 2
        assert server.arrived(call) == [False, False]

    async def test_so_is_one_after_other_failures_in_between(self, server: CampaignServer, clock: Clock) -> None:
        server.faults.next(Status(401), Status(503), Status(401))
        async with DiallerClient(server.base_url, lambda: server.token) as dialler:
            assert type(await failure(dialler.campaigns.list())) is AuthenticationError
        assert len(server.journal) == 3

    async def test_calls_that_are_refused_together_ask_once(
        self, server: CampaignServer, clock: Clock, settle: Settle
    ) -> None:
        asked: list[str] = []

        async def source() -> str:
            asked.append(server.token)
            await settle()
            return asked[-1]

        async with DiallerClient(server.base_url, source) as dialler:
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(20)))
            assert len(asked) == 1
            server.revoke()
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(20)))
        assert len(asked) == 2
        assert len(server.journal) == 60

    async def test_a_call_refused_late_takes_the_token_that_another_has_asked_for(
        self, server: CampaignServer, clock: Clock, until: Until
    ) -> None:
        asked: list[str] = []

        def source() -> str:
            asked.append(server.token)
            return server.token

        async with DiallerClient(server.base_url, source) as dialler:
            await dialler.campaigns.get(ID)
            release = asyncio.Event()
            server.faults.next(Held(release, Status(401)))
            late = asyncio.create_task(dialler.campaigns.get(ID))
            await until(lambda: len(server.journal) == 2)
            server.revoke()
            await dialler.campaigns.get(ID)
            release.set()
            await late
        assert len(asked) == 2

    async def test_a_token_that_is_a_string_is_not_tried_again(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.revoke()
        error = await failure(dialler.campaigns.list())
        assert type(error) is AuthenticationError
        assert len(server.journal) == 1

    async def test_a_source_that_fails_is_a_token_source_error_when_nothing_is_unknown(
        self, server: CampaignServer, clock: Clock
    ) -> None:
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

    async def test_a_source_that_times_out_by_itself_is_not_taken_for_the_deadline(
        self, server: CampaignServer
    ) -> None:
        async def source() -> str:
            raise TimeoutError("the vault does not answer")

        async with DiallerClient(server.base_url, source) as dialler:
            with pytest.raises(TokenSourceError, match="TimeoutError") as raised:
                await dialler.campaigns.list()
        assert not isinstance(raised.value, DeadlineError)


class Held(Fault):
    """Another fault, as soon as the test lets it go."""

    def __init__(self, release: asyncio.Event, fault: Fault) -> None:
        self.release = release
        self.fault = fault

    async def apply(self, request: Any) -> Any:
        await self.release.wait()
        return await self.fault.apply(request)


async def test_a_call_of_the_journal_is_named_as_in_these_tests() -> None:
    assert {call.partition(",")[0] for call in CALLS} == {
        "list",
        "get",
        "find",
        "result_codes",
        "delete",
        "clone",
        "delete_by_name",
    }
