"""Redirects, invalid responses, and the log of the transport."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import (
    DeadlineError,
    DiallerClient,
    DiallerError,
    NoReplyError,
    OutcomeUnknownError,
    PayloadError,
    PoolConfig,
    RedirectError,
    RetryPolicy,
)
from dialler_async.sandbox.faults import CannedResponse, Meanwhile, Raw, Redirect, Reset, StallBeforeHeaders, Status

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock, Until
    from tests.http.conftest import AdvanceClock, Listening

NAME = "Spring 26"
COPY = "Monday"
ID = 535
READS = ("list", "get", "find", "result_codes")
WRITES = ("delete", "clone", "clone, exist_ok", "delete_by_name")
CALLS = READS + WRITES


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


async def test_connect_error_shows_the_reason_of_the_operating_system(server: CampaignServer) -> None:
    async with (
        server.refusing(),
        DiallerClient(server.base_url, "t", retry=RetryPolicy(attempts=1)) as dialler,
    ):
        error = await failure(dialler.campaigns.list())
    refused = os.strerror(errno.ECONNREFUSED)
    address = server.base_url.split("/")[2]
    assert str(error) == f"GET /dialler/campaigns: no connection to {address} ({refused}); nothing was sent"


class TestRedirects:
    @pytest.mark.parametrize("call", CALLS)
    async def test_redirect_is_never_followed(
        self, server: CampaignServer, dialler: DiallerClient, call: str, listening: Listening
    ) -> None:
        reached: list[bytes] = []

        async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(await reader.read(1))

        async with listening(elsewhere) as location:
            for status in (301, 302, 303, 307, 308):
                server.faults.next(Redirect(location, status))
                error = await failure(server.send(call, dialler))
                assert type(error) is RedirectError
                assert error.status == status
        assert reached == []
        assert len(server.journal) == 5

    async def test_redirect_error_shows_the_base_url_to_set(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Redirect("https://acd.example.com:8443/rest/v1.0/1/dialler/campaigns?token=s3cret#part"))
        error = await failure(dialler.campaigns.list())
        assert isinstance(error, RedirectError)
        assert error.location == "https://acd.example.com:8443/rest/v1.0/1/dialler/campaigns"
        assert "set the base URL to https://acd.example.com:8443/rest/v1.0/1" in str(error)
        assert "s3cret" not in str(error)

    async def test_redirect_error_does_not_show_the_query(self, server: CampaignServer, dialler: DiallerClient) -> None:
        server.faults.next(Redirect("https://acd.example.com/rest/v1.0/1/dialler/campaigns/campaign?name=Spring%2026"))
        error = await failure(dialler.campaigns.find(NAME))
        assert "set the base URL to https://acd.example.com/rest/v1.0/1" in str(error)
        assert "Spring" not in str(error)

    @pytest.mark.parametrize("location", ["/login", "https://acd.example.com/login", "https://acd.example.com"])
    async def test_redirect_error_suggests_no_base_url_for_other_locations(
        self, server: CampaignServer, dialler: DiallerClient, location: str
    ) -> None:
        server.faults.next(Redirect(location))
        error = await failure(dialler.campaigns.list())
        assert isinstance(error, RedirectError)
        assert error.location == location
        assert "set the base URL" not in str(error)

    async def test_redirect_error_does_not_show_user_info(self, server: CampaignServer, dialler: DiallerClient) -> None:
        server.faults.next(Redirect("https://root:s3cret@acd.example.com/"))
        error = await failure(dialler.campaigns.list())
        assert isinstance(error, RedirectError)
        assert error.location == "https://acd.example.com/"
        assert "s3cret" not in str(error)


class TestInvalidResponses:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (
                b"SSH-2.0-OpenSSH\r\n\r\n",
                "the response of {address} is not HTTP. Check the scheme and port of the base URL",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "the response is incomplete"),
            (b"", "the connection to {address} was lost before the response"),
        ],
    )
    async def test_error_says_what_is_wrong_with_the_response(
        self, server: CampaignServer, data: bytes, expected: str
    ) -> None:
        server.faults.next(Raw(data))
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            error = await failure(dialler.campaigns.list())
        assert type(error) is NoReplyError
        address = server.base_url.split("/")[2]
        assert str(error) == f"GET /dialler/campaigns: {expected.format(address=address)}"

    @pytest.mark.parametrize("call", ["list", "delete"])
    async def test_connection_is_closed_when_the_response_is_too_large(self, server: CampaignServer, call: str) -> None:
        server.faults.next(CannedResponse(200, b" " * 10_000_000))
        pool = PoolConfig(limit=1, max_body=100_000)
        async with DiallerClient(server.base_url, server.token, pool=pool) as dialler:
            error = await failure(server.send(call, dialler))
            await dialler.campaigns.get(ID)
        assert type(error) is (PayloadError if call == "list" else OutcomeUnknownError)
        assert "larger than 100000 bytes" in str(error)
        assert [received.connection for received in server.journal] == [1, 2]


class TestLog:
    @pytest.fixture(autouse=True)
    def _capture_debug(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "dialler_async")

    @staticmethod
    def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
        records = [record for record in caplog.records if record.name.partition(".")[0] == "dialler_async"]
        assert {record.name for record in records} <= {"dialler_async"}
        return [(record.levelname, record.getMessage()) for record in records]

    async def test_each_attempt_is_logged_at_debug_and_each_retry_as_a_warning(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.faults.next(Status(503, retry_after=2), Reset())
        await dialler.campaigns.get(ID)
        get = "GET /dialler/campaigns/{DiallerCampaignsID}"
        assert self.lines(caplog) == [
            ("DEBUG", f"{get}: 503 in 0.0 ms, attempt 1"),
            ("WARNING", f"{get} failed (503), attempt 1; retry in 2.00 s"),
            ("DEBUG", f"{get}: NoReplyError in 0.0 ms, attempt 2"),
            ("WARNING", f"{get} failed (NoReplyError), attempt 2; retry in 0.38 s"),
            ("DEBUG", f"{get}: 200 in 0.0 ms, attempt 3"),
        ]

    async def test_retry_with_a_new_token_is_logged_as_a_warning(
        self, server: CampaignServer, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.faults.next(Status(401))
        async with DiallerClient(server.base_url, lambda: server.token) as dialler:
            await dialler.campaigns.list()
        assert [level for level, _ in self.lines(caplog)] == ["DEBUG", "WARNING", "DEBUG"]
        assert "failed (401), attempt 1" in self.lines(caplog)[1][1]

    async def test_attempt_cancelled_by_the_deadline_is_logged(
        self,
        server: CampaignServer,
        dialler: DiallerClient,
        advance_clock: AdvanceClock,
        caplog: pytest.LogCaptureFixture,
        until: Until,
    ) -> None:
        server.faults.next(StallBeforeHeaders())
        calling = asyncio.create_task(failure(dialler.campaigns.list()))
        await until(lambda: server.journal)
        await advance_clock(120.01)
        assert type(await calling) is DeadlineError
        assert [level for level, _ in self.lines(caplog)] == ["DEBUG"]
        assert self.lines(caplog)[0][1].startswith("GET /dialler/campaigns: DeadlineError in ")

    async def test_attempt_log_line_shows_milliseconds(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.faults.next(Meanwhile(lambda: setattr(clock, "seconds", clock.seconds + 0.0123)))
        await dialler.campaigns.list()
        assert self.lines(caplog) == [("DEBUG", "GET /dialler/campaigns: 200 in 12.3 ms, attempt 1")]

    @pytest.mark.parametrize("call", CALLS)
    async def test_log_contains_no_names_ids_bodies_headers_or_tokens(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock, caplog: pytest.LogCaptureFixture, call: str
    ) -> None:
        server.faults.next(Status(503, retry_after=1), Status(429, retry_after=1))
        await server.send(call, dialler)
        lines = self.lines(caplog)
        assert len(lines) == 5
        text = repr([(record.msg, record.args) for record in caplog.records if record.name == "dialler_async"])
        for secret in (
            NAME,
            "Spring",
            COPY,
            str(ID),
            "Autumn",
            server.token,
            "Bearer",
            "name=",
            "languagesID",
            "127.0",
        ):
            assert secret not in text

    async def test_call_of_a_closed_client_is_not_logged(
        self, server: CampaignServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        dialler = DiallerClient(server.base_url, server.token)
        await dialler.aclose()
        await failure(dialler.campaigns.list())
        assert self.lines(caplog) == []


async def test_attempts_are_not_logged_at_level_info(
    server: CampaignServer, dialler: DiallerClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dialler_async")
    await dialler.campaigns.list()
    assert [record for record in caplog.records if record.name == "dialler_async"] == []
