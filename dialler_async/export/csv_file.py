"""An export as CSV, for spreadsheets."""

from datetime import datetime
from io import TextIOWrapper
from typing import BinaryIO

from dialler_async._text.csv_cells import csv_line
from dialler_async.models import Language

from .campaign import ExportedCampaign
from .flat import COLUMNS, rows


class CsvFile:
    """Writes as it goes. What failed is in the column `error`."""

    def __init__(self, file: BinaryIO, exported: datetime, languages: tuple[Language, ...]) -> None:
        # Lines end as CSV wants it.
        self._file = TextIOWrapper(file, encoding="utf-8", newline="")
        self._file.write(csv_line(COLUMNS))

    def add(self, exported: ExportedCampaign) -> None:
        """Write one campaign."""
        self._file.writelines(csv_line(row) for row in rows(exported))

    def finish(self, failed: int) -> None:
        """Write the end."""
        self._file.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
