"""Order and counts of the rule runner, the report, and its JSON."""

import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations

from dialler_async._api.partial_records import PartialRecords
from dialler_async.audit import RULES, CampaignFacts, Severity, Violation, report_as_json, rule, tell
from dialler_async.audit.options import AuditOptions
from dialler_async.audit.report import AuditReport
from dialler_async.audit.rule_runner import LookupResult, RuleRunner
from dialler_async.errors import ConnectError
from dialler_async.models import Campaign, Language, Records, ResultCode, with_wire
from dialler_async.version import __version__

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ALWAYS = ["incomplete-list", "stopped-early", "invalid-record", "unreachable-codes"]
BOTH = (Language.ENGLISH, Language.GERMAN)


@rule("own-rule", Severity.INFO, title="Every campaign", why="A test.", fix="None.")
def own_rule(facts: CampaignFacts) -> Iterator[Violation]:
    yield Violation("Name", f"is called {facts.campaign.name}")


def codes(*ids: int) -> Records[ResultCode]:
    return Records([ResultCode(id=id, content=f"Text {id}", done=True) for id in ids], total=len(ids))


def listed(*campaigns: Campaign, count: int | None = None) -> PartialRecords[Campaign]:
    return PartialRecords(campaigns, (), len(campaigns) if count is None else count)


def report(runner: RuleRunner) -> AuditReport:
    return runner.report(seconds=1.23456, started=NOW)


def campaign(id: int | None, name: str) -> Campaign:
    return Campaign(id=id, name=name)


def test_order_of_findings_does_not_depend_on_the_order_of_responses() -> None:
    given = [campaign(10, "Ten"), campaign(9, "Nine"), campaign(None, "B"), campaign(None, "A")]
    reports = set()
    for arrival in permutations(given):
        runner = RuleRunner(AuditOptions.of([own_rule], BOTH, NOW))
        for one in arrival:
            if one.id is None:
                runner.check_without_id(one)
            else:
                runner.check_campaigns([one], dict.fromkeys(BOTH, codes(1)))
        reports.add(report(runner).findings)
    (findings,) = reports
    assert [(finding.campaign_name, finding.rule) for finding in findings] == [
        ("A", "unreachable-codes"),
        ("B", "unreachable-codes"),
        ("Nine", "own-rule"),
        ("Ten", "own-rule"),
        ("A", "own-rule"),
        ("B", "own-rule"),
    ]


def test_findings_of_a_campaign_are_in_the_order_of_the_rules() -> None:
    runner = RuleRunner(AuditOptions.of(RULES, BOTH, NOW))
    bad = ResultCode(id=1, export_key="X", short_text="X")
    over = Campaign(id=1, name="Bad", dt_from=NOW, dt_to=NOW.replace(year=2020))
    with_wire(over, {"OwnResultCodesID": 5})
    runner.check_campaigns([over], dict.fromkeys(BOTH, Records([bad, ResultCode(id=2, export_key="X")], total=2)))
    seen = list(dict.fromkeys(finding.rule for finding in report(runner).findings))
    assert seen == [rule.info.id for rule in RULES if rule.info.id in seen]
    assert len(seen) == 7


def test_failed_lookups_are_reported_whichever_rules_are_given() -> None:
    runner = RuleRunner(AuditOptions.of([], BOTH, NOW))
    runner.check_campaigns([campaign(1, "A")], {Language.ENGLISH: ConnectError("refused"), Language.GERMAN: codes()})
    runner.check_campaigns([campaign(2, "B")], {Language.ENGLISH: codes()})
    assert [(finding.campaign_id, finding.message) for finding in report(runner).findings] == [
        (1, "no result codes in English: refused"),
        (2, "no result codes in German: the run stopped before these result codes were requested"),
    ]


def test_rule_that_is_always_applied_is_applied_once() -> None:
    assert [info.id for info in report(RuleRunner(AuditOptions.of(RULES, BOTH, NOW))).rules].count(
        "unreachable-codes"
    ) == 1


def test_incomplete_list_of_campaigns_is_a_finding_about_the_account() -> None:
    runner = RuleRunner(AuditOptions.of([own_rule], BOTH, NOW))
    runner.check_list(listed(campaign(1, "A"), count=3))
    runner.check_campaigns([campaign(1, "A")], dict.fromkeys(BOTH, codes()))
    first, _ = report(runner).findings
    assert (first.rule, first.severity, first.campaign_id, first.campaign_name, first.message) == (
        "incomplete-list",
        Severity.ERROR,
        None,
        None,
        "the server counts 3 campaigns, but sent 1",
    )


def test_code_counts_once_for_all_languages() -> None:
    runner = RuleRunner(AuditOptions.of([], BOTH, NOW))
    runner.check_list(listed(campaign(1, "A"), campaign(2, "B")))
    runner.check_campaigns([campaign(1, "A")], dict.fromkeys(BOTH, codes(1, 2)))
    runner.check_campaigns([campaign(2, "B")], {Language.ENGLISH: codes(3), Language.GERMAN: codes(3, 4)})
    whole = report(runner)
    assert (whole.campaign_count, whole.code_count, whole.lookups, whole.requests) == (2, 4, 4, 5)
    assert whole.findings == ()


