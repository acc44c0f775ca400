"""Merge the reports of many accounts into one. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from dialler_async.models import Language

from .findings import Finding
from .identity import AccountIdentity
from .merge import reported_by_the_run
from .options import AuditOptions
from .report import AuditReport
from .rules import AnyRule
from .summary import CampaignSummary


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
    Accounts are not compared with each other. `records` is empty: those of thousands of accounts would fill the memory.

    Args:
        reports: the report of each account, as `merge` returns it, by the account's name, in the wanted order. Pairs
            are read one at a time, so that an iterator can drop each report before it makes the next.
        rules: the same as for each of the accounts.
        languages: the same as for each of the accounts.
        now: the same as for each of the accounts.
        started: when the audit of the first account began, with zone.
        seconds: how long the audit of all accounts took.

    Raises:
        ConfigurationError: No language is given.
    """
    options = AuditOptions.of(rules, languages, now)
    findings: list[Finding] = []
    summaries: list[CampaignSummary] = []
    accounts: list[str] = []
    identities: dict[str, AccountIdentity] = {}
    campaigns = codes = lookups = requests = 0
    for account, report in reports.items() if isinstance(reports, Mapping) else reports:
        accounts.append(account)
        if report.identity is not None:
            identities[account] = report.identity
        campaigns += report.campaigns
        codes += report.codes
        lookups += report.lookups
        requests += report.requests
        findings += [attrs.evolve(finding, account=account) for finding in report.findings]
        summaries += [attrs.evolve(summary, account=account) for summary in report.summaries]
    findings.sort(key=lambda finding: finding.severity.rank)
    return AuditReport(
        accounts=tuple(accounts),
        identities=identities,
        findings=tuple(findings),
        rules=(*reported_by_the_run(findings), *(rule.info for rule in options.rules)),
        campaigns=campaigns,
        codes=codes,
        lookups=lookups,
        requests=requests,
        seconds=seconds,
        started=started,
        now=options.now,
        languages=options.languages,
        summaries=tuple(summaries),
    )
