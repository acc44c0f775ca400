"""The whole audit, against the sandbox."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from dialler_async import (
    ConfigurationError,
    DiallerClient,
    Language,
    Lookup,
    Outcome,
    PoolConfig,
    Records,
    ResultCode,
    ResultCodes,
    RetryPolicy,
)
from dialler_async.audit import (
    RULES,
    AccountFacts,
    AuditReport,
    CampaignFacts,
    Selection,
    Severity,
    Violation,
    account_rule,
    audit,
    rule,
)
from dialler_async.audit.rules import invalid_record
from dialler_async.sandbox import Sandbox


def client(sandbox: Sandbox, **options: Any) -> DiallerClient:
    return DiallerClient(sandbox.base_url, sandbox.token, retry=RetryPolicy(attempts=1), **options)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(campaigns=60, seed=5) as sandbox:
        yield sandbox


def code(id: int, **changed: Any) -> dict[str, Any]:
    flags = {"bDone": True, "bAborted": False, "bDelay": False, "bAppointment": False}
    return {"ID": id, "Content": "Text", "ShortText": f"DiallerCampaignsResultCodes.{id}", **flags, **changed}


def both(*codes: dict[str, Any]) -> dict[int, Any]:
    return {1: list(codes), 2: list(codes)}


SOUND = both(code(1, ExportKey="YES"), code(2, ExportKey="NO", bDone=False, bAborted=True))


async def report_on(sandbox: Sandbox, **options: Any) -> AuditReport:
    async with client(sandbox) as dialler:
        return await audit(dialler, **options)


async def test_report_is_the_same_at_any_concurrency(sandbox: Sandbox) -> None:
    one_by_one = await report_on(sandbox, concurrency=1)
    all_at_once = await report_on(sandbox, concurrency=32)
    assert one_by_one.findings == all_at_once.findings
    places = [(finding.severity.rank, finding.campaign_id or 0) for finding in one_by_one.findings]
    assert places == sorted(places)


async def test_report_counts_campaigns_codes_and_requests(sandbox: Sandbox) -> None:
    seen: list[tuple[int, int, int | None]] = []
    before = datetime.now(UTC)
    report = await report_on(sandbox, on_progress=lambda *numbers: seen.append(numbers))
    assert (report.campaign_count, report.lookups, report.requests) == (60, 120, 121)
    assert report.requests == len(sandbox.journal)
    assert report.code_count == sum(
        len({code["ID"] for language in (1, 2) for code in sandbox.result_codes(id, language)})
        for id in sandbox.campaigns
    )
    assert seen[-1] == (120, 0, 120)
    assert before <= report.started <= datetime.now(UTC)
    assert report.now == report.started
    assert 0 < report.seconds < 30


async def test_audit_in_one_language_does_not_compare_translations(sandbox: Sandbox) -> None:
    report = await report_on(sandbox, languages=[Language.ENGLISH, Language.ENGLISH])
    assert report.lookups == 60
    assert not any("German" in finding.message for finding in report.findings)


async def test_audit_without_languages_is_refused_before_any_request(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="at least one language"):
        await report_on(sandbox, languages=[])
    assert sandbox.journal == []


@rule("own-rule", Severity.INFO, title="Own", why="A test.", fix="None.")
def own_rule(facts: CampaignFacts) -> Iterator[Violation]:
    if facts.campaign.name == "Empty":
        yield Violation("Name", "is called Empty")


async def test_rules_of_the_user_are_applied() -> None:
    async with Sandbox(campaigns=[{"ID": 4, "Name": "Empty"}]) as sandbox:
        report = await report_on(sandbox, rules=[own_rule])
    assert [(finding.campaign_id, finding.rule) for finding in report.findings] == [(4, "own-rule")]


async def test_campaign_with_an_empty_list_of_codes_is_checked() -> None:
    async with Sandbox(campaigns=[{"ID": 4, "Name": "Empty", "OwnResultCodesID": 9}]) as sandbox:
        report = await report_on(sandbox)
    assert [finding.rule for finding in report.findings] == ["dangling-result-code", "no-success-code", "no-abort-code"]


async def test_dates_are_compared_with_the_given_time() -> None:
    record = {"ID": 4, "Name": "Over", "dtTo": "2026-03-02T12:00:00"}
    async with Sandbox(campaigns=[]) as sandbox:
        sandbox.load(record, codes=SOUND)
        naive = datetime(2026, 3, 2, 12, 1)  # noqa: DTZ001  # local time, as a user may give it
        report = await report_on(sandbox, now=naive)
        assert [finding.rule for finding in report.findings] == ["expired"]
        assert report.now.utcoffset() is not None
        before = await report_on(sandbox, now=datetime(2026, 3, 2, 11, 59, tzinfo=UTC))
        assert [finding.rule for finding in before.findings] == ["expiring-soon"]


async def test_campaign_without_id_is_reported_and_not_looked_up() -> None:
    example = {"Name": "Campaign 1000", "IncomingCallResultCodesID": 2494, "dtTo": None}
    async with Sandbox(campaigns=[example]) as sandbox:
        sandbox.load({"ID": 4, "Name": "Sound"}, codes=SOUND)
        report = await report_on(sandbox)
    (finding,) = report.findings
    assert (finding.rule, finding.campaign_id, finding.campaign_name) == ("unreachable-codes", None, "Campaign 1000")
    assert report.lookups == 2


@pytest.mark.parametrize("unusable", [0, -3])
async def test_campaign_with_an_unusable_id_is_reported(unusable: int) -> None:
    async with Sandbox(campaigns=[{"ID": 4, "Name": "Odd"}]) as sandbox:
        sandbox.change(4, ID=unusable)
        report = await report_on(sandbox)
    assert [(finding.campaign_id, finding.subject) for finding in report.findings] == [(unusable, "ID")]
    assert report.requests == 1


async def test_campaign_deleted_during_the_audit_is_reported(sandbox: Sandbox) -> None:
    gone = max(sandbox.campaigns)

    def remove_it(done: int, failed: int, total: int | None) -> None:
        if gone in sandbox.campaigns:
            sandbox.remove(gone)

    report = await report_on(sandbox, concurrency=1, on_progress=remove_it)
    findings = [finding for finding in report.findings if finding.rule == "unreachable-codes"]
    assert [(finding.campaign_id, finding.subject) for finding in findings] == [(gone, "English"), (gone, "German")]
    assert all("404" in finding.message for finding in findings)


async def test_token_revoked_during_the_audit_is_one_finding_and_every_unchecked_campaign_is_reported(
    sandbox: Sandbox,
) -> None:
    def revoke(done: int, failed: int, total: int | None) -> None:
        if done == 20:
            sandbox.revoke()

    report = await report_on(sandbox, concurrency=1, on_progress=revoke)
    concerned = {finding.campaign_id for finding in report.findings if finding.rule == "unreachable-codes"}
    assert len(concerned) == 50
    # The reason is reported once, and no further lookup was sent.
    (why,) = [finding for finding in report.findings if finding.rule == "stopped-early"]
    assert "401" in why.message
    assert "100 lookups" in why.message
    assert len(sandbox.journal) == 1 + 20 + 1
    assert sum("401" in finding.message for finding in report.findings) == 1
    assert report.unfinished
    assert sandbox.token not in repr(report)


async def test_failing_token_function_ends_the_audit_with_a_partial_report(
    sandbox: Sandbox,
) -> None:
    first = [sandbox.token]

    def source() -> str:
        if not first:
            raise LookupError(f"the vault refused {sandbox.token}")
        return first.pop()

    def revoke(done: int, failed: int, total: int | None) -> None:
        if done == 20:
            sandbox.revoke()

    async with DiallerClient(sandbox.base_url, source, retry=RetryPolicy(attempts=1)) as dialler:
        report = await audit(dialler, concurrency=1, on_progress=revoke)
    (why,) = [finding for finding in report.findings if finding.rule == "stopped-early"]
    assert "LookupError at test_run.py" in why.message
    assert "100 lookups" in why.message
    assert sandbox.token not in repr(report)


async def test_lookups_without_a_response_are_reported(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    fan_out = ResultCodes.for_campaigns

    async def stop_early(
        codes: ResultCodes, campaigns: list[int], **options: Any
    ) -> AsyncIterator[Outcome[Lookup, Records[ResultCode]]]:
        async for outcome in fan_out(codes, campaigns, **options):
            yield outcome
            if outcome.item.campaign_id == campaigns[9]:
                return

    monkeypatch.setattr(ResultCodes, "for_campaigns", stop_early)
    report = await report_on(sandbox, concurrency=1)
    unchecked = [finding for finding in report.findings if finding.rule == "unreachable-codes"]
    assert len({(finding.campaign_id, finding.campaign_name) for finding in unchecked}) == 51
    assert {finding.message.rpartition(": ")[2] for finding in unchecked} == {
        "the run stopped before these result codes were requested"
    }


async def test_audit_opens_no_more_connections_than_the_pool_allows(sandbox: Sandbox) -> None:
    async with client(sandbox, pool=PoolConfig(limit=3)) as dialler:
        await audit(dialler, concurrency=40)
    assert sandbox.connections.peak <= 3


async def test_rule_that_raises_is_one_finding_and_the_other_rules_go_on(sandbox: Sandbox) -> None:
    @rule("broken", Severity.INFO, title="Broken", why="A test.", fix="None.")
    def broken(facts: CampaignFacts) -> Iterator[Violation]:
        yield Violation("Name", "never reported")
        raise LookupError(facts.campaign.name)

    @rule("no-violation", Severity.INFO, title="Broken", why="A test.", fix="None.")
    def no_violation(facts: CampaignFacts) -> Iterator[Any]:
        yield "a text"

    @account_rule("broken-account", Severity.INFO, title="Broken", why="A test.", fix="None.")
    def broken_account(account: AccountFacts) -> Any:
        raise LookupError(account.campaigns[0].name)

    report = await report_on(sandbox, rules=[broken, no_violation, broken_account, own_rule, *RULES])
    failed = [finding for finding in report.findings if finding.rule == "rule-failed"]
    assert [finding.subject for finding in failed] == ["broken", "broken-account", "no-violation"]
    line = broken.check.__code__.co_firstlineno + 3
    assert failed[0].message == f"the rule “broken” failed on 60 campaigns: LookupError at test_run.py:{line}"
    assert failed[1].message.startswith("the rule “broken-account” failed: LookupError at test_run.py:")
    assert re.search(r"on 60 campaigns: AttributeError at test_run.py:\d+$", failed[2].message)
    assert report.rule_failed
    assert [finding for finding in report.findings if finding.rule == "broken"] == []
    assert {finding.rule for finding in report.findings} > {"duplicate-name", "expired"}


async def test_account_without_campaigns_is_a_finding() -> None:
    async with Sandbox(campaigns=[]) as sandbox:
        report = await report_on(sandbox)
    assert [(finding.rule, finding.message) for finding in report.findings] == [
        ("no-campaigns", "the account has no campaigns")
    ]


async def test_report_names_server_and_account(sandbox: Sandbox) -> None:
    report = await report_on(sandbox)
    assert str(report.identity) == f"account 1 on {sandbox.base_url.removeprefix('http://').removesuffix('/1')}"


class TestSelection:
    @pytest.fixture
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        async with Sandbox(campaigns=[]) as sandbox:
            dates = {1: {}, 2: {"dtTo": "2026-01-01T00:00:00"}, 3: {"dtFrom": "2027-01-01T00:00:00"}, 4: {}}
            for id, name in ((4, "vip late"), (3, "VIP Later"), (2, "VIP Over"), (1, "VIP [1]")):
                sandbox.load({"ID": id, "Name": name, **dates[id]}, codes=SOUND)
            yield sandbox

    @pytest.mark.parametrize(
        ("selection", "ids", "scope"),
        [
            (Selection(names=("VIP*",)), {1, 2, 3}, "name “VIP*”"),
            (Selection(names=("VIP [1]",)), {1}, "name “VIP [1]”"),
            (Selection(names=("VIP O*", "*late")), {2, 4}, "name “VIP O*” or “*late”"),
            (Selection(ids=(2, 4)), {2, 4}, "ID 2 or 4"),
            (Selection(running=True), {1, 4}, "running"),
            (Selection(names=("VIP*",), running=True, limit=3), {1}, "running, name “VIP*”, at most 3"),
            (Selection(limit=2), {1, 2}, "at most 2"),
        ],
    )
    async def test_selection_fetches_only_the_codes_of_chosen_campaigns(
        self, selection: Selection, ids: set[int], scope: str, sandbox: Sandbox
    ) -> None:
        now = datetime(2026, 3, 2, tzinfo=UTC)
        report = await report_on(sandbox, selection=selection, now=now)
        assert {summary.id for summary in report.summaries} == ids
        assert len(sandbox.journal) == 1 + 2 * len(ids) == report.requests
        assert {finding.campaign_id for finding in report.findings} <= ids
        assert report.scope_note == f"only part of the account: {len(ids)} of 4 campaigns ({scope})"

    @pytest.mark.parametrize(
        ("selection", "message"),
        [(Selection(ids=(9,)), "no campaign with the ID 9"), (Selection(names=("Vpi*",)), "a name like “Vpi\\*”")],
    )
    async def test_selection_of_a_missing_campaign_is_refused(
        self, selection: Selection, message: str, sandbox: Sandbox
    ) -> None:
        with pytest.raises(ConfigurationError, match=message):
            await report_on(sandbox, selection=selection)
        assert len(sandbox.journal) == 1

    async def test_selection_without_a_running_campaign_is_a_finding(self, sandbox: Sandbox) -> None:
        for id in (1, 4):
            sandbox.change(id, dtTo="2020-01-01T00:00:00")
        report = await report_on(sandbox, selection=Selection(running=True), now=datetime(2026, 3, 2, tzinfo=UTC))
        assert [finding.message for finding in report.findings] == ["none of the account's 4 campaigns is chosen"]

    async def test_invalid_record_of_a_campaign_that_is_not_selected_is_not_reported(self, sandbox: Sandbox) -> None:
        sandbox.change(2, nMaxParallelLines="many")
        by_id = [await report_on(sandbox, selection=Selection(ids=ids)) for ids in ((1,), (1, 4))]
        assert not any(report.has(invalid_record.info) for report in by_id)
        assert (await report_on(sandbox, selection=Selection(names=("VIP*",)))).has(invalid_record.info)


class TestTemplates:
    async def test_each_campaign_is_compared_with_the_template_of_its_name(self) -> None:
        async with Sandbox(campaigns=[]) as sandbox:
            for id, name in enumerate(("Winback Master", "Winback 1", "Sales Master", "Sales 1", "Other"), 1):
                lines = 9 if name.endswith("1") else 5
                sandbox.load({"ID": id, "Name": name, "nMaxParallelLines": lines, "Kind": name[0]}, codes=SOUND)
            templates = {"Winback*": "Winback Master", "Sales*": "Sales Master"}
            report = await report_on(sandbox, template=templates)
            assert len(sandbox.journal) == report.requests == 11
            assert [(finding.campaign_id, finding.subject) for finding in report.findings] == [
                (2, "nMaxParallelLines"),
                (4, "nMaxParallelLines"),
            ]
            only = await report_on(sandbox, template=templates, selection=Selection(ids=(2,)))
            assert [finding.campaign_id for finding in only.findings] == [2]
            assert [summary.id for summary in only.summaries] == [2]
