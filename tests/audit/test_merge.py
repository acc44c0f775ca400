"""The report of many accounts, and of an account that could not be audited."""

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from dialler_async import DiallerClient, Language
from dialler_async.audit import RULES, AuditReport, NotChecked, audit, merge_accounts, not_audited, tell
from dialler_async.sandbox import Sandbox

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"rules": RULES, "languages": tuple(Language), "now": NOW}
RUN: dict[str, Any] = {"started": NOW, "seconds": 1.5}


def test_account_that_could_not_be_audited_has_one_finding_and_nothing_was_checked() -> None:
    report = not_audited("401 Unauthorized", **OPTIONS, **RUN)
    assert [(one.rule, one.message) for one in report.findings] == [
        ("not-audited", "could not be audited: 401 Unauthorized")
    ]
    assert report.not_checked == (NotChecked(reason="401 Unauthorized"),)
    assert report.unfinished
    assert [info.id for info in report.rules[:3]] == ["incomplete-list", "stopped-early", "not-audited"]


class TestAccounts:
    @pytest.fixture
    async def reports(self) -> dict[str, AuditReport]:
        """Return reports of two accounts with the same campaign IDs, and of one account that could not be audited."""
        reports = {}
        for name, seed in (("north", 2), ("east", 1)):
            async with (
                Sandbox(campaigns=20, seed=seed) as sandbox,
                DiallerClient(sandbox.base_url, sandbox.token) as dialler,
            ):
                reports[name] = await audit(dialler, **OPTIONS)
        return {**reports, "west": not_audited("401 Unauthorized", **OPTIONS, **RUN)}

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
        for counted in ("campaign_count", "code_count", "lookups", "requests"):
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
