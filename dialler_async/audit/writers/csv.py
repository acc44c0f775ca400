"""The findings as CSV, for spreadsheets; see `dialler_async._text.csv_cells` for what that means for texts."""

from collections.abc import Iterator

from dialler_async._text.csv_cells import csv_line

from ..report import AuditReport
from .columns import columns


def write_csv(report: AuditReport) -> Iterator[str]:
    """A line of headings, then a line a finding."""
    shown = columns(report)
    yield csv_line(shown)
    for finding in report.findings:
        yield csv_line(column(finding) for column in shown.values())
