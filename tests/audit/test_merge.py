"""An audit in parts: the merged report equals the report of a single run, in any order of the parts."""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import attrs
import pytest

from dialler_async import ConfigurationError, DiallerClient, Language, RetryPolicy, ServerError
from dialler_async.audit import (
    RULES,
    AuditPart,
    AuditReport,
    CampaignFacts,
    CampaignSummary,
    CodeType,
    Finding,
    Severity,
    Violation,
    audit,
    audit_slice,
    merge,
    merge_accounts,
    not_audited,
    rule,
    survey,
    tell,
)
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Status

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"rules": RULES, "languages": tuple(Language), "now": NOW}
RUN: dict[str, Any] = {"started": NOW, "seconds": 1.5}


def client(sandbox: Sandbox) -> DiallerClient:
    return DiallerClient(sandbox.base_url, sandbox.token, retry=RetryPolicy(attempts=1))


def looks_up(ids: Iterable[int]) -> Any:
    """Return a function that says whether a request is for the codes of one of these campaigns."""
    paths = tuple(f"/campaign/{id}/resultCodes" for id in ids)
    return lambda received: received.path.endswith(paths)


@pytest.fixture(params=[2, 5, 11])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """Return an account with every defect that an audit finds, many of them across slices."""
    async with Sandbox(campaigns=60, seed=request.param, invalid_record=True, now=datetime(2026, 3, 2, 12)) as sandbox:  # noqa: DTZ001  # its wall clock
        random = Random(request.param)
        ids = sorted(sandbox.campaigns)
        for id, copied in enumerate(random.sample(ids, 6), 9000):
            name = str(sandbox.campaigns[copied]["Name"]).upper()
            sandbox.load({"ID": id, "Name": name, "dtTo": "2020-01-01T00:00:00+02:00"})
        sandbox.change(ids[-1], ID=ids[3])
        for name in ("Once without an ID", "\x00 and \u202e", "Once without an ID"):
            sandbox.load({"Name": name})
        failing = random.sample(ids[5:50], 4)
        sandbox.faults.chance(1.0, [Status(500)], match=looks_up(failing[:2]))
        sandbox.faults.chance(1.0, [CannedResponse(200, b"no JSON")], match=looks_up(failing[2:]))
        yield sandbox


async def in_parts(sandbox: Sandbox, chunk: int, seed: int = 0) -> list[AuditPart]:
    """Return all parts, each made by its own client and decoded from JSON; the slices come in random order."""
    async with client(sandbox) as dialler:
        begun = await survey(dialler, **OPTIONS, chunk=chunk)
    parts = []
    for campaigns in begun.remaining:
        async with client(sandbox) as dialler:
            parts.append(await audit_slice(dialler, campaigns, **OPTIONS))
    Random(seed).shuffle(parts)
    return [AuditPart.from_json(part.to_json()) for part in (begun.part, *parts)]


def comparable(report: AuditReport) -> AuditReport:
    """Return the report without what a report of parts can't have, and without its times."""
    return attrs.evolve(report, records=(), identity=None, **RUN)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
async def test_merged_parts_equal_the_report_of_a_single_run(sandbox: Sandbox, chunk: int) -> None:
    async with client(sandbox) as dialler:
        whole = await audit(dialler, **OPTIONS)
    merged = merge(await in_parts(sandbox, chunk), **OPTIONS, **RUN)
    assert merged == comparable(whole)
    assert merged.records == ()
    rules = {finding.rule for finding in merged.findings}
    assert {"duplicate-name", "invalid-record", "unreachable-codes"} <= rules


async def test_names_are_compared_across_slices() -> None:
    async with Sandbox(campaigns=[]) as sandbox:
        for id, name in enumerate(("Summer", "Autumn", "Winter", "SUMMER"), 1):
            sandbox.load({"ID": id, "Name": name})
        parts = await in_parts(sandbox, 1)
        assert [len(part.summaries) for part in parts] == [0, 1, 1, 1, 1]
        merged = merge(parts, **OPTIONS, **RUN)
    assert {it.campaign_name for it in merged.findings if it.rule == "duplicate-name"} == {"Summer", "SUMMER"}


