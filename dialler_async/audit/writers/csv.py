"""The findings as CSV, for spreadsheets; `dialler_async._text.csv_cells` says how texts are escaped."""

from collections.abc import Iterator

from dialler_async._text.csv_cells import csv_line

from ..report import AuditReport
from .columns import columns, lines


def write_csv(report: AuditReport) -> Iterator[str]:
    """Yield a line of headings, then the `lines` of the report."""
    shown = columns(report)
    yield csv_line(shown)
    for finding, empty in lines(report):
        yield csv_line(None if name in empty else column(finding) for name, column in shown.items())
