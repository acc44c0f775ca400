"""Errors: the class tree, pickling and comparison, and the mapping of responses to errors."""

import copy
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dialler_async
from dialler_async import (
    AmbiguousNameError,
    AuthenticationError,
    BadRequestError,
    Campaign,
    ClientClosedError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    DeadlineError,
    DiallerClient,
    DiallerError,
    EndpointNotFoundError,
    InvalidInputError,
    InvalidTokenError,
    ItemCancelledError,
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    RateLimitedError,
    RedirectError,
    RequestError,
    RetryPolicy,
    ServerError,
    StatusError,
    TokenSourceError,
)
from dialler_async._api.error_responses import (
    claimed_status,
    error_from_response,
    excerpt,
    parse_retry_after,
)
from dialler_async.errors import ResponseInfo, SentRequest, require
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Reset, Status

EXAMPLES = Path(__file__).parents[1] / "examples"

E = TypeVar("E", bound=DiallerError)

GET = SentRequest("GET", "/dialler/campaigns/{DiallerCampaignsID}")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
JSON_404 = (EXAMPLES / "error_404.json").read_bytes()
HTML = b"<!DOCTYPE html>\n<html><body><h1>Error</h1></body></html>"


def error_of(status: int, body: bytes = b"", **headers: str) -> StatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_from_response(status, named, body, request=GET, path="/dialler/campaigns/535", now=NOW)


def unpickled(error: E) -> E:
    copied: E = pickle.loads(pickle.dumps(error))  # noqa: S301  trusted bytes
    return copied


class TestTree:
    """The base classes of each error."""

    @pytest.mark.parametrize(
        ("kind", "bases"),
        [
            (ConfigurationError, (DiallerError, ValueError)),
            (InvalidInputError, (ConfigurationError,)),
            (ClientStateError, (DiallerError, RuntimeError)),
            (ClientClosedError, (ClientStateError,)),
            (NoReplyError, (DiallerError,)),
            (ConnectError, (NoReplyError,)),
            (DeadlineError, (NoReplyError, TimeoutError)),
            (OutcomeUnknownError, (NoReplyError,)),
            (StatusError, (DiallerError,)),
            (RedirectError, (StatusError,)),
            (BadRequestError, (StatusError,)),
            (AuthenticationError, (StatusError,)),
            (NotFoundError, (StatusError, LookupError)),
            (EndpointNotFoundError, (StatusError,)),
            (ConflictError, (StatusError,)),
            (RateLimitedError, (StatusError,)),
            (ServerError, (StatusError,)),
            (PayloadError, (DiallerError,)),
            (TokenSourceError, (DiallerError,)),
            (InvalidTokenError, (TokenSourceError, ConfigurationError)),
            (ItemCancelledError, (DiallerError,)),
            (AmbiguousNameError, (DiallerError, LookupError)),
        ],
    )
    def test_each_error_has_the_base_classes_of_the_tree(
        self, kind: type[Exception], bases: tuple[type[Exception], ...]
    ) -> None:
        assert set(bases) <= set(kind.__mro__)
        assert getattr(dialler_async, kind.__name__) is kind

    def test_endpoint_not_found_error_is_not_a_not_found_error(self) -> None:
        assert not issubclass(EndpointNotFoundError, NotFoundError)

    @pytest.mark.parametrize("kind", [ConnectError, DeadlineError, OutcomeUnknownError])
    def test_no_reply_errors_are_neither_status_nor_payload_errors(self, kind: type[Exception]) -> None:
        assert not issubclass(kind, StatusError | PayloadError)


