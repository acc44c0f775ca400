"""The list of records in a body, read in slices of many records.

Decoding 12 MB in one step would stop the event loop for 70 ms. So the list is cut into slices of 64 KiB, where a record
seems to end and the next one seems to begin. msgspec then decodes `[slice]`, and refuses a wrong cut.

A wrong cut is never accepted. JSON is read by a stack: each opening bracket or quote adds a level, and its counterpart
removes the level. A slice begins between two values of the list. So the list is the top of the stack there, both in the
body and in `[slice]`. If `[slice]` is valid JSON, the list is the top of the stack at the end of the slice, too: the
slice ends between two values of this list, and the next slice begins there. A cut inside a text or a nested list would
leave a level open.

Without a cut, or after a wrong one, a scanner finds the end of each record: it counts brackets, and skips texts. The
same argument holds for the piece of the body that it cuts out, because each piece is decoded by itself.

Source: API reference, "The seven calls" and "Campaign records".
"""

import json
import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, final

import msgspec

from ..errors import Body, PayloadError
from ..models import Record
from .error_responses import excerpt
from .fast_path import MAX_DEPTH, count_brackets, fast_path, has_many_objects
from .record_bytes import split_list
from .structure import MisfitError, structure_strictly

T = TypeVar("T")
R = TypeVar("R", bound=Record)

BYTES_PER_SLICE: Final = 64 * 1024
"""Bytes of records that are structured in one step: 0.2 ms. Each of these records keeps all of them in memory."""
RECORDS_PER_STEP: Final = 50
"""Records of a split slice that are structured before other tasks run: 2 to 6 ms if cattrs structures them."""
_TOKENS_PER_STEP: Final = 2_000
"""Brackets and strings of a record that are scanned before other tasks run: 1 ms."""
_BYTES_PER_SCAN: Final = 8 * 1024
"""Bytes of several records that are scanned before other tasks run: up to 4 ms."""
_MAX_RECORDS: Final = 1_000_000
"""Records of one response. An account has thousands; 64 MiB of `{},` are 22 million, and 6 GB once decoded."""
_MAX_RECORD: Final = 512 * 1024
"""Bytes of one record, which is decoded in one step: up to 11 ms, for numbers of 4,300 digits. Records have 3 KB."""
_MAX_VALUES: Final = 100_000
"""Values of one record. Decoding more values would take over 10 ms. Each value has 2 bytes at least."""
_MAX_INVALID: Final = 1_000
"""Invalid records that are kept. Each error takes 0.8 KB and 20 µs."""
_MAX_CUTS: Final = 100
"""Closing braces of a slice that are tried as its end. A text of 64 KiB of braces would take 26 ms."""
_MAX_SEPARATOR: Final = 256 * 1024
"""Bytes between two records, which are read in one step."""
_MAX_KEY_UPDATES: Final = 4
"""Number of times that one list adds keys to the fast path. Adding 500 keys takes 2 ms."""

_skip = msgspec.json.Decoder(msgspec.Raw).decode
_decode_any = msgspec.json.Decoder().decode

# Not compiled at import: most lists need few of these patterns, and `re` caches the compiled ones.
_AFTER_RECORD: Final = rb"[ \t\r\n]*+(?:,[ \t\r\n]*+(?!\])|(?=\]))"
_NEXT_OBJECT: Final = rb"\}[ \t\r\n]*+,[ \t\r\n]*+(?=\{)"
_STRING: Final = rb'"[^"\\]*+(?:\\[\x00-\xff][^"\\]*+)*+'
_BRACKET_OR_STRING: Final = rb"[\[\]{}]|" + _STRING + rb'"?'
_SCALAR: Final = _STRING + rb'"|[^\s,\]}]+'
_MAYBE_SURROGATE: Final = rb"\\u[dD][89a-fA-F]"
_SURROGATES_AND_BACKSLASHES: Final = (
    rb"\\(?:\\(?:\\\\)*+"
    rb"|u[dD](?:[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|([89a-fA-F][0-9a-fA-F]{2})))"
)


