"""Decode the bodies of responses, and encode the bodies of requests.

Pure, and in slices: an account's list can be 12 MB, and decoding it in one step would stop the event loop for 70 ms.
Each decoder returns `Work`, which yields between two slices, so that the caller can let other tasks run.

A body is an envelope: a JSON object with a list of records. `record_list` reads a long list first, in slices. The rest
of the body is decoded as an envelope, with the last records of a long list, or with all records of a short list.

Source: API reference, "Status codes and error bodies", "The seven calls", "Campaign records" and "Dates".
"""

import re
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import chain
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypeVar, final

import msgspec

from ..errors import Body, PayloadError
from ..models import Campaign, Record, Records, ResultCode
from .error_responses import claimed_status, excerpt
from .partial_records import InvalidRecord, PartialRecords
from .record_list import BYTES_PER_SLICE, RECORDS_PER_STEP, ListReader, not_json, replace_lone_surrogates

T = TypeVar("T")
R = TypeVar("R", bound=Record)


@final
class FinishedWork(Generic[T]):
    """The result of a short body. It behaves like a generator that returns the result without a pause.

    Attributes:
        value: the result.
    """

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> None:
        raise StopIteration(self.value)


Work: TypeAlias = Generator[None, None, T] | FinishedWork[T]
"""A generator that yields where it may pause, and returns its result. For a short body, a `FinishedWork` saves 5 µs."""
ResponseDecoder: TypeAlias = Callable[[Body], Work[T]]
"""Decodes the body of a response with status 200.

It raises PayloadError for a body that is not as documented, and StatusError for a body that claims another status.
"""

_MAX_ENVELOPE: Final = 256 * 1024
"""Bytes of an envelope that are decoded in one step."""
_MAX_LISTS: Final = 20
"""Maximum number of long lists named `records` in one body."""
# Matches `"records":[`, also with escaped letters. Not compiled at import, since most bodies are short.
_RECORDS_BEGIN: Final = (
    b'"' + b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in b"records") + rb'"\s*:\s*\[\s*'
)


class _Envelope(msgspec.Struct, rename="camel"):
    records: list[msgspec.Raw] | None = None
    count: int | None = None
    status: int | None = None
    error: str | None = None
    filter: str | None = None
    limit_start: int | None = None
    limit_page_size: int | None = None
    order_by: str | None = None
    ascending: bool | Literal[0, 1] | None = None


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
encode: Final = msgspec.json.Encoder().encode
"""Return the JSON bytes of a body."""


def _decode(
    result: Callable[[_Envelope, ListReader[Any], list[Any], Body], T],
    kind: type[Record],
    body: Body,
    *,
    keep: bool = True,
    all_invalid: bool = False,
) -> Work[T]:
    """Decode a body.

    Args:
        result: returns the result from the envelope, the reader of its list, its valid records, and the body.
        kind: the class of the records.
        body: the body.
        keep: whether `result` gets the records of a long body.
        all_invalid: whether the reader keeps all invalid records.
    """
    max_rest = BYTES_PER_SLICE
    if len(body) <= max_rest:
        envelope = _decode_envelope(body, body, has_records=True)
        if envelope is not None and len(envelope.records or ()) <= RECORDS_PER_STEP:
            reader: ListReader[Any] = ListReader(kind, body, len(body), BYTES_PER_SLICE, all_invalid=all_invalid)
            reader.rest = envelope.records or []
            return FinishedWork(result(envelope, reader, reader.structure(reader.rest), body))
        if envelope is None:
            max_rest = 0
    return _decode_in_slices(result, _read(kind, body, max_rest, keep=keep, all_invalid=all_invalid), body)


def _decode_in_slices(
    result: Callable[[_Envelope, ListReader[R], list[R], Body], T],
    reading: Generator[None, None, tuple[_Envelope, ListReader[R], list[R]]],
    body: Body,
) -> Generator[None, None, T]:
    envelope, reader, records = yield from reading
    return result(envelope, reader, records, body)


def _records(
    envelope: _Envelope, reader: ListReader[R], records: list[R], body: Body, *, may_be_shortened: bool = False
) -> Records[R]:
    total = _checked_total(envelope, reader, body, may_be_shortened=may_be_shortened)
    if reader.invalid:
        raise reader.invalid[0][1] from None
    return Records(
        items=records,
        total=total,
        filter=envelope.filter,
        limit_start=envelope.limit_start,
        limit_page_size=envelope.limit_page_size,
        order_by=envelope.order_by,
        ascending=None if envelope.ascending is None else bool(envelope.ascending),
    )


def _partial_records(envelope: _Envelope, reader: ListReader[R], records: list[R], body: Body) -> PartialRecords[R]:
    total = _checked_total(envelope, reader, body, may_be_shortened=True)
    return PartialRecords(tuple(records), tuple(InvalidRecord(*one) for one in reader.invalid), total)


def _slices(envelope: _Envelope, reader: ListReader[R], _: list[R], body: Body) -> Iterator[list[R]]:
    """Return an iterator that structures the records slice by slice and keeps none.

    The whole body is checked before the first slice, since a body in another charset must be decoded again.
    """
    _checked_total(envelope, reader, body)
    return _valid_slices(reader.restarted())


def _valid_slices(reader: ListReader[R]) -> Iterator[list[R]]:
    for records in chain(reader.slices(), reader.steps(reader.rest)):
        if reader.invalid:
            break
        if records:
            yield records
    if reader.invalid:
        raise reader.invalid[0][1] from None


