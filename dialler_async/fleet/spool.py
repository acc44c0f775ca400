"""Reports in a temporary file, so that the report of a fleet needs the memory of one account."""

import os
import tempfile
import weakref
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import final

from ..audit import AuditReport
from ..store import StoreError
from ..store.codec import decode_report, encode_report


@final
class ReportSpool(MutableMapping[str, AuditReport]):
    """Reports by the names of their accounts, in a file that is deleted with this object.

    If the file can't be made or written, StoreError is raised.
    """

    def __init__(self) -> None:
        with _store_errors():
            self._file = tempfile.TemporaryFile(prefix="dialler-")  # noqa: SIM115  closed with this object
        self._places: dict[str, tuple[int, int]] = {}
        weakref.finalize(self, self._file.close)

    def __setitem__(self, name: str, report: AuditReport) -> None:
        data = encode_report(report)
        with _store_errors():
            offset = self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            # Otherwise a full disk would be an error of the next read.
            self._file.flush()
        self._places[name] = offset, len(data)

    def __getitem__(self, name: str) -> AuditReport:
        offset, size = self._places[name]
        self._file.seek(offset)
        return decode_report(self._file.read(size))

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"can't write a temporary file for the report: {error.strerror or error}") from None
