"""Requests besides the seven calls: to other functions of the server, and to probe whether the server works."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import msgspec

from ..errors import Body, ConfigurationError, PayloadError, SentRequest, require
from .decoding import Decoded, ResponseDecoder
from .endpoints import Idempotency, Request, get_campaign
from .error_responses import excerpt

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
    require(method in _METHODS, f"the method must be one of {', '.join(sorted(_METHODS))}")
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
    """Return a cheap request that needs a valid token. A 404 with a JSON body shows that the server works, too."""
    read = get_campaign(1)
    return Request(read.sent, read.path, _response_decoder(dict))


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
        is_pair = isinstance(name, str) and isinstance(value, str | int) and not isinstance(value, bool)
        require(is_pair, "a query must have str names, and str or int values")
        pairs.append(f"{_quoted(name, 'a query')}={_quoted(str(value), 'a query')}")
    return "&".join(pairs)


def _quoted(text: str, what: str, *, safe: str = "") -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what} contains a lone surrogate, which can't be sent: remove it") from None


def _encoded_body(body: object) -> msgspec.Raw:
    """Return the body as JSON, encoded once, so that the caller may change the value during retries."""
    try:
        return msgspec.Raw(msgspec.json.encode(body))
    except (TypeError, ValueError, RecursionError) as error:
        # The text of the error is left out, since it may show a part of the body.
        problem = type(error).__name__
    raise ConfigurationError(f"the body can't be sent as JSON ({problem})")


def _response_decoder(kind: type[T]) -> ResponseDecoder[T]:
    if kind is bytes:
        # mypy does not infer that `kind` is the return type of the decoder.
        return cast("ResponseDecoder[T]", _raw_body)
    try:
        return partial(_json, msgspec.json.Decoder(kind))
    except TypeError:
        raise ConfigurationError("decoder must be bytes, or a type that msgspec can decode") from None


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
