"""The result of an audit: `AuditReport` for one account; `Report`, what it has in common with the report of a fleet."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Self
from urllib.parse import quote

import attrs

from ..models import Language
from ..version import __version__
from .comparison import Change, Comparison
from .coverage import Coverage, NotChecked
from .findings import Finding, Severity, State
from .identity import AccountIdentity
from .rule import RuleInfo
from .rules import DELETED, NOT_AUDITED, RULE_FAILED, STOPPED_EARLY, UNUSED_ACCEPTANCE
from .snapshots import RecordSnapshot
from .summary import CampaignSummary
from .topics import OPEN, Numbers, Topic

_ENDS_SOON = timedelta(days=14)
"""An acceptance that ends within this time is announced."""


class SortKey(StrEnum):
    """The first sort key of findings. Ties keep the usual order."""

    SEVERITY = "severity"
    CAMPAIGN = "campaign"
    RULE = "rule"


@attrs.frozen(kw_only=True)
class AccountNumbers:
    """One account of a fleet in numbers.

    Attributes:
        identity: the account; None if it is unknown.
        campaigns: number of campaigns that were audited.
        found: number of findings of each severity, including zeros, the worst first.
        new: number of new findings.
    """

    identity: AccountIdentity | None
    campaigns: int
    found: Mapping[Severity, int]
    new: int


@attrs.frozen(kw_only=True)
class Report(ABC):
    """What the reports of one account and of a fleet have in common. All formats are written from it.

    Attributes:
        rules: the rules that were applied, in order.
        campaign_count: how many campaigns the server sent.
        code_count: how many result codes they have; a code counts once for all languages.
        lookups: how many lists of result codes were requested: campaigns times languages.
        requests: number of calls: the list of campaigns and the lookups.
        seconds: how long it took.
        started: when it began, with zone.
        now: the time that dates were compared with, with zone.
        languages: the languages in which result codes were requested.
        tool: name and version of the program that made the report.
        scope: what was chosen, in words, such as `running, name “VIP*”`; None for the whole account or fleet.
        fails_on_new: whether only findings that are not in the baseline fail.
        name: the name of the account in the settings; None without one, and in the report of a fleet.
        identity: the audited account; None if it is unknown, and in the report of a fleet.
        portal_url: the address of a campaign in the portal, with `{id}` in place of its ID, and `{clients_id}` in place
            of its account's; None without links.
    """

    rules: tuple[RuleInfo, ...]
    campaign_count: int
    code_count: int
    lookups: int
    requests: int
    seconds: float
    started: datetime
    now: datetime
    languages: tuple[Language, ...] = ()
    tool: str = f"dialler_async {__version__}"
    scope: str | None = None
    fails_on_new: bool = False
    name: str | None = None
    identity: AccountIdentity | None = None
    portal_url: str | None = None

    @abstractmethod
    def parts(self) -> Iterator["AuditReport"]:
        """Yield the report of each account. In a fleet, the worst comes first, and a finding names its account."""

    @abstractmethod
    def sorted_by(self, key: SortKey) -> Self:
        """Return the same report with the findings of each account in another order."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The audited account or accounts, in words."""

    @property
    @abstractmethod
    def scope_note(self) -> str | None:
        """Which part of the account or fleet was audited, in words; None for all of it."""

    @property
    @abstractmethod
    def unfinished(self) -> bool:
        """Whether the run ended early, some part could not be audited at all, or no campaign could be looked up."""

    @property
    def accounts(self) -> Mapping[str, AccountNumbers]:
        """The numbers of each account of a fleet, in the order of the run; empty in the report of one account."""
        return {}

    @cached_property
    def numbers(self) -> Numbers:
        """How many findings the report has. Cached, because each section of a format needs it."""
        numbers = Numbers()
        for part in self.parts():
            numbers.add(part.by_topic())
        return numbers

    @property
    def since(self) -> datetime | None:
        """When the run of the baseline began, the earliest one in a fleet; None without a baseline."""
        return min((part.comparison.since for part in self.parts() if part.comparison), default=None)

    @property
    def changes(self) -> Iterator[Change]:
        """The records that changed since the baseline; none in the report of a fleet."""
        parts = () if self.accounts else self.parts()
        return (change for part in parts if part.comparison for change in part.comparison.changes)

    @property
    def zone_note(self) -> str:
        """How dates without a zone were compared: in the zone of `now`. No page of the reference states the zone."""
        return "dates without a zone are treated as local time"

    @property
    def rule_failed(self) -> bool:
        """Whether a rule raised an error, so that it did not check everything."""
        return self.has(RULE_FAILED)

    def of(self, topic: Topic) -> Iterator[Finding]:
        """Yield the findings of a topic, account by account."""
        for part in self.parts():
            yield from part.by_topic()[topic]

    def by_account(self) -> dict[str, AccountNumbers]:
        """Return the numbers of each account of a fleet. The worst account comes first."""
        return dict(sorted(self.accounts.items(), key=lambda item: [-number for number in item[1].found.values()]))

    def by_rule(self) -> dict[RuleInfo, int]:
        """Return the number of findings of each rule that has any. The worst severity comes first."""
        found = self.numbers.of(*OPEN)
        by_severity = sorted(self.rules, key=lambda info: info.severity.rank)
        return {info: found[info.id] for info in by_severity if found[info.id]}

    def by_severity(self) -> dict[Severity, int]:
        """Return the number of findings of each severity, including zeros. The worst severity comes first."""
        return self.numbers.by_severity()

    def has(self, *rules: RuleInfo) -> bool:
        """Return whether any of these rules has a finding."""
        return not {info.id for info in rules}.isdisjoint(self.numbers.of(*OPEN))

    def identity_of(self, finding: Finding) -> AccountIdentity | None:
        """Return the account that a finding is about, if it is known."""
        numbers = self.accounts.get(finding.account or "")
        return self.identity if numbers is None else numbers.identity

    def portal_link(self, finding: Finding) -> str | None:
        """Return the URL of a finding's campaign in the portal; None if the finding or the report has no such URL."""
        url, identity = self.portal_url, self.identity_of(finding)
        if url is None or finding.campaign_id is None or (self.accounts and "{clients_id}" not in url):
            return None
        clients_id = "" if identity is None or identity.clients_id is None else str(identity.clients_id)
        link = url.replace("{id}", str(finding.campaign_id)).replace("{clients_id}", clients_id)
        return quote(link, safe="%:/?#[]@!$&'()*+,;=~")

    def fails(self, finding: Finding) -> bool:
        """Return whether a finding may fail a build.

        Accepted findings never fail. With `fails_on_new`, only new findings fail, but not that a campaign was deleted.
        """
        if finding.acceptance is not None or finding.state in (State.GONE, State.UNCHECKED):
            return False
        is_deletion = (finding.rule, finding.kind) == (UNUSED_ACCEPTANCE.id, DELETED)
        return not self.fails_on_new or (finding.state is State.NEW and not is_deletion)


