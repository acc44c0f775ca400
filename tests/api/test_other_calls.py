"""Requests to other functions of the server, and the arguments that they refuse."""

from typing import Any

import attrs
import msgspec
import pytest

from dialler_async import ConfigurationError, PayloadError
from dialler_async._api.other_calls import other_call, probe
from dialler_async._http.response import finish


def request(method: Any = "GET", path: Any = "/dialler/contacts", **options: Any) -> Any:
    return other_call(method, path, **({"query": None, "body": None, "idempotent": False, "decoder": dict} | options))


def decoded(decoder: Any, body: bytes) -> Any:
    return finish(request(decoder=decoder).decoder(body))


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("/dialler/contacts", "/dialler/contacts"),
        ("/dialler/contacts/", "/dialler/contacts/"),
        ("/dialler/contacts/5", "/dialler/contacts/5"),
        ("/dialler/Müller & Söhne", "/dialler/M%C3%BCller%20%26%20S%C3%B6hne"),
        ("/a..b/...", "/a..b/..."),
    ],
)
def test_path_is_percent_encoded(path: str, encoded: str) -> None:
    assert request(path=path).path == encoded


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "dialler",
        "//evil.example.com/x",
        "http://evil.example.com/x",
        "@evil.example.com",
        "/..",
        "/../2/dialler/campaigns",
        "/dialler/../../2/dialler",
        "/dialler/./x",
        "/dialler/..",
        "/dialler//x",
        "/dialler/%2e%2e/x",
        "/dialler/%2E./x",
        "/dialler/..;/x",
        "/dialler/..\\x",
        "/dialler\\..\\x",
        "/dialler/x?a=b",
        "/dialler/x#a",
        "/dialler/\r\nHost: evil",
        "/dialler/\t",
        "/dialler/\ud800",
        None,
        5,
        b"/dialler",
    ],
    ids=ascii,
)
def test_path_that_leaves_the_base_url_or_is_invalid_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError):
        request(path=path)


def test_query_is_percent_encoded() -> None:
    assert request(query={"a b": "x&y=z", "id": 5, "ü": ""}).query == "a%20b=x%26y%3Dz&id=5&%C3%BC="
    assert request(query={}).query == request(query=None).query == ""


@pytest.mark.parametrize(
    "query", ["a=b", [("a", "b")], {5: "a"}, {"a": None}, {"a": True}, {"a": 1.5}, {"a": "\ud800"}]
)
def test_invalid_query_is_refused(query: Any) -> None:
    with pytest.raises(ConfigurationError):
        request(query=query)


@pytest.mark.parametrize("method", ["get", "HEAD", "CONNECT", "GET /x", "", None])
def test_unknown_http_method_is_refused(method: Any) -> None:
    with pytest.raises(ConfigurationError, match="DELETE, GET, PATCH, POST, PUT"):
        request(method)


def test_body_changed_after_the_call_is_sent_unchanged() -> None:
    body = {"name": "a", "ids": [1, 2]}
    sent = request("POST", body=body).body
    body["name"] = "b"
    assert msgspec.json.decode(sent) == {"name": "a", "ids": [1, 2]}
    assert request("POST").body is None
    assert bytes(request("POST", body={}).body) == b"{}"


@pytest.mark.parametrize("body", [object(), {"a": object()}, {"a": "\ud800"}, {object(): 1}])
def test_body_that_can_not_be_json_is_refused_and_not_shown(body: Any) -> None:
    with pytest.raises(ConfigurationError, match="can't be sent as JSON") as caught:
        request("POST", body=body)
    assert caught.value.__context__ is None


@attrs.frozen
class Contact:
    name: str
    id: int = 0


def test_response_is_decoded_as_the_type_of_the_decoder() -> None:
    assert decoded(dict, b'{"a": 1}') == {"a": 1}
    assert decoded(list[int], b"[1, 2]") == [1, 2]
    assert decoded(Contact, b'{"name": "A", "id": 5, "more": 1}') == Contact("A", 5)
    assert decoded(bytes, b"a;b") == b"a;b"


@pytest.mark.parametrize(
    ("decoder", "body", "not_json"),
    [(dict, b"[]", False), (Contact, b'{"id": "x"}', False), (dict, b"<html>", True), (dict, b"", True)],
)
def test_response_of_another_type_is_a_payload_error(decoder: Any, body: bytes, not_json: bool) -> None:
    with pytest.raises(PayloadError) as caught:
        decoded(decoder, body)
    assert caught.value.not_json is not_json
    assert caught.value.excerpt == body.decode()


def test_type_that_can_not_be_decoded_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="decoder must be bytes, or a type"):
        request(decoder=object.__init__)


def test_path_and_query_are_not_in_the_sent_request() -> None:
    sent = request(path="/dialler/contacts/Smith/5", query={"name": "Smith"}).sent
    assert str(sent) == "GET /{path}"


def test_probe_reads_one_campaign_and_accepts_any_object() -> None:
    assert (probe().sent.method, probe().path, probe().query) == ("GET", "/dialler/campaigns/1", "")
    assert not probe().is_write
