"""The findings as CSV, for spreadsheets; `dialler_async._text.csv_cells` says how texts are escaped."""

from collections.abc import Iterator

from ..._text.csv_cells import BYTE_ORDER_MARK, EXCEL_SEPARATOR, csv_line
from ..report import Report
from .columns import columns, rows


def write_csv(report: Report, *, separator: str = ",") -> Iterator[str]:
    """Yield a line of headings, then the `lines` of the report."""
    shown = columns(report)
    yield csv_line(shown, separator=separator)
    for finding, empty in rows(report):
        cells = (None if name in empty else column(finding) for name, column in shown.items())
        yield csv_line(cells, separator=separator)


def write_excel_csv(report: Report) -> Iterator[str]:
    """Yield CSV that Excel opens in columns in every locale. It must be encoded in `EXCEL_ENCODING`."""
    yield BYTE_ORDER_MARK
    yield from write_csv(report, separator=EXCEL_SEPARATOR)
