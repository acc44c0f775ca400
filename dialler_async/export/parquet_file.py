"""The Parquet writer of exports, for notebooks. It needs the extra `data`.

Whole numbers are 64-bit integers. Dates are timestamps: in UTC if all dates of the column have a time zone, and without
a time zone if none has. These columns are text instead: larger numbers, and dates of both kinds, because no other type
is exact; dates that are after the year 9999 or before the year 1 in UTC, because many readers fail on them. A lone
surrogate becomes an escape such as `\\ud83c`, because UTF-8 can't encode it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from io import BytesIO
from typing import BinaryIO

import polars

from ..models import Language
from .campaign import ExportedCampaign
from .flat import COLUMNS, Cell, rows

# Dates are stored as text until the end, when it is known whether all of them have a time zone.
_TYPES = {int: polars.Int64(), bool: polars.Boolean(), str: polars.String(), datetime: polars.String()}
_SCHEMA = {name: _TYPES[kind] for name, kind in COLUMNS.items()}
_DATES = [name for name, kind in COLUMNS.items() if kind is datetime]
# Rows of Python objects take about twenty times the memory of columns.
_ROWS_PER_CHUNK = 10_000


class _DateKind(Enum):
    WITH_ZONE = auto()
    WITHOUT_ZONE = auto()
    OUT_OF_RANGE = auto()
    """Its year in UTC is not between 1 and 9999."""


class ParquetFile:
    """Collects compact columns, and writes them at the end. Errors are in the column `error`."""

    def __init__(self, file: BinaryIO, exported: datetime, languages: tuple[Language, ...]) -> None:
        self._file = file
        self._columns = [polars.DataFrame(schema=_SCHEMA)]
        self._rows: list[tuple[Cell, ...]] = []
        self._as_text: set[str] = set()
        """Columns with a number of more than 64 bits."""
        self._kinds: dict[str, set[_DateKind]] = {name: set() for name in _DATES}
        """The kinds of dates in each column of dates."""

    def add(self, exported: ExportedCampaign) -> None:
        """Add the rows of a campaign."""
        self._rows.extend(tuple(map(_escape_surrogates, row)) for row in rows(exported))
        if len(self._rows) >= _ROWS_PER_CHUNK:
            self._convert_rows()

    def finish(self, failed: int) -> None:
        """Write all campaigns."""
        self._convert_rows()
        # Written to memory first, because polars raises the same error for a full disk as for other causes.
        compressed = BytesIO()
        as_text = [polars.col(name).cast(polars.String) for name in self._as_text]
        as_dates = [
            _to_dates(name, _DateKind.WITH_ZONE in kinds)
            for name, kinds in self._kinds.items()
            if len(kinds) < 2 and _DateKind.OUT_OF_RANGE not in kinds
        ]
        table = polars.concat(chunk.with_columns(as_text) for chunk in self._columns)
        table.with_columns(as_dates).write_parquet(compressed)
        self._file.write(compressed.getbuffer())
        self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _convert_rows(self) -> None:
        if not self._rows:
            return
        columns: dict[str, Sequence[Cell]] = dict(zip(_SCHEMA, zip(*self._rows, strict=True), strict=True))
        schema = dict(_SCHEMA)
        for name in _DATES:
            dates = [cell for cell in columns[name] if isinstance(cell, datetime)]
            self._kinds[name].update(map(_kind, dates))
            columns[name] = [cell.isoformat() if isinstance(cell, datetime) else None for cell in columns[name]]
        for name, cells in columns.items():
            if schema[name] == polars.Int64 and not all(map(_fits_64_bits, cells)):
                columns[name] = [None if cell is None else str(cell) for cell in cells]
                schema[name] = polars.String()
                self._as_text.add(name)
        self._columns.append(polars.DataFrame(columns, schema=schema))
        self._rows.clear()


def _to_dates(name: str, has_zone: bool) -> polars.Expr:
    zone = "%:z" if has_zone else ""
    return polars.col(name).str.to_datetime(
        f"%Y-%m-%dT%H:%M:%S%.f{zone}", time_unit="us", time_zone="UTC" if has_zone else None
    )


def _kind(date: datetime) -> _DateKind:
    if date.utcoffset() is None:
        return _DateKind.WITHOUT_ZONE
    try:
        date.astimezone(UTC)
    except OverflowError:
        return _DateKind.OUT_OF_RANGE
    return _DateKind.WITH_ZONE


def _fits_64_bits(cell: Cell) -> bool:
    return not isinstance(cell, int) or -(2**63) <= cell < 2**63


def _escape_surrogates(cell: Cell) -> Cell:
    return cell.encode(errors="backslashreplace").decode() if isinstance(cell, str) else cell
