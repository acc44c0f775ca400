"""An export as Parquet, for notebooks. Needs the extra: `pip install 'dialler-async[data]'`."""

from datetime import datetime
from io import BytesIO
from typing import BinaryIO

import polars

from dialler_async.models import Language

from .campaign import ExportedCampaign
from .flat import COLUMNS, Cell, rows

_TYPES = {int: polars.Int64(), bool: polars.Boolean(), str: polars.String(), datetime: polars.String()}
_SCHEMA = {name: _TYPES[kind] for name, kind in COLUMNS.items()}
# As Python's objects, rows take some twenty times as much memory as in columns.
_ROWS_AT_ONCE = 10_000


class ParquetFile:
    """Keeps columns, which are compact, and writes them at the end. What failed is in the column `error`."""

    def __init__(self, file: BinaryIO, exported: datetime, languages: tuple[Language, ...]) -> None:
        self._file = file
        self._columns = [polars.DataFrame(schema=_SCHEMA)]
        self._rows: list[tuple[Cell, ...]] = []

    def add(self, exported: ExportedCampaign) -> None:
        """Keep one campaign."""
        self._rows.extend(rows(exported))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._gather()

    def finish(self, failed: int) -> None:
        """Write all of them."""
        self._gather()
        # By way of memory, as polars has an error of its own for a full disk, which doesn't tell itself from others.
        compressed = BytesIO()
        polars.concat(self._columns).write_parquet(compressed)
        self._file.write(compressed.getbuffer())
        self._file.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _gather(self) -> None:
        self._columns.append(polars.DataFrame(self._rows, schema=_SCHEMA, orient="row"))
        self._rows.clear()
