"""The requests of the seven calls, and the arguments that they refuse."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from dialler_async import Campaign, ConfigurationError, InvalidInputError, Language, ResultCode
from dialler_async._api import decoding, endpoints
from dialler_async._api.endpoints import Idempotency, Request
from dialler_async.errors import SentRequest

EXAMPLES = Path(__file__).parents[1] / "examples"

BASE = "https://acd.example.com/rest/v1.0/1"
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)
"""Any valid name: a text without control characters and lone surrogates."""


def target_of(request: Request[Any]) -> str:
    """Return path and query of a request."""
    return f"{request.path}?{request.query}" if request.query else request.path


@pytest.mark.parametrize(
    ("request_", "method", "target", "template", "idempotency"),
    [
        (endpoints.list_campaigns(), "GET", "/dialler/campaigns", "/dialler/campaigns", Idempotency.SAFE),
        (endpoints.list_campaigns_in_slices(), "GET", "/dialler/campaigns", "/dialler/campaigns", Idempotency.SAFE),
        (
            endpoints.get_campaign(535),
            "GET",
            "/dialler/campaigns/535",
            "/dialler/campaigns/{DiallerCampaignsID}",
            Idempotency.SAFE,
        ),
        (
            endpoints.find_campaigns("Summer 26"),
            "GET",
            "/dialler/campaigns/campaign?name=Summer%2026",
            "/dialler/campaigns/campaign",
            Idempotency.SAFE,
        ),
        (
            endpoints.list_result_codes(535, Language.GERMAN),
            "GET",
            "/dialler/campaigns/campaign/535/resultCodes?languagesID=2",
            "/dialler/campaigns/campaign/{DiallerCampaignsID}/resultCodes",
            Idempotency.SAFE,
        ),
        (
            endpoints.clone_campaign("A", "B"),
            "POST",
            "/dialler/campaigns/clone",
            "/dialler/campaigns/clone",
            Idempotency.NEVER,
        ),
        (
            endpoints.clone_campaign("A", "B", exist_ok=True),
            "POST",
            "/dialler/campaigns/clone",
            "/dialler/campaigns/clone",
            Idempotency.SAFE,
        ),
        (
            endpoints.delete_campaign(535),
            "DELETE",
            "/dialler/campaigns/campaign/535",
            "/dialler/campaigns/campaign/{DiallerCampaignsID}",
            Idempotency.DELETE,
        ),
        (
            endpoints.delete_campaign_by_name("Summer 26"),
            "DELETE",
            "/dialler/campaigns/campaign?name=Summer%2026",
            "/dialler/campaigns/campaign",
            Idempotency.NEVER,
        ),
    ],
)
def test_each_call_has_the_published_request(
    request_: Request[Any], method: str, target: str, template: str, idempotency: Idempotency
) -> None:
    assert (request_.sent.method, target_of(request_)) == (method, target)
    assert request_.sent == SentRequest(method, template)
    assert request_.idempotency is idempotency


@pytest.mark.parametrize(
    ("request_", "decoder"),
    [
        (endpoints.list_campaigns(), decoding.CAMPAIGNS),
        (endpoints.list_campaigns_in_slices(), decoding.CAMPAIGN_SLICES),
        (endpoints.get_campaign(535), decoding.CAMPAIGN),
        (endpoints.find_campaigns("x"), decoding.CAMPAIGNS),
        (endpoints.list_result_codes(535, 1), decoding.RESULT_CODES),
        (endpoints.clone_campaign("A", "B"), decoding.CAMPAIGN),
        (endpoints.delete_campaign(535), decoding.DONE),
        (endpoints.delete_campaign_by_name("x"), decoding.DONE),
    ],
)
def test_each_call_has_its_decoder(request_: Request[Any], decoder: object) -> None:
    assert request_.decoder is decoder


@pytest.mark.parametrize(
    ("request_", "is_write", "hint"),
    [
        (endpoints.list_campaigns(), False, ""),
        (endpoints.get_campaign(535), False, ""),
        (endpoints.find_campaigns("x"), False, ""),
        (endpoints.list_result_codes(535, 1), False, ""),
        (endpoints.clone_campaign("A", "B"), True, "get_by_name(destination)"),
        (endpoints.delete_campaign(535), True, "get(campaign)"),
        (endpoints.delete_campaign_by_name("x"), True, "find(name)"),
    ],
)
def test_only_writes_have_a_recovery_hint(request_: Request[Any], is_write: bool, hint: str) -> None:
    assert request_.is_write is is_write
    assert hint in request_.recovery_hint
    assert bool(request_.recovery_hint) is is_write


def test_reads_and_deletes_have_no_body() -> None:
    reads_and_deletes = [
        endpoints.list_campaigns(),
        endpoints.get_campaign(535),
        endpoints.find_campaigns("x"),
        endpoints.list_result_codes(535, 1),
        endpoints.delete_campaign(535),
        endpoints.delete_campaign_by_name("x"),
    ]
    assert [request.body for request in reads_and_deletes] == [None] * 6


def test_clone_has_the_published_body() -> None:
    published = json.loads((EXAMPLES / "clone_request.json").read_bytes())
    request = endpoints.clone_campaign("Campaign 1000", "My New Campaign", user_data="UserData Field Contents")
    assert request.body == published
    assert list(request.body) == list(published)


def test_clone_body_has_only_the_given_keys() -> None:
    assert endpoints.clone_campaign("A", "B").body == {"source": "A", "destination": "B"}


def test_empty_user_data_is_sent() -> None:
    assert endpoints.clone_campaign("A", "B", user_data="").body == {"source": "A", "destination": "B", "userData": ""}


def test_user_data_may_contain_line_breaks() -> None:
    body = endpoints.clone_campaign("A", "B", user_data="one\ntwo\t").body
    assert body is not None
    assert body["userData"] == "one\ntwo\t"


def test_clone_sends_naive_dates_unchanged_and_aware_dates_with_offset() -> None:
    request = endpoints.clone_campaign(
        "A",
        "B",
        dt_from=datetime(2026, 7, 1, 8, 30),  # noqa: DTZ001  a naive date is tested
        dt_to=datetime(2026, 9, 30, 18, tzinfo=timezone(timedelta(hours=2))),
    )
    assert request.body == {
        "source": "A",
        "destination": "B",
        "dtFrom": "2026-07-01T08:30:00",
        "dtTo": "2026-09-30T18:00:00+02:00",
    }


@pytest.mark.parametrize("clone", [{"dt_from": "2026-07-01T00:00:00"}, {"dt_to": datetime.now(UTC).date()}])
def test_date_that_is_not_a_datetime_is_refused(clone: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="a date must be a datetime"):
        endpoints.clone_campaign("A", "B", **clone)


BY_NAME = [endpoints.find_campaigns, endpoints.delete_campaign_by_name]


@pytest.mark.parametrize("call", BY_NAME)
@given(name=NAMES)
def test_any_name_is_encoded_in_the_query_and_never_changes_the_path(
    call: Callable[[str], Request[Any]], name: str
) -> None:
    request = call(name)
    assert request.path == "/dialler/campaigns/campaign"
    key, _, value = request.query.partition("=")
    assert key == "name"
    # The query is decoded with and without `+` for a space, and as yarl decodes it.
    assert unquote(value, errors="strict") == name
    assert unquote_plus(value, errors="strict") == name
    assert parse_qsl(request.query, strict_parsing=True, separator="&") == [("name", name)]
    url = URL(BASE + target_of(request), encoded=True)
    assert url.query["name"] == name
    assert str(url) == f"{BASE}/dialler/campaigns/campaign?name={value}"
    assert value.isascii()
    assert not set(value) & set("/?#&+=; \"'")


@given(source=NAMES, destination=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64))
def test_any_name_is_in_the_clone_body_unchanged(source: str, destination: str) -> None:
    request = endpoints.clone_campaign(source, destination)
    assert json.loads(decoding.encode(request.body)) == {"source": source, "destination": destination}
    assert target_of(request) == "/dialler/campaigns/clone"


@pytest.mark.parametrize(
    "name",
    ["a/b?c#d%e&f+g_h", "Käßespätzle", "☎️ 📞", "\"quoted\" 'both'", " leading and trailing ", ".", "..", "%2F", " "],
)
def test_names_with_special_characters_are_accepted(name: str) -> None:
    assert dict(parse_qsl(endpoints.find_campaigns(name).query)) == {"name": name}


class SafeText(str):
    """A subclass of str, such as the safe text of a template engine."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Names(StrEnum):
    TEMPLATE = "Template"