STATUS: dict[str, Any] = {"status": 503, "message": "no", "retry_after": 2.5, "request": GET, "attempts": 3}
ERRORS: list[DiallerError] = [
    DiallerError("text"),
    ConfigurationError("text"),
    InvalidInputError("text"),
    ClientStateError("text"),
    ClientClosedError("text"),
    TokenSourceError("text"),
    InvalidTokenError("text"),
    ItemCancelledError("text"),
    RequestError("text", request=GET, attempts=2),
    NoReplyError("text", request=GET, attempts=2),
    ConnectError("text", request=GET, attempts=2),
    DeadlineError("text", request=GET, attempts=2),
    OutcomeUnknownError("text", request=GET, attempts=2),
    StatusError("text", **STATUS),
    RedirectError("text", location="https://elsewhere/", **STATUS),
    BadRequestError("text", **STATUS),
    AuthenticationError("text", **STATUS),
    NotFoundError("text", **STATUS),
    EndpointNotFoundError("text", **STATUS),
    ConflictError("text", **STATUS),
    RateLimitedError("text", **STATUS),
    ServerError("text", **STATUS),
    PayloadError("text", path="records[3].bDone", record_id=535, excerpt="{}", request=GET, attempts=2),
    AmbiguousNameError("text", matches=[Campaign(name="a", id=1), Campaign(name="a", id=2)]),
]


class TestValues:
    """Errors can be pickled, and are compared by value."""

    def test_examples_contain_every_exported_error_class(self) -> None:
        exported = {getattr(dialler_async, name) for name in dialler_async.__all__}
        kinds = {it for it in exported if isinstance(it, type) and issubclass(it, DiallerError)}
        assert kinds == {type(error) for error in ERRORS}

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    @pytest.mark.parametrize("duplicate", [unpickled, copy.copy, copy.deepcopy])
    def test_pickles_and_copies_equal_the_error(self, error: DiallerError, duplicate: Any) -> None:
        copied = duplicate(error)
        assert type(copied) is type(error)
        assert copied == error
        assert hash(copied) == hash(error)
        assert vars(copied) == vars(error)
        assert (str(copied), copied.args) == (str(error), ("text",))

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_errors_with_another_text_or_attribute_differ(self, error: DiallerError) -> None:
        other = copy.copy(error)
        other.args = ("other text",)
        assert other != error
        for name in vars(error):
            other = copy.copy(error)
            setattr(other, name, "other")
            assert other != error, name

    def test_errors_of_different_classes_differ(self) -> None:
        assert NotFoundError("text") != ConflictError("text")
        assert NotFoundError("text") != StatusError("text")
        assert NotFoundError("text") != "text"
        assert len({*ERRORS, *map(copy.copy, ERRORS)}) == len(ERRORS)

    @pytest.mark.parametrize("kind", [type(error) for error in ERRORS])
    def test_errors_can_be_made_without_arguments(self, kind: type[DiallerError]) -> None:
        assert str(kind()) == ""
        assert kind() == kind()

    def test_error_without_arguments_has_default_attributes(self) -> None:
        status, payload = RedirectError(), PayloadError()
        assert (status.status, status.message, status.retry_after, status.request) == (0, "", None, None)
        assert (status.attempts, status.location) == (1, "")
        assert (payload.path, payload.record_id, payload.excerpt, payload.request) == ("", None, "", None)
        assert AmbiguousNameError().matches == ()

    def test_matches_of_an_ambiguous_name_error_are_a_tuple(self) -> None:
        assert AmbiguousNameError(matches=iter([Campaign(name="a")])).matches == (Campaign(name="a"),)  # type: ignore[arg-type]  an iterator on purpose

    def test_str_of_a_sent_request_is_method_and_path_template(self) -> None:
        assert str(GET) == "GET /dialler/campaigns/{DiallerCampaignsID}"
        assert unpickled_request() == GET


def unpickled_request() -> SentRequest:
    copied: SentRequest = pickle.loads(pickle.dumps(GET))  # noqa: S301  trusted bytes
    return copied


DOCUMENTED = b'{"status": %d, "error": "what the server says"}'


