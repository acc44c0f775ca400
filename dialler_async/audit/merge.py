"""Merge the reports of many accounts into one. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from ..models import Language
from .comparison import Comparison
from .coverage import NotChecked
from .findings import Finding
from .identity import AccountIdentity
from .options import AuditOptions
from .report import AuditReport
from .rule_runner import RuleRunner
from .rules import AnyRule
from .summary import CampaignSummary


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
        reports: the report of each account, by the account's name, in the wanted order. Pairs
            are read one at a time, so that an iterator can drop each report before it makes the next.
        rules: the same as for each of the accounts.
        languages: the same as for each of the accounts.
        now: the same as for each of the accounts.
        started: when the audit of the first account began, with zone.
        seconds: how long the audit of all accounts took.
    Raises:
        ConfigurationError: no language is given.
    """
    options = AuditOptions.of(rules, languages, now)
    findings: list[Finding] = []
    accepted: list[Finding] = []
    summaries: list[CampaignSummary] = []
    not_checked: list[NotChecked] = []
    accounts: list[str] = []
    identities: dict[str, AccountIdentity] = {}
    comparisons: dict[str, Comparison] = {}
    campaigns = codes = lookups = requests = 0
    for account, report in reports.items() if isinstance(reports, Mapping) else reports:
        accounts.append(account)
        if report.identity is not None:
            identities[account] = report.identity
        if report.comparison is not None:
            comparisons[account] = report.comparison
        campaigns += report.campaign_count
        codes += report.code_count
        lookups += report.lookups
        requests += report.requests
        findings += [attrs.evolve(finding, account=account) for finding in report.findings]
        accepted += [attrs.evolve(finding, account=account) for finding in report.accepted]
        not_checked += [attrs.evolve(part, account=account) for part in report.not_checked]
        summaries += [attrs.evolve(summary, account=account) for summary in report.summaries]
    findings.sort(key=lambda finding: finding.severity.rank)
    return AuditReport(
        accounts=tuple(accounts),
        identities=identities,
        findings=tuple(findings),
        rules=options.applied(findings),
        campaign_count=campaigns,
        code_count=codes,
        lookups=lookups,
        requests=requests,
        seconds=seconds,
        started=started,
        now=options.now,
        languages=options.languages,
        summaries=tuple(summaries),
        not_checked=tuple(not_checked),
        accepted=tuple(accepted),
        comparison=_merged_comparison(comparisons) if comparisons else None,
    )


def _merged_comparison(comparisons: Mapping[str, Comparison]) -> Comparison:
    """Return one comparison of many accounts, without the changed values."""

    def named(state: str) -> tuple[Finding, ...]:
        every = ((name, finding) for name, one in comparisons.items() for finding in getattr(one, state))
        return tuple(attrs.evolve(finding, account=name) for name, finding in every)

    return Comparison(
        since=min(one.since for one in comparisons.values()),
        new=named("new"),
        gone=named("gone"),
        unchanged=sum(one.unchanged for one in comparisons.values()),
        unchecked=named("unchecked"),
        changes=(),
    )
