"""No error or warning about a wrong argument or setting shows the token or a password, and no client does."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import ConfigurationError, DiallerClient, InvalidTokenError, TokenSourceError
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.behaviour.conftest import AssertHidden, ErrorOf

# Letters at both ends, which no encoding changes, so that half a token and one spelt otherwise are found as well.
TOKEN = "Zm9vYmFyMjE3/+=.~\"&<'%c2VjcmV0ODQy"
PASSWORD = "Zm9vYmFyMjE3-of-the-proxy"


def error_from(make: Callable[[], object]) -> BaseException:
    """Return what a function raises. This frame is in the error's traceback, so it holds no token."""
    try:
        make()
    except BaseException as error:
        return error
    raise AssertionError("it did not fail")


def get(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.get(535)


class Odd:
    """An object that is no token source, and whose repr shows the token."""

    def __repr__(self) -> str:
        return TOKEN


BAD_TOKENS: dict[str, Any] = {
    "with a line break": f"{TOKEN}\n",
    "with a space": f"{TOKEN} ",
    "not in ASCII": f"{TOKEN}ß",
    "as bytes": TOKEN.encode(),
    "as an object": Odd(),
}
SERVER = "http://127.0.0.1:1"
BASE_URL = f"{SERVER}/rest/v1.0/1"
BAD_URLS: dict[str, Any] = {
    "user info": f"https://user:{PASSWORD}@acd.example/rest/v1.0/1",
    "user info and a bad port": f"https://user:{PASSWORD}@acd.example:port/rest/v1.0/1",
    "a token in the query": f"https://acd.example/rest/v1.0/1?token={TOKEN}",
    "a token in the fragment": f"https://acd.example/rest/v1.0/1#{TOKEN[:12]}",
    "another scheme": f"ftp://user:{PASSWORD}@acd.example/",
    "no URL": f"{TOKEN}",
    "bytes": f"https://user:{PASSWORD}@acd.example/".encode(),
}


def wrong_arguments() -> Iterator[tuple[str, Callable[[], object]]]:
    sibling = DiallerClient(BASE_URL, "other")
    # By name, because the frames of these functions are in the tracebacks as well.
    for name in BAD_TOKENS:
        yield f"token {name}", lambda name=name: DiallerClient(BASE_URL, BAD_TOKENS[name])
        yield f"token {name}, by account", lambda name=name: DiallerClient.for_server(SERVER, 1, BAD_TOKENS[name])
        yield f"token {name}, for another account", lambda name=name: sibling.for_account(2, BAD_TOKENS[name])
    for name in BAD_URLS:
        yield f"base URL with {name}", lambda name=name: DiallerClient(BAD_URLS[name], TOKEN)
        yield f"server with {name}", lambda name=name: DiallerClient.for_server(BAD_URLS[name], 1, TOKEN)
    for clients_id in (0, True, "1", None):
        yield f"ClientsID {clients_id!r}", lambda wrong=clients_id: DiallerClient.for_server(SERVER, wrong, TOKEN)
        yield f"another ClientsID {clients_id!r}", lambda wrong=clients_id: sibling.for_account(wrong, TOKEN)
    yield "max_rate", lambda: DiallerClient(BASE_URL, TOKEN, max_rate=-1)
    yield "not of an account", lambda: DiallerClient("http://localhost/account", TOKEN).for_account(2, TOKEN)


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in wrong_arguments()])
def test_errors_of_wrong_arguments_show_no_secret(make: Callable[[], object], assert_hidden: AssertHidden) -> None:
    error = error_from(make)
    assert type(error) is ConfigurationError
    assert_hidden.in_pickle_and_value(error)


@pytest.mark.parametrize(
    ("base_url", "token"),
    [(BAD_URLS["user info"], "fine"), (BASE_URL, f"{TOKEN} x"), ("", TOKEN), (BAD_URLS["a token in the query"], TOKEN)],
)
def test_errors_of_wrong_settings_show_no_secret(
    base_url: str, token: str, monkeypatch: pytest.MonkeyPatch, assert_hidden: AssertHidden
) -> None:
    monkeypatch.setenv("DIALLER_BASE_URL", base_url)
    monkeypatch.setenv("DIALLER_TOKEN", token)
    del base_url, token
    error = error_from(DiallerClient.from_env)
    assert type(error) is ConfigurationError
    assert_hidden.in_pickle_and_value(error)


