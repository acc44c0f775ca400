"""The findings as CSV, for spreadsheets; `dialler_async._text.csv_cells` says how texts are escaped."""

from collections.abc import Iterator

from dialler_async._text.csv_cells import csv_line

from ..report import AuditReport
from .columns import columns


def write_csv(report: AuditReport) -> Iterator[str]:
    """Yield a line of headings, then a line for each finding; accepted, gone and unjudged ones too."""
    shown = columns(report)
    yield csv_line(shown)
    for finding in report.everything():
        yield csv_line(column(finding) for column in shown.values())
