"""The CSV writer of exports, for spreadsheets."""

from datetime import datetime
from io import TextIOWrapper
from typing import BinaryIO

from .._text.csv_cells import BYTE_ORDER_MARK, EXCEL_ENCODING, EXCEL_SEPARATOR, csv_line
from ..models import Language
from .campaign import ExportedCampaign
from .flat import COLUMNS, Cell, rows


class CsvFile:
    """Writes rows to a CSV file as campaigns are added. Errors are in the column `error`."""

    encoding = "utf-8"
    byte_order_mark = ""
    separator = ","

    def __init__(self, file: BinaryIO, exported: datetime, languages: tuple[Language, ...]) -> None:
        # `csv_line` already ends the lines.
        self._file = TextIOWrapper(file, encoding=self.encoding, newline="")
        self._file.write(self.byte_order_mark + csv_line(COLUMNS, separator=self.separator))

    def add(self, exported: ExportedCampaign) -> None:
        """Write the rows of a campaign."""
        self._file.writelines(csv_line(map(_as_text, row), separator=self.separator) for row in rows(exported))

    def finish(self, failed: int) -> None:
        """Close the file. CSV has no footer."""
        self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _as_text(cell: Cell) -> str | int | None:
    return cell.isoformat() if isinstance(cell, datetime) else cell


class ExcelCsvFile(CsvFile):
    """Writes CSV that Excel opens in columns and with umlauts in every locale."""

    encoding = EXCEL_ENCODING
    byte_order_mark = BYTE_ORDER_MARK
    separator = EXCEL_SEPARATOR
