"""Parts of an account's audit, put together: one report, as if one run had made it. Pure."""

from collections.abc import Iterable
from datetime import datetime

from dialler_async.errors import ConfigurationError
from dialler_async.models import Language

from .account import AccountFacts, AccountRule
from .findings import Finding
from .options import AuditOptions
from .part import AuditPart, Gap
from .report import AuditReport
from .rule import Violation
from .rules import INCOMPLETE_LIST, NOT_AUDITED, STOPPED_EARLY, AnyRule
from .summary import order


def merge(
    parts: Iterable[AuditPart],
    *,
    rules: Iterable[AnyRule],
    languages: Iterable[Language],
    now: datetime,
    started: datetime,
    seconds: float,
) -> AuditReport:
    """The report of one account. Its campaigns are compared with each other, across all parts.

    It is what `audit()` makes of the account in a single run, but for `records`, which parts do not hold: it has none.

    Args:
        parts: all parts of the account: that of its `survey` first, the others in any order.
        rules: as they were for each of the parts.
        languages: likewise.
        now: likewise.
        started: when the audit of the account began, with zone.
        seconds: how long it took.

    Raises:
        ConfigurationError: no language is given, or a part was judged by a rule that is not among these.
    """
    return put_together(parts, AuditOptions.of(rules, languages, now), started=started, seconds=seconds)


def put_together(
    parts: Iterable[AuditPart], options: AuditOptions, *, started: datetime, seconds: float
) -> AuditReport:
    """The report of one account, by these options; see `merge`."""
    parts = list(parts)
    summaries = tuple(sorted((summary for part in parts for summary in part.summaries), key=order))
    account = AccountFacts(campaigns=summaries, now=options.now)
    findings = [finding for part in parts for finding in part.findings]
    for rule in options.rules:
        if isinstance(rule, AccountRule):
            findings += [finding for _, finding in rule.apply(account)]
    places = {rule.info.id: place for place, rule in enumerate(options.rules)}
    for finding in findings:
        if finding.rule not in places:
            raise ConfigurationError(f"a part was judged by “{finding.rule}”, which is not among the rules given")
    findings.sort(key=lambda it: (it.campaign_id is None, it.campaign_id or 0, it.campaign_name, places[it.rule]))
    gaps = [gap for part in parts for gap in part.gaps]
    told = [INCOMPLETE_LIST, STOPPED_EARLY]
    if any(gap.rule == NOT_AUDITED.id for gap in gaps):
        told.append(NOT_AUDITED)
    return AuditReport(
        findings=(*(finding for part in parts for finding in part.account), *_gaps(gaps), *findings),
        rules=(*told, *(rule.info for rule in options.rules)),
        campaigns=sum(part.campaigns for part in parts),
        codes=sum(part.codes for part in parts),
        lookups=sum(part.lookups for part in parts),
        requests=sum(part.requests for part in parts),
        seconds=seconds,
        started=started,
        now=options.now,
        languages=options.languages,
        summaries=summaries,
    )


def _gaps(gaps: Iterable[Gap]) -> list[Finding]:
    """What the parts did not get to look at; what has the same reason is told once."""
    together: dict[tuple[str, bool, str], int] = {}
    for gap in gaps:
        why = (gap.rule, gap.number is not None, gap.error)
        together[why] = together.get(why, 0) + (gap.number or 0)
    findings = []
    # Sorted, since parts come in any order.
    for (rule, counted, error), number in sorted(together.items(), reverse=True):
        if rule == STOPPED_EARLY.id:
            message = f"{number:,} lookups of result codes were left, when the server refused one: {error}"
            findings.append(STOPPED_EARLY.finding(None, Violation("", message)))
        elif counted:
            campaigns = "1 campaign was" if number == 1 else f"{number:,} campaigns were"
            findings.append(NOT_AUDITED.finding(None, Violation("", f"{campaigns} not audited: {error}")))
        else:
            findings.append(NOT_AUDITED.finding(None, Violation("", f"could not be audited: {error}")))
    return findings
