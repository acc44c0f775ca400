"""Everything that this library raises, and how a reply of the server becomes one of them.

DiallerError
├── ConfigurationError (ValueError)     a base URL, token, limit, ID or name that can't work; nothing was sent
├── ClientStateError (RuntimeError)     the client is closed, or belongs to another event loop or process
├── NoReplyError                        nothing usable came back
│   ├── ConnectError                    never sent: safe to repeat
│   ├── DeadlineError (TimeoutError)    the time given ran out
│   └── OutcomeUnknownError             it may have been carried out: look before you repeat
├── StatusError                         the server said no: .status .message .retry_after .request
│   ├── RedirectError 3xx               .location says where it pointed
│   ├── BadRequestError 400
│   ├── AuthenticationError 401
│   ├── NotFoundError 404               (LookupError) the record does not exist
│   ├── EndpointNotFoundError 404       with an empty body: the base URL is wrong, or the server too old
│   ├── ConflictError 409
│   ├── RateLimitedError 429
│   └── ServerError 5xx
├── TokenSourceError                    the function that gives the token failed: every call would fail
│   └── InvalidTokenError               (ConfigurationError) it returned something that can't be a token
├── ItemCancelledError                  an item of a fan_out awaited something that was cancelled
├── PayloadError                        200, but not what is documented: .path .record_id .excerpt
└── AmbiguousNameError (LookupError)    several campaigns have this name: .matches

Each is a plain value: it pickles, compares equal to its copy, and holds neither a token nor an aiohttp object.
Source: API reference, "Status codes and error bodies".
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeAlias, final
from urllib.parse import urlsplit, urlunsplit

import attrs

if TYPE_CHECKING:
    from .models import Campaign

EXCERPT_LENGTH = 200

Body: TypeAlias = bytes | bytearray
"""That of a reply. A large one is a bytearray, which grew piece by piece: to put 12 MB together at once takes 8 ms."""


@final
@attrs.frozen
class SentRequest:
    """Which call an error belongs to: no names, no IDs, no secrets, so that it can be logged.

    Attributes:
        method: HTTP method.
        path_template: path below the base URL, such as `/dialler/campaigns/{DiallerCampaignsID}`.
    """

    method: str
    path_template: str

    def __str__(self) -> str:
        return f"{self.method} {self.path_template}"


class DiallerError(Exception):
    """Base of all errors of this library; `help(dialler_async.errors)` shows the tree."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.args == other.args and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.args))


class ConfigurationError(DiallerError, ValueError):
    """A base URL, token, limit, ID or name that can't work. Raised before anything is sent."""


class ClientStateError(DiallerError, RuntimeError):
    """The client can't be used here: it is closed, or belongs to another event loop or process."""


