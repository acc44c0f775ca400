"""An export as Parquet, for notebooks. Needs the extra: `pip install 'dialler-async[data]'`.

Columns of whole numbers are 64-bit integers. A column with a number beyond 64 bits is text as a whole: no other type
holds both kinds exactly. A lone surrogate, which UTF-8 can't encode, is shown as an escape, such as `\\ud83c`.
"""

from collections.abc import Sequence
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
        self._as_text: set[str] = set()
        """Columns with a number beyond 64 bits."""

    def add(self, exported: ExportedCampaign) -> None:
        """Keep one campaign."""
        self._rows.extend(tuple(map(_encodable, row)) for row in rows(exported))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._gather()

    def finish(self, failed: int) -> None:
        """Write all of them."""
        self._gather()
        # By way of memory, as polars has an error of its own for a full disk, which doesn't tell itself from others.
        compressed = BytesIO()
        as_text = [polars.col(name).cast(polars.String) for name in self._as_text]
        polars.concat(chunk.with_columns(as_text) for chunk in self._columns).write_parquet(compressed)
        self._file.write(compressed.getbuffer())
        self._file.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _gather(self) -> None:
        columns: dict[str, Sequence[Cell]] = dict(zip(_SCHEMA, zip(*self._rows, strict=True), strict=False))
        schema = dict(_SCHEMA)
        for name, cells in columns.items():
            if schema[name] == polars.Int64 and not all(map(_fits, cells)):
                columns[name] = [None if cell is None else str(cell) for cell in cells]
                schema[name] = polars.String()
                self._as_text.add(name)
        self._columns.append(polars.DataFrame(columns, schema=schema))
        self._rows.clear()


def _fits(cell: Cell) -> bool:
    return not isinstance(cell, int) or -(2**63) <= cell < 2**63


def _encodable(cell: Cell) -> Cell:
    return cell.encode(errors="backslashreplace").decode() if isinstance(cell, str) else cell
