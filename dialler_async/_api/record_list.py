"""The list of records in a body, read record by record and in slices.

A record is cut out where it seems to end, and the fast path decodes it. If the fast path refuses it, its true end is
searched for. If it is refused again, cattrs judges it.

Source: API reference, "The seven calls" and "Campaign records".
"""

import json
import math
import re
from collections.abc import Generator, Mapping
from typing import Any, Final, Generic, TypeVar, final

import msgspec

from ..errors import Body, PayloadError
from ..models import Record
from .error_responses import excerpt
from .structure import MisfitError, fast_path, structure_strictly

R = TypeVar("R", bound=Record)

BYTES_PER_SLICE: Final = 64 * 1024
"""Bytes of records that are decoded before other tasks run: less than a millisecond's work."""
_BYTES_PER_RECORD: Final = 300
"""Bytes that each record counts besides its own, for the work that does not depend on its size."""
_BYTES_PER_SLOW_RECORD: Final = 3000
"""The same in addition, if its end was guessed wrong or if cattrs structures it."""
_MAX_RECORDS: Final = 1_000_000
"""Records of one response. An account has thousands; 64 MiB of `{},` are 22 million, and 6 GB once decoded."""
_MAX_RECORD: Final = 2 * 1024 * 1024
"""Bytes of one record, which is decoded in one step."""
_LARGE_RECORD: Final = 640 * 1024
_MAX_VALUES: Final = 100_000
"""Values of one record of more than `_LARGE_RECORD` bytes, for the same reason: they take 10 ms."""
_TOKENS_PER_STEP: Final = 2_000
"""Brackets and strings that are skipped before other tasks run."""
_MAX_EXTENSIONS: Final = 10
"""How often the fast path of one list learns unknown keys."""

_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode

# Compiled when they are first needed, and kept by `re`: most lists need few of them.
_AFTER_RECORD: Final = rb"[ \t\r\n]*(?:,[ \t\r\n]*+(?!\])|(?=\]))"
_STRING: Final = rb'"(?:[^"\\]++|(?:\\[\x00-\xff])++)*+'
_BRACKET_OR_STRING: Final = rb"[\[\]{}]|" + _STRING + rb'"?'
_SCALAR: Final = _STRING + rb'"|[^\s,\]}]+'
_SURROGATES_AND_ESCAPES: Final = (
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\[\x00-\xff]"
)


def _decode_record(piece: bytes) -> dict[str, Any]:
    """Return a record, decoded by `json` if msgspec refuses it because of a lone surrogate.

    Servers cut texts after a number of UTF-16 units, and so sometimes cut an emoji into halves.
    """
    try:
        return _decode_object(piece)
    except msgspec.DecodeError:
        if replace_lone_surrogates(piece) == piece:
            raise
    record = json.loads(piece.decode(), parse_float=_finite, parse_int=_integer)
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


def replace_lone_surrogates(body: bytes) -> bytes:
    """Return JSON with U+FFFD for each escape that is half of a surrogate pair."""
    return re.sub(_SURROGATES_AND_ESCAPES, lambda found: rb"\ufffd" if found[1] else found[0], body)


def not_json(body: Body, reason: object) -> PayloadError:
    text = f"the server said 200, but its body is not the JSON documented: {reason}"
    # A ValidationError is JSON of the wrong types.
    not_json = isinstance(reason, msgspec.DecodeError) and not isinstance(reason, msgspec.ValidationError)
    return PayloadError(text, excerpt=excerpt(body), not_json=not_json)


