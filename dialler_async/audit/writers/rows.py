"""The findings of a report, for the formats that have one finding per line."""

from collections.abc import Iterator, Mapping

import attrs

from ..findings import Finding, Severity
from ..report import Report

NOTHING = Finding(
    rule="", severity=Severity.INFO, campaign_id=None, campaign_name=None, subject="", message="nothing found"
)
"""The line of an account without a finding."""


def rows(report: Report) -> Iterator[tuple[Finding, Mapping[str, None]]]:
    """Yield each finding with the cells to leave empty. Accepted, gone and unchecked findings are included.

    An account without a finding has one line, so that the report names the account. It has no severity and no rule.
    """
    for part in report.parts():
        findings = [*part.all_findings()]
        yield from ((finding, {}) for finding in findings)
        if not findings:
            account = part.name if report.accounts else None
            yield attrs.evolve(NOTHING, account=account), {"severity": None, "rule": None}


def until(finding: Finding) -> str | None:
    """Return the last day of a finding's acceptance, if it has one."""
    day = finding.acceptance and finding.acceptance.until
    return day.isoformat() if day else None
