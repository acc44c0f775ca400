"""What a report says to people, in the order in which they read it. Every format for people renders this `Story`.

First the verdict in one line, then what is new, what is gone, what could not be checked, what was known before, and
what is accepted.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

import attrs

from .._text.moments import to_minute
from .comparison import Change
from .findings import Finding, Severity
from .report import Report
from .rule import RuleInfo
from .topics import Topic

FOLD_ABOVE = 20
"""A rule with more known findings than this is shown as one group."""


@attrs.frozen
class FindingGroup:
    """Findings that are shown together: the findings of one campaign, or the many findings of one rule.

    Attributes:
        findings: at least one, in the order of the report; those of a rule can be read once.
        number: number of findings.
        number_of_campaigns: how many campaigns the findings are about.
        rule: the rule whose many findings are folded; None for a campaign or the whole account.
    """

    findings: Iterable[Finding]
    number: int
    number_of_campaigns: int
    rule: RuleInfo | None = None


@attrs.frozen
class Section:
    """The findings of one topic.

    Attributes:
        topic: what they have in common.
        title: the heading.
        number: how many findings there are; at least one.
        report: the report.
    """

    topic: Topic
    title: str
    number: int
    report: Report

    @property
    def findings(self) -> Iterator[Finding]:
        """The findings, which are read anew each time. In a fleet, those of the worst accounts come first."""
        return self.report.of(self.topic)

    def note(self, finding: Finding) -> str:
        """Return why a finding is accepted, or why it could not be checked, in words; empty in other sections."""
        return accepted_note(finding) if self.topic in (Topic.ACCEPTED, Topic.ENDING) else finding.unchecked_reason

    def age(self, finding: Finding) -> str:
        """Return how long a finding has been open, such as `open for 12 days`; empty for less than a day."""
        days = 0 if finding.open_since is None else (self.report.started - finding.open_since).days
        return f"open for {days:,} day{'' if days == 1 else 's'}" if days > 0 else ""

    def groups(self, fold_above: int = FOLD_ABOVE) -> Iterator[FindingGroup]:
        """Yield the findings in groups, one for each campaign, in the order of their first findings.

        Args:
            fold_above: a rule with more findings than this gets its own group, unless they are new.
        """
        all_numbers = self.report.numbers
        numbers = all_numbers.of(self.topic)
        folds = self.topic is not Topic.NEW
        folded = {info.id: info for info in self.report.rules if folds and numbers[info.id] > fold_above}
        left = dict(folded)
        for part in self.report.parts():
            groups: dict[str | tuple[int | None, str | None], list[Finding]] = {}
            for finding in part.by_topic()[self.topic]:
                campaign = finding.campaign_id, finding.campaign_name
                groups.setdefault(finding.rule if finding.rule in folded else campaign, []).append(finding)
            for key, findings in groups.items():
                if not isinstance(key, str):
                    yield FindingGroup(findings, len(findings), int(findings[0].campaign_name is not None))
                elif (info := left.pop(key, None)) is not None:
                    of_rule = (finding for finding in self.findings if finding.rule == key)
                    yield FindingGroup(of_rule, numbers[key], all_numbers.campaigns[self.topic, key], info)


@attrs.frozen
class Story:
    """The content of a report for people.

    Attributes:
        verdict: one line: the account, and the result.
        result: how many findings are new, gone, not checked, known and accepted, and the worst severity.
        sections: the sections that have findings, in the order of `Topic`.
        changes: values that changed since the last run.
        ending: accepted findings whose acceptance ends soon; None if there are none.
    """

    verdict: str
    result: str
    sections: tuple[Section, ...]
    changes: tuple[Change, ...]
    ending: Section | None

    def around_changes(self) -> tuple[list[Section], list[Section]]:
        """Return the sections before and after the changed values: what was known before stands last."""
        last = (Topic.KNOWN, Topic.ACCEPTED)
        before = [section for section in self.sections if section.topic not in last]
        return before, [section for section in self.sections if section.topic in last]

    def changes_by_campaign(self) -> list[tuple[tuple[int | None, str], list[Change]]]:
        """Return the changed values of each campaign, by its ID and name."""
        grouped = groupby(self.changes, key=lambda change: (change.campaign_id, change.campaign_name))
        return [(campaign, list(changes)) for campaign, changes in grouped]


def tell(report: Report) -> Story:
    """Return the story of a report."""
    since = "" if report.since is None else to_minute(report.since)
    titles = {
        Topic.NEW: f"New since {since}",
        Topic.GONE: f"Gone since {since}",
        Topic.UNCHECKED: f"Known on {since}, not checked this time",
        Topic.KNOWN: f"Known on {since}" if since else "Findings",
        Topic.ACCEPTED: "Accepted",
        Topic.ENDING: "Acceptances that end soon",
    }
    numbers = report.numbers
    found = {topic: Section(topic, title, numbers.of(topic).total(), report) for topic, title in titles.items()}
    sections = {topic: section for topic, section in found.items() if section.number}
    ending = sections.pop(Topic.ENDING, None)
    result = _result(report)
    return Story(f"{report.title}: {result}", result, tuple(sections.values()), tuple(report.changes), ending)


def _result(report: Report) -> str:
    numbers = report.numbers
    found = {topic: numbers.of(topic).total() for topic in Topic if topic is not Topic.ENDING}
    by_severity = numbers.by_severity()
    if report.since is not None:
        always = (Topic.NEW, Topic.GONE, Topic.KNOWN)
        parts = [f"{number:,} {topic}" for topic, number in found.items() if number or topic in always]
    else:
        parts = [_counted(number, severity) for severity, number in by_severity.items()]
        parts = parts if any(by_severity.values()) else ["nothing found"]
        parts += [f"{found[Topic.ACCEPTED]:,} accepted"] if found[Topic.ACCEPTED] else []
    worst = next((severity for severity, number in by_severity.items() if number), None)
    ending = "" if worst is None else f"; the worst is {_with_article(worst)}"
    unfinished = "; the run is not complete" if report.unfinished else ""
    return f"{', '.join(parts)}{ending}{unfinished}"


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


def _counted(number: int, severity: Severity) -> str:
    return f"{number:,} {severity}{'' if number == 1 else 's'}"


def _with_article(severity: Severity) -> str:
    return f"{'a' if severity is Severity.WARNING else 'an'} {severity}"