class TestErrorFromResponse:
    """The error for each status of the API reference and of proxies."""

    @pytest.mark.parametrize(
        ("status", "kind", "meaning"),
        [
            (100, StatusError, ""),
            (201, StatusError, ""),
            (204, StatusError, ""),
            (400, BadRequestError, "a required parameter is missing"),
            (401, AuthenticationError, "the token, the ClientsID in the base URL, or the combination of both is wrong"),
            (403, StatusError, ""),
            (404, NotFoundError, "the record does not exist"),
            (405, StatusError, ""),
            (408, StatusError, "gave up waiting"),
            (409, ConflictError, "the destination already exists, or another precondition does not hold"),
            (413, StatusError, "too large"),
            (418, StatusError, ""),
            (429, RateLimitedError, "too many requests"),
            (500, ServerError, "internal error"),
            (501, ServerError, ""),
            (502, ServerError, "a proxy got no usable response"),
            (503, ServerError, "the server is unavailable"),
            (504, ServerError, "a proxy got no response from the server in time"),
            (520, ServerError, ""),
            (599, ServerError, ""),
        ],
    )
    def test_each_status_has_its_error_class(self, status: int, kind: type[StatusError], meaning: str) -> None:
        error = error_of(status, DOCUMENTED % status)
        assert type(error) is kind
        assert (error.status, error.message) == (status, "what the server says")
        assert (error.retry_after, error.request, error.attempts) == (None, GET, 1)
        text = str(error)
        assert text.startswith(f"GET /dialler/campaigns/{{DiallerCampaignsID}}: {status}")
        assert meaning in text
        assert "(message from the server: what the server says)" in text

    @pytest.mark.parametrize("body", [b"", HTML, b"  ", b"not JSON", b"[1]", b"null", b'{"message": "no Route"}'])
    def test_404_without_json_is_a_missing_endpoint(self, body: bytes) -> None:
        error = error_of(404, body)
        assert type(error) is EndpointNotFoundError
        assert error.status == 404
        assert error.request == GET
        assert "Check the base URL" in str(error)
        assert "http(s)://HOST:PORT/rest/v1.0/CLIENTS_ID" in str(error)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (JSON_404, "Dialler campaign not found"),
            (b"\xef\xbb\xbf" + JSON_404, "Dialler campaign not found"),
            (b'{"status": 404, "error": "Kampagne f\xfcr Sommer"}', "Kampagne f�r Sommer"),
            (b'{"status": 404}', ""),
            (b'{"error": "gone"}', "gone"),
            (b'{"status": 404, "error": null}', ""),
            (b'{"status": 404, "error": {"code": 5}}', ""),
            (b'{"status": 404, "error": "gone", "more": [1]}', "gone"),
        ],
    )
    def test_404_with_json_is_a_missing_record_in_any_charset(self, body: bytes, message: str) -> None:
        error = error_of(404, body)
        assert type(error) is NotFoundError
        assert error.message == message

    @pytest.mark.parametrize("status", [400, 401, 409, 429, 500, 502, 503])
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", ""),
            (HTML, ""),
            (b"\xef\xbb\xbf" + HTML, ""),
            (b"  \n<p>sorry</p>", ""),
            (b"upstream  connect\r\nerror", "upstream connect error"),
            (b"[" * 100_000, "[" * 199 + "…"),
        ],
    )
    def test_error_shows_the_text_of_a_proxy_except_html(self, status: int, body: bytes, message: str) -> None:
        error = error_of(status, body)
        assert type(error) is not EndpointNotFoundError
        assert error.message == message
        assert ("message from the server" in str(error)) is bool(message)

    def test_message_of_an_error_is_short_and_printable(self) -> None:
        error = error_of(500, b'{"status": 500, "error": "line\\none\\u001b[31m' + b"x" * 1000 + b'"}')
        assert error.message.startswith("line one�[31mxxx")
        assert len(error.message) == 200
        assert error.message.endswith("…")
        assert str(error).isprintable()

    @given(status=st.integers(201, 599), body=st.binary(max_size=300))
    def test_any_response_gives_a_printable_error_that_can_be_pickled(self, status: int, body: bytes) -> None:
        error = error_of(status, body)
        assert error.status == status
        assert len(error.message) <= 200
        assert str(error).isprintable()
        assert unpickled(error) == error

    @pytest.mark.parametrize("name", ["Retry_After", "retry_after", "RETRY_AFTER"])
    @pytest.mark.parametrize("status", [301, 400, 429, 503])
    def test_retry_after_is_read_from_a_header_in_any_case(self, name: str, status: int) -> None:
        error = error_of(status, **{name: "7"})
        assert error.retry_after == 7.0
        assert status == 301 or "Retry-After is 7 s" in str(error)

    @pytest.mark.parametrize("name", ["Location", "location"])
    @pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
    def test_redirect_error_shows_location_and_base_url_to_set(self, status: int, name: str) -> None:
        location = "https://acd.example.com/rest/v1.0/1/dialler/campaigns/535"
        error = error_of(status, **{name: location})
        assert type(error) is RedirectError
        assert (error.status, error.location, error.request) == (status, location, GET)
        assert f"{status}, a redirect to {location}; redirects are not followed" in str(error)
        assert "set the base URL to https://acd.example.com/rest/v1.0/1" in str(error)

    @pytest.mark.parametrize(
        ("location", "location_shown"),
        [
            (
                "https://user:secret@sso.example.com:8443/login?token=secret#secret",
                "https://sso.example.com:8443/login",
            ),
            ("//user@elsewhere/x?a=b", "//elsewhere/x"),
            ("/login?next=secret", "/login"),
            ("login", "login"),
            ("https://[::1/broken", ""),
            ("", ""),
            ("?secret", ""),
            ("/tab\there\x1b", "/tabhere�"),
        ],
    )
    def test_redirect_error_shows_no_query_and_no_user_info(self, location: str, location_shown: str) -> None:
        error = error_of(302, HTML, Location=location)
        assert isinstance(error, RedirectError)
        assert error.location == location_shown
        assert "secret" not in str(error) + repr(vars(error))
        assert "set the base URL" not in str(error)
        assert (f"a redirect to {location_shown};" if location_shown else "a redirect without a target;") in str(error)

    def test_relative_redirect_suggests_no_base_url(self) -> None:
        assert "set the base URL" not in str(error_of(308, Location="/v2/dialler/campaigns/535"))

    def test_redirect_without_location_has_no_target(self) -> None:
        error = error_of(302)
        assert isinstance(error, RedirectError)
        assert error.location == ""
        assert "without a target" in str(error)


