"""The headers of requests, besides the token's: the client's own, and those that the caller adds."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, final

from ..errors import ConfigurationError, require
from ..version import __version__

HeaderSource: TypeAlias = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Headers, or a function that returns them. The function is called once for each call, in the caller's context."""

_USER_AGENT: Final = f"dialler-async/{__version__}"
_RESERVED: Final = frozenset(
    {"authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)
"""Names in lower case. The client sets these headers itself."""
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")


@final
class RequestHeaders:
    """The headers of each request of a client, without the token's.

    Args:
        sources: what the caller adds. A later source overrides an earlier one, whatever the case of the names.
    Raises:
        ConfigurationError: a header is invalid, or one that the client sets itself.
    """

    def __init__(self, *sources: HeaderSource) -> None:
        # Copied, since the caller may change a mapping later.
        self._sources = tuple(source if callable(source) else checked_headers(source) for source in sources)
        is_fixed = not any(callable(source) for source in self._sources)
        self._fixed = self._merged() if is_fixed else None

    def extended(self, source: HeaderSource) -> "RequestHeaders":
        """Return headers with one more source."""
        return RequestHeaders(*self._sources, source)

    def of_call(self) -> Mapping[str, str]:
        """Return the headers of one call. What a function of the caller raises is raised unchanged.

        Raises:
            ConfigurationError: a function returned an invalid header.
        """
        return self._merged() if self._fixed is None else self._fixed

    def _merged(self) -> Mapping[str, str]:
        merged = {"accept": ("Accept", "application/json"), "user-agent": ("User-Agent", _USER_AGENT)}
        for source in self._sources:
            for name, value in (checked_headers(source()) if callable(source) else source).items():
                key = name.lower()
                merged[key] = (name, f"{value} {_USER_AGENT}" if key == "user-agent" else value)
        return dict(merged.values())


def checked_headers(headers: object) -> dict[str, str]:
    """Return a copy of the headers. Errors never show a value, which may be a secret."""
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers are a mapping of names to values, not {type(headers).__name__}")
    for name, value in headers.items():
        is_name = isinstance(name, str) and _NAME.fullmatch(name) is not None
        require(is_name, f"headers: {name!r} is not the name of a header")
        require(name.lower() not in _RESERVED, f"headers: the client sets {name} itself")
        is_value = isinstance(value, str) and _VALUE.fullmatch(value) is not None
        require(is_value, f"headers: the value of {name} is not a str of printable ASCII characters")
    return dict(headers)


def override(headers: Mapping[str, str], further: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers with further ones, which replace those of the same name in any case."""
    if not further:
        return headers
    replaced = {name.lower() for name in further}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | dict(further)
