"""What an audit comes to, of one account or of several: `AuditReport`."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby

import attrs

from dialler_async.models import Language

from .comparison import Comparison
from .findings import Finding, Severity
from .rule import RuleInfo
from .rules import NOT_AUDITED, STOPPED_EARLY
from .snapshots import RecordSnapshot
from .summary import CampaignSummary


@attrs.frozen(kw_only=True)
class AuditReport:
    """The findings of one run, and how much was looked at. A plain value: it pickles and compares.

    Attributes:
        findings: ordered by account if there are several, by campaign (ID, then name; those without an ID last), then
            as in `rules`. What is about a whole account comes before its campaigns.
        rules: what was judged by, in order.
        campaigns: how many campaigns the server sent.
        codes: how many result codes they have; a code counts once, in however many languages it came.
        lookups: how many lists of result codes were asked for: campaigns times languages.
        requests: how many calls it took: the list of campaigns and the lookups.
        seconds: how long it took.
        started: when it began, with zone.
        now: the moment that dates were compared with, with zone.
        languages: the languages in which result codes were asked for.
        summaries: every campaign in brief, ordered by account, ID, then name; those without an ID last.
        records: what is kept of every campaign for the next report to compare with, in the same order; none in a report
            of parts or of several accounts.
        comparison: what has changed since an earlier report, if it was compared with one.
        accounts: the names of the accounts, in order, in a report of several; else empty.
    """

    findings: tuple[Finding, ...]
    rules: tuple[RuleInfo, ...]
    campaigns: int
    codes: int
    lookups: int
    requests: int
    seconds: float
    started: datetime
    now: datetime
    languages: tuple[Language, ...] = ()
    summaries: tuple[CampaignSummary, ...] = ()
    records: tuple[RecordSnapshot, ...] = ()
    comparison: Comparison | None = None
    accounts: tuple[str, ...] = ()

    def by_campaign(self) -> Iterator[tuple[Finding, ...]]:
        """The findings, a tuple for each campaign that has any."""
        for _, group in groupby(self.findings, key=lambda it: (it.account, it.campaign_id, it.campaign_name)):
            yield tuple(group)

    def by_account(self) -> dict[str, dict[Severity, int]]:
        """How many findings each account has of each severity, also where there are none: the worst account first."""
        found = Counter((finding.account, finding.severity) for finding in self.findings)
        numbers = {name: {severity: found[name, severity] for severity in Severity} for name in self.accounts}
        return dict(sorted(numbers.items(), key=lambda item: [-number for number in item[1].values()]))

    def by_rule(self) -> dict[RuleInfo, int]:
        """How many findings each rule has, in the order of `rules`; rules that found nothing are left out."""
        found = Counter(finding.rule for finding in self.findings)
        return {info: found[info.id] for info in self.rules if found[info.id]}

    def by_severity(self) -> dict[Severity, int]:
        """How many findings there are of each severity, worst first, also where there are none."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in Severity}

    @property
    def stopped(self) -> bool:
        """Whether the run ended early, as no further lookup could have worked."""
        return any(finding.rule == STOPPED_EARLY.id for finding in self.findings)

    @property
    def unfinished(self) -> bool:
        """Whether the run ended early, or an account or some of its campaigns could not be audited at all."""
        return any(finding.rule in (STOPPED_EARLY.id, NOT_AUDITED.id) for finding in self.findings)

    @property
    def zone_note(self) -> str:
        """How dates without a zone were compared: in that of `now`. Which one is meant, is documented nowhere."""
        return "dates without a zone are taken for local time"

    def at_least(self, severity: Severity) -> bool:
        """Whether any finding is as bad as that, or worse."""
        return any(finding.severity.at_least(severity) for finding in self.findings)