@final
class ListReader(Generic[R]):
    """Reads one list of records of a body that is large, or that the fast path refused.

    Args:
        start: the position of the first record.
        set_aside: whether reading goes on after an invalid record. Otherwise, the records after it are only counted.
    Attributes:
        position: the position of the first record that `slices` did not read, or of the closing bracket.
        count: the number of records that were read.
        invalid: the first 1,000 records that are not as documented, with their errors.
        invalid_count: the number of all records that are not as documented.
    """

    def __init__(self, kind: Any, body: Body, start: int, *, set_aside: bool = False) -> None:
        self.position = self._start = start
        self.count = self.invalid_count = 0
        self.invalid: list[tuple[Mapping[str, Any], PayloadError]] = []
        self._kind = kind
        self._body = body
        self._set_aside = set_aside
        self._fast_path = fast_path(kind)
        self._key_updates = 0

    def slices(self) -> Generator[list[R], None, None]:
        """Yield the valid records until the list ends, and add the others to `invalid`.

        An empty list has no records, and only lets other tasks run.

        Raises:
            PayloadError: the body is not a list in JSON, or is too large.
        """
        body = self._body
        # A part of a memoryview is copied once, a part of a bytearray twice.
        view = memoryview(body)
        while not body.startswith(b"]", self.position):
            cut, next_start = self._probable_cut()
            records: list[R] = []
            if not has_many_objects(body, self.position, cut):
                records = self._fast_path.structure(view[self.position : cut])
            if records:
                self.count += len(records)
                yield records
            else:
                pieces: Sequence[bytes | memoryview] = _split(view[self.position : cut])
                if not pieces:
                    pieces, next_start = yield from self._scan_records(view)
                for first in range(0, len(pieces), RECORDS_PER_STEP):
                    yield self._structure(pieces[first : first + RECORDS_PER_STEP])
            self.position = next_start
            if self.count > _MAX_RECORDS:
                raise self._too_large(f"more than {_MAX_RECORDS} records", "records")

    def restarted(self) -> "ListReader[R]":
        """Return a reader that reads the same list from its start."""
        return ListReader(self._kind, self._body, self._start)

    def _probable_cut(self) -> tuple[int, int]:
        """Return where a record of the slice probably ends, as late as possible, and where the next one begins."""
        body, start, end = self._body, self.position, self.position + BYTES_PER_SLICE
        next_object = re.compile(_NEXT_OBJECT)
        for _ in range(_MAX_CUTS):
            end = body.rfind(b"}", start, end)
            if end < 0:
                break
            if found := next_object.match(body, end, end + _MAX_SEPARATOR):
                return end + 1, found.end()
        return start, start

    def _scan_records(self, view: memoryview) -> Generator[list[R], None, tuple[list[memoryview], int]]:
        """Return the bytes of each of the next records, one at least, and where the record after them begins.

        This yields empty slices.
        """
        body, start = self._body, self.position
        pieces: list[memoryview] = []
        pause_at = start + _BYTES_PER_SCAN
        while len(pieces) < RECORDS_PER_STEP and not body.startswith(b"]", start):
            index = self.count + len(pieces)
            end = yield from self._scan_record(start, index)
            if pieces and end - self.position > BYTES_PER_SLICE:
                break
            if (
                end - start > 2 * _MAX_VALUES
                and body.count(b",", start, end) + count_brackets(body, start, end) > _MAX_VALUES
            ):
                raise self._too_large(f"a record with more than {_MAX_VALUES} values", f"records[{index}]")
            pieces.append(view[start:end])
            start = self._next_start(end)
            if start > pause_at:
                yield []
                pause_at = start + _BYTES_PER_SCAN
        yield []
        return pieces, start

    def _scan_record(self, start: int, index: int) -> Generator[list[R], None, int]:
        """Return where a record ends, whatever it contains. This yields empty slices."""
        body, limit = self._body, start + _MAX_RECORD
        if body.startswith((b"{", b"["), start):
            depth = 0
            for number, token in enumerate(re.compile(_BRACKET_OR_STRING).finditer(body, start, limit), 1):
                character = body[token.start()]
                if character in b"{[":
                    depth += 1
                elif character in b"]}":
                    depth -= 1
                    if depth == 0:
                        return token.end()
                if number % _TOKENS_PER_STEP == 0:
                    yield []
        elif scalar := re.compile(_SCALAR).match(body, start, limit):
            return scalar.end()
        if limit >= len(body):
            raise not_json(body, msgspec.DecodeError("Input data was truncated"))
        raise self._too_large(f"a record larger than {_MAX_RECORD} bytes", f"records[{index}]")

    def _next_start(self, end: int) -> int:
        """Return where the next record begins, or where the closing bracket is."""
        limit = end + _MAX_SEPARATOR
        separator = re.compile(_AFTER_RECORD).match(self._body, end, limit)
        is_too_long = not self._body[end:limit].strip() if separator is None else separator.end() == limit
        if is_too_long and limit < len(self._body):
            raise self._too_large(f"more than {_MAX_SEPARATOR} bytes between two records", "records")
        if separator is None:
            raise not_json(self._body, msgspec.DecodeError(f"JSON is malformed: invalid character (byte {end})"))
        return separator.end()

    def _too_large(self, what: str, path: str) -> PayloadError:
        return PayloadError(f"the status is 200, but the body has {what}", path=path, excerpt=excerpt(self._body))

    def _structure(self, pieces: Sequence[bytes | memoryview]) -> list[R]:
        """Return the valid records of these bytes, and add the others to `invalid`."""
        records: list[R] = self._fast_path.structure(b",".join(pieces)) if len(pieces) > 1 else []
        if records:
            self.count += len(records)
            return records
        for piece in map(bytes, pieces):
            records += self._fast_path.structure(piece) or self._structure_slowly(piece)
            self.count += 1
        return records

    def _structure_slowly(self, piece: bytes) -> list[R]:
        """Return the record that the fast path refused; an empty list if it is invalid."""
        record: dict[str, Any] = {}
        if self.invalid and not self._set_aside:
            return []
        try:
            record = _decode_record(piece)
            if self._key_updates < _MAX_KEY_UPDATES and self._fast_path.add_keys_of(record):
                self._key_updates += 1
                if records := self._fast_path.structure(piece):
                    return records
            return [structure_strictly(self._kind, record, piece, describe=len(self.invalid) < _MAX_INVALID)]
        except MisfitError as misfit:
            self.invalid_count += 1
            if len(self.invalid) < _MAX_INVALID:
                self.invalid.append((record, _misfit_error(misfit, record, f"records[{self.count}]", piece)))
        except ValueError as error:
            # The rest of the body can't be read as records, either. It may be in another charset than UTF-8.
            raise not_json(self._body, error) from None
        return []


