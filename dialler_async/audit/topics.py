"""The topics of findings, and the numbers of a report's findings."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

import attrs

from .findings import CampaignKey, Finding, Severity


class Topic(StrEnum):
    """What the findings of a section have in common, in the order of the sections."""

    NEW = "new"
    GONE = "gone"
    UNCHECKED = "not checked"
    KNOWN = "known"
    """They were known before, or the report was not compared."""
    ACCEPTED = "accepted"
    ENDING = "ending"
    """Accepted findings whose acceptance ends soon. They are in `ACCEPTED`, too."""


@attrs.frozen
class Numbers:
    """How many findings a report has. The numbers of a fleet are the sums of the numbers of its accounts.

    Attributes:
        findings: number of findings by topic, rule and severity.
        campaigns: number of campaigns that have findings, by topic and rule.
    """

    findings: Counter[tuple[Topic, str, Severity]] = attrs.field(factory=Counter)
    campaigns: Counter[tuple[Topic, str]] = attrs.field(factory=Counter)

    def add(self, findings: Mapping[Topic, Iterable[Finding]]) -> None:
        """Add the findings of one account, by topic."""
        campaigns: set[tuple[Topic, str, CampaignKey, str]] = set()
        for topic, found in findings.items():
            for finding in found:
                self.findings[topic, finding.rule, finding.severity] += 1
                if finding.campaign_name is not None:
                    campaigns.add((topic, finding.rule, finding.campaign, finding.campaign_name))
        self.campaigns.update((topic, rule) for topic, rule, *_ in campaigns)

    def of(self, *topics: Topic) -> Counter[str]:
        """Return the number of findings of these topics by rule."""
        found: Counter[str] = Counter()
        for (topic, rule, _), number in self.findings.items():
            if topic in topics:
                found[rule] += number
        return found

    def by_severity(self) -> dict[Severity, int]:
        """Return the number of open findings of each severity, including zeros. The worst severity comes first."""
        found = dict.fromkeys(Severity, 0)
        for (topic, _, severity), number in self.findings.items():
            found[severity] += number if topic in OPEN else 0
        return found


OPEN = (Topic.NEW, Topic.KNOWN)
"""The topics of `AuditReport.findings`."""
