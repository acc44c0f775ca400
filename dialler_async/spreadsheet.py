"""CSV that spreadsheets open and don't obey.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, whoever wrote it. Such a text gets an
apostrophe in front. What does not print, line breaks too, is shown as an escape. So CSV is not lossless; JSON is.
"""

import csv
from collections.abc import Iterable
from io import StringIO

from .harmless import harmless

Cell = str | int | None

# The wide forms too: some spreadsheets take them for the narrow ones.
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001  # that is what is meant


def csv_line(cells: Iterable[Cell]) -> str:
    """One line of CSV (RFC 4180), with nothing in it that a spreadsheet would carry out."""
    buffer = StringIO()
    csv.writer(buffer).writerow([as_text(cell) if isinstance(cell, str) else cell for cell in cells])
    return buffer.getvalue()


def as_text(text: str) -> str:
    """A text that spreadsheets take for a text."""
    shown = harmless(text)
    return f"'{shown}" if shown.lstrip().startswith(_BEGINS_A_FORMULA) else shown
