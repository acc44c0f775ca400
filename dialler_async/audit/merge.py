"""Merge the reports of many accounts into one. Pure."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

import attrs

from ..models import Language
from .comparison import Comparison
from .coverage import NotChecked
from .findings import Finding
from .options import AuditOptions
from .report import AuditReport
from .rule_runner import RuleRunner
from .rules import AnyRule
from .summary import CampaignSummary

_PartT = TypeVar("_PartT", Finding, NotChecked, CampaignSummary)


def not_audited(
    error: str,
    *,
    rules: Iterable[AnyRule],
    languages: Iterable[Language],
    now: datetime,
    started: datetime,
    seconds: float = 0.0,
) -> AuditReport:
    """Return the report of an account that could not be audited: its one finding is `not-audited`.

    Args:
        error: the reason, in words, without any secret.
        rules: the rules that would have been applied.
        languages: the languages in which result codes would have been requested.
        now: the time that dates would have been compared with.
        started: when the audit began, with zone.
        seconds: how long it took.
    Raises:
        ConfigurationError: no language is given.
    """
    runner = RuleRunner(AuditOptions.of(rules, languages, now))
    runner.record_no_list(error)
    return runner.report(seconds=seconds, started=started)


def merge_accounts(
    reports: Mapping[str, AuditReport] | Iterable[tuple[str, AuditReport]],
    *,
    rules: Iterable[AnyRule],
    languages: Iterable[Language],
    now: datetime,
    started: datetime,
    seconds: float,
) -> AuditReport:
    """Return one report of many accounts.

    Findings and summaries name their account. Findings are ordered by severity, then account; summaries by account.
    Accounts are not compared with each other. `records` is empty, to save memory.

    Args:
        reports: the report of each account, by the account's name, in the wanted order.
        rules: the same as for each of the accounts.
        languages: the same as for each of the accounts.
        now: the same as for each of the accounts.
        started: when the audit of the first account began, with zone.
        seconds: how long the audit of all accounts took.
    Raises:
        ConfigurationError: no language is given.
    """
    options = AuditOptions.of(rules, languages, now)
    every = list(reports.items() if isinstance(reports, Mapping) else reports)

    def named(select: Callable[[AuditReport], Iterable[_PartT]]) -> tuple[_PartT, ...]:
        return tuple(attrs.evolve(part, account=account) for account, report in every for part in select(report))

    findings = sorted(named(lambda report: report.findings), key=lambda finding: finding.severity.rank)
    comparisons = [report.comparison for _, report in every if report.comparison is not None]
    return AuditReport(
        accounts=tuple(account for account, _ in every),
        identities={account: report.identity for account, report in every if report.identity is not None},
        findings=tuple(findings),
        rules=options.applied(findings),
        campaign_count=sum(report.campaign_count for _, report in every),
        code_count=sum(report.code_count for _, report in every),
        lookups=sum(report.lookups for _, report in every),
        requests=sum(report.requests for _, report in every),
        seconds=seconds,
        started=started,
        now=options.now,
        languages=options.languages,
        summaries=named(lambda report: report.summaries),
        not_checked=named(lambda report: report.not_checked),
        accepted=named(lambda report: report.accepted),
        comparison=Comparison(
            since=min(one.since for one in comparisons),
            new=named(lambda report: report.comparison.new if report.comparison else ()),
            gone=named(lambda report: report.comparison.gone if report.comparison else ()),
            unchanged=sum(one.unchanged for one in comparisons),
            unchecked=named(lambda report: report.comparison.unchecked if report.comparison else ()),
            changes=(),
        )
        if comparisons
        else None,
    )
