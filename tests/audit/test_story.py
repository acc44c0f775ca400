"""The content of a report for people: the verdict, then what is new, gone, not checked, known and accepted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import attrs
import pytest

from dialler_async.audit import Acceptance, Change, Severity, State, Topic, tell

if TYPE_CHECKING:
    from tests.audit.conftest import Reports


def test_sections_follow_in_the_order_of_reading(reports: Reports) -> None:
    story = tell(reports.compared())
    assert [section.topic for section in story.sections] == [topic for topic in Topic if topic is not Topic.ENDING]
    states = [{finding.state for finding in section.findings} for section in story.sections[:4]]
    assert states == [{State.NEW}, {State.GONE}, {State.UNCHECKED}, {State.UNCHANGED}]


def test_every_finding_is_in_one_section(reports: Reports) -> None:
    report = reports.compared()
    told = [finding for section in tell(report).sections for finding in section.findings]
    assert sorted(told, key=repr) == sorted(report.all_findings(), key=repr)


def test_report_without_comparison_has_its_findings_as_known(reports: Reports) -> None:
    report = reports.real()
    (section,) = tell(report).sections
    assert (section.topic, section.title, section.number) == (Topic.KNOWN, "Findings", len(report.findings))
    assert tuple(section.findings) == report.findings


def test_verdict_counts_new_gone_unchecked_known_and_accepted(reports: Reports) -> None:
    report = reports.compared()
    comparison = report.comparison
    assert comparison is not None
    numbers = f"{len(comparison.new)} new, {len(comparison.gone)} gone, {len(comparison.unchecked)} not checked"
    assert tell(report).verdict == (
        f"{report.title}: {numbers}, {comparison.unchanged} known, 1 accepted; the worst is an error"
    )


def test_verdict_of_a_report_without_findings_says_so(reports: Reports) -> None:
    assert tell(reports.empty()).verdict.endswith(": nothing found")


def test_verdict_of_an_unfinished_run_says_so(reports: Reports) -> None:
    assert tell(reports.fleet()).verdict.endswith("; the run is not complete")


def test_notes_say_why_a_finding_was_not_checked_or_is_accepted(reports: Reports) -> None:
    story = tell(reports.compared())
    for section in story.sections:
        has_notes = section.topic in (Topic.UNCHECKED, Topic.ACCEPTED)
        assert {bool(section.note(finding)) for finding in section.findings} == {has_notes}


def test_many_known_findings_of_one_rule_are_a_group_and_new_ones_are_not(reports: Reports) -> None:
    report = reports.compared()
    assert report.comparison is not None
    found = report.comparison.new[0]
    many = tuple(attrs.evolve(found, campaign_id=id, campaign_name=f"{id}") for id in range(1, 31))
    known = tuple(attrs.evolve(finding, state=State.UNCHANGED) for finding in many)
    comparison = attrs.evolve(report.comparison, new=many)
    new_section, *_, known_section, _ = tell(
        attrs.evolve(report, findings=(*many, *known), comparison=comparison)
    ).sections
    assert [(group.rule, group.number) for group in new_section.groups()] == [(None, 1)] * 30
    (group,) = known_section.groups()
    assert group.rule is not None
    assert (group.rule.id, group.number, group.number_of_campaigns) == (found.rule, 30, 30)
    assert tuple(group.findings) == known


def test_worst_accounts_come_first(reports: Reports) -> None:
    report = reports.real()
    bad, few = report.findings[0], report.findings[-1]
    assert few.severity is not Severity.ERROR
    accounts = {"mild": (few,), "bad": (bad,), "worst": (bad, bad), "sound": ()}
    fleet = reports.fleet_of({name: attrs.evolve(report, findings=found) for name, found in accounts.items()})
    (section,) = tell(fleet).sections
    assert [finding.account for finding in section.findings] == ["worst", "worst", "bad", "mild"]


def test_acceptance_that_ends_within_14_days_is_announced(reports: Reports) -> None:
    report = reports.real()
    today = report.now.date()
    ends = [today + timedelta(days=14), today + timedelta(days=15), None]
    accepted = tuple(
        attrs.evolve(report.findings[0], acceptance=Acceptance(reason="known", until=until)) for until in ends
    )
    ending = tell(attrs.evolve(report, accepted=accepted)).ending
    assert ending is not None
    assert tuple(ending.findings) == accepted[:1]


@pytest.mark.parametrize(
    ("what", "before", "after", "words"),
    [
        ("TimeOffset", 5, 10, "TimeOffset: 5 → 10"),
        ("dtTo", None, "2026-01-01", "dtTo: not set → 2026-01-01"),
        ("code 2490 (ABG) TimeOffset", None, 10, "code 2490 (ABG) TimeOffset: not set → 10"),
        ("code 2490 (ABG)", None, "there", "code 2490 (ABG) was added"),
        ("code 2490", "there", None, "code 2490 is gone"),
        ("campaign", None, "Summer", "campaign was added"),
        ("campaign", "Summer", None, "campaign is gone"),
    ],
)
def test_change_in_words_is_plain(what: str, before: object, after: object, words: str) -> None:
    assert Change(campaign_id=1, campaign_name="x", what=what, before=before, after=after).in_words == words
