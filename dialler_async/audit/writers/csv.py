"""The findings as CSV, for spreadsheets.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, whoever wrote it. Such a text gets an
apostrophe in front. What does not print, line breaks too, is shown as an escape. So CSV is not lossless; JSON is.
"""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO

from dialler_async.harmless import harmless

from ..report import AuditReport
from .columns import COLUMNS, Cell

# The wide forms too: some spreadsheets take them for the narrow ones.
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001  # that is what is meant


def write_csv(report: AuditReport) -> Iterator[str]:
    """A line of headings, then a line a finding."""
    yield line(COLUMNS)
    for finding in report.findings:
        yield line(column(finding) for column in COLUMNS.values())


def line(cells: Iterable[Cell]) -> str:
    """One line of CSV (RFC 4180), with nothing in it that a spreadsheet would carry out."""
    buffer = StringIO()
    csv.writer(buffer).writerow([cell if not isinstance(cell, str) else as_text(cell) for cell in cells])
    return buffer.getvalue()


def as_text(text: str) -> str:
    """A text that spreadsheets take for a text."""
    shown = harmless(text)
    return f"'{shown}" if shown.lstrip().startswith(_BEGINS_A_FORMULA) else shown
