"""Requests besides the seven calls: to other functions of the server, and to probe whether the server works."""

import math
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, TypeVar, cast, get_args
from urllib.parse import quote

import msgspec

from ..errors import Body, ConfigurationError, PayloadError, SentRequest, require
from ..models import Record, Records
from .decoding import Decoded, ResponseDecoder
from .endpoints import Idempotency, Request, get_campaign
from .error_responses import excerpt
from .fast_path import MAX_DEPTH

T = TypeVar("T")

_METHODS: Final = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})
_ANY_PATH: Final = "/{path}"
"""The path template of all other calls. A path may contain names and IDs, which must not be logged."""
_REFUSED_IN_PATH: Final = frozenset("%;?#\\")
_HINT: Final = "read the data that the request may have changed"


def other_call(
    method: str,
    path: str,
    *,
    query: Mapping[str, str | int] | None,
    body: object,
    idempotent: bool,
    decoder: type[T],
) -> Request[T]:
    """Return a request to any function of the server; see `DiallerClient.request` for the arguments.

    Raises:
        ConfigurationError: an argument is invalid.
    """
    method = _checked_method(method)
    return Request(
        SentRequest(method, _ANY_PATH),
        _encoded_path(path),
        _response_decoder(decoder),
        Idempotency.SAFE if idempotent else Idempotency.UNKNOWN,
        query=_encoded_query(query or {}),
        body=None if body is None else _encoded_body(body),
        recovery_hint=_HINT,
        about=f"{method} {str.__str__(path)}",
        # Some paths of this server change something on a GET.
        invalidates=None if method == "GET" and idempotent else "everything",
    )


def probe() -> Request[dict[str, Any]]:
    """Return a cheap request that needs a valid token. A 404 with a JSON body shows that the server works, too."""
    read = get_campaign(1)
    return Request(read.sent, read.path, _response_decoder(dict))


def _checked_method(method: object) -> str:
    is_method = isinstance(method, str) and method in _METHODS
    require(is_method, f"the method must be one of {', '.join(sorted(_METHODS))}")
    # A member of an Enum with str would show its name.
    return str.__str__(cast(str, method))


def _encoded_path(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError("a path must be a str that begins with /, such as /dialler/campaigns")
    segments = path.removesuffix("/").split("/")[1:]
    is_below_base = all(segment not in ("", ".", "..") for segment in segments)
    require(is_below_base and segments != [], "a path must not have an empty segment, . or ..")
    is_plain = path.isprintable() and not _REFUSED_IN_PATH & set(path)
    refused = " ".join(sorted(_REFUSED_IN_PATH))
    require(is_plain, f"a path must not contain control characters or any of {refused}; pass a query as query=…")
    return _quoted(path, "a path", safe="/")


def _encoded_query(query: object) -> str:
    if not isinstance(query, Mapping):
        raise ConfigurationError(f"a query must be a mapping of names to values, not {type(query).__name__}")
    pairs = []
    for name, value in query.items():
        require(isinstance(name, str), "a query must have str names")
        pairs.append(f"{_quoted(name, 'a query')}={_quoted(_query_text(value), 'a query')}")
    return "&".join(pairs)


def _query_text(value: object) -> str:
    # A member of an Enum with str or int would show its name.
    if isinstance(value, str):
        return str.__str__(value)
    is_int = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= sys.maxsize
    require(is_int, "a query must have str values, or ints of at most 64 bits")
    return int.__repr__(cast(int, value))


def _quoted(text: str, what: str, *, safe: str = "") -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what} contains a lone surrogate, which can't be sent: remove it") from None


def _encoded_body(body: object) -> msgspec.Raw:
    """Return the body as JSON, encoded once, so that the caller may change the value during retries."""
    try:
        # msgspec would send NaN and infinity as null, and the attributes of a record instead of its keys.
        _require_json(body)
        _require_json(msgspec.to_builtins(body))
        return msgspec.Raw(msgspec.json.encode(body))
    except ConfigurationError:
        raise
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        # The text of the error is left out, because it may show a part of the body.
        problem = type(error).__name__
    raise ConfigurationError(f"the body can't be sent as JSON ({problem})")


def _require_json(value: object, levels: int = MAX_DEPTH) -> None:
    """Raise ConfigurationError for a value that JSON does not have, for a record, or for too many levels.

    The limit keeps a list that contains itself from the recursion limit, where the code of others would fail, too.
    """
    require(levels >= 0, f"the body can't contain itself, or more than {MAX_DEPTH} levels")
    match value:
        case Record():
            raise ConfigurationError("the body can't be a record of this library: send its `wire`, or other values")
        case float():
            require(math.isfinite(value), "the body can't contain NaN or infinity, because JSON has no such numbers")
        case Mapping():
            for key, inner in value.items():
                _require_json(key, levels - 1)
                _require_json(inner, levels - 1)
        case list() | tuple() | set() | frozenset():
            for inner in value:
                _require_json(inner, levels - 1)


def _response_decoder(kind: type[T]) -> ResponseDecoder[T]:
    if kind is bytes:
        # mypy does not infer that `kind` is the return type of the decoder.
        return cast("ResponseDecoder[T]", _raw_body)
    try:
        require(not _has_record(kind), "decoder can't be a record of this library: use the methods of the resources")
        return partial(_json, msgspec.json.Decoder(kind))
    except ConfigurationError:
        raise
    except Exception as error:
        # Such as a NameError for an annotation that can't be resolved.
        problem = type(error).__name__
    raise ConfigurationError(f"decoder must be bytes, or a type that msgspec can decode ({problem})")


def _has_record(kind: object) -> bool:
    """Return whether a type is a record, or contains one as an argument, such as a list of records."""
    return (isinstance(kind, type) and issubclass(kind, Record | Records)) or any(map(_has_record, get_args(kind)))


def _raw_body(body: Body) -> Decoded[bytes]:
    """Return the body unchanged."""
    return Decoded(bytes(body))


def _json(decoder: "msgspec.json.Decoder[T]", body: Body) -> Decoded[T]:
    """Return a JSON value of the decoder's type."""
    try:
        return Decoded(decoder.decode(body))
    except msgspec.ValidationError as error:
        problem, not_json = f"not a value of the decoder's type: {error}", False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem, not_json = f"not JSON: {error}", True
    raise PayloadError(f"the status is 200, but the body is {problem}", excerpt=excerpt(body), not_json=not_json)
