"""JSON bytes <-> answers: envelopes, their records, and bodies that are neither.

Pure, and cut into slices: an account's list can be 12 MB, and structured in one go it would stop the event loop for
100 ms. So it is decoded and structured slice by slice, and the caller can let others run in between. Three ways lead
to the same records: a small body is decoded at once, a large one gradually, and whatever is unusual about either goes
the long way, which splits all of it into its records first and tells what is wrong with which.

Source: API reference, "Status codes and error bodies", "The seven calls", "Campaign records" and "Dates".
"""

import codecs
import contextlib
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, final

import attrs
import msgspec

from .errors import Body, PayloadError, claimed_status, excerpt
from .models import Campaign, Record, Records, ResultCode
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
_decode_record = msgspec.json.Decoder(dict[str, Any]).decode
encode: Final = msgspec.json.Encoder().encode
"""The JSON bytes of a body."""

_MIB: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
# Compiled when they are first needed, and kept by `re`: few answers need one, and they are 1 ms of everybody's import.
_CHARSET: Final = r"""(?ai)charset\s*=\s*["']?([\w.:-]+)"""
_RECORDS_BEGIN: Final = rb'"records"\s*:\s*\['
_BETWEEN_RECORDS: Final = rb"}\s*,\s*{"


def recoded(body: Body, content_type: str) -> Body:
    """A body as the plain UTF-8 that JSON is: without its BOM, and out of the charset that its content type names.

    Only for a body that could not be decoded: a content type that names another charset is mostly wrong.
    """
    charset = re.search(_CHARSET, content_type)
    # A zero byte is in no JSON, but UTF-16 can pass for UTF-8 by them.
    if charset is not None and (b"\x00" in body[:4] or not _is_utf_8(body)):
        # Python's own escapes are a charset to it, too, and it may warn of them.
        with contextlib.suppress(LookupError, UnicodeError, Warning):
            body = body.decode(charset[1]).encode()
    return body.removeprefix(_BOM)


