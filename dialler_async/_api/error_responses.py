"""Map an error response, or a body that names another status than HTTP's 200, to an error. Pure.

Source: API reference, "Status codes and error bodies".
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit, urlunsplit

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
    """Return the beginning of a body: at most 200 characters, with unprintable ones replaced."""
    return printable_excerpt(body[: 4 * EXCERPT_LENGTH].decode("utf-8-sig", "replace"))


def printable_excerpt(text: str) -> str:
    """Return the beginning of a text: at most 200 characters, with unprintable ones replaced."""
    # Cut first, since checking each character of 64 MiB takes seconds.
    text = text[: 20 * EXCERPT_LENGTH]
    printable = " ".join(text.split())
    if not printable.isprintable():
        printable = "".join(character if character.isprintable() else "�" for character in printable)
    return printable if len(printable) <= EXCERPT_LENGTH else f"{printable[: EXCERPT_LENGTH - 1]}…"


_BY_STATUS: dict[int, tuple[type[StatusError], str]] = {
    400: (BadRequestError, "the server refused the request as it is; usually a required parameter is missing"),
    401: (AuthenticationError, "the token, the ClientsID in the base URL, or the combination of both is wrong"),
    404: (NotFoundError, "the record does not exist"),
    408: (StatusError, "the server gave up waiting for the request"),
    409: (ConflictError, "it already exists, or another precondition does not hold"),
    413: (StatusError, "the request is too large for the server, or for a proxy in front of it"),
    429: (RateLimitedError, "too many requests"),
    500: (ServerError, "internal error of the server"),
    502: (ServerError, "a proxy got no usable answer from the server"),
    503: (ServerError, "the server is not available for now"),
    504: (ServerError, "a proxy waited in vain for the server"),
}


def error_from_response(
    status: int, headers: Mapping[str, str], body: Body, *, request: SentRequest, path: str, now: datetime
) -> StatusError:
    """Return the error for a response other than 200.

    Args:
        status: HTTP status.
        headers: headers of the response. Their names may be in any case: proxies write them in lower case.
        body: body of the response.
        request: the request of the call.
        path: path of the request, below the base URL.
        now: the current time, for a `Retry-After` that is a date; aware.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    retry_after = parse_retry_after(lowered.get("retry-after"), now)
    if 300 <= status < 400:
        return _redirect(status, lowered.get("location", ""), request, path, retry_after)
    documented = _documented_error(body)
    if status == 404 and documented is None:
        return EndpointNotFoundError(
            f"{request}: 404 without the API's JSON body: no such endpoint. Check the base URL"
            " (http(s)://HOST:PORT/rest/v1.0/CLIENTS_ID) and the server's release",
            status=status,
            message=_text_of(body),
            request=request,
        )
    message = _text_of(body) if documented is None else documented
    return _status_error(status, message, request, retry_after)


def claimed_status(status: int, message: str | None, body: Body) -> DiallerError:
    """Return the error for a body that names another status than HTTP's 200."""
    if not 300 <= status < 600:
        return PayloadError(
            f"the server said 200, but its body claims status {status}", path="status", excerpt=excerpt(body)
        )
    return _status_error(status, printable_excerpt(message) if message else excerpt(body), None, None)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` asks for, given as seconds or as an HTTP date; None if it is invalid."""
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
        # Decoded leniently: a 404 of the API in another charset must not be taken for a missing endpoint.
        # msgspec refuses a text that was cut in the middle of an emoji.
        payload = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict) or not payload.keys() & {"status", "error"}:
        return None
    message = payload.get("error")
    return printable_excerpt(message) if isinstance(message, str) else ""


def _text_of(body: Body) -> str:
    """Return the text of a body that is not the API's JSON; empty for a page of HTML."""
    text = excerpt(body)
    return "" if text.startswith("<") else text


def _status_error(status: int, message: str, request: SentRequest | None, retry_after: float | None) -> StatusError:
    cls, meaning = _BY_STATUS.get(status) or (ServerError if status >= 500 else StatusError, "")
    text = f"{request}: {status}" if request else f"the server said 200, but its body says {status}"
    if meaning:
        text += f": {meaning}"
    if retry_after is not None:
        text += f"; it asks to wait {retry_after:g} s"
    if message:
        text += f" (the server says: {message})"
    return cls(text, status=status, message=message, retry_after=retry_after, request=request)


def _redirect(status: int, location: str, request: SentRequest, path: str, retry_after: float | None) -> RedirectError:
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
        pointed_to = printable_excerpt(urlunsplit((parts.scheme, host, parts.path, "", "")))
    except ValueError:
        pointed_to = ""
    text = f"{request}: {status}, redirected"
    text += f" to {pointed_to}" if pointed_to else " without saying where to"
    text += "; redirects are not followed, since the token would go along"
    base_url = pointed_to.removesuffix(path)
    if "://" in pointed_to and base_url != pointed_to:
        text += f". If that server is yours, set the base URL to {base_url}"
    return RedirectError(text, status=status, location=pointed_to, retry_after=retry_after, request=request)