@pytest.mark.parametrize(("name", "plain"), [(SafeText("Template"), "Template"), (Names.TEMPLATE, "Template")])
def test_name_of_a_str_subclass_is_sent_as_plain_text(name: str, plain: str) -> None:
    assert endpoints.find_campaigns(name).query == f"name={plain}"
    body = endpoints.clone_campaign(name, name, user_data=name).body
    assert json.loads(decoding.encode(body)) == {"source": plain, "destination": plain, "userData": plain}


@pytest.mark.parametrize("name", ["tab\there", "line\nbreak", "\r", "nul\0", "\x7f", "\x85", "\x1b[31m"])
@pytest.mark.parametrize(
    "call",
    [*BY_NAME, lambda name: endpoints.clone_campaign(name, "B"), lambda name: endpoints.clone_campaign("A", name)],
)
def test_name_with_a_control_character_is_refused(call: Callable[[str], object], name: str) -> None:
    with pytest.raises(ConfigurationError, match="control character"):
        call(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty"),
        ("\ud800", "surrogate"),
        (None, "must be a str, not NoneType"),
        (535, "must be a str, not int"),
        (b"Summer", "must be a str, not bytes"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [*BY_NAME, lambda name: endpoints.clone_campaign(name, "B"), lambda name: endpoints.clone_campaign("A", name)],
)
def test_invalid_name_is_refused(call: Callable[[Any], object], name: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call(name)


@pytest.mark.parametrize(("user_data", "message"), [(7, "user_data must be a str, not int"), ("\udfff", "surrogate")])
def test_invalid_user_data_is_refused(user_data: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        endpoints.clone_campaign("A", "B", user_data=user_data)


def test_new_name_has_at_most_64_characters() -> None:
    body = endpoints.clone_campaign("A", "ü" * 64).body
    assert body is not None
    assert body["destination"] == "ü" * 64
    with pytest.raises(ConfigurationError, match="at most 64 characters; this name has 65"):
        endpoints.clone_campaign("A", "ü" * 65)


def test_name_of_an_existing_campaign_may_have_any_length() -> None:
    assert endpoints.find_campaigns("x" * 65).query == f"name={'x' * 65}"
    assert endpoints.clone_campaign("x" * 65, "B").body == {"source": "x" * 65, "destination": "B"}


BY_ID = [
    endpoints.get_campaign,
    endpoints.delete_campaign,
    lambda campaign: endpoints.list_result_codes(campaign, Language.ENGLISH),
]


@pytest.mark.parametrize("call", BY_ID)
@given(id=st.integers(1, 2**63 - 1))
def test_campaign_and_its_id_give_the_same_request(call: Callable[[Campaign | int], Request[Any]], id: int) -> None:
    assert call(Campaign(name="any", id=id)) == call(id)
    assert f"/{id}" in call(id).path


@pytest.mark.parametrize("call", BY_ID)
@pytest.mark.parametrize("id", [True, False, 535.0, "535", None, b"535", [535], ResultCode(id=535)])
def test_id_that_is_not_an_int_is_refused(call: Callable[[Any], object], id: object) -> None:
    with pytest.raises(ConfigurationError, match="a campaign's ID must be an int, not ") as refused:
        call(id)
    assert type(refused.value) is ConfigurationError
    assert "535" not in str(refused.value)


@pytest.mark.parametrize("call", BY_ID)
@pytest.mark.parametrize("id", [0, -1, -(2**64)])
def test_id_that_is_not_positive_is_refused(call: Callable[[Any], object], id: int) -> None:
    for campaign in (id, Campaign(name="any", id=id)):
        with pytest.raises(InvalidInputError, match="a campaign's ID must be a positive int of at most"):
            call(campaign)


@pytest.mark.parametrize("call", BY_ID)
def test_campaign_without_an_id_is_refused(call: Callable[[Any], object]) -> None:
    with pytest.raises(ConfigurationError, match="has no ID"):
        call(Campaign(name="any"))


@pytest.mark.parametrize(("language", "sent"), [(1, "1"), (Language.GERMAN, "2"), (7, "7"), (Language(12), "12")])
def test_any_positive_language_is_sent(language: int, sent: str) -> None:
    assert endpoints.list_result_codes(535, language).query == f"languagesID={sent}"


@pytest.mark.parametrize("language", [True, "de", None, 1.0])
def test_language_that_is_not_an_int_is_refused(language: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"a language must be an int, not \w+: use Language.ENGLISH"):
        endpoints.list_result_codes(535, language)


@pytest.mark.parametrize("language", [0, -1, Language(0), Language(-1)])
def test_language_that_is_not_positive_is_refused(language: int) -> None:
    with pytest.raises(InvalidInputError, match="a language must be a positive int"):
        endpoints.list_result_codes(535, language)


def test_request_is_a_frozen_value() -> None:
    request = endpoints.get_campaign(535)
    assert request == endpoints.get_campaign(535)
    assert request != endpoints.get_campaign(536)
    with pytest.raises(AttributeError):
        request.path = "/elsewhere"  # type: ignore[misc]  the mistake that is tested


@pytest.mark.parametrize(
    "number",
    [2**63, 2**64, 10**5000, -(2**63), -(10**5000)],
    ids=["2**63", "2**64", "10**5000", "-2**63", "-10**5000"],
)
def test_number_beyond_64_bits_is_refused_and_not_shown(number: int) -> None:
    for refused in (
        lambda: endpoints.get_campaign(number),
        lambda: endpoints.delete_campaign(Campaign(name="any", id=number)),
        lambda: endpoints.list_result_codes(number, Language.ENGLISH),
        lambda: endpoints.list_result_codes(1, number),
    ):
        with pytest.raises(ConfigurationError, match="at most 9223372036854775807"):
            refused()


def test_largest_number_of_64_bits_is_accepted_as_an_id() -> None:
    assert endpoints.get_campaign(2**63 - 1).path.endswith("/9223372036854775807")