def test_findings_of_one_campaign_and_severity_are_in_the_order_of_the_rules() -> None:
    rules = [rule for rule in RULES if rule.info.id in ("duplicate-name", "inverted-dates")]
    for given in (rules, rules[::-1]):
        runner = RuleRunner(AuditOptions.of(given, BOTH, NOW))
        for id in (1, 2):
            inverted = Campaign(id=id, name="Same", dt_from=NOW, dt_to=NOW - timedelta(days=1))
            runner.check_campaigns([inverted], dict.fromkeys(BOTH, codes(1)))
        found = [(finding.campaign_id, finding.rule) for finding in report(runner).findings]
        assert found == [(id, rule.info.id) for id in (1, 2) for rule in given]


def test_two_campaigns_with_the_same_id_are_both_checked() -> None:
    runner = RuleRunner(AuditOptions.of([own_rule], BOTH, NOW))
    answers: dict[Language, LookupResult] = dict.fromkeys(BOTH, codes(1))
    runner.check_campaigns([campaign(1, "B"), campaign(1, "A")], answers)
    assert [finding.campaign_name for finding in report(runner).findings] == ["A", "B"]
    assert report(runner).lookups == 2


def sample() -> AuditReport:
    runner = RuleRunner(AuditOptions.of([own_rule], BOTH, NOW))
    runner.check_list(listed(campaign(1, "A"), campaign(2, "B")))
    runner.check_campaigns([campaign(1, "A")], dict.fromkeys(BOTH, codes()))
    runner.check_campaigns([campaign(2, "B\x1b[31m")], dict.fromkeys(BOTH, ConnectError("refused")))
    return report(runner)


def test_findings_are_grouped_and_counted() -> None:
    whole = sample()
    assert [[finding.rule for finding in group.findings] for group in tell(whole).sections[0].groups()] == [
        ["unreachable-codes", "unreachable-codes", "own-rule"],
        ["own-rule"],
    ]
    assert {info.id: count for info, count in whole.by_rule().items()} == {"unreachable-codes": 2, "own-rule": 2}
    assert whole.by_severity() == {Severity.ERROR: 2, Severity.WARNING: 0, Severity.INFO: 2}


def test_severity_at_least_is_true_for_the_same_or_a_worse_severity() -> None:
    assert [[a.at_least(b) for b in Severity] for a in Severity] == [
        [True, True, True],
        [False, True, True],
        [False, False, True],
    ]


def test_report_can_be_pickled_and_compared() -> None:
    assert pickle.loads(pickle.dumps(sample())) == sample()  # noqa: S301  # its own bytes


def test_json_of_a_report_has_every_attribute() -> None:
    shown = json.loads(json.dumps(report_as_json(sample())))
    assert {key: value for key, value in shown.items() if key not in ("findings", "rules", "records")} == {
        "schema": 2,
        "name": None,
        "tool": f"dialler_async {__version__}",
        "server": None,
        "clients_id": None,
        "scope": None,
        "accepted": [],
        "not_checked": [
            {
                "reason": "no result codes in English and German: refused",
                "campaign_id": 2,
                "campaign_name": "B\x1b[31m",
                "languages": [1, 2],
            }
        ],
        "started": "2026-03-02T12:00:00+00:00",
        "now": "2026-03-02T12:00:00+00:00",
        "seconds": 1.235,
        "campaigns": 2,
        "codes": 0,
        "lookups": 4,
        "requests": 5,
        "languages": [1, 2],
        "zone_note": "dates without a zone are treated as local time",
        "comparison": None,
        "code_contents": [],
    }
    assert shown["records"] == [
        {"id": 1, "name": "A", "settings": {}, "codes": {}},
        {"id": 2, "name": "B\x1b[31m", "settings": {}, "codes": None},
    ]
    assert shown["findings"][1:3] == [
        {
            "rule": "unreachable-codes",
            "severity": "error",
            "campaign_id": 2,
            "campaign_name": "B\x1b[31m",
            "subject": "German",
            "message": "no result codes in German: refused",
            "identity": sample().findings[1].identity,
            "kind": "no codes",
            "language": 2,
            "basis": {"languages": [2]},
        },
        {
            "rule": "own-rule",
            "severity": "info",
            "campaign_id": 1,
            "campaign_name": "A",
            "subject": "Name",
            "message": "is called A",
            "identity": sample().findings[2].identity,
            "basis": {"languages": [1, 2]},
        },
    ]
    assert shown["findings"][0]["campaign_name"] == "B\x1b[31m"
    assert [rule["id"] for rule in shown["rules"]] == [*ALWAYS, "own-rule"]
    assert set(shown["rules"][4]) == {"id", "severity", "title", "why", "fix"}


def test_invalid_records_that_the_list_did_not_keep_are_reported_by_their_number() -> None:
    runner = RuleRunner(AuditOptions.of([], BOTH, NOW))
    runner.check_list(PartialRecords((campaign(1, "a"),), (), total=2_001, invalid_count=2_000))
    (finding,) = report(runner).findings
    assert (finding.rule, finding.message) == ("incomplete-list", "2000 further records of the list are invalid")
    assert report(runner).campaign_count == 2_001
