"""Access to the sandbox: authorisation, unknown endpoints and the journal."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Caller

    CallerOf = Callable[[Sandbox], Caller]

CAMPAIGN = {"ContactPreviewTime": 5, "nMaxParallelLines": None, "Name": "Campaign 1000"}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox([{"ID": 7, "Name": "Sommer / Köln 50% & mehr"}]) as sandbox:
        sandbox.load(CAMPAIGN, campaign_id=535)
        yield sandbox


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/dialler"),
        ("GET", "/dialler/campaigns/"),
        ("GET", "/dialler/campaigns/campaign/535"),
        ("GET", "/dialler/campaigns/x"),
        ("GET", "/dialler/campaigns/5.0"),
        ("GET", "/dialler/campaigns/" + "9" * 5000),
        ("GET", "/dialler/campaigns/clone"),
        ("GET", "/dialler/Campaigns"),
        ("GET", "/dialler/campaigns/campaign/535/resultcodes?languagesID=1"),
        ("GET", "/dialler/campaigns/campaign/x/resultCodes?languagesID=1"),
        ("POST", "/dialler/campaigns"),
        ("PUT", "/dialler/campaigns/535"),
        ("DELETE", "/dialler/campaigns"),
        ("DELETE", "/dialler/campaigns/535"),
        ("DELETE", "/dialler/campaigns/campaign/x"),
    ],
)
async def test_unknown_endpoint_returns_404_with_an_empty_body(call: Caller, method: str, path: str) -> None:
    assert await call.raw(method, path) == (404, b"")
    assert await call.raw(method, path, headers={"Authorization": "Bearer wrong"}) == (404, b"")
    assert call.sandbox.journal[-1].call is None


async def test_wrong_prefix_is_an_unknown_endpoint(call: Caller, session: aiohttp.ClientSession) -> None:
    url = call.sandbox.base_url.replace("/v1.0/", "/v2.0/") + "/dialler/campaigns"
    async with session.get(url) as response:
        assert (response.status, await response.read()) == (404, b"")


@pytest.mark.parametrize("authorisation", ["", "Bearer", "Bearer x", "Basic {}", "{}"])
async def test_request_without_the_bearer_token_returns_401(call: Caller, authorisation: str) -> None:
    headers = {"Authorization": authorisation.format(call.sandbox.token)}
    status, body = await call("DELETE", "/campaign/535", headers=headers)
    assert (status, body) == (401, {"status": 401, "error": "Token or ClientsID is wrong"})
    last = call.sandbox.journal[-1]
    assert (last.authorised, last.carried_out, last.status) == (False, False, 401)
    assert 535 in call.sandbox.campaigns


async def test_wrong_clients_id_in_the_path_returns_401(caller_of: CallerOf, session: aiohttp.ClientSession) -> None:
    async with Sandbox([], clients_id=42) as sandbox:
        call = caller_of(sandbox)
        assert sandbox.base_url.endswith("/rest/v1.0/42")
        assert (await call("GET", ""))[0] == 200
        headers = {"Authorization": f"Bearer {sandbox.token}"}
        for other in ("1", "x", ""):
            url = sandbox.base_url.removesuffix("42") + other + "/dialler/campaigns"
            async with session.get(url, headers=headers) as response:
                assert (response.status, (await response.json())["status"]) == (401, 401)


async def test_old_token_is_refused_after_it_is_replaced(call: Caller) -> None:
    old = call.sandbox.token
    new = call.sandbox.revoke()
    assert new == call.sandbox.token != old
    assert (await call("GET", "", headers={"Authorization": f"Bearer {old}"}))[0] == 401
    assert (await call("GET", ""))[0] == 200
    call.sandbox.token = "mine"
    assert (await call("GET", "", headers={"Authorization": f"Bearer {new}"}))[0] == 401
    assert (await call("GET", "", headers={"Authorization": "bearer mine"}))[0] == 200


async def test_journal_records_requests_with_redacted_secrets(call: Caller) -> None:
    path = "/dialler/campaigns/campaign?name=Se%C3%B1or+%2F%26%25&name=second&x="
    headers = {"Authorization": f"Bearer {call.sandbox.token}"}
    url = URL(call.sandbox.base_url + path, encoded=True)
    async with call.session.get(url, headers=headers) as response:
        assert response.status == 404
    await call("POST", "/clone", json={"source": "Campaign 1000", "destination": "new"})
    found, cloned = call.sandbox.journal
    assert found.method == "GET"
    assert found.path == "/rest/v1.0/1/dialler/campaigns/campaign"
    assert found.target == found.path + "?name=Se%C3%B1or+%2F%26%25&name=second&x="
    assert found.query == {"name": "Señor /&%", "x": ""}
    assert (found.call, found.authorised, found.carried_out, found.status) == (
        "find",
        True,
        False,
        404,
    )
    assert found.body == b""
    assert found.headers["authorization"] == "Bearer [redacted]"
    assert call.sandbox.token not in repr(call.sandbox.journal) + repr(dict(found.headers))
    assert cloned.headers["content-type"] == "application/json"
    assert json.loads(cloned.body) == {"source": "Campaign 1000", "destination": "new"}
    assert (cloned.call, cloned.carried_out, cloned.status) == ("clone", True, 200)


async def test_sandbox_serves_urllib(sandbox: Sandbox) -> None:
    def send(method: str, path: str, body: Any = None) -> tuple[int, str | None, bytes]:
        request = urllib.request.Request(  # noqa: S310  the URL of the sandbox
            sandbox.base_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {sandbox.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as response:  # noqa: S310  the URL of the sandbox
                return response.status, response.headers["Content-Type"], response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read()

    def send_requests() -> None:
        status, content_type, body = send("GET", "/dialler/campaigns/535")
        assert (status, content_type) == (200, "application/json")
        assert json.loads(body)["records"] == [CAMPAIGN]
        name = urllib.parse.quote("Köln 50% & mehr")
        assert send("GET", f"/dialler/campaigns/campaign?name={name}")[0] == 200
        body = {"source": "Campaign 1000", "destination": "Neu"}
        assert send("POST", "/dialler/campaigns/clone", body)[0] == 200
        assert send("POST", "/dialler/campaigns/clone", body)[0] == 409
        assert send("DELETE", "/dialler/campaigns/campaign/535")[2] == b'{"status":200}'
        assert send("GET", "/dialler/contacts") == (404, None, b"")

    await asyncio.to_thread(send_requests)
