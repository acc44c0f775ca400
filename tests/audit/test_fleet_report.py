"""The report of a fleet: numbers of all accounts, and their findings, which are read account by account."""

from __future__ import annotations

import csv
import json
import random
import weakref
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import fromstring, tostring

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import ConfigurationError, Language
from dialler_async.audit import (
    RULES,
    WRITERS,
    AcceptanceEntry,
    AccountIdentity,
    AuditReport,
    FleetReport,
    FleetReportBuilder,
    NotChecked,
    SortKey,
    Topic,
    accept,
    not_audited,
    tell,
    with_states,
)
from dialler_async.audit.writers.html import write_html, write_index

if TYPE_CHECKING:
    from tests.audit.conftest import Reports

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"rules": RULES, "languages": tuple(Language), "now": NOW}
RUN: dict[str, Any] = {"started": NOW, "seconds": 1.5}
NAMES = ("north", "so/u|th", "east")


def test_account_that_could_not_be_audited_has_one_finding_and_nothing_was_checked() -> None:
    report = not_audited("401 Unauthorized", **OPTIONS, **RUN)
    assert [(one.rule, one.message) for one in report.findings] == [
        ("not-audited", "could not be audited: 401 Unauthorized")
    ]
    assert report.not_checked == (NotChecked(reason="401 Unauthorized"),)
    assert report.unfinished
    assert [info.id for info in report.rules[:3]] == ["incomplete-list", "stopped-early", "not-audited"]


def fleet_of(accounts: dict[str, AuditReport], **options: Any) -> FleetReport:
    builder = FleetReportBuilder(now=NOW, languages=Language, **options)
    for name, report in accounts.items():
        builder.add(name, report)
    return builder.build(**RUN)


def a_fleet(report: AuditReport, seed: int) -> dict[str, AuditReport]:
    """Return reports of accounts with some of the findings of a report, in all states."""
    chance = random.Random(seed)
    entry = AcceptanceEntry.of({"rule": chance.choice(report.findings).rule, "campaign": "*", "reason": "known"})
    accounts = {}
    for id, name in enumerate(NAMES[: chance.randrange(4)], 1):
        found = tuple(finding for finding in report.findings if chance.random() < 0.5)
        part = NotChecked(reason="no response", campaign_id=1, campaign_name="x", languages=(Language.ENGLISH,))
        one = accept(
            attrs.evolve(
                report,
                findings=found,
                identity=AccountIdentity("acd.example.com/rest/v1.0", id),
                not_checked=(part,) if chance.random() < 0.5 else (),
                records=(),
            ),
            [entry] if chance.random() < 0.5 else [],
        )
        known = [finding for finding in report.findings if chance.random() < 0.5]
        accounts[name] = with_states(one, known, since=NOW - timedelta(days=id)) if chance.random() < 0.8 else one
    return accounts


def without_account(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != "account"}


SEEDS = st.integers(0, 10**6)


class TestRandomFleets:
    @given(seed=SEEDS)
    def test_lines_are_those_of_the_accounts(self, reports: Reports, seed: int) -> None:
        accounts = a_fleet(reports.real(), seed)
        lines = [json.loads(line) for line in written("jsonl", fleet_of(accounts)).splitlines()]
        rows = list(csv.DictReader(StringIO(written("csv", fleet_of(accounts)), newline="")))
        assert len(rows) == len(lines)
        for name, report in accounts.items():
            own = [json.loads(line) for line in written("jsonl", report).splitlines()]
            assert [without_account(line) for line in lines if line["account"] == name] == own
            own_rows = list(csv.DictReader(StringIO(written("csv", report), newline="")))
            assert [without_account(row) for row in rows if row["account"] == name] == own_rows

    @given(seed=SEEDS)
    def test_json_has_the_findings_of_the_accounts_the_worst_first(self, reports: Reports, seed: int) -> None:
        accounts = a_fleet(reports.real(), seed)
        fleet = fleet_of(accounts)
        whole = json.loads(written("json", fleet))
        own = [json.loads(written("json", accounts[name])) for name in fleet.by_account()]
        for key in ("findings", "accepted", "not_checked"):
            assert list(map(without_account, whole[key])) == [one for report in own for one in report[key]]
        compared = [report["comparison"] for report in own if report["comparison"]]
        assert (whole["comparison"] is None) is (not compared)
        for key in ("new", "gone", "unchecked") if compared else ():
            assert list(map(without_account, whole["comparison"][key])) == [one for c in compared for one in c[key]]
        for key in ("campaigns", "codes", "lookups", "requests"):
            assert whole[key] == sum(report[key] for report in own)

    @given(seed=SEEDS)
    def test_sarif_and_junit_have_the_findings_of_the_accounts(self, reports: Reports, seed: int) -> None:
        accounts = a_fleet(reports.real(), seed)
        fleet = fleet_of(accounts)
        (run,) = json.loads(written("sarif", fleet))["runs"]
        own = [json.loads(written("sarif", accounts[name]))["runs"][0] for name in fleet.by_account()]
        messages = [result["message"] for report in own for result in report["results"]]
        assert [result["message"] for result in run["results"]] == messages
        root = fromstring(written("junit", fleet))  # noqa: S314  our own
        for suite, name in zip(root, fleet.by_account(), strict=True):
            cases = list(fromstring(written("junit", accounts[name])).iter("testcase"))  # noqa: S314  our own
            results = sorted(tostring(result) for case in cases for result in case)
            assert sorted(tostring(result) for case in suite.iter("testcase") for result in case) == results

    @given(seed=SEEDS)
    def test_numbers_are_the_sums_of_the_accounts(self, reports: Reports, seed: int) -> None:
        accounts = a_fleet(reports.real(), seed)
        fleet = fleet_of(accounts)
        for topic in Topic:
            assert fleet.numbers.of(topic).total() == len(list(fleet.of(topic)))
            assert len(list(fleet.of(topic))) == sum(len(report.by_topic()[topic]) for report in accounts.values())
        for name, report in accounts.items():
            assert fleet.accounts[name].found == report.by_severity()
        for section in tell(fleet).sections:
            grouped = [finding for group in section.groups(fold_above=2) for finding in group.findings]
            assert sorted(map(repr, grouped)) == sorted(map(repr, section.findings))