@attrs.frozen(kw_only=True)
class AuditReport(Report):
    """The findings of one run, and how much it checked. A plain value: it pickles and compares.

    Attributes:
        findings: ordered by severity, then by campaign (ID, then name; those without an ID last), then as in `rules`.
            Findings about the whole account come before its campaigns.
        summaries: a summary of every audited campaign, ordered by ID, then name; those without an ID last.
        not_checked: what the run did not check; empty if it checked everything.
        records: a snapshot of every audited campaign for the next report, in the same order; none in a report of parts.
        comparison: what has changed since the baseline, if the report was compared with one.
        accepted: findings that a user has accepted. They are in no other attribute, and don't fail.
    """

    findings: tuple[Finding, ...]
    summaries: tuple[CampaignSummary, ...] = ()
    not_checked: tuple[NotChecked, ...] = ()
    records: tuple[RecordSnapshot, ...] = ()
    comparison: Comparison | None = None
    accepted: tuple[Finding, ...] = ()

    def parts(self) -> Iterator["AuditReport"]:
        yield self

    def sorted_by(self, key: SortKey) -> Self:
        places = {info.id: place for place, info in enumerate(self.rules)}

        def place(finding: Finding) -> tuple[object, ...]:
            if key is SortKey.RULE:
                return (places[finding.rule],)
            return (finding.severity.rank if key is SortKey.SEVERITY else 0, *_campaign_order(finding))

        return attrs.evolve(self, findings=tuple(sorted(self.findings, key=place)))

    def by_topic(self) -> dict[Topic, tuple[Finding, ...]]:
        """Return all findings by topic."""
        comparison = self.comparison
        return {
            Topic.NEW: tuple(finding for finding in self.findings if finding.state is State.NEW),
            Topic.GONE: () if comparison is None else comparison.gone,
            Topic.UNCHECKED: () if comparison is None else comparison.unchecked,
            Topic.KNOWN: tuple(finding for finding in self.findings if finding.state is not State.NEW),
            Topic.ACCEPTED: self.accepted,
            Topic.ENDING: self.ending(),
        }

    def all_findings(self) -> Iterator[Finding]:
        """Yield all findings, including accepted findings, and findings of the baseline that are gone or unchecked."""
        yield from self.findings
        yield from self.accepted
        if self.comparison:
            yield from (*self.comparison.gone, *self.comparison.unchecked)

    def coverage(self) -> Coverage:
        """Return what the run checked."""
        return Coverage(
            rules=self.rules,
            languages=self.languages,
            campaigns=self.summaries,
            not_checked=self.not_checked,
            scope=self.scope,
        )

    def ending(self) -> tuple[Finding, ...]:
        """Return the accepted findings whose acceptance ends within the next 14 days, the first to end first."""
        last = self.now.date() + _ENDS_SOON
        days = [(finding.acceptance.until, finding) for finding in self.accepted if finding.acceptance is not None]
        ending = [(day, finding) for day, finding in days if day is not None and day <= last]
        return tuple(finding for _, finding in sorted(ending, key=lambda pair: pair[0]))

    @property
    def title(self) -> str:
        account = "an unknown account" if self.identity is None else str(self.identity)
        return account if self.name is None else f"{self.name} ({account})"

    @property
    def scope_note(self) -> str | None:
        if self.scope is None:
            return None
        return f"only part of the account: {len(self.summaries):,} of {self.campaign_count:,} campaigns ({self.scope})"

    @property
    def unfinished(self) -> bool:
        is_listed = any(part.campaign_name is not None for part in self.not_checked)
        has_codes = any(summary.texts for summary in self.summaries)
        return self.has(STOPPED_EARLY, NOT_AUDITED) or (is_listed and not has_codes)


def _campaign_order(finding: Finding) -> tuple[bool, bool, int, str]:
    is_campaign = finding.campaign_name is not None
    return is_campaign, finding.campaign_id is None, finding.campaign_id or 0, finding.campaign_name or ""
