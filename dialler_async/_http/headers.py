"""The headers of requests, without `Authorization`: the client's own headers, and headers of the user."""

import asyncio
import re
from collections.abc import Callable, Hashable, Mapping
from typing import Final, final

from ..config import HeaderSource
from ..errors import ConfigurationError, require
from ..version import __version__

_USER_AGENT: Final = f"dialler-async/{__version__}"
_RESERVED: Final = frozenset(
    {"authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)
"""Names, in lower case, of the headers that only the client sets."""
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")


@final
class RequestHeaders:
    """The headers of each request of a client, without `Authorization`.

    Args:
        sources: headers of the user. A later source overrides an earlier source; names are compared without case.
    Attributes:
        fixed: the headers of each call; None if a function of the user returns some of them for each call.
        key: equal for equal headers and the same functions.
    """

    def __init__(self, *sources: HeaderSource) -> None:
        # Mappings are copied, because the caller may change them later.
        self._sources = tuple(source if callable(source) else checked_headers(source) for source in sources)
        is_fixed = not any(callable(source) for source in self._sources)
        self.fixed: Final = self.of_call() if is_fixed else None
        self.key: Final[Hashable] = tuple(map(_key, self._sources))

    def extended(self, source: HeaderSource) -> "RequestHeaders":
        """Return headers with one more source."""
        return RequestHeaders(*self._sources, source)

    def of_call(self) -> Mapping[str, str]:
        """Return the headers of one call; raise what a function of the user raises."""
        merged = {"accept": ("Accept", "application/json"), "user-agent": ("User-Agent", _USER_AGENT)}
        for source in self._sources:
            for name, value in (_called(source) if callable(source) else source).items():
                key = name.lower()
                merged[key] = (name, f"{value} {_USER_AGENT}" if key == "user-agent" else value)
        return dict(merged.values())


def _called(source: Callable[[], Mapping[str, str]]) -> Mapping[str, str]:
    try:
        return checked_headers(source())
    except asyncio.CancelledError:
        # The task of the call would end as cancelled, and would vanish from a TaskGroup without an error.
        raise ConfigurationError("the function that returns the headers raised CancelledError") from None


def _key(source: HeaderSource) -> Hashable:
    if not callable(source):
        return frozenset((name.lower(), value) for name, value in source.items())
    return source if type(source).__hash__ is not None else object()


def checked_headers(headers: object) -> dict[str, str]:
    """Return a copy of valid headers; raise ConfigurationError for others, without a value that may be a secret."""
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers must be a mapping of names to values, not {type(headers).__name__}")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        is_name = isinstance(name, str) and _NAME.fullmatch(name) is not None
        require(is_name, f"headers: {name!r} is not a valid header name")
        require(name.lower() not in _RESERVED, f"headers: remove {name}, because the client sets it")
        is_value = isinstance(value, str) and _VALUE.fullmatch(value) is not None
        require(is_value, f"headers: the value of {name} must be a str of printable ASCII characters")
        # A member of an Enum with str would show its name.
        checked[str.__str__(name)] = str.__str__(value)
    return checked


def override(headers: Mapping[str, str], added: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers with added headers. An added header replaces a header with the same name, in any case."""
    if not added:
        return headers
    replaced = {name.lower() for name in added}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | dict(added)
