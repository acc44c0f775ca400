"""Merge the parts of an account's audit into one report, and the reports of many accounts into one. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from dialler_async.errors import ConfigurationError
from dialler_async.models import Language

from .account import AccountFacts, AccountRule
from .comparison import Comparison
from .coverage import NotChecked
from .findings import Finding
from .identity import AccountIdentity
from .options import AuditOptions
from .part import AuditPart, Gap, rule_failure
from .report import AuditReport, SortKey
from .rule import RuleInfo, Violation
from .rules import INCOMPLETE_LIST, RULE_FAILED, RUN_RULES, STOPPED_EARLY, AnyRule
from .summary import CampaignSummary, order


def merge(
    parts: Iterable[AuditPart],
    *,
    rules: Iterable[AnyRule],
    languages: Iterable[Language],
    now: datetime,
    started: datetime,
    seconds: float,
    identity: AccountIdentity | None = None,
) -> AuditReport:
    """Return the report of one account. Rules about the whole account compare the campaigns of all parts.

    It equals the report of `audit()`, but `records` is empty, since parts do not contain records.

    Args:
        parts: all parts of the account: the part of its `survey` first, the others in any order.
        rules: the same as for each of the parts.
        languages: the same as for each of the parts.
        now: the same as for each of the parts.
        started: when the audit of the account began, with zone.
        seconds: how long it took.
        identity: the account.

    Raises:
        ConfigurationError: no language is given, or a part has a finding of a rule that is not among these.
    """
    options = AuditOptions.of(rules, languages, now)
    return build_report(parts, options, started=started, seconds=seconds, identity=identity)


def build_report(
    parts: Iterable[AuditPart],
    options: AuditOptions,
    *,
    started: datetime,
    seconds: float,
    identity: AccountIdentity | None = None,
) -> AuditReport:
    """Return the report of one account, with these options; see `merge`."""
    parts = list(parts)
    summaries = tuple(sorted((summary for part in parts for summary in part.summaries), key=order))
    findings = [finding for part in parts for finding in part.findings]
    known = {rule.info.id for rule in options.rules}
    for finding in findings:
        if finding.rule not in known:
            raise ConfigurationError(f"a part has a finding of “{finding.rule}”, which is not among the given rules")
    gaps = [gap for part in parts for gap in part.gaps]
    not_checked = [one for part in parts for one in part.not_checked]
    account = AccountFacts(
        campaigns=summaries,
        now=options.now,
        languages=options.languages,
        missing=max(0, sum(part.total for part in parts) - len(summaries)),
        without_codes=sum(bool(one.languages) for one in not_checked),
    )
    for rule in options.rules:
        if isinstance(rule, AccountRule):
            try:
                findings += [finding for _, finding in list(rule.apply(account))]
            except Exception as error:
                gaps.append(rule_failure(rule, error))
    findings += [finding for part in parts for finding in part.account]
    findings += _gaps(gaps)
    failed = {gap.subject: gap.error for gap in gaps if gap.rule == RULE_FAILED.id}
    not_checked += [NotChecked(rule=rule, reason=error) for rule, error in failed.items()]
    rules = (*_reported_by_the_run(findings), *(rule.info for rule in options.rules))
    report = AuditReport(
        findings=tuple(findings),
        rules=rules,
        campaigns=sum(part.campaigns for part in parts),
        codes=sum(part.codes for part in parts),
        lookups=sum(part.lookups for part in parts),
        requests=sum(part.requests for part in parts),
        seconds=seconds,
        started=started,
        now=options.now,
        languages=options.languages,
        summaries=summaries,
        # Sorted, since parts come in any order.
        not_checked=tuple(sorted(set(not_checked), key=_order)),
        identity=identity,
    )
    return report.sorted_by(SortKey.RULE).sorted_by(SortKey.SEVERITY)


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
        reports: the report of each account, as `merge` returns it, by the account's name, in the wanted order. Pairs
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
        campaigns += report.campaigns
        codes += report.codes
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
        rules=(*_reported_by_the_run(findings), *(rule.info for rule in options.rules)),
        campaigns=campaigns,
        codes=codes,
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


def _order(part: NotChecked) -> tuple[object, ...]:
    is_campaign = part.campaign_name is not None
    return is_campaign, part.rule or "", part.campaign_id or 0, part.campaign_name or "", part.reason


def _reported_by_the_run(findings: Iterable[Finding]) -> list[RuleInfo]:
    """Return the rules of the run itself. `RUN_RULES` without a finding are left out, except two that always apply."""
    found = {INCOMPLETE_LIST.id, STOPPED_EARLY.id, *(finding.rule for finding in findings)}
    return [info for info in RUN_RULES if info.id in found]


def _gaps(gaps: Iterable[Gap]) -> list[Finding]:
    """Return the findings about what the parts did not check; gaps with the same reason are one finding."""
    numbers: dict[tuple[str, str, bool], int] = {}
    errors: dict[tuple[str, str, bool], str] = {}
    for gap in gaps:
        # All errors of a failed rule are one finding, even if they differ.
        reason = (gap.rule, gap.subject or gap.error, gap.number is not None)
        numbers[reason] = numbers.get(reason, 0) + (gap.number or 0)
        errors[reason] = min(errors.get(reason, gap.error), gap.error)
    findings = []
    # Sorted, since parts come in any order.
    for (rule, subject, counted), number in sorted(numbers.items()):
        error = errors[rule, subject, counted]
        campaigns = "1 campaign" if number == 1 else f"{number:,} campaigns"
        match rule:
            case RULE_FAILED.id:
                where = f" on {campaigns}" if counted else ""
                message = f"the rule “{subject}” failed{where}: {error}"
                violation = Violation(subject, message, measure=number if counted else None)
            case STOPPED_EARLY.id:
                message = f"{number:,} lookups of result codes were not made, since the server refused one: {error}"
                violation = Violation("", message, measure=number)
            case _ if counted:
                message = f"{campaigns} {'was' if number == 1 else 'were'} not audited: {error}"
                violation = Violation("", message, measure=number)
            case _:
                violation = Violation("", f"could not be audited: {error}")
        findings.append(next(info for info in RUN_RULES if info.id == rule).finding(None, violation))
    return findings
