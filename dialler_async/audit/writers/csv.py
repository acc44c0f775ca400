"""The findings as CSV, for spreadsheets; `dialler_async._text.csv_cells` says how texts are escaped."""

from collections.abc import Iterator

from ..._text.csv_cells import BYTE_ORDER_MARK, EXCEL_SEPARATOR, Cell, csv_line
from ..findings import Finding
from ..report import Report
from .rows import NOTHING, rows, until


def write_csv(report: Report, *, separator: str = ",") -> Iterator[str]:
    """Yield a line of headings, then a line for each of the `rows` of the report."""
    yield csv_line(_cells(NOTHING, report), separator=separator)
    for finding, empty in rows(report):
        yield csv_line({**_cells(finding, report), **empty}.values(), separator=separator)


def write_excel_csv(report: Report) -> Iterator[str]:
    """Yield CSV that Excel opens in columns in every locale. It must be encoded in `EXCEL_ENCODING`."""
    yield BYTE_ORDER_MARK
    yield from write_csv(report, separator=EXCEL_SEPARATOR)


def _cells(finding: Finding, report: Report) -> dict[str, Cell]:
    """Return the cells of a finding by column. In the report of a fleet, the account comes first."""
    identity, acceptance = report.identity_of(finding), finding.acceptance
    return {
        **({"account": finding.account} if report.accounts else {}),
        "severity": finding.severity.value,
        "rule": finding.rule,
        "campaign_id": finding.campaign_id,
        "campaign_name": finding.campaign_name,
        "subject": finding.subject,
        "message": finding.message,
        "state": finding.state and finding.state.value,
        "open_since": finding.open_since.isoformat() if finding.open_since else None,
        "accepted": acceptance.reason if acceptance else None,
        "owner": acceptance.owner if acceptance else None,
        "until": until(finding),
        "server": identity.server if identity else None,
        "clients_id": identity.clients_id if identity else None,
        "scope": report.scope_note,
        "tool": report.tool,
    }