class TestSurvey:
    async def test_survey_audits_a_small_account_immediately(self) -> None:
        seen: list[tuple[int, int, int | None]] = []
        async with Sandbox(campaigns=10, seed=1) as sandbox, client(sandbox) as dialler:
            begun = await survey(dialler, **OPTIONS, chunk=10, on_progress=lambda *numbers: seen.append(numbers))
            assert begun.remaining == ()
            assert begun.part.requests == len(sandbox.journal) == 21
        assert seen[-1] == (20, 0, 20)

    async def test_survey_of_a_large_account_fetches_only_the_list(self) -> None:
        async with Sandbox(campaigns=10, seed=1) as sandbox, client(sandbox) as dialler:
            begun = await survey(dialler, **OPTIONS, chunk=4)
            assert [len(slice) for slice in begun.remaining] == [4, 4, 2]
            assert {campaign.id for slice in begun.remaining for campaign in slice} == set(sandbox.campaigns)
            assert (begun.part.campaigns, begun.part.lookups, begun.part.requests) == (10, 0, 1)
            assert len(sandbox.journal) == 1

    async def test_campaigns_with_the_same_id_stay_in_one_slice(self) -> None:
        async with Sandbox(campaigns=9, seed=1) as sandbox, client(sandbox) as dialler:
            first, *others = sorted(sandbox.campaigns)
            for id in others[-3:]:
                sandbox.change(id, ID=first)
            begun = await survey(dialler, **OPTIONS, chunk=3)
        slices = [{campaign.id for campaign in slice} for slice in begun.remaining]
        assert slices.count({first}) == 1
        assert sum(map(len, slices)) == 6
        assert sorted(map(len, begun.remaining)) == [2, 3, 4]

    async def test_campaigns_with_the_same_id_start_a_new_slice_instead_of_exceeding_chunk(self) -> None:
        async with Sandbox(campaigns=[]) as sandbox, client(sandbox) as dialler:
            for id, name in enumerate("ABCDE", 1):
                sandbox.load({"ID": id, "Name": name})
            sandbox.change(3, ID=2)
            begun = await survey(dialler, **OPTIONS, chunk=2)
        assert [[campaign.name for campaign in slice] for slice in begun.remaining] == [["A"], ["B", "C"], ["D", "E"]]

    async def test_survey_raises_when_the_list_can_not_be_fetched(self) -> None:
        async with Sandbox(campaigns=3, seed=1) as sandbox, client(sandbox) as dialler:
            sandbox.faults.next(Status(500))
            with pytest.raises(ServerError):
                await survey(dialler, **OPTIONS, chunk=3)

    @pytest.mark.parametrize("wrong", [{"chunk": 0}, {"languages": []}])
    async def test_survey_refuses_wrong_arguments_before_any_request(self, wrong: dict[str, Any]) -> None:
        async with Sandbox(campaigns=3, seed=1) as sandbox, client(sandbox) as dialler:
            with pytest.raises(ConfigurationError):
                await survey(dialler, **{**OPTIONS, "chunk": 3, **wrong})
            assert sandbox.journal == []


async def test_refused_token_in_several_slices_is_one_finding() -> None:
    async with Sandbox(campaigns=12, seed=1) as sandbox, client(sandbox) as dialler:
        begun = await survey(dialler, **OPTIONS, chunk=4)
        parts = [begun.part, await audit_slice(dialler, begun.remaining[0], **OPTIONS)]

        def revoke(done: int, failed: int, total: int | None) -> None:
            if done == 2:
                sandbox.revoke()

        parts.append(await audit_slice(dialler, begun.remaining[1], **OPTIONS, concurrency=1, on_progress=revoke))
        parts.append(await audit_slice(dialler, begun.remaining[2], **OPTIONS))
    merged = merge(parts, **OPTIONS, **RUN)
    (why,) = [finding for finding in merged.findings if finding.rule == "stopped-early"]
    assert why.message.startswith("14 lookups of result codes were not made, since the server refused one: GET ")
    assert "401" in why.message
    assert merged.unfinished
    assert sum(finding.rule == "unreachable-codes" for finding in merged.findings) == 14
    assert (merged.campaigns, merged.lookups) == (12, 10)