@final
class ListReader(Generic[R]):
    """Reads one list of records from a body, record by record.

    Attributes:
        start: The position of the first record.
        end: The position of the closing bracket, once all records were read.
        count: The number of records that were read.
        records: The records that are as documented, if they are kept.
        invalid: The others, as far as they can be decoded, with their errors; unless all are asked for, only the first.
    """

    def __init__(self, kind: type[R], body: Body, start: int, *, all_invalid: bool) -> None:
        self.start = self.end = start
        self.count = 0
        self.records: list[R] = []
        self.invalid: list[tuple[Mapping[str, Any], PayloadError]] = []
        self._kind: Any = kind
        self._body = body
        self._all_invalid = all_invalid

    def slices(self) -> Generator[list[R], None, None]:
        """Yield the records that are as documented, in slices; an empty slice is a pause.

        Raises:
            PayloadError: It is no list in JSON, or too large.
        """
        # Local names, and few calls: a record takes 5 µs in all.
        body, find, startswith = self._body, self._body.find, self._body.startswith
        # A part of a memoryview is copied once, a part of a bytearray twice.
        view = body if isinstance(body, bytes) else memoryview(body)
        slice_size = BYTES_PER_SLICE
        path = fast_path(self._kind)
        decode, instance = path.decode, path.instance
        records: list[R] = []
        invalid = extended = 0
        start = self.start
        pause = start + slice_size
        is_last = startswith(b"]", start)
        while not is_last:
            # A guess: it is wrong if the record contains another object, or this character in a text. Then the bytes
            # up to there are no JSON, for an object has only one possible end.
            end = find(b"}", start, start + slice_size) + 1
            while True:
                piece = bytes(view[start:end])
                try:
                    records.append(instance(decode(piece), piece))
                    break
                except (ValueError, RecursionError):
                    pass
                if extended < _MAX_EXTENSIONS and (extension := path.with_keys_of(piece)) is not None:
                    path, decode = extension, extension.decode
                    extended += 1
                    continue
                guess, end = end, (yield from self._find_end(start, self.count + len(records) + invalid))
                pause -= _BYTES_PER_SLOW_RECORD
                if end == guess or end - start > _LARGE_RECORD:
                    record = self._structure_strictly(bytes(view[start:end]), self.count + len(records) + invalid)
                    if record is None:
                        invalid += 1
                    else:
                        records.append(record)
                    break
            if startswith(b",{", end):
                start = end + 1
            else:
                start = self._next_record(end)
                is_last = startswith(b"]", start)
            pause -= _BYTES_PER_RECORD
            if start >= pause:
                self._count(len(records) + invalid)
                yield records
                records, invalid, pause = [], 0, start + slice_size
        self.end = start
        self._count(len(records) + invalid)
        if records:
            yield records

    def _count(self, records: int) -> None:
        self.count += records
        if self.count > _MAX_RECORDS:
            raise PayloadError(
                f"the server said 200, but sent more than {_MAX_RECORDS} records",
                path="records",
                excerpt=excerpt(self._body),
            )

    def _next_record(self, end: int) -> int:
        """Return where the next record begins, or where the closing bracket is."""
        if self._body.startswith(b"]", end):
            return end
        separator = re.compile(_AFTER_RECORD).match(self._body, end)
        if separator is None:
            raise not_json(self._body, msgspec.DecodeError(f"JSON is malformed: invalid character (byte {end})"))
        return separator.end()

    def _find_end(self, start: int, index: int) -> Generator[list[R], None, int]:
        """Return where a value ends, whatever it contains; yield empty slices."""
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
        raise PayloadError(
            f"the server said 200, but sent a record larger than {_MAX_RECORD} bytes",
            path=f"records[{index}]",
            excerpt=excerpt(body),
        )

    def _structure_strictly(self, piece: bytes, index: int) -> R | None:
        """Return the record as cattrs structures it; None if it is invalid."""
        if self.invalid and not self._all_invalid:
            return None
        path = f"records[{index}]"
        decoded: dict[str, Any] = {}
        try:
            # First, whether it is JSON at all. If it is not, what follows may be no list of records.
            _decode_raw(replace_lone_surrogates(piece))
            _check_number_of_values(piece)
            decoded = _decode_record(piece)
            record: R = structure_strictly(self._kind, decoded)
            return record
        except msgspec.ValidationError as error:
            message = f"the server said 200, but {path} is not an object of JSON: {error}"
            invalid = PayloadError(message, path=path, excerpt=excerpt(piece))
        except MisfitError as misfit:
            invalid = _misfit(misfit, decoded, path, piece)
        except (ValueError, RecursionError) as error:
            # If it is not in UTF-8, the whole body may be in another charset.
            raise not_json(self._body, error) from None
        self.invalid.append((decoded, invalid))
        return None


def _check_number_of_values(piece: bytes) -> None:
    if len(piece) > _LARGE_RECORD and piece.count(b",") + piece.count(b"[") + piece.count(b"{") > _MAX_VALUES:
        raise msgspec.ValidationError(f"it has more than {_MAX_VALUES} values")


def _misfit(misfit: MisfitError, record: Mapping[str, Any], path: str, piece: bytes) -> PayloadError:
    """Return the error for a record of wrong types; its `path` names the first wrong key."""
    record_id = record.get("ID")
    record_id = record_id if type(record_id) is int else None
    who = path + (f" (ID {record_id})" if record_id is not None else "")
    return PayloadError(
        f"the server said 200, but in {who} {misfit}",
        path=f"{path}.{misfit.problems[0][0]}",
        record_id=record_id,
        excerpt=excerpt(piece),
    )
