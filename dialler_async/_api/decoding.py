"""JSON bytes <-> results of calls: envelopes, their records, and bodies that are neither.

Pure, and in slices: an account's list can be 12 MB, and decoding it in one step would stop the event loop for 70 ms.
Each decoder is a generator that yields between two slices, so that the caller can let other tasks run.

The list of records is found in the body, and read record by record. The rest is the envelope, and is decoded last.

Source: API reference, "Status codes and error bodies", "The seven calls", "Campaign records" and "Dates".
"""

import json
import math
import re
from collections.abc import Generator, Iterator, Mapping
from functools import cache
from typing import Any, Final, Generic, Literal, NoReturn, Protocol, TypeVar, final

import attrs
import msgspec

from ..errors import Body, PayloadError
from ..models import Campaign, Record, Records, ResultCode
from .error_responses import claimed_status, excerpt
from .structure import MisfitError, fast_path, structure_strictly

T_co = TypeVar("T_co", covariant=True)
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
_MAX_ENVELOPE: Final = 256 * 1024
"""Bytes of an envelope without its records, which is decoded in one step as well."""
_TOKENS_PER_STEP: Final = 2_000
"""Brackets and strings that are skipped before other tasks run."""
_MAX_EXTENSIONS: Final = 10
"""How often the fast path of one list learns unknown keys."""
_MAX_LISTS: Final = 20
"""Lists named `records` in one body."""


class ResponseDecoder(Protocol[T_co]):
    """What turns the body of a response with status 200 into the result of a call."""

    def decode(self, body: Body) -> Generator[None, None, T_co]:
        """Return the result from the generator, which yields wherever the work may pause.

        Raises:
            PayloadError: The body is not as documented.
            StatusError: The body claims another status than 200.
        """


class _Envelope(msgspec.Struct, rename="camel"):
    records: msgspec.Raw = msgspec.Raw(b"null")
    count: int | None = None
    status: int | None = None
    error: str | None = None
    filter: str | None = None
    limit_start: int | None = None
    limit_page_size: int | None = None
    order_by: str | None = None
    ascending: bool | Literal[0, 1] | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
encode: Final = msgspec.json.Encoder().encode
"""Return the JSON bytes of a body."""

# Compiled when they are first needed, and kept by `re`: a small list of records needs few of them.
# Each letter as it is, or as an escape.
_RECORDS_BEGIN: Final = (
    b'"' + b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in b"records") + rb'"\s*:\s*\[\s*'
)
_AFTER_RECORD: Final = rb"[ \t\r\n]*(?:,[ \t\r\n]*+(?!\])|(?=\]))"
_STRING: Final = rb'"(?:[^"\\]++|(?:\\[\x00-\xff])++)*+'
_BRACKET_OR_STRING: Final = rb"[\[\]{}]|" + _STRING + rb'"?'
_SCALAR: Final = _STRING + rb'"|[^\s,\]}]+'
_SURROGATES_AND_ESCAPES: Final = (
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\[\x00-\xff]"
)
_READ_LIST: Final = b'"a list of records that was read"'
"""What takes the place of a list that was read, to find out whether it is the envelope's `records`."""


def _decode_record(piece: bytes) -> dict[str, Any]:
    """Return a record, decoded by `json` if msgspec refuses it because of a lone surrogate.

    Servers cut texts after a number of UTF-16 units, and so sometimes cut an emoji into halves.
    """
    try:
        return _decode_object(piece)
    except msgspec.DecodeError:
        if _replace_lone_surrogates(piece) == piece:
            raise
    record = _lenient_json().decode(piece.decode())
    if type(record) is dict:
        return record
    raise msgspec.ValidationError("Expected `object`")


@cache
def _lenient_json() -> json.JSONDecoder:
    """Return a decoder that accepts lone surrogates, and is otherwise as strict as msgspec."""
    return json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer)


def _refuse_constant(name: str) -> NoReturn:
    raise msgspec.DecodeError(f"{name} is not JSON")


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


def _replace_lone_surrogates(body: bytes) -> bytes:
    """Return JSON with U+FFFD for each escape that is half of a surrogate pair."""
    return re.sub(_SURROGATES_AND_ESCAPES, lambda found: rb"\ufffd" if found[1] else found[0], body)


def _not_json(body: Body, reason: object) -> PayloadError:
    text = f"the server said 200, but its body is not the JSON documented: {reason}"
    # A ValidationError is JSON of the wrong types.
    not_json = isinstance(reason, msgspec.DecodeError) and not isinstance(reason, msgspec.ValidationError)
    return PayloadError(text, excerpt=excerpt(body), not_json=not_json)