class TestClaimedStatus:
    """A 200 whose body contains another status."""

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (300, StatusError),
            (400, BadRequestError),
            (401, AuthenticationError),
            (404, NotFoundError),
            (409, ConflictError),
            (429, RateLimitedError),
            (500, ServerError),
            (599, ServerError),
        ],
    )
    def test_error_status_in_a_200_is_the_error_of_that_status(self, status: int, kind: type[StatusError]) -> None:
        error = claimed_status(status, "its\nwords", b"{}")
        assert type(error) is kind
        assert (error.status, error.message, error.request) == (status, "its words", None)
        assert f"the status is 200, but the body has status {status}" in str(error)

    @pytest.mark.parametrize("message", [None, ""])
    def test_message_is_the_beginning_of_the_body_when_the_body_has_no_message(self, message: str | None) -> None:
        error = claimed_status(500, message, b'{"status": 500, "reason": "' + b"x" * 500)
        assert isinstance(error, ServerError)
        assert error.message.startswith('{"status": 500, "reason": "xxx')
        assert len(error.message) == 200

    @pytest.mark.parametrize("status", [-1, 0, 199, 201, 299, 600, 10**30])
    def test_other_status_in_a_200_is_a_payload_error(self, status: int) -> None:
        error = claimed_status(status, "its words", b"the body")
        assert isinstance(error, PayloadError)
        assert (error.path, error.excerpt) == ("status", "the body")
        assert f"the body has status {status}" in str(error)