class TestNotAudited:
    async def test_lost_slice_is_reported_and_the_other_slices_are_kept(self) -> None:
        async with Sandbox(campaigns=12, seed=1) as sandbox, client(sandbox) as dialler:
            begun = await survey(dialler, **OPTIONS, chunk=4)
            kept = await audit_slice(dialler, begun.remaining[0], **OPTIONS)
        lost = [not_audited("503 Busy", len(slice)) for slice in begun.remaining[1:]]
        merged = merge([begun.part, kept, *lost], **OPTIONS, **RUN)
        first = merged.findings[0]
        assert first == Finding(
            rule="not-audited",
            severity=Severity.ERROR,
            campaign_id=None,
            campaign_name=None,
            subject="",
            message="8 campaigns were not audited: 503 Busy",
            measure=8,
        )
        assert len(merged.summaries) == 4
        assert merged.campaigns == 12
        assert merged.unfinished
        assert "stopped-early" not in {finding.rule for finding in merged.findings}
        assert [info.id for info in merged.rules[:3]] == ["incomplete-list", "stopped-early", "not-audited"]

    @pytest.mark.parametrize(
        ("campaigns", "message"),
        [
            (None, "could not be audited: why"),
            (0, "could not be audited: why"),
            (1, "1 campaign was not audited: why"),
            (1200, "1,200 campaigns were not audited: why"),
        ],
    )
    def test_not_audited_message_has_the_number_of_campaigns(self, campaigns: int | None, message: str) -> None:
        merged = merge([AuditPart.from_json(not_audited("why", campaigns).to_json())], **OPTIONS, **RUN)
        assert [finding.message for finding in merged.findings] == [message]

    def test_each_reason_is_one_not_audited_finding_in_any_order_of_parts(self) -> None:
        parts = [not_audited("b", 1), not_audited("a", 2), not_audited("b"), not_audited("a", 3)]
        reports = [merge(given, **OPTIONS, **RUN) for given in (parts, parts[::-1])]
        assert reports[0] == reports[1]
        assert {finding.message for finding in reports[0].findings} == {
            "5 campaigns were not audited: a",
            "1 campaign was not audited: b",
            "could not be audited: b",
        }


class TestJson:
    def test_part_equals_its_copy_from_json(self) -> None:
        summary = CampaignSummary(
            id=2**70,
            name="\ud800\x00 “ü”",
            dt_from=datetime(1, 1, 1, 0, 0, 0, 1),  # noqa: DTZ001  # as the server sends it
            dt_to=datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-14, minutes=-30))),
            codes=3,
            export_keys=(("\udfff", CodeType.UNCLEAR), ("", CodeType.DONE)),
            texts=((Language(7), 2), (Language.GERMAN, 0)),
        )
        finding = Finding(
            rule="own", severity=Severity.INFO, campaign_id=None, campaign_name="", subject="\ud800", message="\n"
        )
        part = AuditPart(account=(finding,), findings=(finding,), summaries=(summary,), campaigns=1, codes=2, lookups=3)
        part = attrs.evolve(part, requests=4, gaps=not_audited("\udc80", 5).gaps)
        text = part.to_json()
        assert text.isascii()
        again = AuditPart.from_json(text)
        assert again == part
        assert again.summaries[0].texts[0][0].name == "LANGUAGE_7"
        assert again.summaries[0].dt_from is not None
        assert again.summaries[0].dt_from.tzinfo is None

    @pytest.mark.parametrize("none", [b"", b"[]", b'{"campaigns": "many"}', b"\xff"])
    def test_invalid_json_of_a_part_is_refused(self, none: bytes) -> None:
        with pytest.raises(ValueError):  # noqa: PT011  # the messages differ
            AuditPart.from_json(none)