@final
@attrs.frozen
class InvalidRecord:
    """A record that is not as documented.

    Attributes:
        record: The decoded record; empty if it can't be decoded.
        error: What is wrong, with the record's `.path` and `.record_id`.
    """

    record: Mapping[str, Any]
    error: PayloadError


@final
@attrs.frozen
class PartialRecords(Generic[R]):
    """The records of a response in which invalid records don't prevent reading the others.

    Attributes:
        records: The records that are as documented.
        invalid: The records that are not.
        total: The number of records that the server counts, which may be larger than the number that it sent.
    """

    records: tuple[R, ...]
    invalid: tuple[InvalidRecord, ...]
    total: int


@final
class _ListReader(Generic[R]):
    """Reads one list of records from a body, record by record.

    Attributes:
        start: The position of the first record.
        end: The position of the closing bracket, once all records were read.
        count: The number of records that were read.
        records: The records that are as documented, if they are kept.
        invalid: The records that are not; unless all are asked for, only the first.
    """

    def __init__(self, kind: type[R], body: Body, start: int, *, all_invalid: bool) -> None:
        self.start = self.end = start
        self.count = 0
        self.records: list[R] = []
        self.invalid: list[InvalidRecord] = []
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
        path = fast_path(self._kind)
        decode, instance = path.decode, path.instance
        records: list[R] = []
        invalid = extended = 0
        start = self.start
        pause = start + BYTES_PER_SLICE
        is_last = startswith(b"]", start)
        while not is_last:
            # A guess: it is wrong if the record contains another object, or this character in a text. Then the bytes
            # up to there are no JSON, for an object has only one possible end.
            end = find(b"}", start, start + BYTES_PER_SLICE) + 1
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
                guess, end = end, (yield from self._find_end(start))
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
                records, invalid, pause = [], 0, start + BYTES_PER_SLICE
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
        separator = re.compile(_AFTER_RECORD).match(self._body, end)
        if separator is None:
            raise _not_json(self._body, msgspec.DecodeError(f"JSON is malformed: invalid character (byte {end})"))
        return separator.end()

    def _find_end(self, start: int) -> Generator[list[R], None, int]:
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
            raise _not_json(body, msgspec.DecodeError("Input data was truncated"))
        raise PayloadError(
            f"the server said 200, but sent a record larger than {_MAX_RECORD} bytes",
            path=f"records[{self.count}]",
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
            _decode_raw(_replace_lone_surrogates(piece))
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
            raise _not_json(self._body, error) from None
        self.invalid.append(InvalidRecord(decoded, invalid))
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


def _read(
    kind: type[R], body: Body, *, keep: bool = True, all_invalid: bool = False
) -> Generator[None, None, tuple[_Envelope, _ListReader[R] | None]]:
    """Read all lists named `records`, until one turns out to be the envelope's.

    The first one is, as a rule. Others are nested in the envelope, or another key of this name follows.
    """
    begin = re.compile(_RECORDS_BEGIN)
    frame, position = b"", 0
    for _ in range(_MAX_LISTS):
        found = begin.search(body, position, position + _MAX_ENVELOPE)
        if found is None:
            break
        reader = _ListReader(kind, body, found.end(), all_invalid=all_invalid)
        for number, records in enumerate(reader.slices()):
            if number:
                yield
            if keep:
                reader.records += records
        frame += bytes(body[position : found.end()]) + _READ_LIST
        position = reader.end
        if len(frame) + len(body) - position <= _MAX_ENVELOPE:
            envelope = _decode_frame(frame + body[position:], body)
            if bytes(envelope.records).strip(b"[] \t\r\n") == _READ_LIST:
                return envelope, reader
    if len(frame) + len(body) - position > _MAX_ENVELOPE:
        raise PayloadError(
            f"the server said 200, but its body is larger than {_MAX_ENVELOPE} bytes without its records",
            excerpt=excerpt(body),
        )
    envelope = _decode_frame(frame + body[position:], body)
    if bytes(envelope.records) != b"null":
        raise _not_json(body, "`records` is no list")
    return envelope, None


def _decode_frame(frame: Body, body: Body) -> _Envelope:
    """Return the envelope of a body whose records are cut out; errors show the whole body."""
    if not frame or frame.isspace():
        raise PayloadError("the server said 200, but sent an empty body", not_json=True)
    try:
        try:
            envelope = _decode_envelope(frame)
        except msgspec.DecodeError:
            envelope = _decode_envelope(_replace_lone_surrogates(bytes(frame)))
    except (ValueError, RecursionError) as error:
        # Not `from error`: msgspec's exceptions say no more than their text.
        raise _not_json(body, error) from None
    if envelope.status not in (200, None):
        raise claimed_status(envelope.status, envelope.error, body)
    return envelope


# The classes below are written by hand: each class that attrs makes adds 0.25 ms to everybody's import.


@final
class _RecordsOf(Generic[R]):
    """Many records in an envelope."""

    def __init__(self, kind: type[R], *, may_be_shortened: bool = False) -> None:
        self.kind = kind
        self.may_be_shortened = may_be_shortened

    def decode(self, body: Body) -> Generator[None, None, Records[R]]:
        envelope, reader = yield from _read(self.kind, body)
        reader, total = _checked(envelope, reader, body, self.may_be_shortened)
        if reader.invalid:
            raise reader.invalid[0].error from None
        return Records(
            items=reader.records,
            total=total,
            filter=envelope.filter,
            limit_start=envelope.limit_start,
            limit_page_size=envelope.limit_page_size,
            order_by=envelope.order_by,
            ascending=None if envelope.ascending is None else bool(envelope.ascending),
        )


def _checked(
    envelope: _Envelope, reader: _ListReader[R] | None, body: Body, may_be_shortened: bool
) -> tuple[_ListReader[R], int]:
    """Return the reader, and how many records the server counts.

    Raises:
        PayloadError: The server sent another number of records, or no list of them.
    """
    if reader is None:
        raise PayloadError("the server said 200, but sent no list of records", path="records", excerpt=excerpt(body))
    count, sent = envelope.count, reader.count
    if count not in (sent, None) and not (may_be_shortened and 0 < sent < count):
        raise PayloadError(f"the server counts {count} records, but sent {sent}", path="count", excerpt=excerpt(body))
    return reader, sent if count is None else count


@final
class _SlicesOf(Generic[R]):
    """Many records in an envelope, as an iterator that structures them slice by slice and keeps none."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind

    def decode(self, body: Body) -> Generator[None, None, Iterator[list[R]]]:
        # The whole body is read before the first slice: if it is in another charset, it is decoded anew.
        envelope, reader = yield from _read(self.kind, body, keep=False)
        reader, _ = _checked(envelope, reader, body, may_be_shortened=False)
        return self._slices(_ListReader(self.kind, body, reader.start, all_invalid=False))

    def _slices(self, reader: _ListReader[R]) -> Iterator[list[R]]:
        for records in reader.slices():
            if reader.invalid:
                break
            if records:
                yield records
        if reader.invalid:
            raise reader.invalid[0].error from None


@final
class _PartialRecordsOf(Generic[R]):
    """Many records in an envelope, of which some may be invalid."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind

    def decode(self, body: Body) -> Generator[None, None, PartialRecords[R]]:
        envelope, reader = yield from _read(self.kind, body, all_invalid=True)
        reader, total = _checked(envelope, reader, body, may_be_shortened=True)
        return PartialRecords(tuple(reader.records), tuple(reader.invalid), total)


@final
class _OneOf(Generic[R]):
    """Exactly one record in an envelope."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind

    def decode(self, body: Body) -> Generator[None, None, R]:
        records = yield from _RecordsOf(self.kind).decode(body)
        if len(records) != 1:
            raise PayloadError(
                f"the server sent {len(records)} records where one is documented", path="records", excerpt=excerpt(body)
            )
        return records[0]


@final
class _Done:
    """`{"status": 200}`, and no records."""

    def decode(self, body: Body) -> Generator[None, None, None]:
        envelope, reader = yield from _read(Campaign, body, keep=False)
        if reader is not None:
            raise PayloadError(
                "the server said 200, but sent records: this response belongs to another request",
                path="records",
                excerpt=excerpt(body),
            )
        if envelope.status is None:
            raise PayloadError(
                'the server said 200, but not the {"status": 200} documented', path="status", excerpt=excerpt(body)
            )


CAMPAIGNS: Final[ResponseDecoder[Records[Campaign]]] = _RecordsOf(Campaign)
PARTIAL_CAMPAIGNS: Final[ResponseDecoder[PartialRecords[Campaign]]] = _PartialRecordsOf(Campaign)
CAMPAIGN_SLICES: Final[ResponseDecoder[Iterator[list[Campaign]]]] = _SlicesOf(Campaign)
CAMPAIGN: Final[ResponseDecoder[Campaign]] = _OneOf(Campaign)
# The published example prints two of seven result codes; none of the campaigns' examples is shortened.
RESULT_CODES: Final[ResponseDecoder[Records[ResultCode]]] = _RecordsOf(ResultCode, may_be_shortened=True)
DONE: Final[ResponseDecoder[None]] = _Done()
