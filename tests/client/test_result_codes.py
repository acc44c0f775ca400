"""`dialler.result_codes`: the result codes of one campaign, and of many concurrently."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import (
    AuthenticationError,
    Campaign,
    ConfigurationError,
    ConflictError,
    DiallerClient,
    EndpointNotFoundError,
    InvalidInputError,
    Language,
    Lookup,
    NotFoundError,
    PayloadError,
    PoolConfig,
    Records,
    ResultCode,
    Success,
    TokenSourceError,
)

if TYPE_CHECKING:
    from tests.conftest import PlayedServer

EXAMPLES = Path(__file__).parents[1] / "examples"

BASE = "https://acd.example.com/rest/v1.0/1"
NOT_FOUND = {"status": 404, "body": (EXAMPLES / "error_404.json").read_bytes()}


def url(campaign: int, language: int) -> str:
    return f"{BASE}/dialler/campaigns/campaign/{campaign}/resultCodes?languagesID={language}"


def codes(*ids: int, **rest: object) -> dict[str, bytes]:
    records = [{"ID": id, "ExportKey": f"key {id}"} for id in ids]
    return {"body": json.dumps({"records": records, "count": len(ids), "status": 200} | rest).encode()}


@pytest.fixture
async def dialler(played: PlayedServer) -> AsyncIterator[DiallerClient]:
    async with DiallerClient(BASE, "abc-123", pool=PoolConfig(limit=8)) as opened:
        yield opened


def requests_sent(played: PlayedServer) -> list[tuple[str, str]]:
    return [(sent.method, sent.url) for sent in played.sent]


def other_tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


class TestList:
    """`list`."""

    async def test_published_response_has_fewer_records_than_total(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(url(535, 2), body=(EXAMPLES / "result_codes_535_de.json").read_bytes())
        found = await dialler.result_codes.list(535, language=Language.GERMAN)
        assert [code.export_key for code in found] == ["ABG", "Aufleger"]
        assert (found.total, found.complete) == (7, False)
        assert requests_sent(played) == [("GET", url(535, 2))]

    @pytest.mark.parametrize("campaign", [535, Campaign(name="any", id=535)])
    async def test_list_accepts_a_campaign_or_id_and_defaults_to_english(
        self, campaign: Campaign | int, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(url(535, 1), **codes(1, 2))
        found = await dialler.result_codes.list(campaign)
        assert [code.id for code in found] == [1, 2]
        assert found.complete
        assert requests_sent(played) == [("GET", url(535, 1))]

    async def test_list_accepts_an_unpublished_language(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(url(535, 7), **codes())
        assert await dialler.result_codes.list(535, language=7) == []

    async def test_count_below_the_number_of_records_is_refused(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(url(535, 1), **codes(1, 2, count=1))
        with pytest.raises(PayloadError) as caught:
            await dialler.result_codes.list(535)
        assert str(caught.value.request) == "GET /dialler/campaigns/campaign/{DiallerCampaignsID}/resultCodes"

    async def test_list_for_absent_campaign_is_not_found(self, dialler: DiallerClient, played: PlayedServer) -> None:
        played.get(url(535, 1), **NOT_FOUND)
        with pytest.raises(NotFoundError):
            await dialler.result_codes.list(535)

    @pytest.mark.parametrize(
        ("campaign", "language"), [(0, 1), (True, 1), (Campaign(name="any"), 1), ("535", 1), (535, 0), (535, "de")]
    )
    async def test_list_refuses_invalid_arguments_before_anything_is_sent(
        self, campaign: Any, language: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError):
            await dialler.result_codes.list(campaign, language=language)
        assert requests_sent(played) == []


class TestMaxAge:
    """`list` with `max_age`."""

    async def test_list_without_max_age_always_sends_a_request(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(url(535, 1), **codes(1), repeat=True)
        for _ in range(3):
            await dialler.result_codes.list(535)
        assert len(played.sent) == 3

    async def test_campaign_and_its_id_share_a_response_and_languages_do_not(
        self, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(url(535, 1), **codes(1), repeat=True)
        played.get(url(535, 2), **codes(2), repeat=True)
        for campaign in (535, Campaign(name="any", id=535)):
            assert [code.id for code in await dialler.result_codes.list(campaign, max_age=600)] == [1]
            found = await dialler.result_codes.list(campaign, language=Language.GERMAN, max_age=600)
            assert [code.id for code in found] == [2]
        assert requests_sent(played) == [("GET", url(535, 1)), ("GET", url(535, 2))]

    @pytest.mark.parametrize(
        ("forgotten", "requested_again"),
        [(535, [535]), (Campaign(name="any", id=536), [536]), (None, [535, 536]), (Campaign(name="any"), [535, 536])],
    )
    async def test_forget_removes_responses_of_one_campaign_or_all(
        self, forgotten: Any, requested_again: list[int], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        for campaign in (535, 536):
            played.get(url(campaign, 1), **codes(1), repeat=True)
            await dialler.result_codes.list(campaign, max_age=600)
        played.sent.clear()
        dialler.forget(forgotten)
        for campaign in (535, 536):
            await dialler.result_codes.list(campaign, max_age=600)
        assert requests_sent(played) == [("GET", url(campaign, 1)) for campaign in requested_again]

    async def test_list_with_max_age_refuses_an_invalid_id(self, dialler: DiallerClient, played: PlayedServer) -> None:
        with pytest.raises(ConfigurationError):
            await dialler.result_codes.list(0, max_age=600)
        assert requests_sent(played) == []


@pytest.mark.parametrize("concurrency", ["auto", None, 1, 5])
class TestForCampaigns:
    """`for_campaigns`."""

    async def test_each_campaign_and_language_has_an_outcome(
        self, concurrency: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        campaigns = [535, Campaign(name="Summer", id=536)]
        for campaign, language in itertools.product((535, 536), (1, 2)):
            played.get(url(campaign, language), **codes(campaign * 10 + language))
        progress: list[tuple[int, int, int | None]] = []
        outcomes = [
            outcome
            async for outcome in dialler.result_codes.for_campaigns(
                campaigns, concurrency=concurrency, on_progress=lambda *numbers: progress.append(numbers)
            )
        ]
        assert sorted(outcomes, key=lambda outcome: (outcome.item.campaign_id or 0, outcome.item.language)) == [
            Success(
                Lookup(campaign, language),
                Records(
                    items=[ResultCode(id=campaign_id * 10 + language, export_key=f"key {campaign_id * 10 + language}")],
                    total=1,
                ),
            )
            for campaign, campaign_id in zip(campaigns, (535, 536), strict=True)
            for language in Language
        ]
        assert progress == [(1, 0, 4), (2, 0, 4), (3, 0, 4), (4, 0, 4)]

    async def test_failed_lookup_does_not_stop_the_others(
        self, concurrency: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(url(1, 1), **codes(1))
        played.get(url(2, 1), **NOT_FOUND)
        played.get(url(3, 1), status=409)
        played.get(url(4, 1), body=b"[]")
        without_id = Campaign(name="without ID")
        given = [1, 2, 3, 4, without_id, 0, Campaign(name="five", id=5)]
        played.get(url(5, 1), **codes(5))
        progress: list[tuple[int, int, int | None]] = []
        outcomes = {
            given.index(outcome.item.campaign): outcome
            async for outcome in dialler.result_codes.for_campaigns(
                given,
                languages=[Language.ENGLISH],
                concurrency=concurrency,
                on_progress=lambda *numbers: progress.append(numbers),
            )
        }
        errors = [type(outcomes[index].error) for index in range(7)]
        assert errors == [
            type(None),
            NotFoundError,
            ConflictError,
            PayloadError,
            ConfigurationError,
            InvalidInputError,
            type(None),
        ]
        assert [outcomes[index].item.campaign_id for index in range(7)] == [1, 2, 3, 4, None, 0, 5]
        assert [index for index in range(7) if outcomes[index].value is not None] == [0, 6]
        assert {outcome.item.language for outcome in outcomes.values()} == {Language.ENGLISH}
        assert progress[-1] == (7, 5, 7)

    @pytest.mark.parametrize(("refusal", "error"), [(401, AuthenticationError), (404, EndpointNotFoundError)])
    async def test_error_that_hits_every_lookup_aborts_the_run(
        self, concurrency: Any, refusal: int, error: type[Exception], dialler: DiallerClient, played: PlayedServer
    ) -> None:
        played.get(url(1, 1), **codes(1))
        played.get(re.compile(".*/resultCodes.*"), status=refusal, repeat=True)
        seen = []
        # The campaigns are infinite, so only the error can end the run.
        outcomes = dialler.result_codes.for_campaigns(itertools.count(1), languages=[1], concurrency=concurrency)

        async def read() -> None:
            async for outcome in outcomes:
                seen.append(outcome.item.campaign_id)  # noqa: PERF401  extending would lose them with the error

        with pytest.raises(error):
            await read()
        assert seen == [1]
        assert len(requests_sent(played)) <= 1 + 2 * (concurrency if isinstance(concurrency, int) else 2)
        assert other_tasks() == set()

    async def test_in_order_yields_by_campaign_and_language(
        self, concurrency: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        async def slow(requested: Any, **_: Any) -> None:
            for _ in range(30 - int(requested.path.split("/")[-2])):
                await asyncio.sleep(0)

        for id, language in itertools.product(range(1, 21), (1, 2)):
            played.get(url(id, language), callback=slow, **codes(id))
        outcomes = dialler.result_codes.for_campaigns(range(1, 21), concurrency=concurrency, in_order=True)
        seen = [(outcome.item.campaign_id, outcome.item.language) async for outcome in outcomes]
        assert seen == list(itertools.product(range(1, 21), Language))

    @pytest.mark.parametrize("campaigns_kind", ["records", "generator", "async generator"])
    async def test_any_iterable_of_campaigns_is_accepted_and_has_a_total_if_sized(
        self, concurrency: Any, campaigns_kind: str, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        campaigns = [Campaign(name=str(id), id=id) for id in (1, 2, 3)]
        for id in (1, 2, 3):
            played.get(url(id, 7), **codes(id))

        async def async_campaigns() -> AsyncGenerator[Campaign, None]:
            for campaign in campaigns:
                yield campaign

        given: Any = {
            "records": Records(items=campaigns, total=3),
            "generator": (campaign for campaign in campaigns),
            "async generator": async_campaigns(),
        }[campaigns_kind]
        totals = set()
        outcomes = [
            outcome
            async for outcome in dialler.result_codes.for_campaigns(
                given, languages=iter([7]), concurrency=concurrency, on_progress=lambda *numbers: totals.add(numbers[2])
            )
        ]
        assert sorted(outcome.item.campaign_id or 0 for outcome in outcomes) == [1, 2, 3]
        assert all(outcome.item.language == 7 and outcome.error is None for outcome in outcomes)
        assert totals == {3 if campaigns_kind == "records" else None}

    async def test_no_campaigns_or_no_languages_have_no_outcomes(
        self, concurrency: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        without_campaigns = dialler.result_codes.for_campaigns([], concurrency=concurrency)
        without_languages = dialler.result_codes.for_campaigns([1, 2], languages=(), concurrency=concurrency)
        assert [outcome async for outcome in without_campaigns] == []
        assert [outcome async for outcome in without_languages] == []
        assert requests_sent(played) == []

    @pytest.mark.parametrize("languages", [[0], ["de"], [1, None], [True]])
    async def test_invalid_language_is_refused_before_anything_is_sent(
        self, concurrency: Any, languages: Any, dialler: DiallerClient, played: PlayedServer
    ) -> None:
        with pytest.raises(ConfigurationError, match="a language must be"):
            await anext(dialler.result_codes.for_campaigns([1], languages=languages, concurrency=concurrency))
        assert requests_sent(played) == []

    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_leaving_the_loop_early_cancels_running_lookups(
        self,
        concurrency: Any,
        asynchronous: bool,
        dialler: DiallerClient,
        played: PlayedServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        played.get(url(1, 1), **codes(1))
        requested_ids: list[int] = []
        finished_ids: list[int] = []

        async def hang(requested: Any, **_: Any) -> None:
            id = int(requested.path.split("/")[-2])
            requested_ids.append(id)
            try:
                await asyncio.Event().wait()
            finally:
                finished_ids.append(id)

        for id in range(2, 30):
            played.get(url(id, 1), callback=hang)

        def infinite() -> Iterator[int]:
            yield from itertools.count(1)

        class AsyncCampaigns:
            """An async iterator. Unlike a generator, it needs no clean-up."""

            def __init__(self) -> None:
                self.ids = itertools.count(1)

            def __aiter__(self) -> AsyncCampaigns:
                return self

            async def __anext__(self) -> int:
                return next(self.ids)

        abandoned: list[object] = []
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=abandoned.append)
        try:
            campaigns: Any = AsyncCampaigns() if asynchronous else infinite()
            outcomes = dialler.result_codes.for_campaigns(campaigns, languages=[1], concurrency=concurrency)
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    assert outcome.item.campaign_id == 1
                    for _ in range(20):
                        await asyncio.sleep(0)
                    break
            del outcomes, campaigns
        finally:
            sys.set_asyncgen_hooks(*hooks)
        assert requested_ids
        assert sorted(finished_ids) == sorted(requested_ids)
        assert len(requested_ids) == {"auto": 2, None: 2, 1: 1, 5: 5}[concurrency]
        assert other_tasks() == set()
        assert abandoned == []


@pytest.mark.parametrize("language", [1, 7])
async def test_invalid_item_is_a_failure_and_the_others_are_looked_up(
    language: int, dialler: DiallerClient, played: PlayedServer
) -> None:
    bad: list[Any] = [
        *(2**63, 2**64, 10**5000, -(10**5000), 0, -1, True, None, "535", 1.5, float("nan"), [1], b"1", object()),
        *(Campaign(name="no ID"), Campaign(name="large", id=2**63), Campaign.__new__(Campaign)),
    ]
    given = [1, *bad, 2]
    for id in (1, 2):
        played.get(url(id, language), **codes(id))
    outcomes = [
        outcome
        async for outcome in dialler.result_codes.for_campaigns(
            given, languages=[language], concurrency=3, in_order=True
        )
    ]
    assert [outcome.item.campaign is campaign for outcome, campaign in zip(outcomes, given, strict=True)] == [True] * 19
    assert [outcome.error for outcome in (outcomes[0], outcomes[-1])] == [None, None]
    assert {type(outcome.error) for outcome in outcomes[1:-2]} == {ConfigurationError, InvalidInputError}
    assert type(outcomes[-2].error) is AttributeError
    assert len(requests_sent(played)) == 2


@pytest.mark.parametrize("id", [2**31, 2**63 - 1])
async def test_id_beyond_32_bits_is_not_found_and_the_others_are_looked_up(
    id: int, dialler: DiallerClient, played: PlayedServer
) -> None:
    played.get(url(1, 1), **codes(1))
    played.get(url(id, 1), status=404, body=b"")
    played.get(url(2, 1), **codes(2))
    outcomes = [
        outcome async for outcome in dialler.result_codes.for_campaigns([1, id, 2], languages=[1], in_order=True)
    ]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), NotFoundError, type(None)]
    assert isinstance(outcomes[1].error, NotFoundError)
    assert outcomes[1].error.__context__ is None
    assert (outcomes[1].error.status, outcomes[1].error.attempts) == (404, 1)
    assert outcomes[1].error.about == f"campaign {id}"
    assert outcomes[1].error.response is not None


@pytest.mark.parametrize("id", [2**31, 2**63 - 1])
async def test_id_beyond_32_bits_is_not_found_by_list_too(
    id: int, dialler: DiallerClient, played: PlayedServer
) -> None:
    played.get(url(id, 1), status=404, body=b"")
    with pytest.raises(NotFoundError, match="the ID is beyond 32 bits"):
        await dialler.result_codes.list(id)


async def test_largest_32_bit_id_still_aborts_on_a_missing_endpoint(
    dialler: DiallerClient, played: PlayedServer
) -> None:
    played.get(url(2**31 - 1, 1), status=404, body=b"")
    with pytest.raises(EndpointNotFoundError):
        await anext(dialler.result_codes.for_campaigns([2**31 - 1], languages=[1]))


def raise_an_error() -> str:
    raise LookupError("the vault is sealed")


@pytest.mark.parametrize("source", [raise_an_error, lambda: "no token", lambda: None], ids=["raises", "bad", "None"])
async def test_failing_token_function_aborts_the_run(source: Any, played: PlayedServer) -> None:
    requested_ids = 0

    def counting_source() -> Any:
        nonlocal requested_ids
        requested_ids += 1
        return source()

    async with DiallerClient(BASE, counting_source) as dialler:
        outcomes = dialler.result_codes.for_campaigns(itertools.count(1), languages=[1])
        with pytest.raises(TokenSourceError):
            await anext(outcomes)
    assert requested_ids <= 2
    assert requests_sent(played) == []
    assert other_tasks() == set()


async def test_next_run_succeeds_after_a_token_function_failed_once(played: PlayedServer) -> None:
    errors = iter([LookupError("sealed")])

    def source() -> str:
        for error in errors:
            raise error
        return "abc-123"

    for id in (1, 2, 3):
        played.get(url(id, 1), **codes(id))
    async with DiallerClient(BASE, source) as dialler:
        with pytest.raises(TokenSourceError):
            await anext(dialler.result_codes.for_campaigns([1, 2, 3], languages=[1], concurrency=1))
        errors_of_second_run = [
            outcome.error async for outcome in dialler.result_codes.for_campaigns([1, 2, 3], languages=[1])
        ]
    assert errors_of_second_run == [None] * 3


async def test_lookups_in_flight_stay_within_concurrency(dialler: DiallerClient, played: PlayedServer) -> None:
    running = peak = 0

    async def slow(_: Any, **__: Any) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1

    for id in range(1, 21):
        played.get(url(id, 1), callback=slow, **codes(id))
    outcomes = dialler.result_codes.for_campaigns(range(1, 21), languages=[1], concurrency=3)
    assert [outcome.error async for outcome in outcomes] == [None] * 20
    assert peak == 3


def test_lookup_has_its_campaign_id_and_language() -> None:
    assert Lookup(535, Language.GERMAN).campaign_id == 535
    assert Lookup(Campaign(name="Summer", id=536), Language.GERMAN).campaign_id == 536
    assert Lookup(Campaign(name="without ID"), Language.GERMAN).campaign_id is None
    campaign, language = Lookup(535, Language.GERMAN)
    assert (campaign, language) == (535, Language.GERMAN)
