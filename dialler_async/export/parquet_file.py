"""An export as Parquet, for notebooks. Needs the extra: `pip install 'dialler-async[data]'`.

Whole numbers are 64-bit integers. Dates are timestamps: in UTC if every date of the column has a zone, without a zone
if none has. A column with a number beyond 64 bits, or with dates of both kinds, is text: no other type holds both
exactly. A lone surrogate, which UTF-8 can't encode, becomes an escape, such as `\\ud83c`.
"""

from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from typing import BinaryIO

import polars

from dialler_async.models import Language

from .campaign import ExportedCampaign
from .flat import COLUMNS, Cell, rows

# Dates are kept as text until the end: only then it is known whether all of them have a zone.
_TYPES = {int: polars.Int64(), bool: polars.Boolean(), str: polars.String(), datetime: polars.String()}
_SCHEMA = {name: _TYPES[kind] for name, kind in COLUMNS.items()}
_DATES = [name for name, kind in COLUMNS.items() if kind is datetime]
# As Python objects, rows take some twenty times as much memory as in columns.
_ROWS_AT_ONCE = 10_000


class ParquetFile:
    """Keeps columns, which are compact, and writes them at the end. Errors are in the column `error`."""

    def __init__(self, file: BinaryIO, exported: datetime, languages: tuple[Language, ...]) -> None:
        self._file = file
        self._columns = [polars.DataFrame(schema=_SCHEMA)]
        self._rows: list[tuple[Cell, ...]] = []
        self._as_text: set[str] = set()
        """Columns with a number beyond 64 bits."""
        self._have_zone: dict[str, set[bool]] = {name: set() for name in _DATES}
        """Whether the dates of a column have a zone: True, False, or both."""

    def add(self, exported: ExportedCampaign) -> None:
        """Keep one campaign."""
        self._rows.extend(tuple(map(_encodable, row)) for row in rows(exported))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._gather()

    def finish(self, failed: int) -> None:
        """Write all campaigns."""
        self._gather()
        # In memory first: the error of polars for a full disk is the same as for other causes.
        compressed = BytesIO()
        as_text = [polars.col(name).cast(polars.String) for name in self._as_text]
        as_dates = [_to_dates(name, True in zones) for name, zones in self._have_zone.items() if len(zones) < 2]
        table = polars.concat(chunk.with_columns(as_text) for chunk in self._columns)
        table.with_columns(as_dates).write_parquet(compressed)
        self._file.write(compressed.getbuffer())
        self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _gather(self) -> None:
        if not self._rows:
            return
        columns: dict[str, Sequence[Cell]] = dict(zip(_SCHEMA, zip(*self._rows, strict=True), strict=True))
        schema = dict(_SCHEMA)
        for name in _DATES:
            dates = [cell for cell in columns[name] if isinstance(cell, datetime)]
            self._have_zone[name] |= {date.utcoffset() is not None for date in dates}
            columns[name] = [cell.isoformat() if isinstance(cell, datetime) else None for cell in columns[name]]
        for name, cells in columns.items():
            if schema[name] == polars.Int64 and not all(map(_fits, cells)):
                columns[name] = [None if cell is None else str(cell) for cell in cells]
                schema[name] = polars.String()
                self._as_text.add(name)
        self._columns.append(polars.DataFrame(columns, schema=schema))
        self._rows.clear()


def _to_dates(name: str, have_zone: bool) -> polars.Expr:
    zone = "%:z" if have_zone else ""
    return polars.col(name).str.to_datetime(
        f"%Y-%m-%dT%H:%M:%S%.f{zone}", time_unit="us", time_zone="UTC" if have_zone else None
    )


def _fits(cell: Cell) -> bool:
    return not isinstance(cell, int) or -(2**63) <= cell < 2**63


def _encodable(cell: Cell) -> Cell:
    return cell.encode(errors="backslashreplace").decode() if isinstance(cell, str) else cell
