"""The columns of a finding, for the formats that have one finding per line."""

from collections.abc import Callable, Iterator, Mapping

import attrs

from ..._text.csv_cells import Cell
from ..findings import Finding, Severity
from ..report import Report

Column = Callable[[Finding], Cell]

_NOTHING = Finding(
    rule="", severity=Severity.INFO, campaign_id=None, campaign_name=None, subject="", message="nothing found"
)


def columns(report: Report) -> dict[str, Column]:
    """Return the columns of a report's findings. In a report of several accounts, the account comes first."""
    account: dict[str, Column] = {"account": lambda finding: finding.account} if report.accounts else {}
    return {
        **account,
        "severity": lambda finding: finding.severity.value,
        "rule": lambda finding: finding.rule,
        "campaign_id": lambda finding: finding.campaign_id,
        "campaign_name": lambda finding: finding.campaign_name,
        "subject": lambda finding: finding.subject,
        "message": lambda finding: finding.message,
        "state": lambda finding: finding.state and finding.state.value,
        "open_since": lambda finding: finding.open_since and finding.open_since.isoformat(),
        "accepted": lambda finding: finding.acceptance and finding.acceptance.reason,
        "owner": lambda finding: finding.acceptance and finding.acceptance.owner,
        "until": lambda finding: until(finding),
        "server": lambda finding: (identity := report.identity_of(finding)) and identity.server,
        "clients_id": lambda finding: (identity := report.identity_of(finding)) and identity.clients_id,
        "scope": lambda finding: report.scope_note,
        "tool": lambda finding: report.tool,
    }


def rows(report: Report) -> Iterator[tuple[Finding, Mapping[str, None]]]:
    """Yield each finding with the columns to leave empty. Accepted, gone and unchecked findings are included.

    An account without a finding has one line with the message `nothing found`, so that the report names the account.
    This line has no severity and no rule.
    """
    for part in report.parts():
        findings = [*part.all_findings()]
        yield from ((finding, {}) for finding in findings)
        if not findings:
            account = part.name if report.accounts else None
            yield attrs.evolve(_NOTHING, account=account), {"severity": None, "rule": None}


def until(finding: Finding) -> str | None:
    """Return the last day of a finding's acceptance, if it has one."""
    day = finding.acceptance and finding.acceptance.until
    return day.isoformat() if day else None
