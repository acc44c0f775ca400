"""What a report says to people, in the order in which they read it. Every format for people renders this `Story`.

First the verdict in one line, then what is new, what is gone, what could not be checked, what was known before, and
what is accepted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import groupby

import attrs

from .._text.moments import to_minute
from .comparison import Change
from .findings import Finding, Severity, State
from .report import AuditReport
from .rule import RuleInfo

FOLD_ABOVE = 20
"""A rule with more known findings than this is shown as one group."""


class Topic(StrEnum):
    """What the findings of a section have in common, in the order of the sections."""

    NEW = "new"
    GONE = "gone"
    UNCHECKED = "not checked"
    KNOWN = "known"
    """They were known before, or the report was not compared."""
    ACCEPTED = "accepted"


@attrs.frozen
class FindingGroup:
    """Findings that are shown together: the findings of one campaign, or the many findings of one rule.

    Attributes:
        findings: at least one, in the order of the report.
        rule: the rule whose many findings are folded; None for a campaign or the whole account.
    """

    findings: tuple[Finding, ...]
    rule: RuleInfo | None = None

    @property
    def number_of_campaigns(self) -> int:
        """How many campaigns the findings are about."""
        return len({_campaign(finding) for finding in self.findings if finding.campaign_name is not None})


@attrs.frozen
class Section:
    """The findings of one topic.

    Attributes:
        topic: what they have in common.
        title: the heading.
        findings: at least one. In a report of several accounts, those of the worst accounts come first.
        rules: the rules that were applied.
        notes: why a finding is accepted, or why it could not be checked, in words.
    """

    topic: Topic
    title: str
    findings: tuple[Finding, ...]
    rules: tuple[RuleInfo, ...]
    notes: Mapping[Finding, str]

    def groups(self, fold_above: int = FOLD_ABOVE) -> list[FindingGroup]:
        """Return the findings in groups, one for each campaign, in the order of their first findings.

        Args:
            fold_above: a rule with more findings than this gets its own group, unless they are new.
        """
        numbers = Counter(finding.rule for finding in self.findings)
        folds = self.topic is not Topic.NEW
        folded = {info.id: info for info in self.rules if folds and numbers[info.id] > fold_above}
        groups: dict[object, list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault(finding.rule if finding.rule in folded else _campaign(finding), []).append(finding)
        return [
            FindingGroup(tuple(findings), folded.get(key) if isinstance(key, str) else None)
            for key, findings in groups.items()
        ]


@attrs.frozen
class Story:
    """The content of a report for people.

    Attributes:
        verdict: one line: the account, and the result.
        result: how many findings are new, gone, not checked, known and accepted, and the worst severity.
        sections: the sections that have findings, in the order of `Topic`.
        changes: values that changed since the last run.
        ending: accepted findings whose acceptance ends soon.
    """

    verdict: str
    result: str
    sections: tuple[Section, ...]
    changes: tuple[Change, ...]
    ending: tuple[Finding, ...]

    def around_changes(self) -> tuple[list[Section], list[Section]]:
        """Return the sections before and after the changed values: what was known before stands last."""
        last = (Topic.KNOWN, Topic.ACCEPTED)
        before = [section for section in self.sections if section.topic not in last]
        return before, [section for section in self.sections if section.topic in last]

    def changes_by_campaign(self) -> list[tuple[tuple[int | None, str], list[Change]]]:
        """Return the changed values of each campaign, by its ID and name."""
        grouped = groupby(self.changes, key=lambda change: (change.campaign_id, change.campaign_name))
        return [(campaign, list(changes)) for campaign, changes in grouped]


def tell(report: AuditReport) -> Story:
    """Return the story of a report."""
    comparison = report.comparison
    findings: dict[Topic, Iterable[Finding]] = {
        Topic.KNOWN: (finding for finding in report.findings if finding.state is not State.NEW),
        Topic.ACCEPTED: report.accepted,
    }
    titles = {Topic.KNOWN: "Findings", Topic.ACCEPTED: "Accepted"}
    if comparison is not None:
        since = to_minute(comparison.since)
        findings |= {Topic.NEW: comparison.new, Topic.GONE: comparison.gone, Topic.UNCHECKED: comparison.unchecked}
        titles |= {
            Topic.NEW: f"New since {since}",
            Topic.GONE: f"Gone since {since}",
            Topic.UNCHECKED: f"Known on {since}, not checked this time",
            Topic.KNOWN: f"Known on {since}",
        }
    places = {name: place for place, name in enumerate(report.by_account())}
    sections = []
    for topic, title in titles.items():
        if found := tuple(sorted(findings[topic], key=lambda finding: places.get(finding.account or "", -1))):
            sections.append(Section(topic, title, found, report.rules, _notes(topic, found, report)))
    sections.sort(key=lambda section: list(Topic).index(section.topic))
    changes = () if comparison is None else comparison.changes
    return Story(verdict(report), _result(report), tuple(sections), changes, report.ending())


def verdict(report: AuditReport) -> str:
    """Return the account and the result of a report in one line."""
    return f"{report.title}: {_result(report)}"


def _result(report: AuditReport) -> str:
    comparison = report.comparison
    if comparison is None:
        parts = [_counted(number, severity) for severity, number in report.by_severity().items()]
        parts = parts if report.findings else ["nothing found"]
    else:
        parts = [f"{len(comparison.new):,} new", f"{len(comparison.gone):,} gone"]
        parts += [f"{len(comparison.unchecked):,} not checked"] if comparison.unchecked else []
        parts += [f"{comparison.unchanged:,} known"]
    parts += [f"{len(report.accepted):,} accepted"] if report.accepted else []
    worst = next((severity for severity, number in report.by_severity().items() if number), None)
    ending = "" if worst is None else f"; the worst is {_with_article(worst)}"
    unfinished = "; the run is not complete" if report.unfinished else ""
    return f"{', '.join(parts)}{ending}{unfinished}"


def _notes(topic: Topic, findings: Iterable[Finding], report: AuditReport) -> dict[Finding, str]:
    if topic is Topic.ACCEPTED:
        return {finding: accepted_note(finding) for finding in findings}
    if topic is Topic.UNCHECKED:
        coverages = report.coverages()
        return {finding: coverages[finding.account].why_not_checked(finding) or "" for finding in findings}
    return {}


def accepted_note(finding: Finding) -> str:
    """Return why a finding is accepted, by whom and how long, in words; empty if it is not."""
    acceptance = finding.acceptance
    if acceptance is None:
        return ""
    owner = f" ({acceptance.owner})" if acceptance.owner else ""
    return acceptance.reason + owner + (f", until {acceptance.until}" if acceptance.until else "")


def where(finding: Finding) -> str:
    """Return the campaign of a finding in words, such as `campaign 535 “Summer”`, or `the whole account`."""
    if finding.campaign_name is None:
        return "the whole account"
    id = "without ID" if finding.campaign_id is None else finding.campaign_id
    return f"campaign {id} “{finding.campaign_name}”"


def _campaign(finding: Finding) -> tuple[str | None, int | None, str | None]:
    return finding.account, finding.campaign_id, finding.campaign_name


def _counted(number: int, severity: Severity) -> str:
    return f"{number:,} {severity}{'' if number == 1 else 's'}"


def _with_article(severity: Severity) -> str:
    return f"{'a' if severity is Severity.WARNING else 'an'} {severity}"