class TestRetryAfter:
    """Valid and invalid values of `Retry-After`."""

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0.0),
            ("120", 120.0),
            (" 30 ", 30.0),
            ("007", 7.0),
            ("9" * 15, 999_999_999_999_999.0),
            ("9" * 16, float("inf")),
            ("9" * 5000, float("inf")),
            ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
            ("Thu, 01 Jan 2026 12:00:30 -0000", 30.0),
            ("Thu, 01 Jan 2026 13:00:30 +0100", 30.0),
            ("Thursday, 01-Jan-26 12:01:00 GMT", 60.0),
            ("Thu Jan  1 12:00:05 2026", 5.0),
            ("Thu, 01 Jan 2026 11:59:59 GMT", 0.0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ],
    )
    def test_retry_after_accepts_seconds_and_dates(self, value: str, seconds: float) -> None:
        assert parse_retry_after(value, NOW) == seconds

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            " ",
            "-5",
            "+5",
            "1.5",
            "30, 60",
            "soon",
            "\N{ARABIC-INDIC DIGIT THREE}",
            "\N{SUPERSCRIPT TWO}",
            "Thu, 32 Jan 2026 12:00:30 GMT",
            "Thu, 01 Jan 2026 12:00:30 +99999",
            "Thu, 01 Jan 99999999999999999999 00:00:00 GMT",
        ],
    )
    def test_invalid_retry_after_is_none(self, value: str | None) -> None:
        assert parse_retry_after(value, NOW) is None

    @given(seconds=st.integers(0, 10**9), zone=st.integers(-12, 14))
    def test_retry_after_accepts_any_future_date_in_any_zone(self, seconds: int, zone: int) -> None:
        date = (NOW + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=zone)))
        assert parse_retry_after(format_datetime(date), NOW) == seconds
        assert parse_retry_after(str(seconds), NOW) == seconds

    @given(
        value=st.text()
        | st.from_regex(r"\A(\w{3}, )?\d{1,25} \w{3} \d{1,25} \d{1,3}:\d{1,3}(:\d{1,3})?( [+-]?\w{1,6})?\Z")
        | st.lists(st.sampled_from(["Thu,", "01", "Jan", "2026", "12:00", ":", "GMT", "+0100", "-", "9999", "0"])).map(
            " ".join
        )
    )
    def test_parse_retry_after_never_raises(self, value: str) -> None:
        seconds = parse_retry_after(value, NOW)
        assert seconds is None or seconds >= 0


class TestExcerpt:
    """The beginning of a body, for error messages."""

    @given(body=st.binary(max_size=2000))
    def test_excerpt_of_a_payload_error_is_short_and_printable(self, body: bytes) -> None:
        assert len(excerpt(body)) <= 200
        assert excerpt(body).isprintable()

    @pytest.mark.parametrize(
        ("body", "shown"),
        [
            (b"", ""),
            (b" a \n\t b ", "a b"),
            (b"\xef\xbb\xbf{}", "{}"),
            ("äöü".encode(), "äöü"),
            (b"\xff\x00", "��"),
            (b"x" * 200, "x" * 200),
            (b"x" * 201, "x" * 199 + "…"),
            ("😀".encode() * 200, "😀" * 200),
        ],
    )
    def test_excerpt_shows_the_text_of_the_body(self, body: bytes, shown: str) -> None:
        assert excerpt(body) == shown


def test_require_raises_configuration_error_for_a_false_condition() -> None:
    require(True, "not raised")
    with pytest.raises(ConfigurationError, match=r"^this is the text$"):
        require(False, "this is the text")


@pytest.mark.parametrize(
    ("call", "about"),
    [
        (lambda dialler: dialler.campaigns.get(535), "campaign 535"),
        (lambda dialler: dialler.campaigns.find("Spring"), "campaigns named 'Spring'"),
        (lambda dialler: dialler.result_codes.list(535), "campaign 535"),
        (lambda dialler: dialler.campaigns.delete(535), "campaign 535"),
        (lambda dialler: dialler.campaigns.clone("Spring", "Monday"), "clone of 'Spring' as 'Monday'"),
        (lambda dialler: dialler.campaigns.delete_by_name("Spring", exact=False), "campaigns named 'Spring'"),
        (lambda dialler: dialler.campaigns.list(), ""),
    ],
)
async def test_error_names_the_campaign_in_an_attribute_and_a_note_but_not_in_its_message_or_the_log(
    call: Callable[[DiallerClient], Awaitable[Any]], about: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "dialler_async")
    once = RetryPolicy(attempts=1)
    async with Sandbox() as server, DiallerClient(server.base_url, server.token, retry=once) as dialler:
        server.faults.next(Status(503))
        with pytest.raises(ServerError) as caught:
            await call(dialler)
    error = caught.value
    assert error.about == about
    assert getattr(error, "__notes__", []) == [about] * bool(about)
    assert "535" not in str(error) + caplog.text
    assert "Spring" not in str(error) + caplog.text
    assert pickle.loads(pickle.dumps(error)) == error  # noqa: S301  trusted bytes