WRONG_VARIABLES = {
    "DIALLER_ATTEMPTS": f"{TOKEN}",
    "DIALLER_BASE_URL": f"https://user:{PASSWORD}@acd.example/rest/v1.0/1",
    "DIALLER_CA_FILE": "/no/such/file",
    "DIALLER_CLIENT_CERT": "/no/such/file",
    "DIALLER_CLIENT_KEY": "/no/such/file",
    "DIALLER_DEADLINE": f"{TOKEN}",
    "DIALLER_MAX_RATE": f"{TOKEN}",
    "DIALLER_PROXY": f"socks5://user:{PASSWORD}@proxy.example:1080",
    "DIALLER_TOKEN": f"{TOKEN} ",
    "HTTPS_PROXY": f"socks5://user:{PASSWORD}@proxy.example:1080",
}


@pytest.mark.parametrize("variable", WRONG_VARIABLES)
def test_errors_of_wrong_variables_show_no_part_of_the_environment(
    variable: str, monkeypatch: pytest.MonkeyPatch, assert_hidden: AssertHidden
) -> None:
    monkeypatch.setenv("DIALLER_BASE_URL", "https://acd.example/rest/v1.0/1")
    monkeypatch.setenv("DIALLER_TOKEN", TOKEN)
    if variable != "HTTPS_PROXY":
        monkeypatch.setenv("DIALLER_PROXY", f"http://user:{PASSWORD}@proxy.example:3128")
    monkeypatch.setenv("ANOTHER_SECRET", TOKEN)
    monkeypatch.setenv(variable, WRONG_VARIABLES[variable])
    error = error_from(DiallerClient.from_env)
    assert type(error) is ConfigurationError
    assert_hidden.in_pickle_and_value(error)


def bad_sync_token() -> str:
    return f"{TOKEN}\n"


async def bad_async_token() -> Any:
    return TOKEN.encode()


@pytest.mark.parametrize("source", [bad_sync_token, bad_async_token])
async def test_error_of_an_invalid_token_from_a_function_shows_no_token(
    source: Any, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    async with DiallerClient(BASE_URL, source) as dialler:
        error = await error_of(get, dialler)
    assert type(error) is InvalidTokenError
    assert_hidden.in_pickle_and_value(error)


def raising_sync_token() -> str:
    raise LookupError(f"the vault refused {TOKEN}")


async def raising_async_token() -> str:
    token = TOKEN
    await asyncio.sleep(0)
    raise LookupError(token)


@pytest.mark.parametrize("source", [raising_sync_token, raising_async_token])
async def test_error_of_the_token_function_shows_no_token(
    source: Any, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    async with DiallerClient(BASE_URL, source) as dialler:
        error = await error_of(get, dialler)
    assert type(error) is TokenSourceError
    assert "LookupError at test_secrets_in_arguments.py:" in str(error)
    assert_hidden.in_pickle_and_value(error)


def test_client_shows_no_token(assert_hidden: AssertHidden, token_sources: dict[str, Any]) -> None:
    for source in token_sources.values():
        dialler = DiallerClient(BASE_URL, source)
        for thing in (dialler, dialler.campaigns, dialler.result_codes, dialler.campaigns._transport, dialler._shared):
            assert_hidden.in_text(repr(thing) + str(thing))
        del thing
        assert_hidden.in_text(repr(dialler.for_account(2, TOKEN)))


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_client_cannot_be_pickled_or_copied(way: Callable[[object], object]) -> None:
    dialler = DiallerClient(BASE_URL, TOKEN)
    with pytest.raises(TypeError, match=r"a DiallerClient has a token .* can't be pickled or copied"):
        way(dialler)


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy])
def test_attributes_of_a_client_cannot_carry_the_token_away(way: Callable[[object], object]) -> None:
    dialler = DiallerClient(BASE_URL, TOKEN)
    for resource in (dialler.campaigns, dialler.result_codes):
        with pytest.raises(TypeError, match="token"):
            way(resource)


async def test_warning_of_an_unclosed_client_shows_no_token(assert_hidden: AssertHidden) -> None:
    async with Sandbox(1, token=TOKEN) as sandbox:
        with warnings.catch_warnings(record=True, action="always") as warned:
            await leave_open(sandbox)
            gc.collect()
            await asyncio.sleep(0)
    ours = [warning for warning in warned if "never closed" in str(warning.message)]
    assert len(ours) == 1
    for warning in warned:
        assert_hidden.in_text(str(warning))
        assert_hidden.in_text(repr(warning.source))


async def leave_open(sandbox: Sandbox) -> None:
    dialler = DiallerClient(sandbox.base_url, TOKEN)
    await dialler.campaigns.list()


def test_warning_of_plain_http_shows_no_token(assert_hidden: AssertHidden) -> None:
    with warnings.catch_warnings(record=True, action="always") as warned:
        DiallerClient("http://acd.example/rest/v1.0/1", TOKEN)
    assert len(warned) == 1
    assert_hidden.in_text(str(warned[0]))
