"""`dialler.campaigns`: what each method sends, and what it returns or raises for each response."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from dialler_async import (
    AmbiguousNameError,
    AuthenticationError,
    BadRequestError,
    Campaign,
    ConfigurationError,
    ConflictError,
    ConnectError,
    DiallerClient,
    EndpointNotFoundError,
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    RequestError,
    ServerError,
)
from dialler_async._http.clock import CLOCK

if TYPE_CHECKING:
    from tests.conftest import PlayedServer

EXAMPLES = Path(__file__).parents[1] / "examples"

BASE = "https://acd.example.com/rest/v1.0/1"
LIST = f"{BASE}/dialler/campaigns"
BY_NAME = f"{LIST}/campaign?name="
CLONE = f"{LIST}/clone"
NOT_FOUND = {"status": 404, "body": (EXAMPLES / "error_404.json").read_bytes()}
NO_ENDPOINT = {"status": 404, "body": b""}
CONFLICT = {"status": 409, "body": b'{"status": 409, "error": "Destination exists"}'}
DELETED = {"body": (EXAMPLES / "delete.json").read_bytes()}
LOST = {"exception": aiohttp.ServerDisconnectedError()}
MONDAY: dict[str, Any] = {"ID": 536, "Name": "Monday"}
NAIVE = datetime(2026, 7, 1)  # noqa: DTZ001  a naive date is sent as it is
AWARE = datetime(2026, 7, 1, tzinfo=UTC)


def by_id(id: int) -> str:
    return f"{LIST}/campaign/{id}"


def envelope(*records: object, **rest: object) -> dict[str, bytes]:
    return {"body": json.dumps({"records": list(records), "count": len(records), "status": 200} | rest).encode()}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays before retries. They take no time in these tests."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(CLOCK, "sleep", sleep)
    return waited


@pytest.fixture
async def dialler(played: PlayedServer, waits: list[float]) -> AsyncIterator[DiallerClient]:
    async with DiallerClient(BASE, "abc-123") as opened:
        yield opened


def assert_origin(error: RequestError, about: str, status: int | None) -> None:
    """Check the call that an error names if it replaces another error."""
    assert (error.about, getattr(error, "__notes__", [])) == (about, [about])
    assert (None if error.response is None else error.response.status) == status


def requests_sent(played: PlayedServer) -> list[tuple[str, str]]:
    return [(sent.method, sent.url) for sent in played.sent]


class TestHeaders:
    """Headers of every request."""

    async def test_request_without_body_carries_token_and_accept(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(LIST, **envelope())
        await dialler.campaigns.list()
        [sent] = played.sent
        assert sent.headers.pop("User-Agent").startswith("dialler-async/")
        assert sent.headers == {"Authorization": "Bearer abc-123", "Accept": "application/json"}
        assert sent.body is None
        assert sent.follows_redirects is False

    async def test_request_with_body_carries_content_type(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.post(CLONE, **envelope(MONDAY))
        await dialler.campaigns.clone("Template", "Monday")
        [sent] = played.sent
        assert sent.headers["Content-Type"] == "application/json"
        assert sent.headers["Accept"] == "application/json"
        assert sent.headers["Authorization"] == "Bearer abc-123"
        assert sent.follows_redirects is False


CALLS: list[tuple[str, str, Callable[[DiallerClient], Awaitable[Any]]]] = [
    ("GET", LIST, lambda dialler: dialler.campaigns.list()),
    ("GET", f"{LIST}/535", lambda dialler: dialler.campaigns.get(535)),
    ("GET", f"{BY_NAME}x", lambda dialler: dialler.campaigns.find("x")),
    ("GET", f"{BY_NAME}x", lambda dialler: dialler.campaigns.get_by_name("x")),
    ("POST", CLONE, lambda dialler: dialler.campaigns.clone("x", "y")),
    ("POST", CLONE, lambda dialler: dialler.campaigns.clone("x", "y", exist_ok=True)),
    ("DELETE", by_id(535), lambda dialler: dialler.campaigns.delete(535)),
    ("DELETE", by_id(535), lambda dialler: dialler.campaigns.delete(535, missing_ok=True)),
    ("DELETE", f"{BY_NAME}x", lambda dialler: dialler.campaigns.delete_by_name("x", exact=False)),
    ("GET", f"{BY_NAME}x", lambda dialler: dialler.campaigns.delete_by_name("x")),
    ("GET", f"{LIST}/campaign/535/resultCodes?languagesID=1", lambda dialler: dialler.result_codes.list(535)),
]


@pytest.mark.parametrize(("method", "url", "call"), CALLS)
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"status": 400, "body": b'{"status": 400, "error": "Parameter missing"}'}, BadRequestError),
        ({"status": 401, "body": b'{"status": 401, "error": "Token unknown"}'}, AuthenticationError),
        (NO_ENDPOINT, EndpointNotFoundError),
        ({"status": 404, "body": b"<html>no such page</html>"}, EndpointNotFoundError),
    ],
)
async def test_refusal_is_raised_by_every_call_after_one_request(
    method: str,
    url: str,
    call: Callable[[DiallerClient], Awaitable[Any]],
    reply: dict[str, Any],
    error: type[Exception],
    dialler: DiallerClient,
    played: PlayedServer,
) -> None:
    played.add(url, method, **reply)
    with pytest.raises(error):
        await call(dialler)
    assert requests_sent(played) == [(method, url)]


class TestList:
    """`list`."""

    async def test_published_list_response_is_decoded(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(LIST, body=(EXAMPLES / "campaigns_list.json").read_bytes())
        campaigns = await dialler.campaigns.list()
        assert [campaign.name for campaign in campaigns] == ["Campaign 1000"]
        assert (campaigns.total, campaigns.order_by, campaigns.ascending) == (1, "Name", True)
        assert requests_sent(played) == [("GET", LIST)]

    async def test_empty_account_has_no_campaigns(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(LIST, **envelope())
        assert await dialler.campaigns.list() == []

    async def test_list_raises_not_found_on_404(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(LIST, **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.list()

    async def test_error_names_method_and_path_template_of_its_call(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(LIST, body=b"[]")
        with pytest.raises(PayloadError) as caught:
            await dialler.campaigns.list()
        assert str(caught.value.request) == "GET /dialler/campaigns"
        assert str(caught.value).startswith("GET /dialler/campaigns: the status is 200")


class TestIterate:
    """`iterate`."""

    async def test_iterate_yields_the_campaigns_of_list(self, dialler: DiallerClient, played: PlayedServer) -> None:
        records = [{"Name": str(number), "ID": number, "filler": "x" * 30_000} for number in range(1, 5)]
        played.get(LIST, **envelope(*records))
        assert [campaign.wire async for campaign in dialler.campaigns.iterate()] == records
        assert requests_sent(played) == [("GET", LIST)]

    async def test_iterate_sends_nothing_before_the_first_campaign_is_requested(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        campaigns = dialler.campaigns.iterate()
        await campaigns.aclose()
        assert requests_sent(played) == []

    async def test_invalid_record_is_raised_after_the_slices_before_it(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(LIST, **envelope({"Name": "good", "filler": "x" * 100_000}, {"Name": None, "ID": 7}))
        campaigns = dialler.campaigns.iterate()
        assert (await anext(campaigns)).name == "good"
        with pytest.raises(PayloadError) as caught:
            await anext(campaigns)
        assert (caught.value.path, caught.value.record_id) == ("records[1].Name", 7)
        assert str(caught.value.request) == "GET /dialler/campaigns"


class TestGet:
    """`get`."""

    @pytest.mark.parametrize("campaign", [535, Campaign(name="any", id=535)])
    async def test_get_has_no_campaign_segment_in_its_path(
        self, campaign: Campaign | int, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{LIST}/535", **envelope({"ID": 535, "Name": "Summer"}))
        assert (await dialler.campaigns.get(campaign)).name == "Summer"
        assert requests_sent(played) == [("GET", f"{LIST}/535")]

    async def test_published_get_response_without_id_is_accepted(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{LIST}/535", body=(EXAMPLES / "campaign_get.json").read_bytes())
        assert (await dialler.campaigns.get(535)).name == "Campaign 1000"

    async def test_absent_campaign_is_not_found(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{LIST}/535", **NOT_FOUND)
        with pytest.raises(NotFoundError) as caught:
            await dialler.campaigns.get(535)
        assert caught.value.message == "Dialler campaign not found"
        assert str(caught.value.request) == "GET /dialler/campaigns/{DiallerCampaignsID}"

    async def test_response_with_another_campaign_is_refused(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{LIST}/535", **envelope({"ID": 536, "Name": "Summer"}))
        with pytest.raises(PayloadError, match="about campaign 535, but the server sent campaign 536") as caught:
            await dialler.campaigns.get(535)
        assert (caught.value.path, caught.value.record_id) == ("records[0].ID", 536)
        assert str(caught.value.request) == "GET /dialler/campaigns/{DiallerCampaignsID}"

    @pytest.mark.parametrize("records", [[], [{"Name": "a"}, {"Name": "b"}]])
    async def test_response_with_no_or_several_campaigns_is_refused(
        self, records: list[object], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{LIST}/535", **envelope(*records))
        with pytest.raises(PayloadError, match="where one is documented"):
            await dialler.campaigns.get(535)

    async def test_campaign_without_id_is_refused_before_anything_is_sent(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError, match="has no ID"):
            await dialler.campaigns.get(Campaign(name="any"))
        assert requests_sent(played) == []


class TestFind:
    """`find`."""

    async def test_find_sends_the_name_percent_encoded(self, dialler: DiallerClient, played: PlayedServer) -> None:
        url = f"{BY_NAME}a%2Fb%3Fc%23%25%26%2B_%20%C3%BC"
        played.get(url, **envelope({"Name": "xa/b?c#%&+_ üx", "ID": 1}))
        assert [campaign.id for campaign in await dialler.campaigns.find("a/b?c#%&+_ ü")] == [1]
        assert requests_sent(played) == [("GET", url)]

    async def test_find_returns_several_matches(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{BY_NAME}Sum", **envelope({"Name": "Summer"}, {"Name": "summary"}))
        found = await dialler.campaigns.find("Sum")
        assert ([campaign.name for campaign in found], found.total) == (["Summer", "summary"], 2)

    @pytest.mark.parametrize(
        "reply",
        [envelope(), NOT_FOUND, {"body": (EXAMPLES / "error_404.json").read_bytes()}],
        ids=["200", "404", "both"],
    )
    async def test_find_without_match_is_empty_on_200_and_404(
        self, reply: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Sum", **reply)
        found = await dialler.campaigns.find("Sum")
        assert (list(found), found.total) == ([], 0)

    async def test_find_raises_on_missing_endpoint(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{BY_NAME}Sum", **NO_ENDPOINT)
        with pytest.raises(EndpointNotFoundError):
            await dialler.campaigns.find("Sum")


class TestGetByName:
    """`get_by_name`."""

    async def test_get_by_name_returns_the_exact_name_among_similar_names(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        names = ["Summer 26 b", "summer 26", "Summer 26", "Summer 26 ", " Summer 26"]
        records = [{"Name": name, "ID": number} for number, name in enumerate(names, 1)]
        played.get(f"{BY_NAME}Summer%2026", **envelope(*records))
        assert (await dialler.campaigns.get_by_name("Summer 26")).id == 3
        assert requests_sent(played) == [("GET", f"{BY_NAME}Summer%2026")]

    @pytest.mark.parametrize(
        ("reply", "similar"),
        [(envelope({"Name": "summer"}, {"Name": "Summer "}), 2), (envelope(), 0), (NOT_FOUND, 0)],
    )
    async def test_get_by_name_without_exact_match_is_not_found(
        self, reply: dict[str, Any], similar: int, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Summer", **reply)
        with pytest.raises(NotFoundError, match=f"{similar} have a similar one") as caught:
            await dialler.campaigns.get_by_name("Summer")
        assert (caught.value.status, str(caught.value.request)) == (404, "GET /dialler/campaigns/campaign")
        assert_origin(caught.value, "campaigns named 'Summer'", None)
        assert caught.value.__context__ is None

    async def test_get_by_name_with_several_exact_matches_is_ambiguous(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Summer", **envelope({"Name": "Summer", "ID": 1}, {"Name": "Summer", "ID": 2}))
        with pytest.raises(AmbiguousNameError, match="2 campaigns have exactly this name") as caught:
            await dialler.campaigns.get_by_name("Summer")
        assert [campaign.id for campaign in caught.value.matches] == [1, 2]


class TestClone:
    """`clone` and `get_or_clone`."""

    async def test_clone_sends_the_published_request(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.post(CLONE, **envelope({"ID": 536, "Name": "My New Campaign", "UserData": "UserData Field Contents"}))
        clone = await dialler.campaigns.clone("Campaign 1000", "My New Campaign", user_data="UserData Field Contents")
        assert (clone.id, clone.name, clone.user_data) == (536, "My New Campaign", "UserData Field Contents")
        [sent] = played.sent
        assert (sent.method, sent.url) == ("POST", CLONE)
        assert sent.body == json.loads((EXAMPLES / "clone_request.json").read_bytes())

    async def test_clone_sends_aware_dates_with_their_offset(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **envelope(MONDAY))
        await dialler.campaigns.clone(
            "Template",
            "Monday",
            dt_from=datetime(2026, 7, 1, tzinfo=UTC),
            dt_to=datetime(2026, 8, 1),  # noqa: DTZ001  a naive date is sent as it is
        )
        [sent] = played.sent
        assert sent.body == {
            "source": "Template",
            "destination": "Monday",
            "dtFrom": "2026-07-01T00:00:00+00:00",
            "dtTo": "2026-08-01T00:00:00",
        }

    async def test_clone_of_absent_source_is_not_found(self, dialler: DiallerClient, played: PlayedServer) -> None:
        for exist_ok in (False, True):
            played.post(CLONE, **NOT_FOUND)
            with pytest.raises(NotFoundError, match="Dialler campaign not found"):
                await dialler.campaigns.clone("Template", "Monday", exist_ok=exist_ok)

    async def test_clone_to_existing_destination_is_a_conflict(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        with pytest.raises(ConflictError) as caught:
            await dialler.campaigns.clone("Template", "Monday")
        assert caught.value.message == "Destination exists"
        assert requests_sent(played) == [("POST", CLONE)]

    async def test_exist_ok_returns_the_existing_campaign_of_exactly_this_name(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope({"ID": 535, "Name": "Monday b"}, MONDAY))
        clone = await dialler.campaigns.clone("Template", "Monday", exist_ok=True)
        assert (clone.id, clone.name) == (536, "Monday")
        assert requests_sent(played) == [("POST", CLONE), ("GET", f"{BY_NAME}Monday")]

    async def test_exist_ok_clones_when_no_campaign_exists(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.post(CLONE, **envelope(MONDAY))
        assert (await dialler.campaigns.clone("Template", "Monday", exist_ok=True)).id == 536
        assert requests_sent(played) == [("POST", CLONE)]

    @pytest.mark.parametrize("found", [envelope(), NOT_FOUND, envelope({"ID": 1, "Name": "monday"})])
    async def test_conflict_without_existing_campaign_is_raised(
        self, found: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **found)
        with pytest.raises(ConflictError) as caught:
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)
        assert caught.value.message == "Destination exists"

    async def test_exist_ok_with_several_exact_matches_is_ambiguous(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY, {"ID": 537, "Name": "Monday"}))
        with pytest.raises(AmbiguousNameError):
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)

    async def test_get_or_clone_returns_a_new_campaign_as_created(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **envelope(MONDAY))
        campaign, created = await dialler.campaigns.get_or_clone("Template", "Monday")
        assert (campaign.id, created) == (536, True)
        assert requests_sent(played) == [("POST", CLONE)]

    async def test_get_or_clone_returns_an_existing_campaign_as_not_created(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        result = await dialler.campaigns.get_or_clone("Template", "Monday")
        assert (result.campaign.id, result.created) == (536, False)

    async def test_get_or_clone_returns_created_none_after_a_lost_response(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **LOST)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        result = await dialler.campaigns.get_or_clone("Template", "Monday")
        assert (result.campaign.id, result.created) == (536, None)

    @pytest.mark.parametrize("refusal", [401, 429, 503])
    async def test_get_or_clone_knows_that_a_refused_attempt_did_not_clone(
        self, refusal: int, played: PlayedServer
    ) -> None:
        played.post(CLONE, status=refusal)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        async with DiallerClient(BASE, iter(("one", "two")).__next__) as dialler:
            result = await dialler.campaigns.get_or_clone("Template", "Monday")
        assert (result.campaign.id, result.created) == (536, False)

    @pytest.mark.parametrize("refusal", [401, 429, 503])
    async def test_conflict_after_a_refused_attempt_is_a_conflict_error(
        self, refusal: int, played: PlayedServer
    ) -> None:
        played.post(CLONE, status=refusal)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope())
        async with DiallerClient(BASE, iter(("one", "two")).__next__) as dialler:
            with pytest.raises(ConflictError) as caught:
                await dialler.campaigns.get_or_clone("Template", "Monday")
        assert (caught.value.attempts, caught.value.may_be_own) == (2, False)

    @pytest.mark.parametrize(
        ("arguments", "existing", "different"),
        [
            ({"user_data": "crm-7"}, {"UserData": "crm-8"}, "user_data"),
            ({"user_data": "crm-7"}, {"UserData": None}, "user_data"),
            ({"user_data": ""}, {"UserData": "crm-8"}, "user_data"),
            ({"dt_from": NAIVE}, {"dtFrom": "2026-07-01T00:00:01"}, "dt_from"),
            ({"dt_from": NAIVE}, {"dtFrom": None}, "dt_from"),
            ({"dt_to": AWARE}, {"dtTo": "2026-07-01T00:00:00+02:00"}, "dt_to"),
            ({"dt_to": AWARE}, {"dtTo": "2026-07-01T14:00:01"}, "dt_to"),
            ({"dt_to": NAIVE}, {"dtTo": "2026-06-30T09:59:59Z"}, "dt_to"),
            (
                {"user_data": "a", "dt_from": NAIVE, "dt_to": NAIVE},
                {"UserData": "b", "dtFrom": None, "dtTo": "2026-07-01T00:00:00"},
                "user_data, dt_from",
            ),
        ],
    )
    async def test_existing_campaign_with_other_data_is_a_conflict_unless_differences_are_ignored(
        self,
        arguments: dict[str, Any],
        existing: dict[str, Any],
        different: str,
        dialler: DiallerClient,
        played: PlayedServer,
    ) -> None:
        played.post(CLONE, repeat=True, **CONFLICT)
        played.get(f"{BY_NAME}Monday", repeat=True, **envelope(MONDAY | existing))
        for call in (
            dialler.campaigns.get_or_clone("Template", "Monday", **arguments),
            dialler.campaigns.clone("Template", "Monday", exist_ok=True, **arguments),
        ):
            with pytest.raises(ConflictError) as caught:
                await call
            assert str(caught.value).endswith(f"exists, and differs from the requested one in {different}")
            assert (caught.value.status, caught.value.message) == (409, "Destination exists")
            assert (str(caught.value.request), caught.value.attempts) == ("POST /dialler/campaigns/clone", 1)
            assert_origin(caught.value, "clone of 'Template' as 'Monday'", 409)
            assert "crm" not in str(caught.value)
            assert caught.value.__context__ is None
        result = await dialler.campaigns.get_or_clone("Template", "Monday", ignore_differences=True, **arguments)
        assert (result.campaign.id, result.created) == (536, False)

    @pytest.mark.parametrize(
        ("arguments", "existing"),
        [
            ({}, {"UserData": "crm-8", "dtFrom": "2026-07-01T00:00:00"}),
            ({"user_data": "crm-7", "dt_from": NAIVE, "dt_to": AWARE}, {}),
            ({"user_data": "crm-7"}, {"UserData": "crm-7"}),
            ({"user_data": ""}, {"UserData": None}),
            ({"dt_from": NAIVE}, {"dtFrom": "2026-07-01T00:00:00.999"}),
            ({"dt_from": AWARE}, {"dtFrom": "2026-07-01T02:00:00+02:00"}),
            ({"dt_to": AWARE}, {"dtTo": "2026-07-01T14:00:00"}),
            ({"dt_to": NAIVE}, {"dtTo": "2026-06-30T10:00:00Z"}),
            ({"dt_to": datetime.max.replace(tzinfo=UTC)}, {"dtTo": "9999-12-31T23:59:59Z"}),
        ],
    )
    async def test_existing_campaign_that_may_have_the_same_data_is_returned(
        self, arguments: dict[str, Any], existing: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY | existing))
        result = await dialler.campaigns.get_or_clone("Template", "Monday", **arguments)
        assert (result.campaign.id, result.created) == (536, False)

    @pytest.mark.parametrize(
        ("dt_from", "dt_to"),
        [
            (NAIVE, NAIVE - timedelta(milliseconds=1)),
            (AWARE, AWARE - timedelta(seconds=1)),
            (AWARE, datetime(2026, 7, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
            (AWARE, NAIVE - timedelta(hours=14, seconds=1)),
        ],
    )
    @pytest.mark.parametrize("exist_ok", [False, True])
    async def test_dt_to_before_dt_from_is_refused_before_anything_is_sent(
        self, dt_from: datetime, dt_to: datetime, exist_ok: bool, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"dt_to \S+ is before dt_from \S+: swap the dates"):
            await dialler.campaigns.clone("Template", "Monday", dt_from=dt_from, dt_to=dt_to, exist_ok=exist_ok)
        assert requests_sent(played) == []

    @pytest.mark.parametrize("dt_to", [NAIVE, AWARE, AWARE - timedelta(hours=14)])
    async def test_dt_to_that_may_not_be_before_dt_from_is_sent(
        self, dt_to: datetime, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **envelope(MONDAY))
        await dialler.campaigns.clone("Template", "Monday", dt_from=NAIVE, dt_to=dt_to)
        assert requests_sent(played) == [("POST", CLONE)]

    async def test_retry_that_conflicts_returns_what_the_lost_attempt_cloned(
        self, dialler: DiallerClient, played: PlayedServer, waits: list[float]
    ) -> None:
        played.post(CLONE, **LOST)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        assert (await dialler.campaigns.clone("Template", "Monday", exist_ok=True)).id == 536
        assert [method for method, _ in requests_sent(played)] == ["POST", "POST", "GET"]
        assert len(waits) == 1

    async def test_retry_that_conflicts_has_unknown_outcome_when_nothing_is_found(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **LOST)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **envelope())
        with pytest.raises(OutcomeUnknownError, match="reads may lag behind writes") as caught:
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)
        assert caught.value.attempts == 2
        assert_origin(caught.value, "clone of 'Template' as 'Monday'", 409)
        assert str(caught.value.request) == "POST /dialler/campaigns/clone"

    async def test_error_of_the_lookup_after_a_conflict_is_raised(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **NO_ENDPOINT)
        with pytest.raises(EndpointNotFoundError):
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)

    async def test_outcome_is_unknown_when_the_lookup_after_a_lost_attempt_fails(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **LOST)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **NO_ENDPOINT)
        with pytest.raises(
            OutcomeUnknownError, match=r"the search for the campaign failed \(.*the endpoint does not exist"
        ) as caught:
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)
        assert caught.value.attempts == 2

    async def test_clone_without_exist_ok_is_not_retried_after_a_lost_response(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **LOST)
        with pytest.raises(OutcomeUnknownError, match="get_by_name"):
            await dialler.campaigns.clone("Template", "Monday")
        assert requests_sent(played) == [("POST", CLONE)]

    @pytest.mark.parametrize("exist_ok", [False, True])
    async def test_clone_response_with_the_source_is_followed_by_a_lookup(
        self, exist_ok: bool, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **envelope({"ID": 535, "Name": "Template"}))
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        clone = await dialler.campaigns.clone("Template", "Monday", exist_ok=exist_ok)
        assert (clone.id, clone.name) == (536, "Monday")

    @pytest.mark.parametrize(
        ("lookup", "problem"),
        [
            (envelope(), "no campaign has exactly this name"),
            (envelope(MONDAY, MONDAY), "2 campaigns have exactly this name"),
            ({"status": 401, "body": b'{"status": 401, "error": "Token replaced"}'}, "Token replaced"),
            (NO_ENDPOINT, "the endpoint does not exist"),
            ({"body": b"[]"}, "not the documented JSON"),
            ({"exception": aiohttp.ServerDisconnectedError(), "repeat": True}, "was lost before the response"),
            ({"exception": aiohttp.ConnectionTimeoutError(), "repeat": True}, "nothing was sent"),
        ],
    )
    async def test_error_says_that_the_server_cloned_when_the_lookup_after_the_clone_fails(
        self, lookup: dict[str, Any], problem: str, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **envelope({"ID": 535, "Name": "Template"}))
        played.get(f"{BY_NAME}Monday", **lookup)
        with pytest.raises(OutcomeUnknownError, match="responded with a campaign of another name") as it:
            await dialler.campaigns.clone("Template", "Monday")
        assert problem in str(it.value)
        assert_origin(it.value, "clone of 'Template' as 'Monday'", None)
        assert str(it.value.request) == "POST /dialler/campaigns/clone"
        assert it.value.__context__ is None
        assert [method for method, _ in requests_sent(played)].count("POST") == 1

    @pytest.mark.parametrize(
        ("source", "destination"), [("", "b"), ("a", ""), ("a\n", "b"), ("a", "x" * 65), (None, "b"), ("a", 5)]
    )
    async def test_invalid_names_are_refused_before_anything_is_sent(
        self, source: Any, destination: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError):
            await dialler.campaigns.clone(source, destination)
        assert requests_sent(played) == []


class TestDelete:
    """`delete`."""

    @pytest.mark.parametrize("campaign", [535, Campaign(name="any", id=535)])
    async def test_delete_has_the_campaign_segment_in_its_path(
        self, campaign: Campaign | int, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(by_id(535), **DELETED)
        await dialler.campaigns.delete(campaign)
        assert requests_sent(played) == [("DELETE", by_id(535))]

    async def test_delete_of_absent_campaign_is_not_found(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(by_id(535), **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.delete(535)

    async def test_delete_of_absent_campaign_returns_with_missing_ok(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(by_id(535), **NOT_FOUND)
        await dialler.campaigns.delete(535, missing_ok=True)
        assert requests_sent(played) == [("DELETE", by_id(535))]

    async def test_missing_ok_still_raises_on_missing_endpoint(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(by_id(535), **NO_ENDPOINT)
        with pytest.raises(EndpointNotFoundError):
            await dialler.campaigns.delete(535, missing_ok=True)

    async def test_delete_returns_when_a_retry_gets_404(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(by_id(535), **LOST)
        played.delete(by_id(535), **NOT_FOUND)
        await dialler.campaigns.delete(535)
        assert requests_sent(played) == [("DELETE", by_id(535))] * 2

    async def test_delete_raises_on_404_after_a_503(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(by_id(535), status=503)
        played.delete(by_id(535), **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.delete(535)

    async def test_delete_raises_on_500_without_a_retry(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(by_id(535), status=500)
        with pytest.raises(ServerError):
            await dialler.campaigns.delete(535)
        assert requests_sent(played) == [("DELETE", by_id(535))]

    @pytest.mark.parametrize("reply", [{"body": b"{}"}, {"body": b""}, {"status": 204}, {"body": b"<html>"}])
    async def test_delete_response_without_status_200_has_unknown_outcome(
        self, reply: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(by_id(535), **reply)
        with pytest.raises(OutcomeUnknownError, match=r"get\(campaign\)") as caught:
            await dialler.campaigns.delete(535)
        assert str(caught.value).startswith("DELETE /dialler/campaigns/campaign/{DiallerCampaignsID}: ")
        assert requests_sent(played) == [("DELETE", by_id(535))]

    @pytest.mark.parametrize("campaign", [0, True, "535", None, Campaign(name="any")])
    async def test_delete_refuses_invalid_campaign_before_anything_is_sent(
        self, campaign: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError):
            await dialler.campaigns.delete(campaign)
        assert requests_sent(played) == []


LOOK = [("GET", f"{BY_NAME}Monday"), ("GET", f"{LIST}/536")]


class TestDeleteByName:
    """`delete_by_name`."""

    async def test_delete_by_name_finds_and_reads_the_campaign_and_deletes_by_id(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(
            f"{BY_NAME}Monday", **envelope({"ID": 535, "Name": "monday"}, MONDAY, {"ID": 537, "Name": "Monday b"})
        )
        played.get(f"{LIST}/536", **envelope(MONDAY))
        played.delete(by_id(536), **DELETED)
        await dialler.campaigns.delete_by_name("Monday")
        assert requests_sent(played) == [*LOOK, ("DELETE", by_id(536))]

    @pytest.mark.parametrize(
        ("found", "error"),
        [
            (envelope(), NotFoundError),
            (NOT_FOUND, NotFoundError),
            (envelope({"ID": 1, "Name": "monday"}, {"ID": 2, "Name": "Monday "}), NotFoundError),
            (envelope(MONDAY, {"ID": 537, "Name": "Monday"}), AmbiguousNameError),
            (envelope({"Name": "Monday"}), PayloadError),
        ],
        ids=["none", "404", "similar", "several", "without ID"],
    )
    async def test_delete_by_name_stops_after_find_without_a_single_exact_match(
        self, found: dict[str, Any], error: type[Exception], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Monday", **found)
        with pytest.raises(error) as caught:
            await dialler.campaigns.delete_by_name("Monday")
        if isinstance(caught.value, RequestError):
            assert caught.value.about == "campaigns named 'Monday'"
        assert requests_sent(played) == LOOK[:1]

    @pytest.mark.parametrize(
        ("again", "error", "reason"),
        [
            (envelope({"ID": 536, "Name": "Tuesday"}), NotFoundError, "renamed meanwhile; nothing was deleted"),
            (envelope({"ID": 536, "Name": "monday"}), NotFoundError, "renamed meanwhile; nothing was deleted"),
            (envelope({"Name": "Tuesday"}), NotFoundError, "renamed meanwhile; nothing was deleted"),
            (NOT_FOUND, NotFoundError, "Dialler campaign not found"),
            (envelope({"ID": 537, "Name": "Monday"}), PayloadError, "the server sent campaign 537"),
        ],
        ids=["renamed", "case", "renamed, without ID", "deleted", "another"],
    )
    async def test_delete_by_name_stops_after_get_when_the_campaign_changed(
        self,
        again: dict[str, Any],
        error: type[RequestError],
        reason: str,
        dialler: DiallerClient,
        played: PlayedServer,
    ) -> None:
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        played.get(f"{LIST}/536", **again)
        with pytest.raises(error, match=reason) as caught:
            await dialler.campaigns.delete_by_name("Monday")
        assert caught.value.about == "campaign 536"
        assert requests_sent(played) == LOOK

    async def test_delete_by_name_accepts_a_get_response_without_id(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        played.get(f"{LIST}/536", **envelope({"Name": "Monday"}))
        played.delete(by_id(536), **DELETED)
        await dialler.campaigns.delete_by_name("Monday")
        assert requests_sent(played)[-1] == ("DELETE", by_id(536))

    async def test_delete_by_name_raises_when_the_campaign_is_gone_at_the_delete(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        played.get(f"{LIST}/536", **envelope(MONDAY))
        played.delete(by_id(536), **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.delete_by_name("Monday")

    async def test_delete_by_name_deletes_nothing_when_get_fails(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Monday", **envelope(MONDAY))
        played.get(f"{LIST}/536", exception=aiohttp.ConnectionTimeoutError(), repeat=True)
        with pytest.raises(ConnectError):
            await dialler.campaigns.delete_by_name("Monday")
        assert "DELETE" not in [method for method, _ in requests_sent(played)]

    async def test_delete_by_name_with_exact_false_sends_the_delete_by_name_of_the_api(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        url = f"{BY_NAME}a%2Fb%20%26%20c"
        played.delete(url, **DELETED)
        await dialler.campaigns.delete_by_name("a/b & c", exact=False)
        assert requests_sent(played) == [("DELETE", url)]

    async def test_delete_by_name_with_exact_false_and_without_match_is_not_found(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(f"{BY_NAME}Monday", **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.delete_by_name("Monday", exact=False)

    @pytest.mark.parametrize("reply", [LOST, {"status": 500}, {"status": 502}, {"status": 504}, {"body": b"{}"}])
    async def test_delete_by_name_with_exact_false_is_not_retried_when_it_may_have_run(
        self, reply: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(f"{BY_NAME}Monday", **reply)
        with pytest.raises(OutcomeUnknownError, match=r"find\(name\)"):
            await dialler.campaigns.delete_by_name("Monday", exact=False)
        assert requests_sent(played) == [("DELETE", f"{BY_NAME}Monday")]

    @pytest.mark.parametrize("exact", [True, False])
    @pytest.mark.parametrize("name", ["", "a\tb", None, 535])
    async def test_delete_by_name_refuses_invalid_name_before_anything_is_sent(
        self, name: Any, exact: bool, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError):
            await dialler.campaigns.delete_by_name(name, exact=exact)
        assert requests_sent(played) == []


async def test_read_is_retried_until_it_succeeds(
    dialler: DiallerClient, played: PlayedServer, waits: list[float]
) -> None:
    played.get(LIST, **LOST)
    played.get(LIST, status=503, headers={"retry-after": "5"})
    played.get(LIST, status=500)
    played.get(LIST, **envelope(MONDAY))
    assert [campaign.id for campaign in await dialler.campaigns.list()] == [536]
    assert len(waits) == 3
    assert waits[1] == 5.0


async def test_read_that_never_succeeds_reports_its_attempts(dialler: DiallerClient, played: PlayedServer) -> None:
    played.get(LIST, exception=aiohttp.ServerDisconnectedError(), repeat=True)
    with pytest.raises(NoReplyError, match="4 attempts") as caught:
        await dialler.campaigns.list()
    assert caught.value.attempts == 4
    assert len(played.sent) == 4
