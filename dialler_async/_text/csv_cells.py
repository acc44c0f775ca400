"""CSV without formulas: a spreadsheet must not execute a name from the server.

Spreadsheets read a cell that begins with `=`, `+`, `-` or `@` as a formula. An apostrophe before the formula makes it
text. Unprintable characters and line breaks become escapes. So CSV is not lossless, but JSON is.

The separator depends on the locale of the spreadsheet: in German it is `;`. So an apostrophe is also inserted within a
text, after each `;`, `,` or tab that precedes a formula. Quotes and spaces before the formula are ignored.
"""

import csv
import re
from collections.abc import Iterable
from io import StringIO
from typing import Final

from .escaping import escape_unprintable

Cell = str | int | None

# Excel shows columns and umlauts in every locale if a file has tabs, and UTF-16 with a byte order mark. It splits UTF-8
# at the separator of the locale, which is `;` in German. A first line `sep=,` selects another separator, but then Excel
# ignores the byte order mark and shows wrong umlauts (SAP note 1151258, HeidiSQL issue 1892).
EXCEL_ENCODING: Final = "utf-16-le"
EXCEL_SEPARATOR: Final = "\t"
BYTE_ORDER_MARK: Final = "\ufeff"

# Some spreadsheets read full-width characters as ASCII characters.
_FORMULA_START = re.compile(r"""(^|[;,\t])(?=["\s]*[=+\-@＝＋－＠])""")  # noqa: RUF001  # full-width on purpose


def csv_line(cells: Iterable[Cell], *, separator: str = ",") -> str:
    """Return one line of CSV without formulas."""
    buffer = StringIO()
    # RFC 4180 has CRLF, but then the last cell of a line in a shell's `$(…)` would end with a CR.
    csv.writer(buffer, delimiter=separator, lineterminator="\n").writerow(
        [as_text(cell) if isinstance(cell, str) else cell for cell in cells]
    )
    return buffer.getvalue()


def as_text(text: str) -> str:
    """Return a text that no spreadsheet reads as a formula."""
    return _FORMULA_START.sub(r"\1'", escape_unprintable(text))