class RequestError(DiallerError):
    """What errors of a request that was tried share.

    Attributes:
        request: method and path template of the call.
        attempts: how many times it was tried.
        about: the campaign that the call was about, such as "campaign 535"; empty for a call about all campaigns. It is
            not in the message, so that the message can be logged. A traceback shows it as a note.
    """

    def __init__(self, message: str = "", *, request: SentRequest | None = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.request = request
        self.attempts = attempts
        self.about = ""


class NoReplyError(RequestError):
    """Nothing usable came back: no connection, no answer in time, or one that broke off.

    Where a write may have been carried out all the same, it is an OutcomeUnknownError.
    """


class ConnectError(NoReplyError):
    """No connection: the request was never sent, so it is safe to repeat."""


class DeadlineError(NoReplyError, TimeoutError):
    """The time given ran out; the message says which."""


class OutcomeUnknownError(NoReplyError):
    """A write that may or may not have been carried out: look before you repeat it.

    The message says what was sent and how to find out. A write that is cancelled on its way raises nothing but the
    CancelledError, and may have been carried out as well.
    """


class StatusError(RequestError):
    """The server said no.

    Attributes:
        status: HTTP status, or the one in the body where that contradicts HTTP's 200.
        message: the server's own words, at most 200 characters; empty where it gave none.
        retry_after: seconds to wait, if the server said so.
        request: method and path template of the call.
        attempts: how many times it was tried.
    """

    def __init__(
        self,
        text: str = "",
        *,
        status: int = 0,
        message: str = "",
        retry_after: float | None = None,
        request: SentRequest | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(text, request=request, attempts=attempts)
        self.status = status
        self.message = message
        self.retry_after = retry_after


class RedirectError(StatusError):
    """3xx: redirects are never followed, since they would carry the token elsewhere.

    Attributes:
        location: where it pointed, without query and user info; empty if it didn't say.
    """

    def __init__(self, text: str = "", *, location: str = "", **rest: Any) -> None:
        super().__init__(text, **rest)
        self.location = location


class BadRequestError(StatusError):
    """400: usually a required parameter is missing; `.message` says more."""


class AuthenticationError(StatusError):
    """401: the token, the ClientsID, or the combination of both is wrong."""


class NotFoundError(StatusError, LookupError):
    """404 with a JSON body: the record does not exist. Also: no campaign has exactly the name looked for."""


class EndpointNotFoundError(StatusError):
    """404 with an empty body: this endpoint does not exist. Not a `NotFoundError`, so `missing_ok` never hides it."""


class ConflictError(StatusError):
    """409: the thing to clone already exists, or another precondition does not hold."""


class RateLimitedError(StatusError):
    """429: too many requests; `.retry_after` says how long to wait, where the server does."""


class ServerError(StatusError):
    """5xx: the server, or a proxy in front of it, failed."""


class PayloadError(RequestError):
    """The server said 200, but what came is not what is documented.

    Attributes:
        path: where in the answer, such as `records[3].bDone`; empty for the whole of it.
        record_id: `ID` of the record concerned, if it has one.
        excerpt: the beginning of what came, at most 200 characters.
        not_json: whether the body is no JSON at all, such as the error page of a proxy.
        request: method and path template of the call.
        attempts: how many times it was tried.
    """

    def __init__(
        self,
        message: str = "",
        *,
        path: str = "",
        record_id: int | None = None,
        excerpt: str = "",
        not_json: bool = False,
        request: SentRequest | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message, request=request, attempts=attempts)
        self.path = path
        self.record_id = record_id
        self.excerpt = excerpt
        self.not_json = not_json


class TokenSourceError(DiallerError):
    """The function that gives the token raised an error, so nothing was sent. The next call asks it again.

    The message names the type of the error and the line that raised it. The error itself is not kept: its text or its
    traceback may hold the token.
    """


class InvalidTokenError(TokenSourceError, ConfigurationError):
    """The function that gives the token returned something that no header can carry."""


class ItemCancelledError(DiallerError):
    """What an item of a `fan_out` awaited was cancelled, and the fan-out itself was not.

    It stands for the `CancelledError`, which is no `Exception`, as the item's outcome.
    """


class AmbiguousNameError(DiallerError, LookupError):
    """Several campaigns have this name.

    Attributes:
        matches: the campaigns, as the server returned them.
    """

    def __init__(self, message: str = "", *, matches: "Sequence[Campaign]" = ()) -> None:
        super().__init__(message)
        self.matches: tuple[Campaign, ...] = tuple(matches)


def excerpt(body: Body) -> str:
    """The beginning of a body, at most 200 characters, with everything unprintable replaced."""
    return _printable(body[: 4 * EXCERPT_LENGTH].decode("utf-8-sig", "replace"))


def _printable(text: str) -> str:
    # Cut first: to look at each character of 64 MiB takes seconds.
    text = text[: 20 * EXCERPT_LENGTH]
    printable = "".join(character if character.isprintable() else "�" for character in " ".join(text.split()))
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
    """The error that a reply other than 200 stands for.

    Args:
        status: HTTP status.
        headers: of the reply, in whatever case; proxies write the names in lower case.
        body: of the reply.
        request: which call this answers.
        path: the path that was asked for, below the base URL.
        now: the time, for a `Retry-After` that is a date; aware.
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
            message=_words(body),
            request=request,
        )
    message = _words(body) if documented is None else documented
    return _status_error(status, message, request, retry_after)


def claimed_status(status: int, message: str | None, body: Body) -> DiallerError:
    """The error for a body that says another status than HTTP's 200."""
    if not 300 <= status < 600:
        return PayloadError(
            f"the server said 200, but its body claims status {status}", path="status", excerpt=excerpt(body)
        )
    return _status_error(status, _printable(message) if message else excerpt(body), None, None)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` asks for, given as seconds or as an HTTP date; None where there is none to read."""
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
    """The server's words in `{"status": 404, "error": "…"}`, or None if the body is not such an object."""
    try:
        # A BOM or another charset garbles words at worst: a 404 of the API must not pass for a missing endpoint.
        # Not by msgspec, which refuses a text that was cut in the middle of an emoji.
        told = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not told.keys() & {"status", "error"}:
        return None
    words = told.get("error")
    return _printable(words) if isinstance(words, str) else ""


def _words(body: Body) -> str:
    """What a body says that is not the API's: its text, unless it is a page of HTML."""
    words = excerpt(body)
    return "" if words.startswith("<") else words


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
        pointed_to = _printable(urlunsplit((parts.scheme, host, parts.path, "", "")))
    except ValueError:
        pointed_to = ""
    text = f"{request}: {status}, redirected"
    text += f" to {pointed_to}" if pointed_to else " without saying where to"
    text += "; redirects are not followed, since the token would go along"
    base_url = pointed_to.removesuffix(path)
    if "://" in pointed_to and base_url != pointed_to:
        text += f". If that server is yours, set the base URL to {base_url}"
    return RedirectError(text, status=status, location=pointed_to, retry_after=retry_after, request=request)


def is_number(value: object) -> bool:
    """Whether it is one that can be compared, which text from a file of settings is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def require(holds: bool, otherwise: str) -> None:
    """Raises ConfigurationError with this text unless the condition holds."""
    if not holds:
        raise ConfigurationError(otherwise)
