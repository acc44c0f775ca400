"""JSON bytes <-> attrs classes: strict where a type is published, lossless everywhere.

Pure, and cut into slices: an account's list can be 12 MB, and structured in one go it would stop the event loop for
100 ms. msgspec splits such a body into its records in a few milliseconds; decoding and structuring them goes slice by
slice, so that the caller can let others run in between.

Source: API reference, "Status codes and error bodies", "The seven calls", "Campaign records" and "Dates".
"""

import codecs
import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, final

import attrs
import cattrs
import msgspec
from cattrs.gen import make_dict_structure_fn, override

from .errors import ConfigurationError, PayloadError, claimed_status, excerpt
from .models import Campaign, Record, Records, ResultCode, wire_keys

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R", bound=Record)

SLICE: Final = 64 * 1024
"""Bytes of records that are structured before the event loop has its turn: about a millisecond's work."""
RECORD: Final = 300
"""Bytes that a record counts besides its own: what a small one costs more than its share."""


class Answer(Protocol[T_co]):
    """What a call answers with when the server says 200."""

    def decode(self, body: bytes) -> Generator[None, None, T_co]:
        """The value of a body, as the generator's return value; it yields wherever the work may pause.

        Raises:
            PayloadError: the body is not what is documented.
            StatusError: the body claims another status than 200.
        """


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


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_record = msgspec.json.Decoder(dict[str, Any]).decode
encode: Final = msgspec.json.Encoder().encode
"""The JSON bytes of a body."""


_MIB: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE | re.ASCII)


def recoded(body: bytes, content_type: str) -> bytes:
    """A body as the plain UTF-8 that JSON is: without its BOM, and out of the charset that its content type names.

    Only for a body that could not be decoded: a content type that names another charset is mostly wrong.
    """
    charset = _CHARSET.search(content_type)
    # A zero byte is in no JSON, but UTF-16 can pass for UTF-8 by them.
    if charset is not None and (b"\x00" in body[:4] or not _is_utf_8(body)):
        # Python's own escapes are a charset to it, too, and it may warn of them.
        with contextlib.suppress(LookupError, UnicodeError, Warning):
            body = body.decode(charset[1]).encode()
    return body.removeprefix(_BOM)


def _is_utf_8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _open(body: bytes) -> _Envelope:
    """The envelope, its records still raw."""
    if not body.strip():
        raise PayloadError("the server said 200, but sent an empty body")
    try:
        envelope = _decode_envelope(body)
    except (ValueError, RecursionError) as error:
        # Not `from error`: msgspec's exceptions say no more than their text.
        message = f"the server said 200, but its body is not the JSON documented: {error}"
        raise PayloadError(message, excerpt=excerpt(body)) from None
    if envelope.status not in (200, None):
        raise claimed_status(envelope.status, envelope.error, body)
    return envelope


@final
@attrs.frozen
class _RecordsOf(Generic[R]):
    """Many records in an envelope."""

    kind: type[R]
    may_be_shortened: bool = False

    def decode(self, body: bytes) -> Generator[None, None, Records[R]]:
        envelope, raw = self.split(body)
        records: list[R] = []
        for structured in _slices(self.kind, raw):
            records += structured
            if len(records) < len(raw):
                yield
        return Records(
            items=records,
            count=len(records) if envelope.count is None else envelope.count,
            filter=envelope.filter,
            limit_start=envelope.limit_start,
            limit_page_size=envelope.limit_page_size,
            order_by=envelope.order_by,
            ascending=None if envelope.ascending is None else bool(envelope.ascending),
        )

    def split(self, body: bytes) -> tuple[_Envelope, list[msgspec.Raw]]:
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


@final
@attrs.frozen
class _SlicesOf(Generic[R]):
    """The same, as an iterator that structures slice by slice and keeps none."""

    kind: type[R]

    def decode(self, body: bytes) -> Generator[None, None, Iterator[list[R]]]:
        raw = _RecordsOf(self.kind).split(body)[1]
        # Before the first record is given: what is in another charset can then be decoded anew, as a whole.
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(body), _MIB):
            try:
                decoder.decode(body[start : start + _MIB])
            except UnicodeDecodeError as error:
                message = f"the server said 200, but its body is not the JSON documented: {error.reason}"
                raise PayloadError(message, excerpt=excerpt(body)) from None
            yield
        return _slices(self.kind, raw)


@final
@attrs.frozen
class _OneOf(Generic[R]):
    """Exactly one record in an envelope."""

    kind: type[R]

    def decode(self, body: bytes) -> Generator[None, None, R]:
        records = yield from _RecordsOf(self.kind).decode(body)
        if len(records) != 1:
            raise PayloadError(
                f"the server sent {len(records)} records where one is documented", path="records", excerpt=excerpt(body)
            )
        return records[0]


@final
class _Done:
    """`{"status": 200}` and nothing else to tell."""

    def decode(self, body: bytes) -> Generator[None, None, None]:
        if _open(body).status is None:
            raise PayloadError(
                'the server said 200, but not the {"status": 200} documented', path="status", excerpt=excerpt(body)
            )
        return
        yield


