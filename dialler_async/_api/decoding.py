"""JSON bytes <-> answers: envelopes, their records, and bodies that are neither.

Pure, and cut into slices: an account's list can be 12 MB, and structured in one go it would stop the event loop for
100 ms. So it is decoded and structured slice by slice, and the caller can let others run in between. Three ways lead
to the same records: a small body is decoded at once, a large one gradually, and whatever is unusual about either goes
the long way, which splits all of it into its records first and tells what is wrong with which.

Source: API reference, "Status codes and error bodies", "The seven calls", "Campaign records" and "Dates".
"""

import codecs
import contextlib
import json
import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Generic, Literal, NoReturn, Protocol, TypeAlias, TypeVar, final

import attrs
import msgspec

from ..errors import Body, PayloadError
from ..models import Campaign, Record, Records, ResultCode
from .error_responses import claimed_status, excerpt
from .structure import STRUCTURE, MisfitError

T_co = TypeVar("T_co", covariant=True)
P = TypeVar("P")
R = TypeVar("R", bound=Record)

SLICE: Final = 64 * 1024
"""Bytes of records that are structured before the event loop has its turn: about a millisecond's work."""
RECORD: Final = 300
"""Bytes that a record counts besides its own: what a small one costs more than its share."""


class Answer(Protocol[T_co]):
    """What a call answers with when the server says 200."""

    def decode(self, body: Body) -> Generator[None, None, T_co]:
        """The value of a body, as the generator's return value; it yields wherever the work may pause.

        Raises:
            PayloadError: the body is not what is documented.
            StatusError: the body claims another status than 200.
        """


class _Envelope(msgspec.Struct, Generic[P], rename="camel"):
    records: list[P] | None = None
    count: int | None = None
    status: int | None = None
    error: str | None = None
    filter: str | None = None
    limit_start: int | None = None
    limit_page_size: int | None = None
    order_by: str | None = None
    ascending: bool | Literal[0, 1] | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope[msgspec.Raw]).decode
_decode_whole = msgspec.json.Decoder(_Envelope[dict[str, Any]]).decode
_decode_records = msgspec.json.Decoder(list[dict[str, Any]]).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_raw_records = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
encode: Final = msgspec.json.Encoder().encode
"""The JSON bytes of a body."""

_MIB: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
# Compiled when they are first needed, and kept by `re`: few answers need one, and they are 1 ms of everybody's import.
_CHARSET: Final = r"""(?ai)charset\s*=\s*["']?([\w.:-]+)"""
# Each letter as it is or as an escape. A nested list of this name must not be found before an escaped key.
_RECORDS_BEGIN: Final = (
    b'"' + b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in b"records") + rb'"\s*:\s*\['
)
_BETWEEN_RECORDS: Final = rb"}\s*,\s*{"
_BETWEEN_RAW: Final = rb"[\s,]*"
_IN_LIST: Final = rb'["\[\]{},]'
_OUTSIDE_LIST: Final = rb'["\[\]{}]'
_IN_TEXT: Final = rb'(?:[^"\\]++|\\[\x00-\xff])*+'
_COLON: Final = rb"\s*:"
_NO_LONE_SURROGATE: Final = (
    rb"(?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u]|\\u(?![dD][89a-fA-F]))*+"
)
_SURROGATE: Final = rb"\\u[dD][89a-fA-F]"

_MAX_RECORDS: Final = 1_000_000
"""Records of one response. An account has thousands; 64 MiB of `{},` are 22 million, and 6 GB once decoded."""
_MAX_RECORD: Final = 2 * _MIB
"""Bytes of one record, which is decoded in one step."""
_MAX_VALUES: Final = 100_000
"""Values of one record above `_LONGEST_PIECE`, for the same reason: so many take 10 ms."""
_LONGEST_PIECE: Final = 640 * 1024
"""Bytes that are decoded together at most where the end of a record is hard to find."""
_MAX_ENVELOPE: Final = 256 * 1024
"""Bytes of an envelope without its records, which is decoded in one step as well."""
_MAX_LONE_SURROGATES: Final = 10_000
_TOKENS_PER_STEP: Final = 2_000
"""Strings, brackets and commas that are looked at before the event loop has its turn."""

