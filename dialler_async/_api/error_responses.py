"""Map error responses to errors. Pure. A 200 whose body contains another status is an error response, too.

Source: API reference, "Status codes and error bodies".
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from ..config import BASE_PATH
from ..errors import (
    AuthenticationError,
    BadRequestError,
    Body,
    ConflictError,
    DiallerError,
    EndpointNotFoundError,
    NotFoundError,
    PayloadError,
    RateLimitedError,
    RedirectError,
    SentRequest,
    ServerError,
    StatusError,
)

EXCERPT_LENGTH: Final = 200


def excerpt(body: Body) -> str:
    """Return the beginning of a body: at most 200 characters. Unprintable characters are replaced."""
    return printable_excerpt(body[: 4 * EXCERPT_LENGTH].decode("utf-8-sig", "replace"))


def printable_excerpt(text: str) -> str:
    """Return the beginning of a text: at most 200 characters. Unprintable characters are replaced."""
    # Cut before the check, because checking each character of 64 MiB takes seconds.
    text = text[: 20 * EXCERPT_LENGTH]
    printable = " ".join(text.split())
    if not printable.isprintable():
        printable = "".join(character if character.isprintable() else "�" for character in printable)
    return printable if len(printable) <= EXCERPT_LENGTH else f"{printable[: EXCERPT_LENGTH - 1]}…"


_BY_STATUS: dict[int, tuple[type[StatusError], str]] = {
    400: (BadRequestError, "the request is invalid; usually, a required parameter is missing"),
    401: (AuthenticationError, "the token, the ClientsID in the base URL, or the combination of both is wrong"),
    404: (NotFoundError, "the record does not exist"),
    408: (StatusError, "the server gave up waiting for the request"),
    409: (ConflictError, "the destination already exists, or another precondition does not hold"),
    413: (StatusError, "the request is too large for the server, or for a proxy in front of it"),
    429: (RateLimitedError, "there were too many requests"),
    500: (ServerError, "the server had an internal error"),
    502: (ServerError, "a proxy got no usable response from the server"),
    503: (ServerError, "the server is unavailable"),
    504: (ServerError, "a proxy got no response from the server in time"),
}


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    body: Body,
    *,
    request: SentRequest,
    path: str,
    now: datetime,
) -> StatusError:
    """Return the error for a response other than 200. Its texts may still contain secrets.

    Args:
        status: HTTP status.
        headers: headers of the response, with names in any case.
        body: body of the response.
        request: the request of the call.
        path: path of the request, below the base URL.
        now: the current time as an aware datetime, for a `Retry-After` with a date.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    retry_after = parse_retry_after(lowered.get("retry-after"), now)
    if 300 <= status < 400:
        return _redirect(status, _target(lowered.get("location", "")), request, path, retry_after)
    documented = _documented_error(body)
    if status == 404 and documented is None:
        reason = "without the API's JSON error" if body else "with an empty body"
        return EndpointNotFoundError(
            f"{request}: 404 {reason}: the endpoint does not exist. Check the base URL"
            f" (http(s)://HOST:PORT{BASE_PATH}/CLIENTS_ID) and the server's release",
            status=status,
            message=_text_of(body),
            request=request,
        )
    message = _text_of(body) if documented is None else documented
    return _status_error(status, message, request, retry_after)


def claimed_status(status: int, message: str | None, body: Body) -> DiallerError:
    """Return the error for a 200 whose body contains another status."""
    if not 300 <= status < 600:
        return PayloadError(
            f"the status is 200, but the body has status {status}", path="status", excerpt=excerpt(body)
        )
    return _status_error(status, printable_excerpt(message) if message else excerpt(body), None, None)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, from a `Retry-After` with seconds or an HTTP date; None if the value is invalid."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < 16 else float("inf")
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def _documented_error(body: Body) -> str | None:
    """Return the message in `{"status": 404, "error": "…"}`; None if the body is not such an object."""
    try:
        # Undecodable bytes are replaced: a 404 in another charset must not be mistaken for a missing endpoint.
        # json is used, because msgspec refuses a text that was cut in the middle of an emoji.
        payload = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict) or not payload.keys() & {"status", "error"}:
        return None
    message = payload.get("error")
    return printable_excerpt(message) if isinstance(message, str) else ""


def _text_of(body: Body) -> str:
    """Return the text of a body that is not the API's JSON; empty for an HTML page."""
    text = excerpt(body)
    return "" if text.startswith("<") else text


def _status_error(status: int, message: str, request: SentRequest | None, retry_after: float | None) -> StatusError:
    cls, meaning = _BY_STATUS.get(status) or (ServerError if status >= 500 else StatusError, "")
    text = f"{request}: {status}" if request else f"the status is 200, but the body has status {status}"
    if meaning:
        text += f": {meaning}"
    if retry_after is not None:
        text += f"; Retry-After is {retry_after:g} s"
    if message:
        text += f" (message from the server: {message})"
    return cls(text, status=status, message=message, retry_after=retry_after, request=request)


def _target(location: str) -> str:
    """Return the target of a redirect, without query and user info; empty for an invalid URL."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return printable_excerpt(urlunsplit((parts.scheme, host, parts.path, "", "")))


def _redirect(status: int, target: str, request: SentRequest, path: str, retry_after: float | None) -> RedirectError:
    text = f"{request}: {status}, a redirect"
    text += f" to {target}" if target else " without a target"
    text += "; redirects are not followed, because they would receive the token"
    base_url = target.removesuffix(path)
    if "://" in target and base_url != target:
        text += f". If that server is yours, set the base URL to {base_url}"
    return RedirectError(text, status=status, location=target, retry_after=retry_after, request=request)
