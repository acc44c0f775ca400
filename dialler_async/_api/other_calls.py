"""Requests besides the seven calls: to functions of the server that this library doesn't know, and to probe it."""

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import msgspec

from ..errors import Body, ConfigurationError, PayloadError, SentRequest, require
from .decoding import ResponseDecoder
from .endpoints import Idempotency, Request, get_campaign
from .error_responses import excerpt

T = TypeVar("T")

_METHODS: Final = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})
_ANY_PATH: Final = "/{path}"
"""The path template of all such requests. A path may hold names and IDs, which must not reach logs."""
_REFUSED_IN_PATH: Final = frozenset("%;?#\\")
_HINT: Final = "read what the request may have changed"


def other_call(
    method: str,
    path: str,
    *,
    query: Mapping[str, str | int] | None,
    body: object,
    idempotent: bool,
    decoder: type[T],
) -> Request[T]:
    """Return a request to any function of the server.

    Args:
        method: HTTP method.
        path: path below the base URL, not percent-encoded.
        query: names and values, not percent-encoded.
        body: a value to send as JSON; None for no body.
        idempotent: whether the request may be retried.
        decoder: type of the value.
    Raises:
        ConfigurationError: an argument is invalid.
    """
    require(method in _METHODS, f"the method is one of {', '.join(sorted(_METHODS))}")
    return Request(
        SentRequest(method, _ANY_PATH),
        _encoded_path(path),
        _response_decoder(decoder),
        Idempotency.SAFE if idempotent else Idempotency.UNKNOWN,
        query=_encoded_query(query or {}),
        body=None if body is None else _encoded_body(body),
        recovery_hint=_HINT,
        about=f"{method} {path}",
    )


def probe() -> Request[dict[str, Any]]:
    """Return a request that costs the server little and needs a valid token. A 404 with a JSON body is a success."""
    read = get_campaign(1)
    return Request(read.sent, read.path, _response_decoder(dict))


def _encoded_path(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError("a path is a str that starts with /, such as /dialler/campaigns")
    segments = path.removesuffix("/").split("/")[1:]
    is_below_base = all(segment not in ("", ".", "..") for segment in segments)
    require(is_below_base and segments != [], "a path has no empty, . or .. segment")
    is_plain = path.isprintable() and not _REFUSED_IN_PATH & set(path)
    require(is_plain, f"a path holds no control character and none of {' '.join(sorted(_REFUSED_IN_PATH))}")
    return _quoted(path, "a path", safe="/")


def _encoded_query(query: object) -> str:
    if not isinstance(query, Mapping):
        raise ConfigurationError(f"a query is a mapping of names to values, not {type(query).__name__}")
    pairs = []
    for name, value in query.items():
        is_pair = isinstance(name, str) and isinstance(value, str | int) and not isinstance(value, bool)
        require(is_pair, "a query has str names, and str or int values")
        pairs.append(f"{_quoted(name, 'a query')}={_quoted(str(value), 'a query')}")
    return "&".join(pairs)


def _quoted(text: str, what: str, *, safe: str = "") -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what} holds a lone surrogate, which no server can be sent") from None


def _encoded_body(body: object) -> msgspec.Raw:
    """Return the body as JSON, encoded once, so that the caller may change the value meanwhile."""
    try:
        return msgspec.Raw(msgspec.json.encode(body))
    except (TypeError, ValueError, RecursionError) as error:
        # The text of an error may show part of the body.
        problem = type(error).__name__
    raise ConfigurationError(f"the body can't be sent as JSON ({problem})")


def _response_decoder(kind: type[T]) -> ResponseDecoder[T]:
    if kind is bytes:
        # `kind` is the type of what it returns, which mypy does not conclude.
        return cast("ResponseDecoder[T]", _raw_body)
    try:
        return partial(_json, msgspec.json.Decoder(kind))
    except TypeError:
        raise ConfigurationError("decoder is bytes, or a type that msgspec can decode") from None


def _raw_body(body: Body) -> Generator[None, None, bytes]:
    """Return the body as it came."""
    yield
    return bytes(body)


def _json(decoder: "msgspec.json.Decoder[T]", body: Body) -> Generator[None, None, T]:
    """Return a JSON value of one type."""
    yield
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem, not_json = f"not a value of the decoder's type: {error}", False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem, not_json = f"not JSON: {error}", True
    raise PayloadError(f"the server said 200, but sent {problem}", excerpt=excerpt(body), not_json=not_json)