Piece: TypeAlias = msgspec.Raw | Body
"""A record as JSON."""


def _decode_record(piece: Piece) -> dict[str, Any]:
    """Decode a record, by `json` where msgspec refuses it for half of a surrogate pair.

    Servers cut texts after so many UTF-16 units, in the middle of an emoji if it stands there.
    """
    try:
        return _decode_object(piece)
    except ValueError:
        body = bytes(piece)
        if re.search(_SURROGATE, body) is None:
            raise
        try:
            record = _lenient_json().decode(body.decode())
        except ValueError:
            record = None
        if type(record) is dict:
            return record
        raise


@cache
def _lenient_json() -> json.JSONDecoder:
    """Return a decoder that accepts half of a surrogate pair, and is otherwise as strict as msgspec."""
    return json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("number out of range")
    return value


def _without_lone_surrogates(body: Body) -> Body:
    """Return the body with U+FFFD for each escape that is half of a surrogate pair; its length stays the same."""
    if re.search(_SURROGATE, body) is None:
        return body
    skip = re.compile(_NO_LONE_SURROGATE)
    kept: list[Body] = []
    done = 0
    while (found := skip.match(body, done)) is not None and found.end() < len(body):
        lone = found.end()
        if len(kept) > 2 * _MAX_LONE_SURROGATES or not body.startswith(b"\\u", lone):
            return body
        kept += (body[done:lone], b"\\ufffd")
        done = lone + 6
    return b"".join((*kept, body[done:])) if kept else body


def _decode_list(piece: Body) -> list[dict[str, Any]]:
    """Decode a list of records."""
    try:
        return _decode_records(piece)
    except ValueError:
        if _without_lone_surrogates(piece) is piece:
            raise
    records: list[dict[str, Any]] = _lenient_json().decode(piece.decode())
    if any(type(record) is not dict for record in records):
        raise ValueError("a record is no object")
    return records


def _decode_raw_list(piece: Body) -> list[Piece]:
    """Split a list of records into its records."""
    try:
        return list(_decode_raw_records(piece))
    except ValueError:
        neutral = _without_lone_surrogates(piece)
        if neutral is piece:
            raise
    return _split_list(piece, neutral)


def _split_list(piece: Body, neutral: Body) -> list[Piece]:
    between = re.compile(_BETWEEN_RAW)
    pieces: list[Piece] = []
    position = 1
    for raw in _decode_raw_records(neutral):
        found = between.match(piece, position)
        start = found.end() if found else position
        position = start + len(memoryview(raw))
        pieces.append(piece[start:position])
    return pieces


_CHARSETS: Final = {
    **{f"utf{bits}": f"utf-{bits}" for bits in (8, 16, 32)},
    **{f"utf{bits}{order}": f"utf-{bits}-{order}" for bits in (16, 32) for order in ("le", "be")},
    **dict.fromkeys(("iso88591", "latin1"), "latin-1"),
    **dict.fromkeys(("iso885915", "latin9"), "iso8859-15"),
    **dict.fromkeys(("windows1252", "cp1252"), "cp1252"),
    **dict.fromkeys(("usascii", "ascii"), "ascii"),
}
"""Charsets that are decoded, by name without hyphens. Python knows many more, and some take quadratic time."""
_MAX_RECODED: Final = 16 * _MIB


def recoding(body: Body, content_type: str) -> Generator[None, None, Body]:
    """Return a body as plain UTF-8: without its BOM, and out of the charset that its content type names.

    Only for a body that could not be decoded: a content type that names another charset is mostly wrong. A body in a
    charset that is not in `_CHARSETS`, or larger than 16 MiB, stays as it is.
    """
    named = re.search(_CHARSET, content_type[:1000])
    charset = named and _CHARSETS.get(named[1].lower().replace("-", "").replace("_", ""))
    # A zero byte is in no JSON, but UTF-16 can pass for UTF-8 by them.
    if charset and len(body) <= _MAX_RECODED and (b"\x00" in body[:4] or not (yield from _is_utf_8(body))):
        with contextlib.suppress(UnicodeError):
            body = yield from _decoded_from(charset, body)
    return body.removeprefix(_BOM)


def _is_utf_8(body: Body) -> Generator[None, None, bool]:
    try:
        yield from _in_utf_8(body)
    except PayloadError:
        return False
    return True