def _only_record(envelope: _Envelope, reader: ListReader[R], records: list[R], body: Body) -> R:
    checked = _records(envelope, reader, records, body)
    if len(checked) != 1:
        raise PayloadError(
            f"the server sent {len(checked)} records where one is documented", path="records", excerpt=excerpt(body)
        )
    return checked[0]


def _nothing(envelope: _Envelope, _reader: object, _records: object, body: Body) -> None:
    """Check that the body says `{"status": 200}` and has no records."""
    if envelope.records is not None:
        reason = "the status is 200, but the body has records: this response belongs to another request"
        raise PayloadError(reason, path="records", excerpt=excerpt(body))
    if envelope.status is None:
        reason = 'the status is 200, but the body lacks the documented {"status": 200}'
        raise PayloadError(reason, path="status", excerpt=excerpt(body))


def _read(
    kind: type[R], body: Body, max_rest: int, *, keep: bool, all_invalid: bool
) -> Generator[None, None, tuple[_Envelope, ListReader[R], list[R]]]:
    """Return the envelope, the reader of its list, and the records that are as documented.

    Each long list named `records` is read in slices, and a mark replaces its records. A body may have several such
    lists: nested lists or duplicate keys. The mark in the decoded envelope shows which list belongs to the envelope.

    Args:
        kind: the class of the records.
        body: the body.
        max_rest: bytes of records that are decoded with the envelope.
        keep: whether the records are returned.
        all_invalid: whether the reader keeps all invalid records.
    """
    long_lists: dict[bytes, tuple[ListReader[R], list[R]]] = {}
    reader: ListReader[R]
    records: list[R]
    head, position = b"", 0
    while len(body) - position > max_rest and len(long_lists) < _MAX_LISTS:
        found = re.compile(_RECORDS_BEGIN).search(body, position, position + _MAX_ENVELOPE)
        if found is None:
            break
        reader = ListReader(kind, body, found.end(), max_rest, all_invalid=all_invalid)
        records = []
        for number, structured in enumerate(reader.slices()):
            if number:
                yield
            if keep:
                records += structured
        mark = b'"list %d was read"' % len(long_lists)
        long_lists[mark] = reader, records
        head += body[position : found.end()] + mark + (b"" if body.startswith(b"]", reader.position) else b",")
        position = reader.position
    envelope = _decode_envelope(head + body[position:] if head else body, body, has_records=max_rest > 0)
    if envelope is None:
        return (yield from _read(kind, body, 0, keep=keep, all_invalid=all_invalid))
    pieces = envelope.records or []
    reader, records = ListReader(kind, body, len(body), max_rest, all_invalid=all_invalid), []
    if long_lists and pieces and bytes(pieces[0]) in long_lists:
        reader, records = long_lists[bytes(pieces.pop(0))]
    reader.rest = pieces
    for start in range(0, len(pieces), RECORDS_PER_STEP):
        if start:
            yield
        structured = reader.structure(pieces[start : start + RECORDS_PER_STEP])
        if keep:
            records += structured
    return envelope, reader, records


def _decode_envelope(part: Body, body: Body, *, has_records: bool) -> _Envelope | None:
    """Return the envelope, or None if it can't be decoded together with records.

    Args:
        part: the envelope, without the records that were read.
        body: the whole body, which errors show.
        has_records: whether some records were not read.
    """
    if not part or part.isspace():
        raise PayloadError("the status is 200, but the body is empty", not_json=True)
    if len(part) > _MAX_ENVELOPE:
        reason = f"the status is 200, but the body is larger than {_MAX_ENVELOPE} bytes without its records"
        raise PayloadError(reason, excerpt=excerpt(body))
    try:
        # Records keep their lone surrogates.
        envelope = _ENVELOPE.decode(part if has_records else replace_lone_surrogates(bytes(part)))
    except (ValueError, RecursionError) as error:
        if has_records:
            return None
        # Not `from error`, since the text already contains the error of msgspec.
        raise not_json(body, error) from None
    if envelope.status not in (200, None):
        raise claimed_status(envelope.status, envelope.error, body)
    return envelope


def _checked_total(envelope: _Envelope, reader: ListReader[Any], body: Body, *, may_be_shortened: bool = False) -> int:
    """Return the total number of records, as the server counts them.

    Raises:
        PayloadError: the server sent another number of records, or no list of them.
    """
    if envelope.records is None:
        reason = "the status is 200, but the body has no list of records"
        raise PayloadError(reason, path="records", excerpt=excerpt(body))
    count, sent = envelope.count, reader.count
    if count not in (sent, None) and not (may_be_shortened and 0 < sent < count):
        raise PayloadError(f"the server counts {count} records, but sent {sent}", path="count", excerpt=excerpt(body))
    return sent if count is None else count


CAMPAIGNS: Final[ResponseDecoder[Records[Campaign]]] = partial(_decode, _records, Campaign)
PARTIAL_CAMPAIGNS: Final[ResponseDecoder[PartialRecords[Campaign]]] = partial(
    _decode, _partial_records, Campaign, all_invalid=True
)
CAMPAIGN_SLICES: Final[ResponseDecoder[Iterator[list[Campaign]]]] = partial(_decode, _slices, Campaign, keep=False)
CAMPAIGN: Final[ResponseDecoder[Campaign]] = partial(_decode, _only_record, Campaign)
# The published example prints two of seven result codes; none of the campaigns' examples is shortened.
RESULT_CODES: Final[ResponseDecoder[Records[ResultCode]]] = partial(
    _decode, partial(_records, may_be_shortened=True), ResultCode
)
DONE: Final[ResponseDecoder[None]] = partial(_decode, _nothing, Campaign, keep=False)