def written(format: str, report: AuditReport | FleetReport) -> str:
    return "".join(WRITERS[format](report))


def test_findings_can_be_sorted_within_each_account(reports: Reports) -> None:
    fleet = fleet_of({"north": reports.real(), "south": reports.real()}).sorted_by(SortKey.CAMPAIGN)
    ids = [finding.campaign_id or 0 for finding in fleet.findings if finding.campaign_id]
    assert ids == 2 * sorted(ids[: len(ids) // 2])


def test_report_of_no_accounts_is_empty() -> None:
    assert list(fleet_of({}).findings) == []
    assert tell(fleet_of({})).verdict == "0 accounts: nothing found"


def test_report_stays_the_same_when_further_accounts_are_added(reports: Reports) -> None:
    builder = FleetReportBuilder(now=NOW)
    builder.add("north", reports.real())
    before = builder.build(**RUN)
    builder.add("south", reports.real())
    assert list(before.accounts) == ["north"]
    assert (
        len(list(before.findings)) == before.numbers.of(Topic.NEW, Topic.KNOWN).total() == len(reports.real().findings)
    )
    assert list(builder.build(**RUN).accounts) == ["north", "south"]


def test_account_is_added_once(reports: Reports) -> None:
    builder = FleetReportBuilder(now=NOW)
    builder.add("north", reports.real())
    with pytest.raises(ConfigurationError, match="“north” was added before"):
        builder.add("north", reports.empty())
    assert builder.build(**RUN).campaign_count == reports.real().campaign_count


def test_fleet_is_unfinished_if_any_account_is(reports: Reports) -> None:
    lost = not_audited("401 Unauthorized", **OPTIONS, **RUN)
    assert fleet_of({"lost": lost, "north": reports.empty()}).unfinished
    assert not fleet_of({"north": reports.empty()}).unfinished


class CountedReports(MutableMapping[str, AuditReport]):
    """Makes a new report for each access, and counts how many there are at a time."""

    def __init__(self) -> None:
        self._reports: dict[str, AuditReport] = {}
        self._living: list[weakref.ref[AuditReport]] = []
        self.most = 0

    def __getitem__(self, name: str) -> AuditReport:
        report = attrs.evolve(self._reports[name])
        self._living = [one for one in self._living if one() is not None] + [weakref.ref(report)]
        self.most = max(self.most, len(self._living))
        return report

    def __setitem__(self, name: str, report: AuditReport) -> None:
        self._reports[name] = report

    def __delitem__(self, name: str) -> None:
        del self._reports[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._reports)

    def __len__(self) -> int:
        return len(self._reports)


@pytest.mark.parametrize("format", [*WRITERS, "html", "index"])
def test_few_accounts_are_in_memory_at_a_time(format: str, reports: Reports) -> None:
    kept = CountedReports()
    account = with_states(attrs.evolve(reports.real(), records=()), reports.real().findings[3:], since=NOW)
    fleet = fleet_of({f"account {number}": account for number in range(50)}, reports=kept)
    if format == "html":
        assert "account 49" in "".join(write_html(fleet))
    elif format == "index":
        assert "account 49" in "".join(write_index(fleet, []))
    else:
        assert "account " in written(format, fleet)
    # One in a pass over the accounts, its successor, and those of passes over folded rules.
    assert 0 < kept.most <= 5
