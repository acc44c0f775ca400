"""The list of records in a body, read in slices of many records.

A slice ends where a record seems to end. The fast path structures the records of a slice in one step. If it refuses one
of them, msgspec splits the slice, and cattrs structures each record that the fast path refuses.

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
from .fast_path import fast_path, has_many_objects
from .record_bytes import split_list
from .structure import MisfitError, structure_strictly

T = TypeVar("T")
R = TypeVar("R", bound=Record)

BYTES_PER_SLICE: Final = 64 * 1024
"""Bytes of records that are structured in one step: 0.2 ms. Each of these records keeps all of them in memory."""
RECORDS_PER_STEP: Final = 50
"""Records of a split slice that are structured before other tasks run: 2 to 6 ms if cattrs structures them."""
_TOKENS_PER_STEP: Final = 2_000
"""Brackets and strings of a record that are skipped before other tasks run: 1 ms."""
_BYTES_PER_SEARCH: Final = 8 * 1024
"""Bytes of several records in which their ends are searched before other tasks run: up to 4 ms."""
_MAX_RECORDS: Final = 1_000_000
"""Records of one response. An account has thousands; 64 MiB of `{},` are 22 million, and 6 GB once decoded."""
_MAX_RECORD: Final = 2 * 1024 * 1024
"""Bytes of one record, which is decoded in one step."""
_LARGE_RECORD: Final = 640 * 1024
_MAX_VALUES: Final = 100_000
"""Values of one record of more than `_LARGE_RECORD` bytes. Decoding more values would take over 10 ms."""
_MAX_GUESSES: Final = 100
"""Closing braces of a slice that are tried as its end. A text of 64 KiB of braces would take 26 ms."""
_MAX_SEPARATOR: Final = 256 * 1024
"""Bytes between two records, which are read in one step."""
_MAX_KEY_UPDATES: Final = 4
"""Number of times that the fast path learns unknown keys from one list. Learning 500 keys takes 2 ms."""

_skip = msgspec.json.Decoder(msgspec.Raw).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode

# Not compiled at import: most lists need few of these patterns, and `re` caches the compiled ones.
_AFTER_RECORD: Final = rb"[ \t\r\n]*+(?:,[ \t\r\n]*+(?!\])|(?=\]))"
_NEXT_OBJECT: Final = rb"\}[ \t\r\n]*+,[ \t\r\n]*+(?=\{)"
_STRING: Final = rb'"(?:[^"\\]++|(?:\\[\x00-\xff])++)*+'
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

    Attributes:
        position: the position of the first record that `slices` did not read, or of the closing bracket.
        count: the number of records that were read.
        invalid: the records that are not as documented, with their errors. A record that can't be decoded is empty.
            Without `all_invalid`, only the first invalid record is kept.
    """

    def __init__(self, kind: Any, body: Body, start: int, *, all_invalid: bool = False) -> None:
        self.position = self._start = start
        self.count = 0
        self.invalid: list[tuple[Mapping[str, Any], PayloadError]] = []
        self._kind = kind
        self._body = body
        self._all_invalid = all_invalid
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
            end, next_start = self._guess_end()
            records: list[R] = []
            if not has_many_objects(body, self.position, end):
                records = self._fast_path.structure(view[self.position : end])
            if records:
                self.count += len(records)
                yield records
            else:
                pieces: Sequence[memoryview | msgspec.Raw] = _split_exactly(view[self.position : end])
                if not pieces:
                    # `_guess_end` found no end or a wrong one, or a record contains a lone surrogate.
                    ends, next_start = yield from self._search_ends()
                    pieces = [view[start:end] for start, end in ends]
                for first in range(0, len(pieces), RECORDS_PER_STEP):
                    yield self._structure(pieces[first : first + RECORDS_PER_STEP])
            self.position = next_start
            if self.count > _MAX_RECORDS:
                raise self._too_large(f"more than {_MAX_RECORDS} records", "records")

    def restarted(self) -> "ListReader[R]":
        """Return a reader that reads the same list from its start."""
        return ListReader(self._kind, self._body, self._start)

    def _structure(self, pieces: Sequence[memoryview | msgspec.Raw]) -> list[R]:
        """Return the valid records of these bytes, and add the others to `invalid`."""
        records: list[R] = self._fast_path.structure(b",".join(pieces)) if len(pieces) > 1 else []
        if records:
            self.count += len(records)
            return records
        for piece in map(bytes, pieces):
            self.count += 1
            records += self._fast_path.structure(piece) or self._structure_slowly(piece)
        return records

    def _guess_end(self) -> tuple[int, int]:
        """Return where the last record of the slice seems to end, and where the next one begins, if there is one.

        The guess is wrong if it is inside a string or a nested list. Then the bytes before it are not JSON.
        """
        body, start, end = self._body, self.position, self.position + BYTES_PER_SLICE
        next_object = re.compile(_NEXT_OBJECT)
        for _ in range(_MAX_GUESSES):
            end = body.rfind(b"}", start, end)
            if end < 0:
                break
            if found := next_object.match(body, end, end + _MAX_SEPARATOR):
                return end + 1, found.end()
        return start, start

    def _search_ends(self) -> Generator[list[R], None, tuple[list[tuple[int, int]], int]]:
        """Return start and end of each record of the next slice, and the start of the record after it.

        The records may contain anything. The slice has at least one record. This yields empty slices.
        """
        body, start = self._body, self.position
        ends: list[tuple[int, int]] = []
        pause_at = start + _BYTES_PER_SEARCH
        while len(ends) < RECORDS_PER_STEP and not body.startswith(b"]", start):
            index = self.count + len(ends)
            end = yield from self._search_end(start, index)
            if ends and end - self.position > BYTES_PER_SLICE:
                break
            if end - start > _LARGE_RECORD and _count_values(body[start:end]) > _MAX_VALUES:
                raise self._too_large(f"a record with more than {_MAX_VALUES} values", f"records[{index}]")
            ends.append((start, end))
            start = self._next_start(end)
            if start > pause_at:
                yield []
                pause_at = start + _BYTES_PER_SEARCH
        yield []
        return ends, start

    def _search_end(self, start: int, index: int) -> Generator[list[R], None, int]:
        """Return where the record with this index ends, whatever it contains; yield empty slices."""
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

    def _structure_slowly(self, piece: bytes) -> list[R]:
        """Return the record that the fast path refused; an empty list if it is invalid."""
        if self.invalid and not self._all_invalid:
            return []
        path = f"records[{self.count - 1}]"
        decoded: dict[str, Any] = {}
        try:
            # This raises if the piece is not JSON. Then the rest of the body can't be read as records, either.
            without_lone_surrogates(_skip, piece)
            if self._key_updates < _MAX_KEY_UPDATES and self._fast_path.learn_keys(piece):
                self._key_updates += 1
                if records := self._fast_path.structure(piece):
                    return records
            decoded = _decode_record(piece)
            return [structure_strictly(self._kind, decoded, piece)]
        except msgspec.ValidationError as error:
            reason = f"the status is 200, but {path} is not a JSON object: {error}"
            invalid = PayloadError(reason, path=path, excerpt=excerpt(piece))
        except MisfitError as misfit:
            invalid = _misfit_error(misfit, decoded, path, piece)
        except (ValueError, RecursionError) as error:
            # The error is about the whole body, which may be in another charset than UTF-8.
            raise not_json(self._body, error) from None
        self.invalid.append((decoded, invalid))
        return []


