"""`DiallerClient.request` and `ping`: calls other than the seven."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import (
    AuthenticationError,
    ConnectError,
    DiallerClient,
    DiallerError,
    EndpointNotFoundError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
)
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Fault, Reset, Status

if TYPE_CHECKING:
    from tests.conftest import Clock

ID, NAME = 535, "Spring 26"
PATH = f"/dialler/campaigns/{ID}"


class TestRequest:
    async def test_request_sends_token_query_and_body_and_returns_the_decoded_response(
        self, server: Sandbox, dialler: DiallerClient
    ) -> None:
        body = {"source": NAME, "destination": "Müller & Söhne"}
        response = await dialler.request("POST", "/dialler/campaigns/clone", body=body)
        assert response["records"][0]["Name"] == "Müller & Söhne"
        found = await dialler.request("GET", "/dialler/campaigns/campaign", query={"name": "Müller & Söhne"})
        assert found["count"] == 1
        assert await dialler.request("GET", PATH, decoder=bytes) != b""
        assert all(received.authorised for received in server.journal)

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Reset(), OutcomeUnknownError),
            (Status(500), OutcomeUnknownError),
            (Status(502), OutcomeUnknownError),
            (CannedResponse(200, b"<html>"), OutcomeUnknownError),
            (CannedResponse(200, b"[]"), PayloadError),
            (Status(503), ServerError),
            (Status(503, retry_after=1), ServerError),
            (Status(429, retry_after=1), RateLimitedError),
        ],
        ids=repr,
    )
    async def test_request_is_not_retried_by_default(
        self, server: Sandbox, dialler: DiallerClient, method: str, fault: Fault, error: type[DiallerError]
    ) -> None:
        server.faults.next(fault)
        with pytest.raises(error) as caught:
            await dialler.request(method, PATH)
        assert type(caught.value) is error
        assert len(server.journal) == 1

    async def test_failed_connection_is_not_retried_by_default(self, server: Sandbox, dialler: DiallerClient) -> None:
        async with server.refusing():
            with pytest.raises(ConnectError) as caught:
                await dialler.request("GET", PATH)
            assert caught.value.attempts == 1
            with pytest.raises(ConnectError) as caught:
                await dialler.request("GET", PATH, idempotent=True)
            assert caught.value.attempts == RetryPolicy().attempts

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    @pytest.mark.parametrize("fault", [Reset(), Status(500), Status(503), Status(429, retry_after=1)], ids=repr)
    async def test_idempotent_call_is_retried(
        self, server: Sandbox, dialler: DiallerClient, method: str, fault: Fault
    ) -> None:
        server.faults.next(fault)
        path = PATH if method == "GET" else f"/dialler/campaigns/campaign/{ID}"
        assert await dialler.request(method, path, idempotent=True)
        assert len(server.journal) == 2

    async def test_refused_token_is_renewed(self, server: Sandbox, clock: Clock) -> None:
        async with DiallerClient(server.base_url, lambda: server.token) as dialler:
            server.faults.next(Status(401))
            await dialler.request("GET", PATH)
            assert len(server.journal) == 2

    async def test_request_raises_the_usual_errors(self, server: Sandbox, dialler: DiallerClient) -> None:
        with pytest.raises(NotFoundError):
            await dialler.request("GET", "/dialler/campaigns/999")
        with pytest.raises(EndpointNotFoundError):
            await dialler.request("GET", "/dialler/unheardOf")

    async def test_names_and_ids_are_neither_logged_nor_in_messages(
        self, server: Sandbox, dialler: DiallerClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server.faults.chance(1, [Status(500)])
        path, query = "/dialler/contacts/Smith/4711", {"name": "Jones"}
        with pytest.raises(ServerError) as caught:
            await dialler.request("GET", path, query=query, idempotent=True)
        assert "GET /{path}" in caplog.text
        for text in (caplog.text, str(caught.value), str(caught.value.request)):
            assert not any(secret in text for secret in ("Smith", "4711", "Jones", "contacts"))
        assert caught.value.about == f"GET {path}"

    @pytest.mark.parametrize(("options", "stays_cached"), [({}, False), ({"idempotent": True}, True)])
    async def test_call_that_may_change_something_removes_cached_responses(
        self, server: Sandbox, dialler: DiallerClient, options: Any, stays_cached: bool
    ) -> None:
        cached = await dialler.campaigns.list(max_age=60)
        await dialler.request("GET", PATH, **options)
        assert (await dialler.campaigns.list(max_age=60) is cached) is stays_cached
        await dialler.campaigns.get(536, max_age=60)
        await dialler.request("DELETE", "/dialler/campaigns/campaign/536", **options)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.get(536, max_age=60)


class TestPing:
    @pytest.mark.parametrize("records", [[], [{"ID": 1, "Name": "First"}], [{"ID": 1, "Name": None}]], ids=repr)
    async def test_ping_sends_one_small_request(self, records: Any) -> None:
        async with Sandbox(records) as server, DiallerClient(server.base_url, server.token) as dialler:
            await dialler.ping()
            assert [received.call for received in server.journal] == ["get"]

    async def test_ping_raises_the_usual_errors(self, server: Sandbox, clock: Clock) -> None:
        async with DiallerClient(server.base_url, "wrong") as dialler:
            with pytest.raises(AuthenticationError):
                await dialler.ping()
        async with DiallerClient(f"{server.server}/wrong/rest/v1.0/1", server.token) as dialler:
            with pytest.raises(EndpointNotFoundError):
                await dialler.ping()
        async with DiallerClient(server.base_url, server.token) as dialler:
            server.faults.chance(1, [CannedResponse(200, b"<html>maintenance</html>")])
            with pytest.raises(PayloadError):
                await dialler.ping()

    async def test_ping_of_a_server_that_is_down_raises(self, server: Sandbox, dialler: DiallerClient) -> None:
        async with server.refusing():
            with pytest.raises(ConnectError):
                await dialler.ping()
