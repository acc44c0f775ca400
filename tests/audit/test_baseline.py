"""A report compared with an earlier one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
import jsonschema
import pytest

from dialler_async import Campaign, ConfigurationError, ConnectError, Language, Records, ResultCode
from dialler_async._api.partial_records import InvalidRecord, PartialRecords
from dialler_async.audit import (
    RULES,
    AcceptanceEntry,
    AccountIdentity,
    AuditReport,
    Baseline,
    Change,
    Comparison,
    State,
    Topic,
    accept,
    compare,
)
from dialler_async.audit.options import AuditOptions
from dialler_async.audit.rule_runner import RuleRunner
from dialler_async.audit.writers import json_schema, write_json
from dialler_async.errors import PayloadError
from dialler_async.models import with_wire

if TYPE_CHECKING:
    from tests.audit.conftest import Reports

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

DONE = ResultCode(id=1, content="Yes", export_key="YES", done=True)
NO = ResultCode(id=2, content="No", export_key="NO", aborted=True)


def report(*campaigns: dict[str, Any], codes: tuple[ResultCode, ...] = (DONE, NO), **options: Any) -> AuditReport:
    """Return a report on campaigns with these records. Lookups of `failing` fail; records of `invalid` are invalid."""
    runner = RuleRunner(AuditOptions.of(options.get("rules", RULES), (Language.ENGLISH,), NOW))
    records = [with_wire(Campaign(id=wire["ID"], name=wire["Name"]), wire) for wire in campaigns]
    invalid = tuple(
        InvalidRecord({"Name": "?"}, PayloadError("is odd", path="records[0].x", record_id=id))
        for id in options.get("invalid", ())
    )
    runner.check_list(PartialRecords(tuple(records), invalid, len(records) + len(invalid)))
    for campaign in records:
        failed = campaign.id in options.get("failing", ())
        answer = ConnectError("refused") if failed else Records(codes, total=len(codes))
        runner.check_campaigns([campaign], {Language.ENGLISH: answer})
    return runner.report(seconds=1.0, started=NOW)


def since(then: AuditReport, now: AuditReport) -> Comparison:
    comparison = compare(now, Baseline.read("".join(write_json(then)).encode())).comparison
    assert comparison is not None
    return comparison


def rules(findings: tuple[Any, ...]) -> list[tuple[int | None, str]]:
    return [(finding.campaign_id, finding.rule) for finding in findings]


ONE = {"ID": 1, "Name": "Spring", "UserData": None, "nMaxParallelLines": 5}
TWO = {"ID": 2, "Name": "Autumn", "OwnResultCodesID": 9}


def test_report_equal_to_its_baseline_has_no_differences() -> None:
    assert since(report(ONE, TWO), report(ONE, TWO)) == Comparison(
        since=NOW, new=(), gone=(), unchanged=1, unchecked=(), changes=()
    )


def test_new_and_gone_findings_do_not_depend_on_messages() -> None:
    then = report(ONE, TWO)
    compared = since(then, report({**ONE, "OwnResultCodesID": 8}, {**TWO, "OwnResultCodesID": 77}))
    assert rules(compared.new) == [(1, "dangling-result-code")]
    assert (compared.gone, compared.unchanged) == ((), 1)
    compared = since(then, report(ONE, {**TWO, "OwnResultCodesID": 1}))
    assert rules(compared.gone) == [(2, "dangling-result-code")]


def test_finding_that_was_not_checked_again_is_not_gone() -> None:
    then = report(ONE, TWO)
    for now in (
        report(ONE, TWO, failing=[2]),
        report(ONE, invalid=[2]),
        report(ONE, TWO, rules=[]),
    ):
        compared = since(then, now)
        assert rules(compared.unchecked) == [(2, "dangling-result-code")]
        assert compared.gone == ()
        assert [change for change in compared.changes if change.what == "campaign"] == []
    assert rules(since(then, report(ONE)).gone) == [(2, "dangling-result-code")]


def test_changed_values_of_a_campaign_are_listed_by_key() -> None:
    then = report({**ONE, "Gone": "x"}, TWO)
    now = report({**ONE, "Name": "Summer", "nMaxParallelLines": None, "UserData": "crm"}, {"ID": 3, "Name": "New"})
    changes = since(then, now).changes
    assert [(change.campaign_id, change.what, change.before, change.after) for change in changes] == [
        (1, "Name", "Spring", "Summer"),
        (1, "nMaxParallelLines", 5, None),
        (1, "Gone", "x", None),
        (1, "UserData", None, "crm"),
        (2, "campaign", "Autumn", None),
        (3, "campaign", None, "New"),
    ]


def test_changed_values_of_a_code_are_listed_by_key() -> None:
    changed = (attrs.evolve(DONE, content="Sale", done=None, agent_bound=True), ResultCode(id=3, aborted=True))
    assert since(report(ONE), report(ONE, codes=changed)).changes == tuple(
        Change(campaign_id=1, campaign_name="Spring", what=what, before=before, after=after)
        for what, before, after in (
            ("code 1 (YES) bDone", True, None),
            ("code 1 (YES) Content/1", "Yes", "Sale"),
            ("code 1 (YES) bAgentBound", None, True),
            ("code 2 (NO)", "there", None),
            ("code 3", None, "there"),
        )
    )


def test_codes_that_could_not_be_fetched_are_not_listed_as_changed() -> None:
    assert since(report(ONE), report(ONE, failing=[1])).changes == ()
    assert since(report(ONE, failing=[1]), report(ONE)).changes == ()


def test_record_that_is_valid_again_is_not_listed_as_a_new_campaign() -> None:
    assert since(report(ONE, invalid=[2]), report(ONE, {"ID": 2, "Name": "Autumn"})).changes == ()


def test_language_that_was_not_requested_is_not_listed_as_changed() -> None:
    def in_languages(*languages: Language) -> AuditReport:
        runner = RuleRunner(AuditOptions.of(RULES, languages, NOW))
        texts = {
            language: Records([attrs.evolve(DONE, content=language.name)], total=1) for language in reversed(languages)
        }
        runner.check_campaigns([Campaign(id=1, name="Spring")], texts)
        return runner.report(seconds=1.0, started=NOW)

    both, english = in_languages(*Language), in_languages(Language.ENGLISH)
    assert since(both, english).changes == since(english, both).changes == ()


def test_json_of_a_comparison_matches_the_schema() -> None:
    now = report({**TWO, "Name": "Summer"})
    whole = compare(now, Baseline.read("".join(write_json(report(ONE, TWO))).encode()))
    shown = json.loads("".join(write_json(whole)))
    jsonschema.Draft202012Validator(json_schema()).validate(shown)
    assert [change["what"] for change in shown["comparison"]["changes"]] == ["campaign", "Name"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"", "not an audit report"),
        (b"\xff", "not an audit report"),
        (b"[]", "not an audit report"),
        (b"[" * 100_000, "not an audit report"),
        (b'{"schema": 1}', "has schema 1, but only schema 2"),
        (b'{"schema": 2}', "not an audit report"),
        (b'{"schema": "1"}', "not an audit report"),
    ],
)
def test_invalid_baseline_is_refused(broken: bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Baseline.read(broken)


def test_baseline_with_a_code_without_content_is_refused() -> None:
    shown = json.loads("".join(write_json(report(ONE))))
    shown["code_contents"] = []
    with pytest.raises(ConfigurationError, match="a code has no content"):
        Baseline.read(json.dumps(shown).encode())


def test_baseline_of_several_accounts_is_refused(reports: Reports) -> None:
    fleet = reports.fleet(("north", "south"))
    with pytest.raises(ConfigurationError, match="several accounts"):
        Baseline.read("".join(write_json(fleet)).encode())


def test_report_without_records_is_refused() -> None:
    whole = report({"ID": 1, "Name": "A"})
    with pytest.raises(ConfigurationError, match="single run"):
        since(whole, attrs.evolve(whole, records=()))


def test_baseline_with_a_lone_surrogate_in_a_name_is_read() -> None:
    cut = {**ONE, "Name": "half an emoji \ud83c"}
    compared = since(report(cut, TWO), report({**cut, "Name": "Spring"}, TWO))
    assert [(change.what, change.before, change.after) for change in compared.changes] == [
        ("Name", "half an emoji \ud83c", "Spring")
    ]


class TestAccount:
    ACCOUNT = AccountIdentity("acd.example.com/rest/v1.0", 1)

    def compared(self, then: AccountIdentity | None, now: AccountIdentity | None, **options: bool) -> AuditReport:
        earlier = attrs.evolve(report(ONE), identity=then)
        baseline = Baseline.read("".join(write_json(earlier)).encode())
        return compare(attrs.evolve(report(ONE), identity=now), baseline, **options)

    def test_baseline_of_the_same_account_is_compared(self) -> None:
        assert self.compared(self.ACCOUNT, self.ACCOUNT).comparison

    @pytest.mark.parametrize(
        ("then", "whose"),
        [
            (AccountIdentity("acd.example.com/rest/v1.0", 2), "account 2 on acd.example.com/rest/v1.0"),
            (AccountIdentity("test.example.com/rest/v1.0", 1), "account 1 on test.example.com/rest/v1.0"),
            (None, "an unknown account"),
        ],
    )
    def test_baseline_of_another_account_is_refused_without_other_account(
        self, then: AccountIdentity | None, whose: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=f"it is of {whose}, but this audit is of account 1 on acd"):
            self.compared(then, self.ACCOUNT)
        assert self.compared(then, self.ACCOUNT, other_account=True).comparison

    @pytest.mark.parametrize(
        ("base_url", "identity"),
        [
            ("https://acd.example.com/rest/v1.0/1", ACCOUNT),
            ("https://acd.example.com:443/rest/v1.0/1/", ACCOUNT),
            ("http://user:secret@acd.example.com/rest/v1.0/1?token=secret#secret", ACCOUNT),
            ("https://acd.example.com:8443/a/rest/v1.0/1", AccountIdentity("acd.example.com:8443/a/rest/v1.0", 1)),
            ("https://[::1]:8443/rest", AccountIdentity("[::1]:8443/rest", None)),
        ],
    )
    def test_identity_of_a_base_url_contains_no_secret(self, base_url: str, identity: AccountIdentity) -> None:
        assert AccountIdentity.of(base_url) == identity


def test_findings_compared_with_a_baseline_have_a_state() -> None:
    baseline = Baseline.read("".join(write_json(report(ONE, TWO))).encode())
    compared = compare(report({**ONE, "OwnResultCodesID": 8}, TWO), baseline)
    assert {(finding.campaign_id, finding.state) for finding in compared.findings} == {
        (1, State.NEW),
        (2, State.UNCHANGED),
    }
    assert compared.comparison
    assert (compared.comparison.new, compared.comparison.unchanged) == (compared.findings[:1], 1)
    changed = compare(report(ONE, {**TWO, "OwnResultCodesID": 1}), baseline)
    assert changed.comparison
    assert [finding.state for finding in changed.comparison.gone] == [State.GONE]


def test_finding_is_open_since_the_first_baseline_that_has_it() -> None:
    def night(number: int, before: AuditReport | None, *campaigns: dict[str, Any]) -> AuditReport:
        audited = attrs.evolve(report(*campaigns), started=NOW + timedelta(days=number))
        return audited if before is None else compare(audited, Baseline.read("".join(write_json(before)).encode()))

    first = night(1, None, TWO)
    second = night(2, first, TWO)
    third = night(3, second, TWO, {**TWO, "ID": 3, "Name": "Winter"})
    assert first.findings
    assert {finding.open_since for finding in (*first.findings, *night(2, first, ONE, TWO).of(Topic.NEW))} == {None}
    for compared in (second, third):
        known = [finding.open_since for finding in compared.findings if finding.campaign_id == 2]
        assert set(known) == {first.started}
    assert {finding.open_since for finding in third.findings if finding.campaign_id == 3} == {None}


class TestAccepted:
    def accepted(self, until: str) -> AuditReport:
        entry = {"rule": "dangling-result-code", "campaign": 2, "reason": "known", "until": until}
        return accept(report(ONE, TWO), [AcceptanceEntry.of(entry)])

    def test_accepted_finding_of_the_baseline_is_unchanged_or_gone(self) -> None:
        then = Baseline.read("".join(write_json(self.accepted("2030-01-01"))).encode())
        now = compare(self.accepted("2030-01-01"), then)
        assert [finding.state for finding in now.accepted] == [State.UNCHANGED]
        assert now.findings == ()
        fixed = compare(report(ONE, {**TWO, "OwnResultCodesID": 1}), then).comparison
        assert fixed
        assert rules(fixed.gone) == [(2, "dangling-result-code")]

    def test_finding_whose_acceptance_has_ended_is_new(self) -> None:
        then = Baseline.read("".join(write_json(self.accepted("2030-01-01"))).encode())
        now = compare(attrs.evolve(self.accepted("2020-01-01"), fails_on_new=True), then)
        (back,) = [finding for finding in now.findings if finding.campaign_id == 2]
        assert back.state is State.NEW
        assert now.fails(back)

    def test_finding_that_is_accepted_now_is_not_gone(self) -> None:
        then = Baseline.read("".join(write_json(report(ONE, TWO))).encode())
        now = compare(self.accepted("2030-01-01"), then)
        assert now.comparison
        assert now.comparison.gone == now.comparison.unchecked == ()
        assert [finding.state for finding in now.accepted] == [State.UNCHANGED]


class TestPartOfAnAccount:
    THEN = report(ONE, TWO, {"ID": 3, "Name": "autumn"})

    def test_findings_of_other_campaigns_and_between_campaigns_are_unjudged(self) -> None:
        part = attrs.evolve(report(TWO | {"OwnResultCodesID": 1}), scope="ID 2")
        compared = since(self.THEN, part)
        assert rules(compared.gone) == [(2, "dangling-result-code")]
        assert rules(compared.unchecked) == [(2, "duplicate-name"), (3, "duplicate-name")]
        assert [change.what for change in compared.changes] == ["OwnResultCodesID"]

    def test_baseline_of_another_part_of_the_account_is_refused(self) -> None:
        part = attrs.evolve(self.THEN, scope="running")
        with pytest.raises(ConfigurationError, match=r"part of the account \(running\)"):
            since(part, self.THEN)
        assert since(part, part).new == ()


def test_finding_of_a_run_rule_can_be_gone() -> None:
    none = report()
    assert rules(none.findings) == [(None, "no-campaigns")]
    assert rules(since(none, report(ONE)).gone) == [(None, "no-campaigns")]