CAMPAIGNS: Final[Answer[Records[Campaign]]] = _RecordsOf(Campaign)
CAMPAIGN_SLICES: Final[Answer[Iterator[list[Campaign]]]] = _SlicesOf(Campaign)
CAMPAIGN: Final[Answer[Campaign]] = _OneOf(Campaign)
# The published example prints two of seven result codes; none of the campaigns' examples is shortened.
RESULT_CODES: Final[Answer[Records[ResultCode]]] = _RecordsOf(ResultCode, may_be_shortened=True)
DONE: Final[Answer[None]] = _Done()


def _slices(kind: type[R], raw: list[msgspec.Raw]) -> Iterator[list[R]]:
    structure = _STRUCTURE[kind]
    records: list[R] = []
    size = 0
    for index, piece in enumerate(raw):
        try:
            record = _decode_record(piece)
        except (ValueError, RecursionError) as error:
            path = f"records[{index}]"
            message = f"the server said 200, but {path} is not an object of JSON: {error}"
            raise PayloadError(message, path=path, excerpt=excerpt(bytes(piece))) from None
        try:
            records.append(structure(record, kind))
        except cattrs.ClassValidationError as error:
            raise _misfit(error, kind, record, index, bytes(piece)) from None
        size += len(memoryview(piece)) + RECORD
        if size >= SLICE:
            yield records
            records, size = [], 0
    if records:
        yield records


def _misfit(
    error: cattrs.ClassValidationError, kind: type[Record], record: Mapping[str, Any], index: int, piece: bytes
) -> PayloadError:
    """The error for a record whose values are not of their published types; names the first key in `path`."""
    keys = wire_keys(kind)
    told = [
        (keys[note.name], "is missing" if isinstance(cause, KeyError) else str(cause))
        for cause, note in error.group_exceptions()[0]
    ]
    record_id = record.get("ID")
    record_id = record_id if type(record_id) is int else None
    who = f"records[{index}]" + (f" (ID {record_id})" if record_id is not None else "")
    what = "; ".join(f"{key} {complaint}" for key, complaint in told)
    return PayloadError(
        f"the server said 200, but in {who} {what}",
        path=f"records[{index}].{told[0][0]}",
        record_id=record_id,
        excerpt=excerpt(piece),
    )


class _UnexpectedValueError(ValueError):
    """A value that is not of its key's type."""

    def __init__(self, value: object, expected: str) -> None:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
        super().__init__(f"is {shown}, not {expected}")


def _text(value: Any, _: Any) -> str:
    if type(value) is str:
        return value
    raise _UnexpectedValueError(value, "text")


def _text_or_none(value: Any, _: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    raise _UnexpectedValueError(value, "text or null")


def _integer_or_none(value: Any, _: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    raise _UnexpectedValueError(value, "an integer or null")


def _boolean_or_none(value: Any, _: Any) -> bool | None:
    if value is None or value is True or value is False:
        return value
    if type(value) is int and value in (0, 1):
        return value == 1
    raise _UnexpectedValueError(value, "a boolean, 0, 1 or null")


def _date_or_none(value: Any, _: Any) -> datetime | None:
    if value is None:
        return None
    if type(value) is str:
        try:
            return parse_date(value)
        except ValueError:
            pass
    raise _UnexpectedValueError(value, "a date and time or null")


_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)


def parse_date(text: str) -> datetime:
    """A date of the API: `T` or space, 0 to 6 fraction digits, with or without `Z` or an offset.

    Returns:
        Naive where no zone is named: which one the server meant is documented nowhere.
    Raises:
        ValueError: not such a date.
    """
    if not _DATE.fullmatch(text):
        raise ValueError("not a date and time of the API")
    return datetime.fromisoformat(text)


def format_date(date: datetime) -> str:
    """A date as it is sent: naive as it is, aware with its offset; to the second, or to the millisecond if it has any.

    Raises:
        ConfigurationError: not a datetime, or its offset is not in whole minutes.
    """
    if not isinstance(date, datetime):
        raise ConfigurationError(f"a date is a datetime, not {type(date).__name__}")
    offset = date.utcoffset()
    if offset is not None and offset.total_seconds() % 60:
        raise ConfigurationError(f"the zone of {date} is not a whole number of minutes from UTC; send another")
    return date.isoformat(timespec="milliseconds" if date.microsecond >= 1000 else "seconds")


_HOOKS: Mapping[Any, Callable[[Any, Any], Any]] = {
    str: _text,
    str | None: _text_or_none,
    int | None: _integer_or_none,
    bool | None: _boolean_or_none,
    datetime | None: _date_or_none,
}

_converter = cattrs.Converter(detailed_validation=True)


def _structure_function(kind: Any) -> Callable[[dict[str, Any], Any], Any]:
    keys = wire_keys(kind)
    overrides: Any = {
        field.name: override(rename=keys[field.name], struct_hook=_HOOKS[field.type.__origin__])
        for field in attrs.fields(kind)
        if field.name in keys
    }
    typed = make_dict_structure_fn(kind, _converter, _wire=override(omit=True), **overrides)
    keep = object.__setattr__

    def structure(record: dict[str, Any], kind: Any) -> Any:
        made = typed(record, kind)
        keep(made, "_wire", record)
        return made

    return structure


_STRUCTURE: Final[Mapping[type[Record], Callable[[dict[str, Any], Any], Any]]] = {
    kind: _structure_function(kind) for kind in (Campaign, ResultCode)
}