@rule("own-rule", Severity.INFO, title="Own", why="A test.", fix="None.")
def own_rule(facts: CampaignFacts) -> Iterator[Violation]:
    yield Violation("Name", "is there")


async def test_parts_with_findings_of_other_rules_are_refused() -> None:
    async with Sandbox(campaigns=1, seed=1) as sandbox, client(sandbox) as dialler:
        begun = await survey(dialler, **{**OPTIONS, "rules": [own_rule]}, chunk=5)
    with pytest.raises(ConfigurationError, match="“own-rule”"):
        merge([begun.part], **OPTIONS, **RUN)


async def test_dates_are_compared_with_the_same_time_in_every_part() -> None:
    options = {**OPTIONS, "now": datetime(2026, 3, 2, 12)}  # noqa: DTZ001  # local time, as a user may give it
    async with Sandbox(campaigns=2, seed=1) as sandbox, client(sandbox) as dialler:
        begun = await survey(dialler, **options, chunk=5)
        whole = await audit(dialler, **options)
    merged = merge([begun.part], **options, **RUN)
    assert merged == comparable(whole)
    assert merged.now.utcoffset() is not None


class TestAccounts:
    @pytest.fixture
    async def reports(self) -> dict[str, AuditReport]:
        """Return reports of two accounts with the same campaign IDs, and of one account that could not be audited."""
        reports = {}
        for name, seed in (("north", 2), ("east", 1)):
            async with Sandbox(campaigns=20, seed=seed) as sandbox:
                reports[name] = merge(await in_parts(sandbox, 8), **OPTIONS, **RUN)
        return {**reports, "west": merge([not_audited("401 Unauthorized")], **OPTIONS, **RUN)}

    def test_each_finding_names_its_account(self, reports: dict[str, AuditReport]) -> None:
        fleet = merge_accounts(reports, **OPTIONS, started=NOW, seconds=9.0)
        assert fleet.accounts == ("north", "east", "west")
        assert (fleet.now, fleet.seconds, fleet.languages) == (NOW, 9.0, tuple(Language))
        for name, report in reports.items():
            of_it = [attrs.evolve(it, account=None) for it in fleet.findings if it.account == name]
            assert of_it == list(report.findings)
            summaries = [attrs.evolve(it, account=None) for it in fleet.summaries if it.account == name]
            assert summaries == list(report.summaries)
        order = [(it.severity.rank, fleet.accounts.index(it.account or "")) for it in fleet.findings]
        assert order == sorted(order)
        for counted in ("campaigns", "codes", "lookups", "requests"):
            assert getattr(fleet, counted) == sum(getattr(report, counted) for report in reports.values())

    def test_report_of_several_accounts_groups_and_counts_by_account(self, reports: dict[str, AuditReport]) -> None:
        fleet = merge_accounts(reports, **OPTIONS, **RUN)
        assert merge_accounts(iter(reports.items()), **OPTIONS, **RUN) == fleet
        (section,) = tell(fleet).sections
        groups = section.groups(fold_above=1_000)
        of_each = [tell(report).sections[0].groups(fold_above=1_000) for report in reports.values() if report.findings]
        assert len(groups) == sum(map(len, of_each))
        assert all(len({(it.account, it.campaign_id) for it in group.findings}) == 1 for group in groups)
        assert fleet.by_account() == {name: report.by_severity() for name, report in reports.items()}
        assert fleet.unfinished
        assert {finding.rule for finding in fleet.findings} <= {info.id for info in fleet.rules}

    def test_accounts_are_not_compared_with_each_other(self, reports: dict[str, AuditReport]) -> None:
        twice = merge_accounts({"a": reports["north"], "b": reports["north"]}, **OPTIONS, **RUN)
        assert len(twice.findings) == 2 * len(reports["north"].findings)

    def test_merge_of_no_accounts_gives_an_empty_report(self) -> None:
        assert merge_accounts({}, **OPTIONS, **RUN).findings == ()
