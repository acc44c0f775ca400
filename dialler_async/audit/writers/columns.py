"""The columns of a finding, for all formats that have columns. One more is one more line here."""

from collections.abc import Callable

from dialler_async._text.csv_cells import Cell

from ..findings import Finding
from ..report import AuditReport

Column = Callable[[Finding], Cell]

COLUMNS: dict[str, Column] = {
    "severity": lambda finding: finding.severity.value,
    "rule": lambda finding: finding.rule,
    "campaign_id": lambda finding: finding.campaign_id,
    "campaign_name": lambda finding: finding.campaign_name,
    "subject": lambda finding: finding.subject,
    "message": lambda finding: finding.message,
}

_ACCOUNT: dict[str, Column] = {"account": lambda finding: finding.account}


def columns(report: AuditReport) -> dict[str, Column]:
    """The columns of a report's findings: in one of several accounts, the account comes first."""
    return {**_ACCOUNT, **COLUMNS} if report.accounts else COLUMNS


def where(finding: Finding) -> str:
    """The campaign of a finding in words, such as `campaign 535 “Summer”`, or `the whole account`."""
    if finding.campaign_name is None:
        return "the whole account"
    id = "without ID" if finding.campaign_id is None else finding.campaign_id
    return f"campaign {id} “{finding.campaign_name}”"
