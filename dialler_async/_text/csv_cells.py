"""CSV that spreadsheets open and don't obey.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, whoever wrote it. Such a text gets an
apostrophe in front. What does not print, line breaks too, is shown as an escape. So CSV is not lossless; JSON is.

Which character separates cells depends on the spreadsheet's locale: in German, it is `;`. So within a text, too, an
apostrophe stands after each `;`, `,` or tab that a formula would follow, quotes and blanks aside.
"""

import csv
import re
from collections.abc import Iterable
from io import StringIO

from .escaping import escape_unprintable

Cell = str | int | None

# The wide forms too: some spreadsheets take them for the narrow ones.
_BEFORE_A_FORMULA = re.compile(r"""(^|[;,\t])(?=["\s]*[=+\-@＝＋－＠])""")  # noqa: RUF001  # that is what is meant


def csv_line(cells: Iterable[Cell]) -> str:
    """One line of CSV (RFC 4180), with nothing in it that a spreadsheet would carry out."""
    buffer = StringIO()
    csv.writer(buffer).writerow([as_text(cell) if isinstance(cell, str) else cell for cell in cells])
    return buffer.getvalue()


def as_text(text: str) -> str:
    """A text that spreadsheets take for a text."""
    return _BEFORE_A_FORMULA.sub(r"\1'", escape_unprintable(text))
