"""The report of a fleet: numbers of all accounts, and their findings, which are read account by account."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import datetime
from typing import Any, Self, TypeVar, final

import attrs

from ..errors import require
from ..models import Language
from .acceptance import AcceptanceEntry, UnusedEntries
from .comparison import Comparison
from .coverage import NotChecked
from .findings import Finding
from .report import AccountNumbers, AuditReport, Report, SortKey
from .rule import RuleInfo
from .rules import RUN_RULES, UNUSED_ACCEPTANCE
from .summary import CampaignSummary
from .topics import Numbers, Topic

MOST_SUMMARIES = 10_000
"""Maximum number of campaigns of a fleet whose summaries are kept. No browser shows more on one page."""

_PartT = TypeVar("_PartT", Finding, NotChecked, CampaignSummary)


@attrs.frozen(kw_only=True)
class FleetReport(Report):
    """The findings of all accounts of a run. They are read anew each time, account by account.

    Attributes:
        accounts: the numbers of each account, in the order of the run.
        numbers: how many findings the accounts have.
        since: when the earliest of the runs began that accounts were compared with; None if none was compared.
        unfinished: whether the audit of any account is unfinished.
        fleet: the findings about the whole fleet, such as unused acceptances.
    """

    accounts: Mapping[str, AccountNumbers]
    numbers: Numbers
    since: datetime | None
    unfinished: bool
    fleet: AuditReport
    _reports: Mapping[str, AuditReport]
    _key: SortKey | None = None

    def parts(self) -> Iterator[AuditReport]:
        """Yield the findings about the whole fleet, if there are any, then the report of each account.

        The worst account comes first. Findings name their account. The reports have no snapshots of records. The
        summaries of no more than 10,000 campaigns are kept, of the accounts that were added first.
        """
        if self.fleet.findings:
            yield self.fleet
        for name in self.by_account():
            yield self._reports[name] if self._key is None else self._reports[name].sorted_by(self._key)

    def sorted_by(self, key: SortKey) -> Self:
        return attrs.evolve(self, key=key)

    @property
    def findings(self) -> Iterator[Finding]:
        """All findings that are not accepted, account by account."""
        return (finding for part in self.parts() for finding in part.findings)

    @property
    def accepted(self) -> Iterator[Finding]:
        """All accepted findings, account by account."""
        return self.of(Topic.ACCEPTED)

    @property
    def title(self) -> str:
        return f"{len(self.accounts):,} account{'' if len(self.accounts) == 1 else 's'}"

    @property
    def scope_note(self) -> str | None:
        return None if self.scope is None else f"only part of the fleet: {self.scope}"


@final
class FleetReportBuilder:
    """Makes the report of a fleet from the reports of its accounts, which are added one by one.

    Args:
        now: the time that dates were compared with, with zone; the same for all accounts.
        languages: the languages in which result codes were requested.
        entries: what the settings accept. The reports are made with `accept`; the rule `unused-acceptance` reports an
            entry that no account uses.
        scope: which accounts were chosen, in words; None for all.
        portal_url: see `Report.portal_url`.
        reports: where the reports are kept by the names of their accounts; by default, in memory.
    """

    def __init__(
        self,
        *,
        now: datetime,
        languages: Iterable[Language] = (),
        entries: Iterable[AcceptanceEntry] = (),
        scope: str | None = None,
        portal_url: str | None = None,
        reports: MutableMapping[str, AuditReport] | None = None,
    ) -> None:
        self._head: dict[str, Any] = {
            "now": now,
            "languages": tuple(languages),
            "scope": scope,
            "portal_url": portal_url,
        }
        self._sums = dict.fromkeys(("campaign_count", "code_count", "lookups", "requests"), 0)
        self._reports: MutableMapping[str, AuditReport] = {} if reports is None else reports
        self._accounts: dict[str, AccountNumbers] = {}
        self._numbers = Numbers()
        self._unused = UnusedEntries(entries, now.date())
        self._rules: dict[RuleInfo, None] = {}
        self._since: list[datetime] = []
        self._unfinished = False

    def add(self, name: str, report: AuditReport) -> None:
        """Add the report of an account, which need not be kept.

        Raises:
            ConfigurationError: an account of this name was added before.
        """
        require(name not in self._accounts, f"account “{name}” was added before")
        for key in self._sums:
            self._sums[key] += getattr(report, key)
        self._rules |= dict.fromkeys(report.rules)
        self._since += [report.since] if report.since else []
        self._unfinished |= report.unfinished
        numbers = report.numbers
        self._accounts[name] = AccountNumbers(
            identity=report.identity,
            campaigns=len(report.summaries),
            found=numbers.by_severity(),
            new=numbers.of(Topic.NEW).total(),
        )
        self._numbers.add(report.by_topic())
        self._unused.add(report, name)
        self._reports[name] = _named(report, name, self._sums["campaign_count"] <= MOST_SUMMARIES)

    def build(self, *, started: datetime, seconds: float) -> FleetReport:
        """Return the report of the accounts that were added.

        Args:
            started: when the audit of the first account began, with zone.
            seconds: how long the audit of all accounts took.
        """
        unused = tuple(self._unused.findings())
        rules = sorted(self._rules, key=lambda info: info not in RUN_RULES)
        if unused and UNUSED_ACCEPTANCE not in rules:
            rules.insert(0, UNUSED_ACCEPTANCE)
        head = {**self._head, **self._sums, "rules": tuple(rules), "started": started, "seconds": seconds}
        fleet = AuditReport(findings=unused, **head)
        numbers = Numbers(self._numbers.findings.copy(), self._numbers.campaigns.copy())
        numbers.add(fleet.by_topic())
        return FleetReport(
            accounts=self._accounts.copy(),
            numbers=numbers,
            since=min(self._since, default=None),
            unfinished=self._unfinished,
            fleet=fleet,
            reports=self._reports,
            **head,
        )


def _named(report: AuditReport, name: str, with_summaries: bool) -> AuditReport:
    """Return a report whose findings name the account."""

    def named(parts: Iterable[_PartT]) -> tuple[_PartT, ...]:
        return tuple(attrs.evolve(part, account=name) for part in parts)

    comparison: Comparison | None = report.comparison
    if comparison is not None:
        gone, unchecked = named(comparison.gone), named(comparison.unchecked)
        comparison = attrs.evolve(comparison, new=named(comparison.new), gone=gone, unchecked=unchecked, changes=())
    return attrs.evolve(
        report,
        name=name,
        findings=named(report.findings),
        accepted=named(report.accepted),
        not_checked=named(report.not_checked),
        summaries=named(report.summaries) if with_summaries else (),
        records=(),
        comparison=comparison,
    )
