"""Mistakes of newcomers. Each message says what to do, and shows nothing of what was passed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from dialler_async import (
    Campaign,
    ConfigurationError,
    DiallerClient,
    EndpointNotFoundError,
    InvalidInputError,
    NotFoundError,
    ResultCode,
    SentRequest,
)
from dialler_async._api.error_responses import error_from_response
from dialler_async.sandbox import Sandbox

BASE = "https://acd.example.com/rest/v1.0/1"
CONTENT = "Secret content of a record"
CODE = ResultCode(id=7, content=CONTENT)

MAKING: dict[str, tuple[Callable[[], Any], str]] = {
    "server only": (lambda: DiallerClient("https://acd.example.com", "t"), "has no ClientsID: append /rest/v1.0/"),
    "server and slash": (lambda: DiallerClient("https://acd.example.com/", "t"), "has no ClientsID"),
    "no ClientsID": (lambda: DiallerClient("https://acd.example.com/rest/v1.0/", "t"), "for_server(server, clients_id"),
    "no version": (lambda: DiallerClient("https://acd.example.com/proxy/rest", "t"), "has no ClientsID"),
    "no scheme": (lambda: DiallerClient("acd.example.com/rest/v1.0/1", "t"), "like http(s)://HOST:PORT/rest/v1.0/"),
    "leading space": (lambda: DiallerClient(f" {BASE}", "t"), "contains a space or a line break: remove it"),
    "line break": (lambda: DiallerClient(f"{BASE}\n", "t"), "contains a space or a line break: remove it"),
    "large port": (lambda: DiallerClient("https://acd.example.com:99999/rest/v1.0/1", "t"), "port: use one from 1 to"),
    "port 0": (lambda: DiallerClient("https://acd.example.com:0/rest/v1.0/1", "t"), "port: use one from 1 to 65535"),
    "base URL as server": (
        lambda: DiallerClient.for_server(BASE, 1, "t"),
        "without /rest/v1.0: DiallerClient(",
    ),
    "server with space": (lambda: DiallerClient.for_server(" https://acd.example.com", 1, "t"), "the server contains"),
    "ClientsID as text": (lambda: DiallerClient.for_server("https://a.example", "1", "t"), "positive int, not str"),  # type: ignore[arg-type]  the mistake
    "ClientsID 0": (
        lambda: DiallerClient.for_server("https://a.example", 0, "t"),
        "ClientsID must be a positive int",
    ),
    "Bearer": (lambda: DiallerClient(BASE, "Bearer abc"), 'must not begin with "Bearer ": pass only what follows'),
    "bearer": (lambda: DiallerClient(BASE, "bearer abc"), 'must not begin with "Bearer "'),
    "token and line break": (
        lambda: DiallerClient(BASE, "abc\n"),
        "ends with a space or a line break: pass",
    ),
    "token of bytes": (lambda: DiallerClient(BASE, b"abc"), "must be a str, or a function"),  # type: ignore[arg-type]  the mistake
}


@pytest.mark.parametrize(("make", "message"), MAKING.values(), ids=MAKING)
def test_mistake_in_making_a_client_says_what_to_do(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make()
    assert message in str(raised.value)
    assert "abc" not in str(raised.value)


Call = Callable[[Any], Awaitable[Any]]
CALLING: dict[str, tuple[Call, type[ConfigurationError], str]] = {
    "name as ID": (lambda d: d.campaigns.get(CONTENT), ConfigurationError, "int, not str: for a name, use get_by_name"),
    "delete a name": (lambda d: d.campaigns.delete(CONTENT), ConfigurationError, "find or delete_by_name"),
    "result code as ID": (
        lambda d: d.campaigns.get(CODE),
        ConfigurationError,
        "use its dialler_campaigns_id",
    ),
    "list as ID": (lambda d: d.campaigns.get([CODE] * 500), ConfigurationError, "not list: for many campaigns, use"),
    "dict as ID": (lambda d: d.campaigns.get({"ID": 535}), ConfigurationError, "an int, not dict"),
    "float as ID": (lambda d: d.campaigns.get(535.0), ConfigurationError, "an int, not float"),
    "bool as ID": (lambda d: d.campaigns.get(True), ConfigurationError, "an int, not bool"),
    "None as ID": (lambda d: d.campaigns.get(None), ConfigurationError, "an int, not NoneType"),
    "campaign without ID": (lambda d: d.campaigns.get(Campaign(name=CONTENT)), ConfigurationError, "has no ID"),
    "ID 0": (lambda d: d.campaigns.get(0), InvalidInputError, "must be a positive int of at most"),
    "language de": (
        lambda d: d.result_codes.list(535, language="de"),
        ConfigurationError,
        "a language must be an int, not str: use Language.ENGLISH, Language.GERMAN or another LanguagesID",
    ),
    "ID as name": (lambda d: d.campaigns.get_by_name(535), ConfigurationError, "not int: for an ID, use get or delete"),
    "campaign as source": (
        lambda d: d.campaigns.clone(Campaign(name=CONTENT), "x"),
        ConfigurationError,
        "not Campaign: use its name",
    ),
    "empty name": (lambda d: d.campaigns.find(""), InvalidInputError, "must not be empty"),
    "long name": (
        lambda d: d.campaigns.clone("x", "y" * 65),
        InvalidInputError,
        "64 characters; this name has 65",
    ),
    "date as text": (
        lambda d: d.campaigns.clone("x", "y", dt_from="2026-01-01"),
        ConfigurationError,
        "a date must be a datetime, not str",
    ),
    "swapped dates": (
        lambda d: d.campaigns.clone(
            "x", "y", dt_from=datetime(2026, 2, 1, tzinfo=UTC), dt_to=datetime(2026, 1, 1, tzinfo=UTC)
        ),
        InvalidInputError,
        "swap the dates",
    ),
    "codes of one campaign": (lambda d: codes_for(d, 535), ConfigurationError, "not int: for one campaign, use result"),
    "codes of a name": (lambda d: codes_for(d, CONTENT), ConfigurationError, "not str: for one campaign, use result"),
    "campaigns without await": (
        lambda d: codes_for(d, d.campaigns.list()),
        ConfigurationError,
        "awaited first: for_campaigns(await dialler.campaigns.list())",
    ),
}


async def codes_for(dialler: Any, campaigns: Any) -> None:
    async for _ in dialler.result_codes.for_campaigns(campaigns):
        pass


@pytest.mark.parametrize(("call", "kind", "message"), CALLING.values(), ids=CALLING)
async def test_mistake_in_a_call_says_what_to_do_and_sends_nothing(
    sandbox: Sandbox, call: Call, kind: type[ConfigurationError], message: str
) -> None:
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        with pytest.raises(ConfigurationError) as raised:
            await call(dialler)
    assert type(raised.value) is kind
    assert message in str(raised.value)
    assert CONTENT not in str(raised.value)
    assert len(str(raised.value)) < 200
    assert sandbox.journal == []


async def test_type_in_a_message_has_at_most_80_characters(sandbox: Sandbox) -> None:
    long_named = type("L" * 1000, (), {})()
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        for call in (dialler.campaigns.get, dialler.campaigns.find):
            with pytest.raises(ConfigurationError) as raised:
                await call(long_named)  # type: ignore[operator]  the mistake
            assert f"not {'L' * 80}" in str(raised.value)
            assert "L" * 81 not in str(raised.value)


def test_404_with_unknown_json_is_not_called_empty() -> None:
    def message_of(body: bytes) -> str:
        sent = SentRequest("GET", "/dialler/campaigns")
        error = error_from_response(404, {}, body, request=sent, path="", now=datetime.now(UTC))
        assert type(error) is EndpointNotFoundError
        return str(error)

    assert "404 without the API's JSON error: the endpoint does not exist" in message_of(b'{"message": "no route"}')
    assert "404 with an empty body: the endpoint does not exist" in message_of(b"")


async def test_delete_by_name_with_missing_ok_returns_without_a_campaign(sandbox: Sandbox) -> None:
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        for exact in (True, False):
            await dialler.campaigns.delete_by_name("Nowhere", exact=exact, missing_ok=True)
            with pytest.raises(NotFoundError):
                await dialler.campaigns.delete_by_name("Nowhere", exact=exact)
    assert len(sandbox.campaigns) == 5


def test_second_asyncio_run_says_what_to_do() -> None:
    with Sandbox([]) as sandbox:
        dialler = DiallerClient(sandbox.base_url, sandbox.token)
        asyncio.run(dialler.ping())
        with pytest.raises(RuntimeError, match=r"make the client and all calls in one asyncio\.run\(\)"):
            asyncio.run(dialler.ping())
        asyncio.run(dialler.aclose())
