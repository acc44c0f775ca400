"""`headers=…`: which headers are sent, and which are refused."""

from collections.abc import Mapping
from typing import Any

import pytest

from dialler_async import ConfigurationError
from dialler_async._http.headers import RequestHeaders, override
from dialler_async.version import __version__

DEFAULT_HEADERS = {"Accept": "application/json", "User-Agent": f"dialler-async/{__version__}"}


def test_default_headers_are_sent_without_sources() -> None:
    assert RequestHeaders().of_call() == DEFAULT_HEADERS


def test_later_source_overrides_headers_of_the_same_name_in_any_case() -> None:
    headers = RequestHeaders({"X-App": "a", "X-Kept": "k", "accept": "text/plain"}).extended({"x-app": "b"})
    assert headers.of_call() == {
        "accept": "text/plain",
        "User-Agent": DEFAULT_HEADERS["User-Agent"],
        "x-app": "b",
        "X-Kept": "k",
    }


@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
def test_user_agent_is_extended(name: str) -> None:
    headers = RequestHeaders({name: "crm-sync/2.1"}).of_call()
    assert headers[name] == f"crm-sync/2.1 dialler-async/{__version__}"
    assert [key.lower() for key in headers].count("user-agent") == 1


def test_function_is_called_for_each_call() -> None:
    ids = iter("ab")
    headers = RequestHeaders({"X-Request-ID": "none"}, lambda: {"x-request-id": next(ids)})
    assert [headers.of_call()["x-request-id"] for _ in range(2)] == ["a", "b"]


def test_later_change_of_a_mapping_has_no_effect() -> None:
    given = {"X-App": "a"}
    headers = RequestHeaders(given)
    given["X-App"] = "b"
    assert headers.of_call()["X-App"] == "a"


@pytest.mark.parametrize(
    "name", ["Authorization", "authorization", "AUTHORIZATION", "aUtHoRiZaTiOn", "Content-Type", "host", "Connection"]
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_header_of_the_client_is_refused_in_any_case(name: str, dynamic: bool) -> None:
    assert_refused({name: "secret"}, dynamic, f"remove {name}, because the client sets it")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-App": "a\r\nAuthorization: Bearer secret"},
        {"X-App": "a\nb"},
        {"X-App": "ü"},
        {"X-App": "a\x00"},
        {"X-App": 5},
        {"X-App": None},
        {"X App": "a"},
        {"X-App\r\nAuthorization": "a"},
        {"Authorization ": "a"},
        {" authorization": "a"},
        {"": "a"},
        {"Author\u0131zation": "a"},
        {5: "a"},
        [("X-App", "a")],
        "X-App: a",
        None,
    ],
    ids=repr,
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_invalid_header_is_refused_and_its_value_is_not_shown(headers: Any, dynamic: bool) -> None:
    assert_refused(headers, dynamic, "headers")


def assert_refused(headers: Any, dynamic: bool, reason: str) -> None:
    def source() -> Mapping[str, str]:
        return headers  # type: ignore[no-any-return]  the mistake that is tested

    with pytest.raises(ConfigurationError, match=reason) as caught:
        RequestHeaders(source if dynamic else headers).of_call()
    assert "secret" not in str(caught.value)


def test_added_headers_replace_headers_of_the_same_name_in_any_case() -> None:
    assert override({"X-App": "a", "X-Kept": "k"}, {"x-app": "b"}) == {"X-Kept": "k", "x-app": "b"}
    assert override({"X-App": "a"}, {}) == {"X-App": "a"}
