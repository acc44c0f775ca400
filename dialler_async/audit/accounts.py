"""The reports of many accounts, put together as one. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from dialler_async.models import Language

from .findings import Finding
from .options import AuditOptions
from .report import AuditReport
from .rules import INCOMPLETE_LIST, NOT_AUDITED, STOPPED_EARLY, AnyRule
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
    """One report of many accounts.

    Findings and summaries name their account; they are ordered by account, and within it as they were. Accounts are not
    compared with each other. `records` is empty: thousands of accounts would fill the memory with them.

    Args:
        reports: the report of each account, such as `merge` makes it, by the account's name, in the order wanted. Of
            pairs, each is let go of before the next is taken: those of thousands of accounts need not be there twice.
        rules: as they were for each of the accounts.
        languages: likewise.
        now: likewise.
        started: when the whole began, with zone.
        seconds: how long the whole took.

    Raises:
        ConfigurationError: no language is given.
    """
    options = AuditOptions.of(rules, languages, now)
    findings: list[Finding] = []
    summaries: list[CampaignSummary] = []
    accounts: list[str] = []
    campaigns = codes = lookups = requests = 0
    for account, report in reports.items() if isinstance(reports, Mapping) else reports:
        accounts.append(account)
        campaigns += report.campaigns
        codes += report.codes
        lookups += report.lookups
        requests += report.requests
        findings += [attrs.evolve(finding, account=account) for finding in report.findings]
        summaries += [attrs.evolve(summary, account=account) for summary in report.summaries]
    return AuditReport(
        accounts=tuple(accounts),
        findings=tuple(findings),
        rules=(INCOMPLETE_LIST, STOPPED_EARLY, NOT_AUDITED, *(rule.info for rule in options.rules)),
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
