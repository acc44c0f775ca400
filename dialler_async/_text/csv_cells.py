"""CSV without formulas: a spreadsheet must not run a name from the server.

Spreadsheets read a cell that begins with `=`, `+`, `-` or `@` as a formula. An apostrophe before it makes it text.
Unprintable characters, line breaks too, become escapes. So CSV is not lossless; JSON is.

The separator depends on the spreadsheet's locale: in German it is `;`. So an apostrophe also stands within a text,
after each `;`, `,` or tab before a formula, even with quotes or blanks between them.
"""

import csv
import re
from collections.abc import Iterable
from io import StringIO

from .escaping import escape_unprintable

Cell = str | int | None

# Some spreadsheets read the full-width forms as the usual ones.
_BEFORE_A_FORMULA = re.compile(r"""(^|[;,\t])(?=["\s]*[=+\-@＝＋－＠])""")  # noqa: RUF001  # the full-width forms are meant


def csv_line(cells: Iterable[Cell], *, separator: str = ",") -> str:
    """Return one line of CSV (RFC 4180) without formulas."""
    buffer = StringIO()
    csv.writer(buffer, delimiter=separator).writerow(
        [as_text(cell) if isinstance(cell, str) else cell for cell in cells]
    )
    return buffer.getvalue()


def as_text(text: str) -> str:
    """Return a text that no spreadsheet reads as a formula."""
    return _BEFORE_A_FORMULA.sub(r"\1'", escape_unprintable(text))