RESPONSE = ResponseInfo(
    status=503, headers={"x-request-id": "r-17"}, request_id="r-17", received_at=datetime(2026, 1, 1, tzinfo=UTC)
)


class TestResponse:
    """`error.response`: the response of an error, without secrets."""

    @pytest.fixture
    async def dialler(self, sandbox: Sandbox) -> AsyncIterator[DiallerClient]:
        retry = RetryPolicy(attempts=2, base_delay=0)
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=retry) as dialler:
            yield dialler

    def test_response_info_can_be_pickled_compared_and_hashed(self) -> None:
        error = StatusError("text", status=503)
        error.response = RESPONSE
        assert unpickled(error) == error
        assert unpickled(error).response == RESPONSE
        assert hash(RESPONSE) == hash(copy.copy(RESPONSE))
        assert error != StatusError("text", status=503)

    async def test_status_error_has_the_response_of_the_latest_attempt(
        self, sandbox: Sandbox, dialler: DiallerClient
    ) -> None:
        sandbox.faults.next(*(CannedResponse(503, b"{}", {"X-Request-ID": id}) for id in ("r-1", "r-2")))
        with pytest.raises(ServerError) as failed:
            await dialler.campaigns.list()
        assert failed.value.response is not None
        assert (failed.value.response.status, failed.value.response.request_id) == (503, "r-2")
        assert failed.value.response.received_at.tzinfo is not None

    async def test_payload_error_has_its_response(self, sandbox: Sandbox, dialler: DiallerClient) -> None:
        sandbox.faults.next(CannedResponse(200, b'{"records": 5}', {"X-Correlation-ID": "c-1"}))
        with pytest.raises(PayloadError) as failed:
            await dialler.campaigns.list()
        assert failed.value.response is not None
        assert (failed.value.response.status, failed.value.response.request_id) == (200, "c-1")

    async def test_unknown_outcome_of_a_write_keeps_the_response(
        self, sandbox: Sandbox, dialler: DiallerClient
    ) -> None:
        sandbox.faults.next(CannedResponse(504, b"", {"Request-Id": "q-1"}))
        with pytest.raises(OutcomeUnknownError) as failed:
            await dialler.campaigns.clone("a", "b")
        assert failed.value.response is not None
        assert failed.value.response.request_id == "q-1"

    async def test_error_without_a_response_has_response_none(self, sandbox: Sandbox, dialler: DiallerClient) -> None:
        sandbox.faults.next(Reset(), Reset())
        with pytest.raises(NoReplyError) as failed:
            await dialler.campaigns.list()
        assert failed.value.response is None

    @pytest.mark.parametrize(
        "name",
        ["Set-Cookie", "WWW-Authenticate", "X-Api-Key", "X-Auth-Token", "Location", "Link", "X-Session", "X-Secret-1"],
    )
    async def test_header_that_may_be_secret_is_hidden(
        self, sandbox: Sandbox, dialler: DiallerClient, name: str
    ) -> None:
        sandbox.faults.next(CannedResponse(400, b"{}", {name: "s3cret"}))
        with pytest.raises(BadRequestError) as failed:
            await dialler.campaigns.list()
        assert failed.value.response is not None
        assert failed.value.response.headers[name.lower()] == "***"

    async def test_token_is_redacted_in_names_and_values_of_headers(self, dialler: DiallerClient) -> None:
        async with Sandbox(token="tokentokentoken") as sandbox:
            sandbox.faults.next(
                CannedResponse(
                    400, b"{}", {f"X-{sandbox.token}": "a", "X-Echo": f"<{sandbox.token}>", "X-Long": "x" * 5000}
                )
            )
            async with DiallerClient(sandbox.base_url, sandbox.token) as client:
                with pytest.raises(BadRequestError) as failed:
                    await client.campaigns.list()
        response = failed.value.response
        assert response is not None
        assert sandbox.token not in repr(response).lower()
        assert response.headers["x-echo"] == "***"
        assert len(response.headers["x-long"]) == 200
