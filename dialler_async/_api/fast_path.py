"""Decode records in C with msgspec, and make the attrs instances of them in C, too.

Source: API reference, "Campaign records" and "Result codes".
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Final

import attrs
import msgspec

from ..models import wire_keys
from .dates import parse_date
from .envelope import Envelope
from .record_bytes import JoinedRecords, RecordBytes
from .structure import types_of_keys

_MAX_RECORDS: Final = 1_000
"""Records that are decoded in one step. 64 KiB can be 20,000 records `{},`, which would take 30 ms."""
_MAX_UNKNOWN_KEYS: Final = 500

_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class FastPath:
    """Decodes records that contain only documented keys and learned keys.

    The values of learned keys are decoded and dropped. This proves that decoding `wire` later can't fail. Keeping the
    values in dicts would take twice as long.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._list_type: Any = list[kind]
        self._set_wire: Callable[[Any, RecordBytes], None] = kind._wire.__set__
        self._dates = [name for name, type_ in types_of_keys(kind) if type_ == datetime | None]
        self._learned: tuple[str, ...] = ()
        self._compile((), order=())

    def decode_body(self, body: bytes) -> tuple[Envelope[Any], list[Any]] | None:
        """Return the envelope and the structured records of a body; None if it has a value that is not accepted.

        Args:
            body: at most `BYTES_PER_SLICE`, since each record keeps it in memory.
        """
        try:
            envelope = self._decode_envelope(body)
            return envelope, self._instances(envelope.records or [], body)
        except (ValueError, RecursionError):
            return None

    def structure(self, records: bytes | memoryview) -> list[Any]:
        """Return the structured records; an empty list if one of them is not accepted.

        Args:
            records: the JSON of one record, or of several with commas between them, of at most `BYTES_PER_SLICE`.
        """
        json = b"".join((b"[", records, b"]"))
        try:
            return self._instances(self._decode_list(json), json)
        except (ValueError, RecursionError):
            return []

    def _instances(self, decoded: list[Any], json: bytes) -> list[Any]:
        """Return the attrs instances of decoded records; raise ValueError for an invalid date, or too many records."""
        if len(decoded) > _MAX_RECORDS:
            raise ValueError
        for name in self._dates:
            for record, text in zip(decoded, map(attrgetter(name), decoded), strict=True):
                if text is not None:
                    setattr(record, name, parse_date(text))
        # The values have the right types already. This takes two thirds of the time of `__init__`.
        instances: list[Any] = msgspec.convert(decoded, self._list_type, from_attributes=True)
        joined = JoinedRecords(json, len(instances))
        set_wire = self._set_wire
        for index, instance in enumerate(instances):
            set_wire(instance, RecordBytes(joined, index))
        return instances

    def learn_keys(self, record: bytes) -> bool:
        """Learn the unknown keys of a record; return whether there are any.

        Learning takes 0.5 ms. An installation sends the same keys with each record.
        """
        try:
            keys = _decode_keys(record).keys()
            new = keys - {*wire_keys(self._kind).values(), *self._learned}
            if not new or len(new) > _MAX_UNKNOWN_KEYS:
                return False
            learned = self._learned if len(self._learned) + len(new) <= _MAX_UNKNOWN_KEYS else ()
            learned = (*learned, *new)
            self._compile(learned, order=tuple(keys))
        except (ValueError, RecursionError):
            # The record is not a JSON object, or has a key that a msgspec struct can't have.
            return False
        self._learned = learned
        return True

    def _compile(self, learned: Iterable[str], *, order: Sequence[str]) -> None:
        struct: Any = _struct(self._kind, learned, order)
        self._decode_envelope = msgspec.json.Decoder(Envelope[struct]).decode
        self._decode_list = msgspec.json.Decoder(list[struct]).decode


@cache
def fast_path(kind: Any) -> FastPath:
    """Return the fast path for a class of records. All responses share it, and so the learned keys."""
    return FastPath(kind)


def _struct(kind: Any, learned: Iterable[str], order: Sequence[str]) -> Any:
    """Return the msgspec struct of a record with documented and learned keys, in the order of the server's keys."""
    keys = wire_keys(kind)
    defaults = {
        field.name: {} if field.default is attrs.NOTHING else {"default": field.default} for field in attrs.fields(kind)
    }
    known: list[tuple[str, Any, Any]] = [
        # Dates are parsed later: msgspec accepts other forms than the API has.
        (name, str | None if type_ == datetime | None else type_, msgspec.field(name=keys[name], **defaults[name]))
        for name, type_ in types_of_keys(kind)
    ]
    others: list[tuple[str, Any, Any]] = [
        (f"learned_{n}", Any, msgspec.field(name=key, default=None)) for n, key in enumerate(learned)
    ]
    # msgspec looks for each key at the position after the last one first.
    positions = {key: position for position, key in enumerate(order)}
    fields = sorted(known + others, key=lambda field: positions.get(field[2].name, len(positions)))
    # `gc=False`, since JSON values have no cycles, and the garbage collector need not visit them.
    # `msgspec.convert` looks for each attribute of the class, and takes 0.4 µs longer if `_wire` is missing.
    class_attributes = {"_wire": None}
    return msgspec.defstruct(
        kind.__name__, fields, namespace=class_attributes, kw_only=True, gc=False, forbid_unknown_fields=True
    )