def _split_exactly(slice_: memoryview) -> list[msgspec.Raw]:
    """Return the bytes of each record of a slice; an empty list if the slice is not a sequence of JSON values."""
    try:
        return split_list(b"".join((b"[", slice_, b"]")))
    except (ValueError, RecursionError):
        return []


def _count_values(piece: Body) -> int:
    """Return the approximate number of values in a record."""
    return piece.count(b",") + piece.count(b"[") + piece.count(b"{")


def not_json(body: Body, reason: object) -> PayloadError:
    """Return the error for a body that is not JSON, or JSON of other types than documented."""
    text = f"the status is 200, but the body is not the documented JSON: {reason}"
    is_syntax = isinstance(reason, msgspec.DecodeError) and not isinstance(reason, msgspec.ValidationError)
    return PayloadError(text, excerpt=excerpt(body), not_json=is_syntax)


def without_lone_surrogates(decode: Callable[[bytes], T], json: bytes) -> T:
    """Return decoded JSON, with U+FFFD for each escape that is half of a surrogate pair."""
    try:
        return decode(json)
    except msgspec.DecodeError:
        if (replaced := _replace_lone_surrogates(json)) == json:
            raise
    return decode(replaced)


def _replace_lone_surrogates(json: bytes) -> bytes:
    if not re.search(_MAYBE_SURROGATE, json):
        return json
    return re.sub(_SURROGATES_AND_BACKSLASHES, lambda found: rb"\ufffd" if found[1] else found[0], json)


def _decode_record(piece: bytes) -> dict[str, Any]:
    """Return a record, decoded by `json` if msgspec refuses it because of a lone surrogate.

    Servers cut texts after a number of UTF-16 units, and so sometimes cut an emoji into halves.
    """
    try:
        return _decode_object(piece)
    except msgspec.DecodeError:
        if _replace_lone_surrogates(piece) == piece:
            raise
    record = json.loads(piece, parse_float=_finite, parse_int=_integer)
    if type(record) is dict:
        return record
    raise msgspec.ValidationError("Expected `object`")


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


def _misfit_error(misfit: MisfitError, record: Mapping[str, Any], path: str, piece: bytes) -> PayloadError:
    """Return the error for a record of wrong types; its `path` names the first wrong key."""
    record_id = record.get("ID")
    record_id = record_id if type(record_id) is int else None
    who = path + (f" (ID {record_id})" if record_id is not None else "")
    return PayloadError(
        f"the status is 200, but in {who} {misfit}",
        path=f"{path}.{misfit.problems[0][0]}",
        record_id=record_id,
        excerpt=excerpt(piece),
    )
