"""The errors of this library.

DiallerError
├── ConfigurationError (ValueError)     an argument or setting is invalid; nothing was sent
├── ClientStateError (RuntimeError)     the client is closed, or belongs to another event loop or process
├── NoReplyError                        no response, or a part of one
│   ├── ConnectError                    nothing was sent: safe to retry
│   ├── DeadlineError (TimeoutError)    a timeout or the deadline ran out
│   └── OutcomeUnknownError             the write may have run: check before you retry
├── StatusError                         an error response: .status .message .retry_after .response
│   ├── RedirectError 3xx               .location is where it points
│   ├── BadRequestError 400
│   ├── AuthenticationError 401
│   ├── NotFoundError 404               (LookupError) the record does not exist
│   ├── EndpointNotFoundError 404       with an empty body: the base URL is wrong, or the server too old
│   ├── ConflictError 409
│   ├── RateLimitedError 429
│   └── ServerError 5xx
├── TokenSourceError                    the function that returns the token failed, as it would for every call
│   └── InvalidTokenError               (ConfigurationError) it returned something that can't be a token
├── ItemCancelledError                  an item of a fan_out awaited something that was cancelled
├── PayloadError                        200, but an undocumented body: .path .record_id .excerpt
└── AmbiguousNameError (LookupError)    several campaigns have this name: .matches

Errors are plain values: they pickle, equal their copies, and hold neither a token nor an aiohttp object. Errors of a
request have `.request`, `.attempts`, `.about` and `.response`.
Source: API reference, "Status codes and error bodies".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, final

import attrs

if TYPE_CHECKING:
    from .models import Campaign

Body: TypeAlias = bytes | bytearray
"""The body of a response. A large one is a bytearray that grows piece by piece: joining 12 MB at once takes 8 ms."""


@final
@attrs.frozen
class SentRequest:
    """The method and path template of a call. It holds no names, IDs or secrets, so it can be logged.

    Attributes:
        method: HTTP method.
        path_template: path below the base URL, such as `/dialler/campaigns/{DiallerCampaignsID}`.
    """

    method: str
    path_template: str

    def __str__(self) -> str:
        return f"{self.method} {self.path_template}"


@final
@attrs.frozen(kw_only=True)
class ResponseInfo:
    """A response without its body: what a support request needs.

    Attributes:
        status: HTTP status.
        headers: values by name in lower case. A value that may be a secret is replaced by `***`.
        request_id: the server's ID of the request, from `X-Request-ID` or a similar header; None if there is none.
        received_at: when the response was read, in UTC.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(hash=False)
    request_id: str | None
    received_at: datetime


class DiallerError(Exception):
    """Base class of all errors of this library. `help(dialler_async.errors)` shows the tree."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.args == other.args and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.args))


class ConfigurationError(DiallerError, ValueError):
    """A base URL, token, limit, ID, name or other setting is invalid. Raised before anything is sent."""


class ClientStateError(DiallerError, RuntimeError):
    """The client can't be used here: it is closed, or belongs to another event loop or process."""


class RequestError(DiallerError):
    """Base class of the errors of a request.

    Attributes:
        request: method and path template of the call.
        attempts: number of attempts.
        about: the campaign that the call was about, such as "campaign 535"; empty for a call about all campaigns. It is
            not in the message, so that the message can be logged. A traceback shows it as a note.
        response: the response that the error was made from; None if there was none.
    """

    def __init__(self, message: str = "", *, request: SentRequest | None = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.request = request
        self.attempts = attempts
        self.about = ""
        self.response: ResponseInfo | None = None


class NoReplyError(RequestError):
    """No usable response: no connection, no response in time, or a response that broke off.

    If a write may have run all the same, the error is an OutcomeUnknownError.
    """


class ConnectError(NoReplyError):
    """No connection: the request was never sent, so it is safe to retry."""


class DeadlineError(NoReplyError, TimeoutError):
    """A timeout or the deadline ran out; the message says which."""


class OutcomeUnknownError(NoReplyError):
    """A write may or may not have run: check before you retry it.

    The message says what was sent and how to check. A write that is cancelled in flight may have run as well, and
    raises CancelledError only.
    """


class StatusError(RequestError):
    """The server sent an error response.

    Attributes:
        status: HTTP status, or the status in the body if HTTP's is 200.
        message: the server's message, at most 200 characters; empty if there is none.
        retry_after: seconds that the server asks to wait; None if it does not ask.
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
    """3xx. Redirects are never followed, since the token would be sent elsewhere.

    Attributes:
        location: where the redirect points, without query and user info; empty if the server did not say.
    """

    def __init__(self, text: str = "", *, location: str = "", **rest: Any) -> None:
        super().__init__(text, **rest)
        self.location = location


class BadRequestError(StatusError):
    """400: usually a required parameter is missing; `.message` says more."""


class AuthenticationError(StatusError):
    """401: the token, the ClientsID, or the combination of both is wrong."""


class NotFoundError(StatusError, LookupError):
    """404 with a JSON body: the record does not exist. Also raised if no campaign has exactly the given name."""


class EndpointNotFoundError(StatusError):
    """404 with an empty body: this endpoint does not exist. Not a `NotFoundError`, so `missing_ok` never hides it."""


class ConflictError(StatusError):
    """409: the thing to clone already exists, or another precondition does not hold."""


class RateLimitedError(StatusError):
    """429: too many requests; `.retry_after` is the wait that the server asks for."""


class ServerError(StatusError):
    """5xx: the server, or a proxy in front of it, failed."""


class PayloadError(RequestError):
    """The status is 200, but the body is not as documented.

    Attributes:
        path: where in the body, such as `records[3].bDone`; empty for the whole body.
        record_id: `ID` of the invalid record; None if it has none.
        excerpt: the beginning of the body or of its invalid part, at most 200 characters.
        not_json: whether the body is not JSON at all, such as the error page of a proxy.
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
    """The function that returns the token raised an error, so nothing was sent. The next call asks it again.

    The message names the type of the error and the line that raised it. The error itself is not kept: its text or its
    traceback may hold the token.
    """


class InvalidTokenError(TokenSourceError, ConfigurationError):
    """The function that returns the token returned something that can't be sent in a header."""


class ItemCancelledError(DiallerError):
    """An item of a `fan_out` awaited something that was cancelled, while the fan-out itself was not.

    It replaces the `CancelledError`, which is not an `Exception`, in the item's outcome.
    """


class AmbiguousNameError(DiallerError, LookupError):
    """Several campaigns have this name.

    Attributes:
        matches: the campaigns, as the server returned them.
    """

    def __init__(self, message: str = "", *, matches: "Sequence[Campaign]" = ()) -> None:
        super().__init__(message)
        self.matches: tuple[Campaign, ...] = tuple(matches)


def is_number(value: object) -> bool:
    """Return whether a value is an int or a float, but not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def require(holds: bool, otherwise: str) -> None:
    """Raise ConfigurationError with this text unless the condition holds."""
    if not holds:
        raise ConfigurationError(otherwise)
