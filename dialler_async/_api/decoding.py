"""JSON bytes <-> results of calls: envelopes, their records, and bodies that are neither.

Pure, and in slices: an account's list can be 12 MB, and decoding it in one step would stop the event loop for 70 ms.
Each decoder is a generator that yields between two slices, so that the caller can let other tasks run.

The list of records is found in the body, and read by `record_list`. The rest is the envelope, and is decoded last.

Source: API reference, "Status codes and error bodies", "The seven calls", "Campaign records" and "Dates".
"""

import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, final

import attrs
import msgspec

from ..errors import Body, PayloadError
from ..models import Campaign, Record, Records, ResultCode
from .error_responses import claimed_status, excerpt
from .record_list import ListReader, not_json, replace_lone_surrogates

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R", bound=Record)

_MAX_ENVELOPE: Final = 256 * 1024
"""Bytes of an envelope without its records, which is decoded in one step as well."""
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
encode: Final = msgspec.json.Encoder().encode
"""Return the JSON bytes of a body."""

# Each letter as it is, or as an escape. Compiled when it is first needed, and kept by `re`.
_RECORDS_BEGIN: Final = (
    b'"' + b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in b"records") + rb'"\s*:\s*\[\s*'
)
_READ_LIST: Final = b'"a list of records that was read"'
"""What takes the place of a list that was read, to find out whether it is the envelope's `records`."""


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


def _read(
    kind: type[R], body: Body, *, keep: bool = True, all_invalid: bool = False
) -> Generator[None, None, tuple[_Envelope, ListReader[R] | None]]:
    """Read all lists named `records`, until one turns out to be the envelope's.

    The first one is, as a rule. Others are nested in the envelope, or another key of this name follows.
    """
    begin = re.compile(_RECORDS_BEGIN)
    frame, position = b"", 0
    for _ in range(_MAX_LISTS):
        found = begin.search(body, position, position + _MAX_ENVELOPE)
        if found is None:
            break
        reader = ListReader(kind, body, found.end(), all_invalid=all_invalid)
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
        raise not_json(body, "`records` is no list")
    return envelope, None


def _decode_frame(frame: Body, body: Body) -> _Envelope:
    """Return the envelope of a body whose records are cut out; errors show the whole body."""
    if not frame or frame.isspace():
        raise PayloadError("the server said 200, but sent an empty body", not_json=True)
    try:
        try:
            envelope = _decode_envelope(frame)
        except msgspec.DecodeError:
            envelope = _decode_envelope(replace_lone_surrogates(bytes(frame)))
    except (ValueError, RecursionError) as error:
        # Not `from error`: msgspec's exceptions say no more than their text.
        raise not_json(body, error) from None
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
            raise reader.invalid[0][1] from None
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
    envelope: _Envelope, reader: ListReader[R] | None, body: Body, may_be_shortened: bool
) -> tuple[ListReader[R], int]:
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
        # The whole body is read before the first slice: if it is in another charset, it is decoded again.
        envelope, reader = yield from _read(self.kind, body, keep=False)
        reader, _ = _checked(envelope, reader, body, may_be_shortened=False)
        return self._slices(ListReader(self.kind, body, reader.start, all_invalid=False))

    def _slices(self, reader: ListReader[R]) -> Iterator[list[R]]:
        for records in reader.slices():
            if reader.invalid:
                break
            if records:
                yield records
        if reader.invalid:
            raise reader.invalid[0][1] from None


@final
class _PartialRecordsOf(Generic[R]):
    """Many records in an envelope, of which some may be invalid."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind

    def decode(self, body: Body) -> Generator[None, None, PartialRecords[R]]:
        envelope, reader = yield from _read(self.kind, body, all_invalid=True)
        reader, total = _checked(envelope, reader, body, may_be_shortened=True)
        return PartialRecords(tuple(reader.records), tuple(InvalidRecord(*one) for one in reader.invalid), total)


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
