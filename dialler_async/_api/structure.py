"""Make a `Campaign` or a `ResultCode` of a JSON record. Types are checked strictly, and no key is lost.

cattrs defines which records are accepted, and describes what is wrong with an invalid record. `FastPath` is tried
first: msgspec decodes and validates the keys in C, and the record keeps its own bytes for `wire`. The fast path accepts
a record only if cattrs would accept it with the same result. It leaves all other records to cattrs.

Source: API reference, "Campaign records" and "Result codes".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

import attrs
import cattrs
import msgspec
from cattrs.gen import make_dict_structure_fn, override

from ..models import wire_keys
from .dates import parse_date


class MisfitError(Exception):
    """A record has values that are not of their published types.

    Attributes:
        problems: the name of each wrong key, and what is wrong with its value.
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key} {problem}" for key, problem in problems))
        self.problems = problems


class _UnexpectedValueError(ValueError):
    """A value is not of its key's type."""

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


_HOOKS: Final[Mapping[Any, Callable[[Any, Any], Any]]] = {
    str: _text,
    str | None: _text_or_none,
    int | None: _integer_or_none,
    bool | None: _boolean_or_none,
    datetime | None: _date_or_none,
}


@cache
def _converter(kind: Any) -> Callable[[dict[str, Any], Any], Any]:
    """Return a function that structures records of a class with cattrs. It is generated when it is first needed."""
    keys = wire_keys(kind)
    overrides: Any = {name: override(rename=keys[name], struct_hook=_HOOKS[type_]) for name, type_ in _types(kind)}
    converter = cattrs.Converter(detailed_validation=True)
    return make_dict_structure_fn(kind, converter, _wire=override(omit=True), **overrides)


def _types(kind: Any) -> list[tuple[str, Any]]:
    return [(field.name, field.type.__origin__) for field in attrs.fields(kind) if field.name in wire_keys(kind)]


def structure_strictly(kind: Any, record: dict[str, Any]) -> Any:
    """Return a decoded record as an instance of its class, which keeps the dict as its `wire`.

    Raises:
        MisfitError: a key is missing, or a value is not of its published type.
    """
    keys = wire_keys(kind)
    try:
        structured = _converter(kind)(record, kind)
    except cattrs.ClassValidationError as error:
        problems = [
            (keys[note.name], "is missing" if isinstance(cause, KeyError) else str(cause))
            for cause, note in error.group_exceptions()[0]
        ]
    else:
        object.__setattr__(structured, "_wire", record)
        return structured
    raise MisfitError(problems)


_MAX_UNKNOWN_KEYS: Final = 500
_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class FastPath:
    """Decodes records that contain only documented keys and learned keys.

    The values of learned keys are decoded and dropped. This proves that decoding `wire` later can't fail. Keeping the
    values in dicts would take twice as long.

    Attributes:
        decode: returns the decoded values of a record; raises ValueError or RecursionError if it is refused.
        instance: returns the record for decoded values and their bytes; raises ValueError for an invalid date.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._learned: tuple[str, ...] = ()
        self.decode: Callable[[bytes], Any] = _compile_decoder(kind, (), order=())
        self.instance: Callable[[Any, bytes], Any] = _compile_instance(kind)

    def learn_keys(self, piece: bytes) -> bool:
        """Learn the unknown keys of a record; return whether there are any.

        Learning takes 0.5 ms. An installation sends the same keys with each record.
        """
        try:
            keys = _decode_keys(piece).keys()
            new = keys - {*wire_keys(self._kind).values(), *self._learned}
            if not new or len(new) > _MAX_UNKNOWN_KEYS:
                return False
            learned = self._learned if len(self._learned) + len(new) <= _MAX_UNKNOWN_KEYS else ()
            learned = (*learned, *new)
            self.decode = _compile_decoder(self._kind, learned, order=tuple(keys))
        except (ValueError, RecursionError):
            # The record is not a JSON object, or has a key that a msgspec struct can't have.
            return False
        self._learned = learned
        return True


@cache
def fast_path(kind: Any) -> FastPath:
    """Return the fast path for a class of records. All lists share it, and so the learned keys."""
    return FastPath(kind)


def _compile_decoder(kind: Any, learned: Iterable[str], *, order: Sequence[str]) -> Callable[[bytes], Any]:
    keys = wire_keys(kind)
    defaults = {
        field.name: {} if field.default is attrs.NOTHING else {"default": field.default} for field in attrs.fields(kind)
    }
    known: list[tuple[str, Any, Any]] = [
        # Dates are parsed later: msgspec accepts other forms than the API has.
        (name, str | None if type_ == datetime | None else type_, msgspec.field(name=keys[name], **defaults[name]))
        for name, type_ in _types(kind)
    ]
    others: list[tuple[str, Any, Any]] = [
        (f"learned_{n}", Any, msgspec.field(name=key, default=None)) for n, key in enumerate(learned)
    ]
    positions = {key: position for position, key in enumerate(order)}
    fields = sorted(known + others, key=lambda field: positions.get(field[2].name, len(positions)))
    # `gc=False`, since JSON values have no cycles, and the garbage collector need not visit them.
    struct = msgspec.defstruct(kind.__name__, fields, kw_only=True, gc=False, frozen=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(struct).decode


def _compile_instance(kind: Any) -> Callable[[Any, bytes], Any]:
    """Return a function that makes a record of its known keys and its bytes; it raises ValueError for an invalid date.

    The function is compiled from source text, as attrs compiles `__init__`. It takes 0.9 µs for 15 attributes;
    `__init__` takes 1.4 µs, and a loop over the attributes 1.3 µs.
    """
    types = dict(_types(kind))
    lines = [f"set_{name}(record, known.{name})" for name, type_ in types.items() if type_ != datetime | None]
    lines += [
        f"set_{name}(record, None if known.{name} is None else parse_date(known.{name}))"
        for name, type_ in types.items()
        if type_ == datetime | None
    ]
    source = ["def instance(known, piece):", "record = new(kind)", *lines, "set__wire(record, piece)", "return record"]
    names = {f"set_{name}": getattr(kind, name).__set__ for name in (*types, "_wire")}
    names |= {"kind": kind, "new": kind.__new__, "parse_date": parse_date}
    exec("\n ".join(source), names)  # noqa: S102  made of the names of attributes only
    instance: Callable[[Any, bytes], Any] = names["instance"]
    return instance
