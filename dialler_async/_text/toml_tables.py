"""Read tables of a TOML file. The fields of a msgspec struct declare the keys, their types, and their words."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import FieldInfo, fields

from ..errors import ConfigurationError, require

_T = TypeVar("_T", bound=msgspec.Struct)


def read_table(table: object, cls: type[_T], name: str = "") -> _T:
    """Return a table as a struct.

    Args:
        table: the table.
        cls: the struct. The type of each field is `Annotated[…, Meta(description=…)]`. The description completes
            "must be" in error messages.
        name: the name of the table in error messages, such as `[[audit.accept]]`; empty for the settings themselves.
    Raises:
        ConfigurationError: it is no table, a key is unknown or missing, or a value has the wrong type.
    """
    require(isinstance(table, Mapping), f"an entry of {name} must be a table, not {table!r}")
    given = cast("Mapping[str, object]", table)
    declared = {field.encode_name: field for field in fields(cls)}
    for key in given:
        require_known(key, declared, f"key of {name}")
    values = {field.name: _value(given, field, name) for field in declared.values()}
    return cls(**{key: value for key, value in values.items() if value is not None})


def _value(table: Mapping[str, object], field: FieldInfo, name: str) -> Any:
    key = field.encode_name
    description = field.type.__metadata__[0].description
    value = table.get(key)
    try:
        if key in table or field.required:
            return msgspec.convert(value, field.type)
    except msgspec.ValidationError:
        if field.required:
            raise ConfigurationError(f"an entry of {name} needs the key “{key}” with {description}") from None
        of = f" of {name}" if name else ""
        raise ConfigurationError(f"“{key}”{of} must be {description}, not {value!r}") from None
    return None


def require_known(name: str, known: Iterable[str], kind: str, of: str = "", listing: str = "there are") -> None:
    """Check that a name is known.

    Args:
        name: the name in the settings.
        known: all valid names.
        kind: the noun before the name in the message, such as `rule`.
        of: the text after the name in the message, such as ` of the rule “expired”`.
        listing: the words before the list of valid names in the message.
    Raises:
        ConfigurationError: the name is unknown; the message suggests the most similar one, or lists all.
    """
    names = list(known)
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean “{close[0]}”?" if close else f"{listing} {', '.join(names)}"
        raise ConfigurationError(f"there is no {kind} “{name}”{of}; {hint}")
