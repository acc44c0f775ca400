"""`dialler.campaigns`: what each method sends, to the letter, and what it makes of each answer."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from conftest import EXAMPLES, PlayedServer

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
    ServerError,
)
from dialler_async._http.clock import CLOCK

BASE = "https://acd.example.com/rest/v1.0/1"
LIST = f"{BASE}/dialler/campaigns"
BY_NAME = f"{LIST}/campaign?name="
CLONE = f"{LIST}/clone"
NOT_FOUND = {"status": 404, "body": (EXAMPLES / "error_404.json").read_bytes()}
NO_ENDPOINT = {"status": 404, "body": b""}
CONFLICT = {"status": 409, "body": b'{"status": 409, "error": "Destination exists"}'}
DELETED = {"body": (EXAMPLES / "delete.json").read_bytes()}
LOST = {"exception": aiohttp.ServerDisconnectedError()}
MONDAY = {"ID": 536, "Name": "Monday"}


def by_id(id: int) -> str:
    return f"{LIST}/campaign/{id}"


def answer(*records: object, **rest: object) -> dict[str, bytes]:
    return {"body": json.dumps({"records": list(records), "count": len(records), "status": 200} | rest).encode()}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits before repeats, which take no time here."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(CLOCK, "sleep", sleep)
    return waited


@pytest.fixture
async def dialler(played: PlayedServer, waits: list[float]) -> AsyncIterator[DiallerClient]:
    async with DiallerClient(BASE, "abc-123") as opened:
        yield opened


def arrived(played: PlayedServer) -> list[tuple[str, str]]:
    return [(sent.method, sent.url) for sent in played.sent]


class TestHeaders:
    """What every request carries."""

    async def test_a_request_without_a_body(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(LIST, **answer())
        await dialler.campaigns.list()
        [sent] = played.sent
        assert sent.headers.pop("User-Agent").startswith("dialler-async/")
        assert sent.headers == {"Authorization": "Bearer abc-123", "Accept": "application/json"}
        assert sent.body is None
        assert sent.follows_redirects is False

    async def test_a_request_with_a_body(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.post(CLONE, **answer(MONDAY))
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
async def test_what_the_server_refuses_comes_out_of_every_call_after_one_request(
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
    assert arrived(played) == [(method, url)]


class TestList:
    """All campaigns, whole."""

    async def test_the_published_answer(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(LIST, body=(EXAMPLES / "campaigns_list.json").read_bytes())
        campaigns = await dialler.campaigns.list()
        assert [campaign.name for campaign in campaigns] == ["Campaign 1000"]
        assert (campaigns.total, campaigns.order_by, campaigns.ascending) == (1, "Name", True)
        assert arrived(played) == [("GET", LIST)]

    async def test_an_empty_account(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(LIST, **answer())
        assert await dialler.campaigns.list() == []

    async def test_a_404_is_no_empty_account(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(LIST, **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.list()

    async def test_an_error_says_which_call_it_belongs_to(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(LIST, body=b"[]")
        with pytest.raises(PayloadError) as caught:
            await dialler.campaigns.list()
        assert str(caught.value.request) == "GET /dialler/campaigns"
        assert str(caught.value).startswith("GET /dialler/campaigns: the server said 200")


class TestIterate:
    """The same, one after the other."""

    async def test_it_is_the_list(self, dialler: DiallerClient, played: PlayedServer) -> None:
        records = [{"Name": str(number), "ID": number, "filler": "x" * 30_000} for number in range(1, 5)]
        played.get(LIST, **answer(*records))
        assert [campaign.wire async for campaign in dialler.campaigns.iterate()] == records
        assert arrived(played) == [("GET", LIST)]

    async def test_nothing_is_sent_before_the_first_is_asked_for(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        campaigns = dialler.campaigns.iterate()
        await campaigns.aclose()
        assert arrived(played) == []

    async def test_a_wrong_record_is_told_after_the_good_ones_before_its_slice(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(LIST, **answer({"Name": "good", "filler": "x" * 100_000}, {"Name": None, "ID": 7}))
        campaigns = dialler.campaigns.iterate()
        assert (await anext(campaigns)).name == "good"
        with pytest.raises(PayloadError) as caught:
            await anext(campaigns)
        assert (caught.value.path, caught.value.record_id) == ("records[1].Name", 7)
        assert str(caught.value.request) == "GET /dialler/campaigns"


class TestGet:
    """One campaign by its ID."""

    @pytest.mark.parametrize("campaign", [535, Campaign(name="any", id=535)])
    async def test_it_is_asked_for_without_the_campaign_segment(
        self, campaign: Campaign | int, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{LIST}/535", **answer({"ID": 535, "Name": "Summer"}))
        assert (await dialler.campaigns.get(campaign)).name == "Summer"
        assert arrived(played) == [("GET", f"{LIST}/535")]

    async def test_the_published_answer_has_no_id_to_compare(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{LIST}/535", body=(EXAMPLES / "campaign_get.json").read_bytes())
        assert (await dialler.campaigns.get(535)).name == "Campaign 1000"

    async def test_an_absent_one(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{LIST}/535", **NOT_FOUND)
        with pytest.raises(NotFoundError) as caught:
            await dialler.campaigns.get(535)
        assert caught.value.message == "Dialler campaign not found"
        assert str(caught.value.request) == "GET /dialler/campaigns/{DiallerCampaignsID}"

    async def test_another_campaign_than_the_one_asked_for_is_refused(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{LIST}/535", **answer({"ID": 536, "Name": "Summer"}))
        with pytest.raises(PayloadError, match="asked for campaign 535, the server sent campaign 536") as caught:
            await dialler.campaigns.get(535)
        assert (caught.value.path, caught.value.record_id) == ("records[0].ID", 536)
        assert str(caught.value.request) == "GET /dialler/campaigns/{DiallerCampaignsID}"

    @pytest.mark.parametrize("records", [[], [{"Name": "a"}, {"Name": "b"}]])
    async def test_none_or_several_are_not_one(
        self, records: list[object], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{LIST}/535", **answer(*records))
        with pytest.raises(PayloadError, match="where one is documented"):
            await dialler.campaigns.get(535)

    async def test_a_campaign_without_an_id_is_refused_before_anything_is_sent(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError, match="has no ID"):
            await dialler.campaigns.get(Campaign(name="any"))
        assert arrived(played) == []


class TestFind:
    """A partial match, as the server has it."""

    async def test_the_name_goes_into_the_query(self, dialler: DiallerClient, played: PlayedServer) -> None:
        url = f"{BY_NAME}a%2Fb%3Fc%23%25%26%2B_%20%C3%BC"
        played.get(url, **answer({"Name": "xa/b?c#%&+_ üx", "ID": 1}))
        assert [campaign.id for campaign in await dialler.campaigns.find("a/b?c#%&+_ ü")] == [1]
        assert arrived(played) == [("GET", url)]

    async def test_several_may_match(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{BY_NAME}Sum", **answer({"Name": "Summer"}, {"Name": "summary"}))
        found = await dialler.campaigns.find("Sum")
        assert ([campaign.name for campaign in found], found.total) == (["Summer", "summary"], 2)

    @pytest.mark.parametrize(
        "reply", [answer(), NOT_FOUND, {"body": (EXAMPLES / "error_404.json").read_bytes()}], ids=["200", "404", "both"]
    )
    async def test_no_match_is_empty_however_the_server_says_it(
        self, reply: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Sum", **reply)
        found = await dialler.campaigns.find("Sum")
        assert (list(found), found.total) == ([], 0)

    async def test_a_missing_endpoint_is_not_an_empty_answer(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Sum", **NO_ENDPOINT)
        with pytest.raises(EndpointNotFoundError):
            await dialler.campaigns.find("Sum")


class TestGetByName:
    """To the letter."""

    async def test_the_one_with_exactly_this_name_among_similar_ones(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        names = ["Summer 26 b", "summer 26", "Summer 26", "Summer 26 ", " Summer 26"]
        records = [{"Name": name, "ID": number} for number, name in enumerate(names, 1)]
        played.get(f"{BY_NAME}Summer%2026", **answer(*records))
        assert (await dialler.campaigns.get_by_name("Summer 26")).id == 3
        assert arrived(played) == [("GET", f"{BY_NAME}Summer%2026")]

    @pytest.mark.parametrize(
        ("reply", "similar"),
        [(answer({"Name": "summer"}, {"Name": "Summer "}), 2), (answer(), 0), (NOT_FOUND, 0)],
    )
    async def test_none(
        self, reply: dict[str, Any], similar: int, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Summer", **reply)
        with pytest.raises(NotFoundError, match=f"{similar} have a similar one") as caught:
            await dialler.campaigns.get_by_name("Summer")
        assert (caught.value.status, str(caught.value.request)) == (404, "GET /dialler/campaigns/campaign")
        assert caught.value.__context__ is None

    async def test_several(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{BY_NAME}Summer", **answer({"Name": "Summer", "ID": 1}, {"Name": "Summer", "ID": 2}))
        with pytest.raises(AmbiguousNameError, match="2 campaigns have exactly this name") as caught:
            await dialler.campaigns.get_by_name("Summer")
        assert [campaign.id for campaign in caught.value.matches] == [1, 2]


class TestClone:
    """The only way that campaigns come to be."""

    async def test_the_published_request(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.post(CLONE, **answer({"ID": 536, "Name": "My New Campaign", "UserData": "UserData Field Contents"}))
        made = await dialler.campaigns.clone("Campaign 1000", "My New Campaign", user_data="UserData Field Contents")
        assert (made.id, made.name, made.user_data) == (536, "My New Campaign", "UserData Field Contents")
        [sent] = played.sent
        assert (sent.method, sent.url) == ("POST", CLONE)
        assert sent.body == json.loads((EXAMPLES / "clone_request.json").read_bytes())

    async def test_dates_are_sent_with_their_offset(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.post(CLONE, **answer(MONDAY))
        await dialler.campaigns.clone(
            "Template",
            "Monday",
            dt_from=datetime(2026, 7, 1, tzinfo=UTC),
            dt_to=datetime(2026, 8, 1),  # noqa: DTZ001  naive it is
        )
        [sent] = played.sent
        assert sent.body == {
            "source": "Template",
            "destination": "Monday",
            "dtFrom": "2026-07-01T00:00:00+00:00",
            "dtTo": "2026-08-01T00:00:00",
        }

    async def test_an_absent_source(self, dialler: DiallerClient, played: PlayedServer) -> None:
        for exist_ok in (False, True):
            played.post(CLONE, **NOT_FOUND)
            with pytest.raises(NotFoundError, match="Dialler campaign not found"):
                await dialler.campaigns.clone("Template", "Monday", exist_ok=exist_ok)

    async def test_an_existing_destination(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.post(CLONE, **CONFLICT)
        with pytest.raises(ConflictError) as caught:
            await dialler.campaigns.clone("Template", "Monday")
        assert caught.value.message == "Destination exists"
        assert arrived(played) == [("POST", CLONE)]

    async def test_exist_ok_answers_with_the_one_of_exactly_this_name(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **answer({"ID": 535, "Name": "Monday b"}, MONDAY))
        made = await dialler.campaigns.clone("Template", "Monday", exist_ok=True)
        assert (made.id, made.name) == (536, "Monday")
        assert arrived(played) == [("POST", CLONE), ("GET", f"{BY_NAME}Monday")]

    async def test_exist_ok_makes_a_new_one_when_there_is_none(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **answer(MONDAY))
        assert (await dialler.campaigns.clone("Template", "Monday", exist_ok=True)).id == 536
        assert arrived(played) == [("POST", CLONE)]

    @pytest.mark.parametrize("found", [answer(), NOT_FOUND, answer({"ID": 1, "Name": "monday"})])
    async def test_a_conflict_for_another_reason_is_no_existing_campaign(
        self, found: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **found)
        with pytest.raises(ConflictError) as caught:
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)
        assert caught.value.message == "Destination exists"

    async def test_exist_ok_with_several_of_exactly_this_name(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **answer(MONDAY, {"ID": 537, "Name": "Monday"}))
        with pytest.raises(AmbiguousNameError):
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)

    async def test_a_repeat_that_conflicts_answers_with_what_the_lost_attempt_made(
        self, dialler: DiallerClient, played: PlayedServer, waits: list[float]
    ) -> None:
        played.post(CLONE, **LOST)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **answer(MONDAY))
        assert (await dialler.campaigns.clone("Template", "Monday", exist_ok=True)).id == 536
        assert [method for method, _ in arrived(played)] == ["POST", "POST", "GET"]
        assert len(waits) == 1

    async def test_a_repeat_that_conflicts_with_nothing_to_be_seen_is_of_unknown_outcome(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **LOST)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **answer())
        with pytest.raises(OutcomeUnknownError, match="reads may lag behind writes") as caught:
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)
        assert caught.value.attempts == 2
        assert str(caught.value.request) == "POST /dialler/campaigns/clone"

    async def test_a_look_that_fails_after_a_conflict_is_told_as_it_is(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **NO_ENDPOINT)
        with pytest.raises(EndpointNotFoundError):
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)

    async def test_a_look_that_fails_after_an_attempt_was_lost_leaves_the_outcome_unknown(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **LOST)
        played.post(CLONE, **CONFLICT)
        played.get(f"{BY_NAME}Monday", **NO_ENDPOINT)
        with pytest.raises(OutcomeUnknownError, match=r"looking for it failed \(.*no such endpoint") as caught:
            await dialler.campaigns.clone("Template", "Monday", exist_ok=True)
        assert caught.value.attempts == 2

    async def test_without_exist_ok_a_lost_answer_is_never_repeated(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **LOST)
        with pytest.raises(OutcomeUnknownError, match="get_by_name"):
            await dialler.campaigns.clone("Template", "Monday")
        assert arrived(played) == [("POST", CLONE)]

    @pytest.mark.parametrize("exist_ok", [False, True])
    async def test_an_answer_that_shows_the_source_as_published_is_looked_behind(
        self, exist_ok: bool, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **answer({"ID": 535, "Name": "Template"}))
        played.get(f"{BY_NAME}Monday", **answer(MONDAY))
        made = await dialler.campaigns.clone("Template", "Monday", exist_ok=exist_ok)
        assert (made.id, made.name) == (536, "Monday")

    @pytest.mark.parametrize(
        ("look", "problem"),
        [
            (answer(), "no campaign has exactly this name"),
            (answer(MONDAY, MONDAY), "2 campaigns have exactly this name"),
            ({"status": 401, "body": b'{"status": 401, "error": "Token replaced"}'}, "Token replaced"),
            (NO_ENDPOINT, "no such endpoint"),
            ({"body": b"[]"}, "not the JSON documented"),
            ({"exception": aiohttp.ServerDisconnectedError(), "repeat": True}, "was lost before the answer came"),
            ({"exception": aiohttp.ConnectionTimeoutError(), "repeat": True}, "nothing was sent"),
        ],
    )
    async def test_when_that_look_tells_nothing_the_error_still_says_that_it_was_cloned(
        self, look: dict[str, Any], problem: str, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.post(CLONE, **answer({"ID": 535, "Name": "Template"}))
        played.get(f"{BY_NAME}Monday", **look)
        with pytest.raises(PayloadError, match="the server cloned, but answered with a campaign of another name") as it:
            await dialler.campaigns.clone("Template", "Monday")
        assert problem in str(it.value)
        assert (it.value.path, it.value.record_id) == ("records[0].Name", 535)
        assert str(it.value.request) == "POST /dialler/campaigns/clone"
        assert it.value.__context__ is None
        assert [method for method, _ in arrived(played)].count("POST") == 1

    @pytest.mark.parametrize(
        ("source", "destination"), [("", "b"), ("a", ""), ("a\n", "b"), ("a", "x" * 65), (None, "b"), ("a", 5)]
    )
    async def test_names_that_can_not_be_are_refused_before_anything_is_sent(
        self, source: Any, destination: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError):
            await dialler.campaigns.clone(source, destination)
        assert arrived(played) == []


class TestDelete:
    """By ID, with no way back."""

    @pytest.mark.parametrize("campaign", [535, Campaign(name="any", id=535)])
    async def test_it_is_sent_with_the_campaign_segment(
        self, campaign: Campaign | int, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(by_id(535), **DELETED)
        await dialler.campaigns.delete(campaign)
        assert arrived(played) == [("DELETE", by_id(535))]

    async def test_an_absent_one_is_an_error(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(by_id(535), **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.delete(535)

    async def test_an_absent_one_is_fine_when_it_may_be_missing(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(by_id(535), **NOT_FOUND)
        await dialler.campaigns.delete(535, missing_ok=True)
        assert arrived(played) == [("DELETE", by_id(535))]

    async def test_missing_ok_never_takes_a_wrong_base_url_for_done(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(by_id(535), **NO_ENDPOINT)
        with pytest.raises(EndpointNotFoundError):
            await dialler.campaigns.delete(535, missing_ok=True)

    async def test_a_404_to_a_repeat_means_done(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(by_id(535), **LOST)
        played.delete(by_id(535), **NOT_FOUND)
        await dialler.campaigns.delete(535)
        assert arrived(played) == [("DELETE", by_id(535))] * 2

    async def test_a_404_after_it_was_turned_away_is_a_404(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(by_id(535), status=503)
        played.delete(by_id(535), **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.delete(535)

    async def test_a_500_is_told_as_it_is(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(by_id(535), status=500)
        with pytest.raises(ServerError):
            await dialler.campaigns.delete(535)
        assert arrived(played) == [("DELETE", by_id(535))]

    @pytest.mark.parametrize("reply", [{"body": b"{}"}, {"body": b""}, {"status": 204}, {"body": b"<html>"}])
    async def test_an_answer_that_does_not_say_done_is_of_unknown_outcome(
        self, reply: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(by_id(535), **reply)
        with pytest.raises(OutcomeUnknownError, match=r"get\(campaign\)") as caught:
            await dialler.campaigns.delete(535)
        assert str(caught.value).startswith("DELETE /dialler/campaigns/campaign/{DiallerCampaignsID}: ")
        assert arrived(played) == [("DELETE", by_id(535))]

    @pytest.mark.parametrize("campaign", [0, True, "535", None, Campaign(name="any")])
    async def test_what_can_be_no_campaign_is_refused_before_anything_is_sent(
        self, campaign: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError):
            await dialler.campaigns.delete(campaign)
        assert arrived(played) == []


LOOK = [("GET", f"{BY_NAME}Monday"), ("GET", f"{LIST}/536")]


class TestDeleteByName:
    """Looks first, and deletes only what has exactly this name."""

    async def test_it_looks_twice_and_deletes_by_id(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{BY_NAME}Monday", **answer({"ID": 535, "Name": "monday"}, MONDAY, {"ID": 537, "Name": "Monday b"}))
        played.get(f"{LIST}/536", **answer(MONDAY))
        played.delete(by_id(536), **DELETED)
        await dialler.campaigns.delete_by_name("Monday")
        assert arrived(played) == [*LOOK, ("DELETE", by_id(536))]

    @pytest.mark.parametrize(
        ("found", "error"),
        [
            (answer(), NotFoundError),
            (NOT_FOUND, NotFoundError),
            (answer({"ID": 1, "Name": "monday"}, {"ID": 2, "Name": "Monday "}), NotFoundError),
            (answer(MONDAY, {"ID": 537, "Name": "Monday"}), AmbiguousNameError),
            (answer({"Name": "Monday"}), PayloadError),
        ],
        ids=["none", "404", "similar", "several", "without ID"],
    )
    async def test_it_stops_at_the_first_look_unless_exactly_one_has_exactly_this_name(
        self, found: dict[str, Any], error: type[Exception], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Monday", **found)
        with pytest.raises(error):
            await dialler.campaigns.delete_by_name("Monday")
        assert arrived(played) == LOOK[:1]

    @pytest.mark.parametrize(
        ("again", "error", "told"),
        [
            (answer({"ID": 536, "Name": "Tuesday"}), NotFoundError, "has another now; nothing was deleted"),
            (answer({"ID": 536, "Name": "monday"}), NotFoundError, "has another now; nothing was deleted"),
            (answer({"Name": "Tuesday"}), NotFoundError, "has another now; nothing was deleted"),
            (NOT_FOUND, NotFoundError, "Dialler campaign not found"),
            (answer({"ID": 537, "Name": "Monday"}), PayloadError, "the server sent campaign 537"),
        ],
        ids=["renamed", "case", "renamed, without ID", "deleted", "another"],
    )
    async def test_it_stops_at_the_second_look_when_the_campaign_is_not_the_same_any_more(
        self,
        again: dict[str, Any],
        error: type[Exception],
        told: str,
        dialler: DiallerClient,
        played: PlayedServer,
    ) -> None:
        played.get(f"{BY_NAME}Monday", **answer(MONDAY))
        played.get(f"{LIST}/536", **again)
        with pytest.raises(error, match=told):
            await dialler.campaigns.delete_by_name("Monday")
        assert arrived(played) == LOOK

    async def test_it_goes_on_when_the_second_look_shows_no_id_as_published(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(f"{BY_NAME}Monday", **answer(MONDAY))
        played.get(f"{LIST}/536", **answer({"Name": "Monday"}))
        played.delete(by_id(536), **DELETED)
        await dialler.campaigns.delete_by_name("Monday")
        assert arrived(played)[-1] == ("DELETE", by_id(536))

    async def test_one_that_is_gone_by_then_is_told_as_gone(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{BY_NAME}Monday", **answer(MONDAY))
        played.get(f"{LIST}/536", **answer(MONDAY))
        played.delete(by_id(536), **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.delete_by_name("Monday")

    async def test_a_look_that_fails_deletes_nothing(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(f"{BY_NAME}Monday", **answer(MONDAY))
        played.get(f"{LIST}/536", exception=aiohttp.ConnectionTimeoutError(), repeat=True)
        with pytest.raises(ConnectError):
            await dialler.campaigns.delete_by_name("Monday")
        assert "DELETE" not in [method for method, _ in arrived(played)]

    async def test_exact_false_sends_the_apis_own(self, dialler: DiallerClient, played: PlayedServer) -> None:
        url = f"{BY_NAME}a%2Fb%20%26%20c"
        played.delete(url, **DELETED)
        await dialler.campaigns.delete_by_name("a/b & c", exact=False)
        assert arrived(played) == [("DELETE", url)]

    async def test_exact_false_with_no_match(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.delete(f"{BY_NAME}Monday", **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.campaigns.delete_by_name("Monday", exact=False)

    @pytest.mark.parametrize("reply", [LOST, {"status": 500}, {"status": 502}, {"status": 504}, {"body": b"{}"}])
    async def test_exact_false_is_never_sent_again_when_it_may_have_been_carried_out(
        self, reply: dict[str, Any], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.delete(f"{BY_NAME}Monday", **reply)
        with pytest.raises(OutcomeUnknownError, match=r"find\(name\)"):
            await dialler.campaigns.delete_by_name("Monday", exact=False)
        assert arrived(played) == [("DELETE", f"{BY_NAME}Monday")]

    @pytest.mark.parametrize("exact", [True, False])
    @pytest.mark.parametrize("name", ["", "a\tb", None, 535])
    async def test_a_name_that_can_not_be_is_refused_before_anything_is_sent(
        self, name: Any, exact: bool, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError):
            await dialler.campaigns.delete_by_name(name, exact=exact)
        assert arrived(played) == []


async def test_a_read_is_repeated_until_it_works(
    dialler: DiallerClient, played: PlayedServer, waits: list[float]
) -> None:
    played.get(LIST, **LOST)
    played.get(LIST, status=503, headers={"retry-after": "5"})
    played.get(LIST, status=500)
    played.get(LIST, **answer(MONDAY))
    assert [campaign.id for campaign in await dialler.campaigns.list()] == [536]
    assert len(waits) == 3
    assert waits[1] == 5.0


async def test_a_read_that_never_works_says_how_often_it_was_tried(
    dialler: DiallerClient, played: PlayedServer
) -> None:
    played.get(LIST, exception=aiohttp.ServerDisconnectedError(), repeat=True)
    with pytest.raises(NoReplyError, match="tried 4 times") as caught:
        await dialler.campaigns.list()
    assert caught.value.attempts == 4
    assert len(played.sent) == 4
