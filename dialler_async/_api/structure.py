"""Make a `Campaign` or a `ResultCode` of a JSON record. Types are checked strictly, and no key is lost.

cattrs defines which records are accepted, and describes what is wrong with an invalid record. `fast_path` is tried
first. It accepts a record only if cattrs would accept it with the same result.

Source: API reference, "Campaign records" and "Result codes".
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from ..models import wire_keys, with_wire
from .dates import parse_date


class MisfitError(Exception):
    """A record has values that are not of their published types.

    Attributes:
        problems: the name of each wrong key, and what is wrong with its value. An empty name means the whole record.
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key} {problem}".strip() for key, problem in problems))
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
def _converter(kind: Any, describe: bool) -> Callable[[dict[str, Any], Any], Any]:
    """Return a function that structures records of a class with cattrs. It is generated when it is first needed."""
    keys = wire_keys(kind)
    overrides: Any = {
        name: override(rename=keys[name], struct_hook=_HOOKS[type_]) for name, type_ in types_of_keys(kind)
    }
    converter = cattrs.Converter(detailed_validation=describe)
    return make_dict_structure_fn(kind, converter, **overrides)


def types_of_keys(kind: Any) -> list[tuple[str, Any]]:
    """Return the name and the type of each attribute that has a key."""
    return [(field.name, field.type.__origin__) for field in attrs.fields(kind)]


def structure_strictly(
    kind: Any, record: dict[str, Any], wire: dict[str, Any] | bytes, *, describe: bool = True
) -> Any:
    """Return a decoded record as an instance of its class.

    Args:
        kind: the class.
        record: the decoded record.
        wire: the same record, decoded or as JSON, for `wire`.
        describe: whether the error has the problems. Without them, an invalid record takes a fifth of the time.
    Raises:
        MisfitError: a key is missing, or a value is not of its published type.
    """
    keys = wire_keys(kind)
    try:
        structured = _converter(kind, describe)(record, kind)
    except cattrs.ClassValidationError as error:
        problems = [
            (keys[note.name], "is missing" if isinstance(cause, KeyError) else str(cause))
            for cause, note in error.group_exceptions()[0]
        ]
    except (KeyError, _UnexpectedValueError):
        problems = []
    else:
        return with_wire(structured, wire)
    raise MisfitError(problems)
