"""Decode the bodies of responses, and encode the bodies of requests.

Pure, and in slices: an account's list can be 12 MB, and decoding it in one step would stop the event loop for 70 ms.
Each decoder returns a `Decoding`, which yields between two slices, so that the caller can let other tasks run.

A body is an envelope: a JSON object with a list of records. The fast path decodes a body of up to 64 KiB in one step.
If the fast path refuses the body, or the body is larger, `record_list` reads the list in slices.

Source: API reference, "Status codes and error bodies", "The seven calls", "Campaign records" and "Dates".
"""

import re
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar, final

import msgspec

from ..errors import Body, PayloadError
from ..models import Campaign, Record, Records, ResultCode
from .envelope import Envelope, decode_envelope
from .error_responses import claimed_status, excerpt
from .fast_path import fast_path
from .partial_records import InvalidRecord, PartialRecords
from .record_list import BYTES_PER_SLICE, ListReader, not_json, without_lone_surrogates

T = TypeVar("T")
R = TypeVar("R", bound=Record)


@final
class Decoded(msgspec.Struct, Generic[T]):
    """The result of a short body. It behaves like a generator that returns the result without a pause."""

    value: T

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> None:
        raise StopIteration(self.value)


Decoding: TypeAlias = Generator[None, None, T] | Decoded[T]
"""A generator that yields where it may pause, and returns its result. For a short body, a `Decoded` saves 5 µs."""
ResponseDecoder: TypeAlias = Callable[[Body], Decoding[T]]
"""Decodes the body of a response with status 200.

It raises PayloadError for a body that is not as documented, and StatusError for a body that claims another status.
"""

_MAX_ENVELOPE: Final = 256 * 1024
"""Bytes of an envelope without its records, which are decoded in one step."""
# Matches `"records":[`, also with escaped letters. Not compiled at import, because most bodies are short.
_RECORDS_BEGIN: Final = (
    b'"' + b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in b"records") + rb'"\s*:\s*\[\s*'
)

encode: Final = msgspec.json.Encoder().encode
"""Return the JSON bytes of a body."""


class _Contents(msgspec.Struct, Generic[R]):
    """The decoded contents of a body: its envelope, and its valid records unless the decoder does not keep them.

    There is a reader of the list if the body is large, or the fast path refused it.
    """

    body: Body
    envelope: Envelope[Any]
    records: list[R]
    reader: ListReader[R] | None = None


def _decode(
    result: Callable[[_Contents[Any]], T],
    kind: Any,
    body: Body,
    *,
    keep: bool = True,
    set_aside: bool = False,
) -> Decoding[T]:
    """Decode a body.

    Args:
        result: returns the result from the contents of the body.
        kind: the class of the records.
        body: the body.
        keep: whether `result` needs the records. Those of a short body are always kept.
        set_aside: whether reading goes on after an invalid record.
    """
    if len(body) <= BYTES_PER_SLICE and (decoded := fast_path(kind).decode_body(bytes(body))) is not None:
        envelope, records = decoded
        if envelope.status != 200:
            _check_status(envelope, body)
        return Decoded(result(_Contents(body, envelope, records)))
    return _decode_in_slices(result, kind, body, keep=keep, set_aside=set_aside)


def _decode_in_slices(
    result: Callable[[_Contents[Any]], T], kind: Any, body: Body, *, keep: bool, set_aside: bool
) -> Generator[None, None, T]:
    """Decode a body that is large, or that the fast path refused.

    Each list named `records` is read in slices. A placeholder takes the place of its records, so that the rest can be
    decoded in one step. A body may have several such lists: nested lists or duplicate keys. The placeholder in the
    decoded envelope shows which list belongs to the envelope.
    """
    if len(body) <= _MAX_ENVELOPE and not body.strip():
        raise PayloadError("the status is 200, but the body is empty", not_json=True)
    lists: dict[bytes, tuple[ListReader[Any], list[Any]]] = {}
    rest = bytearray()
    position = 0
    while len(rest) <= _MAX_ENVELOPE:
        found = re.compile(_RECORDS_BEGIN).search(body, position, position + _MAX_ENVELOPE)
        if found is None:
            break
        reader: ListReader[Any] = ListReader(kind, body, found.end(), set_aside=set_aside)
        records: list[Any] = []
        for structured in reader.slices():
            if keep:
                records += structured
            yield
        yield
        placeholder = b'"list %d was read"' % len(lists)
        lists[placeholder] = reader, records
        rest += body[position : found.end()] + placeholder
        position = reader.position
    rest += body[position : position + _MAX_ENVELOPE + 1]
    if len(rest) > _MAX_ENVELOPE:
        reason = f"the status is 200, but the body is larger than {_MAX_ENVELOPE} bytes without its records"
        raise PayloadError(reason, excerpt=excerpt(body))
    try:
        envelope = without_lone_surrogates(decode_envelope, bytes(rest))
    except (ValueError, RecursionError) as error:
        # Not `from error`, because the text already contains the error of msgspec.
        raise not_json(body, error) from None
    _check_status(envelope, body)
    if not envelope.records:
        return result(_Contents(body, envelope, []))
    reader, records = lists[bytes(envelope.records[0])]
    return result(_Contents(body, envelope, records, reader))