def _split(slice_: memoryview) -> list[bytes]:
    """Return the bytes of each record of a slice; an empty list if the cut is wrong, or the nesting is very deep."""
    json = b"".join((b"[", slice_, b"]"))
    records, end = [], 1
    try:
        for raw in without_lone_surrogates(split_list, json):
            piece = memoryview(raw)
            # The original bytes have the same length, and only white space and commas between them.
            start = json.index(piece[:1], end)
            end = start + len(piece)
            records.append(json[start:end])
    except (ValueError, RecursionError):
        return []
    return records


def not_json(body: Body, reason: object) -> PayloadError:
    """Return the error for a body that is not JSON, or JSON of other types than documented."""
    text = f"the status is 200, but the body is not the documented JSON: {reason}"
    is_syntax = isinstance(reason, msgspec.DecodeError) and not isinstance(reason, msgspec.ValidationError)
    return PayloadError(text, excerpt=excerpt(body), not_json=is_syntax)


def without_lone_surrogates(decode: Callable[[bytes], T], json: bytes) -> T:
    """Return decoded JSON, with U+FFFD for each escape that is half of a surrogate pair. Both escapes have 6 bytes."""
    try:
        return decode(json)
    except msgspec.DecodeError:
        if not re.search(_MAYBE_SURROGATE, json):
            raise
    return decode(re.sub(_SURROGATES_AND_BACKSLASHES, lambda found: rb"\ufffd" if found[1] else found[0], json))


def _decode_record(piece: bytes) -> dict[str, Any]:
    """Return a decoded record.

    Raises:
        MisfitError: it is not an object, is nested too deeply, or has a number out of range.
        ValueError: it is not JSON.
    """
    try:
        record = _decode_object(piece)
        is_too_deep = count_brackets(piece) > MAX_DEPTH and _is_too_deep(record)
    except RecursionError:
        is_too_deep = True
    if is_too_deep:
        raise MisfitError([("", f"is nested more than {MAX_DEPTH} levels deep")])
    return record


def _decode_object(piece: bytes) -> dict[str, Any]:
    try:
        value = _decode_value(piece)
    except msgspec.ValidationError as error:
        # The decoder stopped there. What follows may not be JSON.
        without_lone_surrogates(_skip, piece)
        raise MisfitError([("", f"can't be decoded: {error}")]) from None
    if type(value) is not dict:
        raise MisfitError([("", "is not a JSON object")])
    return value


def _decode_value(piece: bytes) -> Any:
    """Return a decoded value. Unlike msgspec, this accepts lone surrogates.

    Servers cut texts after a number of UTF-16 units, and so sometimes cut an emoji into halves.
    """
    try:
        return _decode_any(piece)
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError) or not re.search(_MAYBE_SURROGATE, piece):
            raise
    try:
        return _decode_lone_surrogates(piece.decode())
    except (json.JSONDecodeError, UnicodeDecodeError):
        # This raises the error of msgspec, which has the position in bytes.
        without_lone_surrogates(_decode_any, piece)
        raise


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise msgspec.ValidationError("Number out of range")
    return value


def _integer(number: str) -> int:
    try:
        return int(number)
    except ValueError:
        raise msgspec.ValidationError("Integer value out of range") from None


# Made once, because this takes as long as decoding 40 keys.
_decode_lone_surrogates = json.JSONDecoder(parse_float=_finite, parse_int=_integer, parse_constant=_finite).decode


def _is_too_deep(record: dict[str, Any]) -> bool:
    """Return whether a decoded record has more than `MAX_DEPTH` levels."""
    nested: list[Any] = [record]
    for _ in range(MAX_DEPTH):
        nested = [
            value
            for parent in nested
            for value in (parent.values() if type(parent) is dict else parent)
            if type(value) is dict or type(value) is list
        ]
    return bool(nested)


def _misfit_error(misfit: MisfitError, record: Mapping[str, Any], path: str, piece: bytes) -> PayloadError:
    """Return the error for an invalid record. Its `path` names the first wrong key."""
    record_id = record.get("ID")
    record_id = record_id if type(record_id) is int else None
    if key := misfit.problems[0][0]:
        who = f"in {path}" + (f" (ID {record_id})" if record_id is not None else "")
    else:
        who = path
    return PayloadError(
        f"the status is 200, but {who} {misfit}",
        path=f"{path}.{key}" if key else path,
        record_id=record_id,
        excerpt=excerpt(piece),
    )
