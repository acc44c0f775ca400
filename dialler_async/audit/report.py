"""The result of an audit of one account, or of several: `AuditReport`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

import attrs

from ..models import Language
from ..version import __version__
from .comparison import Comparison
from .coverage import Coverage, NotChecked
from .findings import Finding, Severity, State
from .identity import AccountIdentity
from .rule import RuleInfo
from .rules import DELETED, NOT_AUDITED, RULE_FAILED, STOPPED_EARLY, UNUSED_ACCEPTANCE
from .snapshots import RecordSnapshot
from .summary import CampaignSummary

_ENDS_SOON = timedelta(days=14)
"""An acceptance that ends within this time is announced."""


class SortKey(StrEnum):
    """The first sort key of findings. Ties keep the usual order."""

    SEVERITY = "severity"
    CAMPAIGN = "campaign"
    RULE = "rule"


@attrs.frozen(kw_only=True)
class AuditReport:
    """The findings of one run, and how much it checked. A plain value: it pickles and compares.

    Attributes:
        findings: ordered by severity, then by account if there are several, then by campaign (ID, then name; those
            without an ID last), then as in `rules`. Findings about a whole account come before its campaigns.
        rules: the rules that were applied, in order.
        campaign_count: how many campaigns the server sent.
        code_count: how many result codes they have; a code counts once for all languages.
        lookups: how many lists of result codes were requested: campaigns times languages.
        requests: number of calls: the list of campaigns and the lookups.
        seconds: how long it took.
        started: when it began, with zone.
        now: the time that dates were compared with, with zone.
        languages: the languages in which result codes were requested.
        summaries: a summary of every audited campaign, ordered by account, ID, then name; those without an ID last.
        not_checked: what the run did not check; empty if it checked everything.
        records: a snapshot of every audited campaign for the next report, in the same order; none in a report of parts
            or of several accounts.
        comparison: what has changed since the baseline, if the report was compared with one.
        accounts: the names of the accounts, in order, in a report of several; else empty.
        identity: the audited account; None in a report of several, or if it is unknown.
        identities: the identity of each account by its name, in a report of several.
        tool: name and version of the program that made the report.
        scope: which campaigns were chosen, in words, such as `running, name “VIP*”`; None for the whole account.
        accepted: findings that a user has accepted. They are in no other attribute, and don't fail.
        fails_on_new: whether only findings that are not in the baseline fail.
        name: the name of the account in the settings; None without one.
        portal_url: the address of a campaign in the portal, with `{id}` in place of its ID, and `{clients_id}` in place
            of its account's; None without links.
    """

    findings: tuple[Finding, ...]
    rules: tuple[RuleInfo, ...]
    campaign_count: int
    code_count: int
    lookups: int
    requests: int
    seconds: float
    started: datetime
    now: datetime
    languages: tuple[Language, ...] = ()
    summaries: tuple[CampaignSummary, ...] = ()
    not_checked: tuple[NotChecked, ...] = ()
    records: tuple[RecordSnapshot, ...] = ()
    comparison: Comparison | None = None
    accounts: tuple[str, ...] = ()
    identity: AccountIdentity | None = None
    identities: Mapping[str, AccountIdentity] = attrs.field(factory=dict)
    tool: str = f"dialler_async {__version__}"
    scope: str | None = None
    accepted: tuple[Finding, ...] = ()
    fails_on_new: bool = False
    name: str | None = None
    portal_url: str | None = None

    def all_findings(self) -> Iterator[Finding]:
        """Yield all findings, including accepted findings, and findings of the baseline that are gone or unchecked."""
        yield from self.findings
        yield from self.accepted
        if self.comparison:
            yield from (*self.comparison.gone, *self.comparison.unchecked)

    def coverages(self) -> dict[str | None, Coverage]:
        """Return what the run checked of each account, by its name; None is the account in a report of one."""
        campaigns: dict[str | None, list[CampaignSummary]] = {}
        not_checked: dict[str | None, list[NotChecked]] = {}
        for summary in self.summaries:
            campaigns.setdefault(summary.account, []).append(summary)
        for part in self.not_checked:
            not_checked.setdefault(part.account, []).append(part)
        return {
            name: Coverage(
                rules=self.rules,
                languages=self.languages,
                campaigns=campaigns.get(name, ()),
                not_checked=not_checked.get(name, ()),
                scope=self.scope,
            )
            for name in self.accounts or (None,)
        }

    def coverage(self) -> Coverage:
        """Return what the run checked; only for a report of one account."""
        return self.coverages()[None]

    def ending(self) -> tuple[Finding, ...]:
        """Return the accepted findings whose acceptance ends within the next 14 days, the first to end first."""
        last = self.now.date() + _ENDS_SOON
        days = {finding: finding.acceptance.until for finding in self.accepted if finding.acceptance}
        ending = ((day, finding) for finding, day in days.items() if day is not None and day <= last)
        return tuple(finding for _, finding in sorted(ending, key=lambda pair: pair[0]))

    def sorted_by(self, key: SortKey) -> "AuditReport":
        """Return the same report with its findings in another order."""
        if key is SortKey.RULE:
            places = {info.id: place for place, info in enumerate(self.rules)}
            return attrs.evolve(self, findings=tuple(sorted(self.findings, key=lambda it: places[it.rule])))
        accounts = {name: place for place, name in enumerate(self.accounts)}

        def place(finding: Finding) -> tuple[object, ...]:
            rank = finding.severity.rank if key is SortKey.SEVERITY else 0
            return (rank, accounts.get(finding.account or "", -1), *_campaign_order(finding))

        return attrs.evolve(self, findings=tuple(sorted(self.findings, key=place)))

    def by_account(self) -> dict[str, dict[Severity, int]]:
        """Return the number of findings by account and severity, including zeros. The worst account comes first."""
        found = Counter((finding.account, finding.severity) for finding in self.findings)
        numbers = {name: {severity: found[name, severity] for severity in Severity} for name in self.accounts}
        return dict(sorted(numbers.items(), key=lambda item: [-number for number in item[1].values()]))

    def by_rule(self) -> dict[RuleInfo, int]:
        """Return the number of findings of each rule that has any. The worst severity comes first."""
        found = Counter(finding.rule for finding in self.findings)
        return {info: found[info.id] for info in sorted(self.rules, key=lambda it: it.severity.rank) if found[info.id]}

    def by_severity(self) -> dict[Severity, int]:
        """Return the number of findings of each severity, including zeros. The worst severity comes first."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in Severity}

    def identity_of(self, finding: Finding) -> AccountIdentity | None:
        """Return the account that a finding is about, if it is known."""
        return self.identity if finding.account is None else self.identities.get(finding.account)

    def portal_link(self, finding: Finding) -> str | None:
        """Return the URL of a finding's campaign in the portal; None if the finding or the report has no such URL."""
        url, identity = self.portal_url, self.identity_of(finding)
        if url is None or finding.campaign_id is None or (self.accounts and "{clients_id}" not in url):
            return None
        clients_id = "" if identity is None or identity.clients_id is None else str(identity.clients_id)
        link = url.replace("{id}", str(finding.campaign_id)).replace("{clients_id}", clients_id)
        return quote(link, safe="%:/?#[]@!$&'()*+,;=~")

    def has(self, *rules: RuleInfo) -> bool:
        """Return whether any of these rules has a finding."""
        return not {info.id for info in rules}.isdisjoint(finding.rule for finding in self.findings)

    @property
    def title(self) -> str:
        """The audited account or accounts, in words."""
        if self.accounts:
            return f"{len(self.accounts):,} account{'' if len(self.accounts) == 1 else 's'}"
        account = "an unknown account" if self.identity is None else str(self.identity)
        return account if self.name is None else f"{self.name} ({account})"

    @property
    def scope_note(self) -> str | None:
        """Which part of the account was audited, in words; None for the whole account."""
        if self.scope is None:
            return None
        return f"only part of the account: {len(self.summaries):,} of {self.campaign_count:,} campaigns ({self.scope})"

    @property
    def unfinished(self) -> bool:
        """Whether the run ended early, some part could not be audited at all, or no campaign could be looked up."""
        return self.has(STOPPED_EARLY, NOT_AUDITED) or self._has_no_codes

    @property
    def _has_no_codes(self) -> bool:
        is_listed = any(part.campaign_name is not None for part in self.not_checked)
        return is_listed and not any(summary.texts for summary in self.summaries)

    @property
    def rule_failed(self) -> bool:
        """Whether a rule raised an error, so that it did not check everything."""
        return self.has(RULE_FAILED)

    @property
    def zone_note(self) -> str:
        """How dates without a zone were compared: in the zone of `now`. No page of the reference states the zone."""
        return "dates without a zone are treated as local time"

    def fails(self, finding: Finding) -> bool:
        """Return whether a finding may fail a build.

        Accepted findings never fail. With `fails_on_new`, only new findings fail, but not that a campaign was deleted.
        """
        if finding.acceptance is not None or finding.state in (State.GONE, State.UNCHECKED):
            return False
        is_deletion = (finding.rule, finding.kind) == (UNUSED_ACCEPTANCE.id, DELETED)
        return not self.fails_on_new or (finding.state is State.NEW and not is_deletion)


def _campaign_order(finding: Finding) -> tuple[bool, bool, int, str]:
    is_campaign = finding.campaign_name is not None
    return is_campaign, finding.campaign_id is None, finding.campaign_id or 0, finding.campaign_name or ""