def _decoded_from(charset: str, body: Body) -> Generator[None, None, Body]:
    decoder = codecs.getincrementaldecoder(charset)()
    recoded = bytearray()
    for start in range(0, len(body), _MIB // 4):
        if start:
            yield
        recoded += decoder.decode(body[start : start + _MIB // 4]).encode()
    recoded += decoder.decode(b"", final=True).encode()
    return bytes(recoded)


def _open(body: Body, whole: Body) -> _Envelope[msgspec.Raw]:
    """The envelope of a body whose records are cut out; errors show the whole."""
    if not body or body.isspace():
        raise PayloadError("the server said 200, but sent an empty body", not_json=True)
    if len(body) > _MAX_ENVELOPE:
        raise PayloadError(
            f"the server said 200, but its body is larger than {_MAX_ENVELOPE} bytes without its records",
            excerpt=excerpt(whole),
        )
    try:
        try:
            return _with_status_checked(_decode_envelope(body), whole)
        except ValueError:
            neutral = _without_lone_surrogates(body)
            if neutral is body:
                raise
            return _with_status_checked(_decode_envelope(neutral), whole)
    except (ValueError, RecursionError) as error:
        # Not `from error`: msgspec's exceptions say no more than their text.
        raise _no_json(whole, error) from None


def _with_status_checked(envelope: _Envelope[P], body: Body) -> _Envelope[P]:
    if envelope.status not in (200, None):
        raise claimed_status(envelope.status, envelope.error, body)
    return envelope


def _opened(body: Body) -> Generator[None, None, tuple[_Envelope[Any], list[Piece] | None]]:
    """The envelope, and its records still raw; None where it has no list of records."""
    if len(body) <= SLICE:
        with contextlib.suppress(ValueError, RecursionError):
            envelope = _with_status_checked(_decode_envelope(body), body)
            return envelope, None if envelope.records is None else list(envelope.records)
    else:
        frame = _frame(body)
        if frame is not None:
            start, end = frame
            with contextlib.suppress(ValueError, RecursionError):
                envelope = _decode_envelope(body[:start] + body[end:])
                if envelope.records == []:
                    _with_status_checked(envelope, body)
                    raw: list[Piece] = []
                    for part in _pieces(body, start, end, _decode_raw_list):
                        raw += part
                        _check_number(raw, body)
                        yield
                    return envelope, raw
    span, raw = yield from _outline(body)
    envelope = _open(body if span is None else body[: span[0]] + body[span[1] :], body)
    if envelope.records is None:
        return envelope, None
    if envelope.records or span is None:
        # Several lists of this name, or nested ones of which a broken body has not said where they end.
        raise _no_json(body, "its records can't be told apart")
    for index, piece in enumerate(raw):
        if index % _TOGETHER == 0:
            yield
        try:
            _decode_raw(_without_lone_surrogates(piece))
        except (ValueError, RecursionError) as error:
            raise _no_json(body, error) from None
    return envelope, raw


def _frame(body: Body) -> tuple[int, int] | None:
    """Where the records of a body seem to begin and end."""
    begin = re.compile(_RECORDS_BEGIN).search(body, 0, SLICE)
    end = body.rfind(b"]", max(0, len(body) - _MAX_ENVELOPE))
    return None if begin is None or end < begin.end() else (begin.end(), end)


def _check_number(records: list[Any], body: Body) -> None:
    if len(records) > _MAX_RECORDS:
        raise PayloadError(
            f"the server said 200, but sent more than {_MAX_RECORDS} records", path="records", excerpt=excerpt(body)
        )


def _outline(body: Body) -> Generator[None, None, tuple[tuple[int, int] | None, list[Piece]]]:
    """Find the records in any body: where the last list of this name begins and ends, and what stands between commas.

    Slower than what msgspec does, but in steps. What it finds is still to be decoded: it checks brackets only.
    """
    in_list, outside_list, colon = re.compile(_IN_LIST), re.compile(_OUTSIDE_LIST), re.compile(_COLON)
    span: tuple[int, int] | None = None
    raw: list[Piece] = []
    pieces: list[Piece] = []
    position = depth = tokens = begin = start = 0
    key_ended = -1
    inside = False
    while True:
        if inside and position - start > _MAX_RECORD:
            raise PayloadError(
                f"the server said 200, but sent a record larger than {_MAX_RECORD} bytes",
                path=f"records[{len(pieces)}]",
                excerpt=excerpt(body),
            )
        if not inside and position - (0 if span is None else span[1] - span[0]) > _MAX_ENVELOPE:
            # Too large whatever follows.
            return None, []
        look_for = in_list if inside and depth == 2 else outside_list
        found = look_for.search(body, position, position + _MIB)
        tokens += 1
        if found is None:
            position += _MIB
            if position >= len(body):
                return span, raw
            yield
            continue
        if tokens % _TOKENS_PER_STEP == 0:
            yield
        position = found.end()
        token = found[0]
        if token == b'"':
            opened = position
            position = yield from _end_of_text(body, position)
            if position < 0:
                return span, raw
            if depth == 1 and (after := colon.match(body, position, position + _MAX_ENVELOPE)) is not None:
                key_ended = after.end() if _is_records(body[opened - 1 : position]) else -1
        elif token in b"[{":
            depth += 1
            if depth == 2:
                inside = token == b"[" and key_ended >= 0 and not body[key_ended : found.start()].strip()
                key_ended = -1
                if inside:
                    begin = start = position
                    pieces = []
        elif token == b"," or (inside and depth == 2):
            piece = body[start : found.start()].strip()
            if token == b"," or piece or pieces:
                pieces.append(piece)
                _check_number(pieces, body)
            start = position
            if token != b",":
                span, raw, inside = (begin, found.start()), pieces, False
                depth -= 1
        else:
            depth -= 1


def _is_records(key: Body) -> bool:
    """Whether this is the key `records`, spelt with escapes or without."""
    if len(key) > 6 * len("records") + 2:
        return False
    with contextlib.suppress(ValueError):
        return bool(json.loads(key) == "records")
    return False


def _end_of_text(body: Body, position: int) -> Generator[None, None, int]:
    """Return where the text ends whose first quote stands before a position; -1 if it does not."""
    in_text = re.compile(_IN_TEXT)
    while True:
        found = in_text.match(body, position, position + _MIB // 4)
        end = found.end() if found else position
        if body.startswith(b'"', end):
            return end + 1
        if end == position:
            return -1
        position = end
        yield


def _no_json(body: Body, why: object) -> PayloadError:
    text = f"the server said 200, but its body is not the JSON documented: {why}"
    # A ValidationError is JSON of the wrong types.
    not_json = isinstance(why, msgspec.DecodeError) and not isinstance(why, msgspec.ValidationError)
    return PayloadError(text, excerpt=excerpt(body), not_json=not_json)


# The classes below that are nobody's but this module's are made by hand: each that attrs makes takes everybody's import
# a quarter of a millisecond.


@final
class _RecordsOf(Generic[R]):
    """Many records in an envelope."""

    def __init__(self, kind: type[R], may_be_shortened: bool = False) -> None:
        self.kind = kind
        self.may_be_shortened = may_be_shortened

    def decode(self, body: Body) -> Generator[None, None, Records[R]]:
        usual = self._at_once(body) if len(body) <= SLICE else (yield from self._gradually(body))
        if usual is not None:
            return usual
        envelope, raw = yield from self.split(body)
        records: list[R] = []
        for structured in _slices(self.kind, raw):
            records += structured
            if len(records) < len(raw):
                yield
        return _records(envelope, records)

    def _at_once(self, body: Body) -> Records[R] | None:
        """What a small body says; None if there is anything unusual about it."""
        try:
            envelope = _decode_whole(body)
            if envelope.status != 200 or not envelope.records or envelope.count != len(envelope.records):
                return None
            return _records(envelope, list(map(STRUCTURE[self.kind], envelope.records)))
        except (ValueError, RecursionError, MisfitError):
            return None

    def _gradually(self, body: Body) -> Generator[None, None, Records[R] | None]:
        """What a large body says; None if there is anything unusual about it.

        To split 12 MB into records at once is one step of 19 to 34 ms; the longest step of this takes 1 to 2 ms
        (30 runs), or 11 to 15 where Python collects all its garbage in it.
        """
        frame = _frame(body)
        if frame is None:
            return None
        start, end = frame
        if start + len(body) - end > _MAX_ENVELOPE:
            return None
        structure = STRUCTURE[self.kind]
        records: list[R] = []
        try:
            envelope = _decode_whole(body[:start] + body[end:])
            if envelope.status != 200 or envelope.records != [] or envelope.count is None:
                return None
            for piece in _pieces(body, start, end, _decode_list):
                if not piece:
                    yield
                for first in range(0, len(piece), _TOGETHER):
                    if records:
                        yield
                    records += map(structure, piece[first : first + _TOGETHER])
                _check_number(records, body)
                if len(records) > envelope.count:
                    return None
        except (ValueError, RecursionError, MisfitError):
            return None
        return _records(envelope, records) if envelope.count == len(records) else None

    def split(self, body: Body) -> Generator[None, None, tuple[_Envelope[Any], list[Piece]]]:
        """The envelope, and its records still raw."""
        envelope, raw = yield from _opened(body)
        if raw is None:
            raise PayloadError(
                "the server said 200, but sent no list of records", path="records", excerpt=excerpt(body)
            )
        shortened = self.may_be_shortened and raw and envelope.count is not None and envelope.count > len(raw)
        if envelope.count not in (len(raw), None) and not shortened:
            raise PayloadError(
                f"the server counts {envelope.count} records, but sent {len(raw)}", path="count", excerpt=excerpt(body)
            )
        return envelope, raw


_TOGETHER: Final = SLICE // RECORD


def _pieces(body: Body, start: int, end: int, decode: Callable[[Body], list[P]]) -> Iterator[list[P]]:
    """The records between two places of a body, some at a time; ValueError where they can't be had this way.

    What looks like the end of a record may stand in a text or further down in a record. But the bytes from the
    beginning of a record up to there are a list of whole records only if it is one: else they don't decode, and the
    piece becomes twice as large. An empty list is a pause.
    """
    between_records = re.compile(_BETWEEN_RECORDS)
    while start < end:
        size = SLICE
        while True:
            between = between_records.search(body, start + size, min(end, start + _LONGEST_PIECE))
            if between is None and end - start > _LONGEST_PIECE:
                raise ValueError("no end of a record far and wide")
            stop = between.start() + 1 if between else end
            try:
                piece = decode(b"".join((b"[", body[start:stop], b"]")))
                break
            except ValueError:
                if between is None:
                    raise
            yield []
            size = max(2 * size, 1)
        yield piece
        start = between.end() - 1 if between else end


def _records(envelope: _Envelope[Any], records: list[R]) -> Records[R]:
    return Records(
        items=records,
        total=len(records) if envelope.count is None else envelope.count,
        filter=envelope.filter,
        limit_start=envelope.limit_start,
        limit_page_size=envelope.limit_page_size,
        order_by=envelope.order_by,
        ascending=None if envelope.ascending is None else bool(envelope.ascending),
    )


@final
class _SlicesOf(Generic[R]):
    """The same, as an iterator that structures slice by slice and keeps none."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind

    def decode(self, body: Body) -> Generator[None, None, Iterator[list[R]]]:
        raw = (yield from _RecordsOf(self.kind).split(body))[1]
        # Before the first record is given: what is in another charset can then be decoded anew, as a whole.
        yield from _in_utf_8(body)
        return _slices(self.kind, raw)


@final
@attrs.frozen
class InvalidRecord:
    """A record that is not as documented.

    Attributes:
        record: what could be decoded of it; empty where nothing could.
        error: what is wrong, with the record's `.path` and `.record_id`.
    """

    record: Mapping[str, Any]
    error: PayloadError


@final
@attrs.frozen
class PartialRecords(Generic[R]):
    """An answer in which a record that is not as documented costs only itself.

    Attributes:
        records: those that are as documented.
        invalid: those that are not.
        total: how many records the server says there are, which may be more than it sent.
    """

    records: tuple[R, ...]
    invalid: tuple[InvalidRecord, ...]
    total: int


@final
class _PartialRecordsOf(Generic[R]):
    """Many records in an envelope, where one that is not as documented costs only itself."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind

    def decode(self, body: Body) -> Generator[None, None, PartialRecords[R]]:
        envelope, raw = yield from _RecordsOf(self.kind, may_be_shortened=True).split(body)
        # Else a body in another charset, which can be decoded anew, would be one of many invalid records.
        yield from _in_utf_8(body)
        records: list[R] = []
        invalid: list[InvalidRecord] = []
        for index, piece in enumerate(raw):
            try:
                records += next(_slices(self.kind, [piece], index))
            except PayloadError as error:
                record: dict[str, Any] = {}
                with contextlib.suppress(ValueError, RecursionError):
                    record = {} if _too_large(piece) else _decode_record(piece)
                invalid.append(InvalidRecord(record, error))
            if index % 32 == 0:
                yield
        return PartialRecords(tuple(records), tuple(invalid), len(raw) if envelope.count is None else envelope.count)


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
    """`{"status": 200}` and nothing else to tell."""

    def decode(self, body: Body) -> Generator[None, None, None]:
        envelope, raw = yield from _opened(body)
        if raw is not None:
            raise PayloadError(
                "the server said 200, but sent records: this response belongs to another request",
                path="records",
                excerpt=excerpt(body),
            )
        if envelope.status is None:
            raise PayloadError(
                'the server said 200, but not the {"status": 200} documented', path="status", excerpt=excerpt(body)
            )


CAMPAIGNS: Final[Answer[Records[Campaign]]] = _RecordsOf(Campaign)
PARTIAL_CAMPAIGNS: Final[Answer[PartialRecords[Campaign]]] = _PartialRecordsOf(Campaign)
CAMPAIGN_SLICES: Final[Answer[Iterator[list[Campaign]]]] = _SlicesOf(Campaign)
CAMPAIGN: Final[Answer[Campaign]] = _OneOf(Campaign)
# The published example prints two of seven result codes; none of the campaigns' examples is shortened.
RESULT_CODES: Final[Answer[Records[ResultCode]]] = _RecordsOf(ResultCode, may_be_shortened=True)
DONE: Final[Answer[None]] = _Done()


def _in_utf_8(body: Body) -> Generator[None, None, None]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _MIB):
        try:
            decoder.decode(body[start : start + _MIB], final=start + _MIB >= len(body))
        except UnicodeDecodeError as error:
            raise _no_json(body, error.reason) from None
        yield


def _too_large(piece: Piece) -> bool:
    size = len(memoryview(piece))
    if size <= _LONGEST_PIECE:
        return False
    if size > _MAX_RECORD:
        return True
    body = bytes(piece)
    return body.count(b",") + body.count(b"[") + body.count(b"{") > _MAX_VALUES


def _slices(kind: type[R], raw: Sequence[Piece], start: int = 0) -> Iterator[list[R]]:
    structure = STRUCTURE[kind]
    records: list[R] = []
    size = 0
    for index, piece in enumerate(raw, start):
        if _too_large(piece):
            path = f"records[{index}]"
            raise PayloadError(
                f"the server said 200, but {path} is larger than {_MAX_RECORD} bytes or {_MAX_VALUES} values",
                path=path,
                excerpt=excerpt(bytes(memoryview(piece)[:1000])),
            )
        try:
            record = _decode_record(piece)
        except (ValueError, RecursionError) as error:
            path = f"records[{index}]"
            message = f"the server said 200, but {path} is not an object of JSON: {error}"
            raise PayloadError(message, path=path, excerpt=excerpt(bytes(piece))) from None
        try:
            records.append(structure(record))
        except MisfitError as misfit:
            raise _misfit(misfit, record, index, bytes(piece)) from None
        size += len(memoryview(piece)) + RECORD
        if size >= SLICE:
            yield records
            records, size = [], 0
    if records:
        yield records


def _misfit(misfit: MisfitError, record: Mapping[str, Any], index: int, piece: bytes) -> PayloadError:
    """The error for a record that does not fit; names the first key in `path`."""
    record_id = record.get("ID")
    record_id = record_id if type(record_id) is int else None
    who = f"records[{index}]" + (f" (ID {record_id})" if record_id is not None else "")
    return PayloadError(
        f"the server said 200, but in {who} {misfit}",
        path=f"records[{index}].{misfit.told[0][0]}",
        record_id=record_id,
        excerpt=excerpt(piece),
    )
