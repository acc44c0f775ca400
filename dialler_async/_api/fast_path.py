"""Decode and validate records with msgspec, and make attrs instances of them. Both run in C.

Source: API reference, "Campaign records" and "Result codes".
"""

from collections.abc import Callable, Iterable, Mapping, Set
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

import attrs
import msgspec

from ..errors import Body
from ..models import wire_keys
from .dates import parse_date
from .envelope import Envelope
from .record_bytes import JoinedRecords, RecordBytes
from .structure import types_of_keys

_MAX_OBJECTS: Final = 1_000
"""JSON objects, also nested, that are decoded in one step. 20,000 records `{},` would take up to 90 ms."""
_SHORT: Final = 4096
"""Bytes that are decoded without counting the objects."""
_MAX_EXTRA_KEYS: Final = 500
MAX_DEPTH: Final = 200
"""Levels of lists and objects in a record. `wire` decodes a record later, on another stack, and must not fail there.

Interpreters and threads have different limits, so this one is far below all of them.
"""

_Scalar: TypeAlias = str | int | float | bool | None


class _Decoders(NamedTuple):
    """The decoders of records with published keys and extra keys. Values of nested keys may be lists or objects."""

    extra_keys: Set[str]
    nested_keys: Set[str]
    decode_envelope: Callable[[bytes], Envelope[Any]]
    decode_list: Callable[[bytes], list[Any]]

    @classmethod
    def of(cls, kind: Any, extra_keys: Set[str], nested_keys: Set[str], order: Iterable[str] = ()) -> "_Decoders":
        struct: Any = _struct(kind, extra_keys, nested_keys, order)
        envelope, records = msgspec.json.Decoder(Envelope[struct]), msgspec.json.Decoder(list[struct])
        return cls(extra_keys, nested_keys, envelope.decode, records.decode)


class FastPath:
    """Decodes records that contain only published keys and known extra keys.

    The values of extra keys are decoded and dropped. This proves that decoding `wire` later can't fail. Keeping the
    values in dicts would take twice as long.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._list_type: Any = list[kind]
        self._set_wire: Callable[[Any, RecordBytes], None] = kind._wire.__set__
        self._dates = [name for name, type_ in types_of_keys(kind) if type_ == datetime | None]
        self._decoders = _Decoders.of(kind, set(), set())

    def decode_body(self, body: bytes) -> tuple[Envelope[Any], list[Any]] | None:
        """Return the envelope and the structured records of a body; None if it has a value that is not accepted.

        Args:
            body: at most `BYTES_PER_SLICE`, because each record keeps it in memory.
        """
        if has_many_objects(body, 0, len(body)):
            return None
        try:
            decoders = self._decoders
            envelope = decoders.decode_envelope(body)
            return envelope, self._instances(decoders, envelope.records or [], body)
        except (ValueError, RecursionError):
            return None

    def structure(self, records: bytes | memoryview) -> list[Any]:
        """Return the structured records; an empty list if one of them is not accepted.

        Args:
            records: the JSON of one record, or of several with commas between them. Each record keeps it in memory.
        """
        json = b"".join((b"[", records, b"]"))
        try:
            decoders = self._decoders
            return self._instances(decoders, decoders.decode_list(json), json)
        except (ValueError, RecursionError):
            return []

    def _instances(self, decoders: _Decoders, decoded: list[Any], json: bytes) -> list[Any]:
        """Return the attrs instances of decoded records; raise ValueError for an invalid date or deep nesting."""
        # Each level has its own bracket. Records without nested values save the count: 60 µs for 64 KiB.
        if decoders.nested_keys and count_brackets(json) > len(decoded) + MAX_DEPTH:
            raise ValueError("a record may be nested too deeply")
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

    def add_keys_of(self, record: Mapping[str, Any]) -> bool:
        """Accept the unknown keys of a decoded record from now on; return whether there were any.

        This takes 0.5 ms. An installation sends the same keys with each record.
        """
        known = self._decoders
        extra: Set[str] = record.keys() - wire_keys(self._kind).values()
        if len(extra) > _MAX_EXTRA_KEYS:
            return False
        nested: Set[str] = {key for key in extra if type(record[key]) in (dict, list)}
        if extra <= known.extra_keys and nested <= known.nested_keys:
            return False
        if len(extra | known.extra_keys) <= _MAX_EXTRA_KEYS:
            extra, nested = extra | known.extra_keys, nested | known.nested_keys
        try:
            # One assignment, because other threads may add keys at the same time.
            self._decoders = _Decoders.of(self._kind, extra, nested, record)
        except ValueError:
            # A msgspec struct can't have a key with a lone surrogate.
            return False
        return True


@cache
def fast_path(kind: Any) -> FastPath:
    """Return the fast path for a class of records. All responses share it, and so the extra keys."""
    return FastPath(kind)


def has_many_objects(json: Body, start: int, end: int) -> bool:
    """Return whether a part of a body has so many JSON objects that decoding them in one step may take too long."""
    if end - start <= _SHORT:
        return False
    # `count` would take longer, because normal records have few braces.
    for _ in range(_MAX_OBJECTS):
        start = json.find(b"{", start, end) + 1
        if start == 0:
            return False
    return True


def count_brackets(json: Body, *interval: int) -> int:
    """Return the number of lists and objects in JSON, or more if a text contains brackets."""
    return json.count(b"[", *interval) + json.count(b"{", *interval)


def _struct(kind: Any, extra_keys: Set[str], nested_keys: Set[str], order: Iterable[str]) -> Any:
    """Return the msgspec struct of a record with published and extra keys, in the order of the server's keys."""
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
        (f"extra_{n}", Any if key in nested_keys else _Scalar, msgspec.field(name=key, default=None))
        for n, key in enumerate(extra_keys)
    ]
    # msgspec looks for each key at the position after the last one first.
    positions = {key: position for position, key in enumerate(order)}
    fields = sorted(known + others, key=lambda field: positions.get(field[2].name, len(positions)))
    # `gc=False`, because JSON values have no cycles, and the garbage collector need not visit them.
    return msgspec.defstruct(kind.__name__, fields, kw_only=True, gc=False, forbid_unknown_fields=True)