def _is_utf_8(body: Body) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _open(body: Body) -> _Envelope[msgspec.Raw]:
    """The envelope, its records still raw."""
    if not body or body.isspace():
        raise PayloadError("the server said 200, but sent an empty body", not_json=True)
    try:
        envelope = _decode_envelope(body)
    except (ValueError, RecursionError) as error:
        # Not `from error`: msgspec's exceptions say no more than their text.
        raise _no_json(body, error) from None
    if envelope.status not in (200, None):
        raise claimed_status(envelope.status, envelope.error, body)
    return envelope


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
        envelope, raw = self.split(body)
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

        Splitting 12 MB into records is one step of 19 to 34 ms; the longest step of this takes 1 to 2 ms (30 runs),
        or 11 to 15 where Python collects all its garbage in it.
        """
        begin = re.compile(_RECORDS_BEGIN).search(body, 0, SLICE)
        end = body.rfind(b"]")
        if begin is None or end < begin.end():
            return None
        structure = STRUCTURE[self.kind]
        records: list[R] = []
        try:
            envelope = _decode_whole(body[: begin.end()] + body[end:])
            for piece in _pieces(body, begin.end(), end):
                for first in range(0, len(piece), _TOGETHER):
                    if records:
                        yield
                    records += map(structure, piece[first : first + _TOGETHER])
        except (ValueError, RecursionError, MisfitError):
            return None
        if envelope.status != 200 or envelope.records != [] or envelope.count != len(records):
            return None
        return _records(envelope, records)

    def split(self, body: Body) -> tuple[_Envelope[msgspec.Raw], list[msgspec.Raw]]:
        """The envelope, and its records still raw."""
        envelope = _open(body)
        raw = envelope.records
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


def _pieces(body: Body, start: int, end: int) -> Iterator[list[dict[str, Any]]]:
    """The records between two places of a body, some at a time; ValueError where they can't be had this way.

    What looks like the end of a record may stand in a text or further down in a record. But the bytes from the
    beginning of a record up to there are a list of whole records only if it is one: else they don't decode, and the
    piece goes on to the next.
    """
    between_records = re.compile(_BETWEEN_RECORDS)
    while start < end:
        stop = start
        while True:
            between = between_records.search(body, stop + SLICE, end)
            stop = between.start() + 1 if between else end
            if stop - start > 16 * SLICE:
                raise ValueError("no end of a record far and wide")
            try:
                piece = _decode_records(b"".join((b"[", body[start:stop], b"]")))
                break
            except ValueError:
                if between is None:
                    raise
        yield piece
        start = between.end() - 1 if between else end


def _records(envelope: _Envelope[Any], records: list[R]) -> Records[R]:
    return Records(
        items=records,
        count=len(records) if envelope.count is None else envelope.count,
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
        raw = _RecordsOf(self.kind).split(body)[1]
        # Before the first record is given: what is in another charset can then be decoded anew, as a whole.
        yield from _in_utf_8(body)
        return _slices(self.kind, raw)


@final
@attrs.frozen
class Unreadable:
    """A record that is not as documented.

    Attributes:
        record: what could be decoded of it; empty where nothing could.
        error: what is wrong, with the record's `.path` and `.record_id`.
    """

    record: Mapping[str, Any]
    error: PayloadError


@final
@attrs.frozen
class Readable(Generic[R]):
    """An answer in which a record that is not as documented costs only itself.

    Attributes:
        records: those that are as documented.
        unreadable: those that are not.
        count: how many the server says there are, which may be more than it sent.
    """

    records: tuple[R, ...]
    unreadable: tuple[Unreadable, ...]
    count: int


@final
class _ReadableOf(Generic[R]):
    """Many records in an envelope, where one that is not as documented costs only itself."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind

    def decode(self, body: Body) -> Generator[None, None, Readable[R]]:
        envelope, raw = _RecordsOf(self.kind, may_be_shortened=True).split(body)
        # Else a body in another charset, which can be decoded anew, would be one of many unreadable records.
        yield from _in_utf_8(body)
        records: list[R] = []
        unreadable: list[Unreadable] = []
        for index, piece in enumerate(raw):
            try:
                records += next(_slices(self.kind, [piece], index))
            except PayloadError as error:
                record: dict[str, Any] = {}
                with contextlib.suppress(ValueError, RecursionError):
                    record = _decode_record(piece)
                unreadable.append(Unreadable(record, error))
            if index % 32 == 0:
                yield
        return Readable(tuple(records), tuple(unreadable), len(raw) if envelope.count is None else envelope.count)


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
        if _open(body).status is None:
            raise PayloadError(
                'the server said 200, but not the {"status": 200} documented', path="status", excerpt=excerpt(body)
            )
        return
        yield


CAMPAIGNS: Final[Answer[Records[Campaign]]] = _RecordsOf(Campaign)
READABLE_CAMPAIGNS: Final[Answer[Readable[Campaign]]] = _ReadableOf(Campaign)
CAMPAIGN_SLICES: Final[Answer[Iterator[list[Campaign]]]] = _SlicesOf(Campaign)
CAMPAIGN: Final[Answer[Campaign]] = _OneOf(Campaign)
# The published example prints two of seven result codes; none of the campaigns' examples is shortened.
RESULT_CODES: Final[Answer[Records[ResultCode]]] = _RecordsOf(ResultCode, may_be_shortened=True)
DONE: Final[Answer[None]] = _Done()


def _in_utf_8(body: Body) -> Generator[None, None, None]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _MIB):
        try:
            decoder.decode(body[start : start + _MIB])
        except UnicodeDecodeError as error:
            raise _no_json(body, error.reason) from None
        yield


def _slices(kind: type[R], raw: list[msgspec.Raw], start: int = 0) -> Iterator[list[R]]:
    structure = STRUCTURE[kind]
    records: list[R] = []
    size = 0
    for index, piece in enumerate(raw, start):
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