def _records(contents: _Contents[R], *, may_be_shortened: bool = False) -> Records[R]:
    total = _checked_total(contents, may_be_shortened=may_be_shortened)
    if contents.reader is not None:
        _raise_first_invalid(contents.reader)
    envelope = contents.envelope
    return Records(
        items=contents.records,
        total=total,
        filter=envelope.filter,
        limit_start=envelope.limit_start,
        limit_page_size=envelope.limit_page_size,
        order_by=envelope.order_by,
        ascending=None if envelope.ascending is None else bool(envelope.ascending),
    )


def _partial_records(contents: _Contents[R]) -> PartialRecords[R]:
    total = _checked_total(contents, may_be_shortened=True)
    records, reader = tuple(contents.records), contents.reader
    if reader is None:
        return PartialRecords(records, (), total)
    return PartialRecords(records, tuple(InvalidRecord(*one) for one in reader.invalid), total, reader.invalid_count)


def _slices(contents: _Contents[R]) -> Iterator[list[R]]:
    """Return an iterator that structures the records slice by slice and keeps none. A slice may be empty.

    The whole body is checked before the first slice, because a body in another charset must be decoded again.
    """
    _checked_total(contents)
    if contents.reader is None:
        return iter([contents.records] if contents.records else [])
    return _valid_slices(contents.reader.restarted())


def _valid_slices(reader: ListReader[R]) -> Iterator[list[R]]:
    for records in reader.slices():
        if reader.invalid:
            break
        yield records
    _raise_first_invalid(reader)


def _raise_first_invalid(reader: ListReader[Any]) -> None:
    if reader.invalid:
        raise reader.invalid[0][1] from None


def _only_record(contents: _Contents[R]) -> R:
    checked = _records(contents)
    if len(checked) != 1:
        reason = f"the server sent {len(checked)} records where one is documented"
        raise PayloadError(reason, path="records", excerpt=excerpt(contents.body))
    return checked[0]


def _nothing(contents: _Contents[Any]) -> None:
    """Check that the body says `{"status": 200}` and has no records."""
    if contents.envelope.records is not None:
        reason = "the status is 200, but the body has records: this response belongs to another request"
        raise PayloadError(reason, path="records", excerpt=excerpt(contents.body))
    if contents.envelope.status is None:
        reason = 'the status is 200, but the body lacks the documented {"status": 200}'
        raise PayloadError(reason, path="status", excerpt=excerpt(contents.body))


def _check_status(envelope: Envelope[Any], body: Body) -> None:
    """Raise StatusError if the body claims another status than 200."""
    if envelope.status not in (200, None):
        raise claimed_status(envelope.status, envelope.error, body)


def _checked_total(contents: _Contents[Any], *, may_be_shortened: bool = False) -> int:
    """Return the total number of records, as the server counts them; raise PayloadError if it sent others."""
    if contents.envelope.records is None:
        reason = "the status is 200, but the body has no list of records"
        raise PayloadError(reason, path="records", excerpt=excerpt(contents.body))
    count = contents.envelope.count
    sent = len(contents.records) if contents.reader is None else contents.reader.count
    if count not in (sent, None) and not (may_be_shortened and 0 < sent < count):
        reason = f"the server counts {count} records, but sent {sent}"
        raise PayloadError(reason, path="count", excerpt=excerpt(contents.body))
    return sent if count is None else count


CAMPAIGNS: Final[ResponseDecoder[Records[Campaign]]] = partial(_decode, _records, Campaign)
PARTIAL_CAMPAIGNS: Final[ResponseDecoder[PartialRecords[Campaign]]] = partial(
    _decode, _partial_records, Campaign, set_aside=True
)
CAMPAIGN_SLICES: Final[ResponseDecoder[Iterator[list[Campaign]]]] = partial(_decode, _slices, Campaign, keep=False)
CAMPAIGN: Final[ResponseDecoder[Campaign]] = partial(_decode, _only_record, Campaign)
# The published example prints two of seven result codes; none of the campaigns' examples is shortened.
RESULT_CODES: Final[ResponseDecoder[Records[ResultCode]]] = partial(
    _decode, partial(_records, may_be_shortened=True), ResultCode
)
DONE: Final[ResponseDecoder[None]] = partial(_decode, _nothing, Campaign, keep=False)
