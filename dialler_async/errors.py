"""The errors of this library.

DiallerError
├── ConfigurationError (ValueError)     an argument or setting is invalid; nothing was sent
│   └── InvalidInputError               an ID, name, language or date that the server can't have, such as a user's
├── ClientStateError (RuntimeError)     the client belongs to another event loop or process
│   └── ClientClosedError               the client is closed
├── NoReplyError                        there is no response, or only a part of one
│   ├── ConnectError                    nothing was sent: safe to retry
│   ├── DeadlineError (TimeoutError)    a timeout or the deadline expired
│   └── OutcomeUnknownError             the write may have run: check before you retry
├── StatusError                         an error response: .status .message .retry_after .response
│   ├── RedirectError 3xx               redirects are not followed: .location
│   ├── BadRequestError 400
│   ├── AuthenticationError 401
│   ├── NotFoundError 404               (LookupError) the record does not exist
│   ├── EndpointNotFoundError 404       with an empty body: the base URL is wrong, or the server is too old
│   ├── ConflictError 409
│   ├── RateLimitedError 429
│   └── ServerError 5xx
├── TokenSourceError                    the function that returns the token raised an error
│   └── InvalidTokenError               (ConfigurationError) the function returned an invalid token
├── ItemCancelledError                  an item of a fan_out awaited something that was cancelled
├── PayloadError                        the status is 200, but the body is undocumented: .path .record_id .excerpt
└── AmbiguousNameError (LookupError)    several campaigns have this name: .matches

Errors can be pickled, and an error equals its copy. No error holds a token or an aiohttp object. Errors of a request
have `.request`, `.attempts`, `.about` and `.response`.

Source: API reference, "Status codes and error bodies".
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, final

import attrs

from ._public import public

__all__ = [
    "AmbiguousNameError",
    "AuthenticationError",
    "BadRequestError",
    "ClientClosedError",
    "ClientStateError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "DeadlineError",
    "DiallerError",
    "EndpointNotFoundError",
    "InvalidInputError",
    "InvalidTokenError",
    "ItemCancelledError",
    "NoReplyError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PayloadError",
    "RateLimitedError",
    "RedirectError",
    "RequestError",
    "ResponseInfo",
    "SentRequest",
    "ServerError",
    "StatusError",
    "TokenSourceError",
]

if TYPE_CHECKING:
    from .models import Campaign

Body: TypeAlias = bytes | bytearray
"""The body of a response. A large body is a bytearray that grows with each chunk: joining 12 MB at once takes 8 ms."""


@public
@final
@attrs.frozen
class SentRequest:
    """The method and path template of a call: no names, IDs or secrets, so it can be logged.

    Attributes:
        method: HTTP method.
        path_template: path below the base URL, such as `/dialler/campaigns/{DiallerCampaignsID}`.
    """

    method: str
    path_template: str

    def __str__(self) -> str:
        return f"{self.method} {self.path_template}"


@public
@final
@attrs.frozen(kw_only=True)
class ResponseInfo:
    """A response without its body, for support requests.

    Attributes:
        status: HTTP status.
        headers: header values by lower-case name. `***` replaces a value that may be a secret.
        request_id: the server's ID of the request, from `X-Request-ID` or a similar header; None if there is no ID.
        received_at: when the response was read, in UTC.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(hash=False)
    request_id: str | None
    received_at: datetime


@public
class DiallerError(Exception):
    """Base class of all errors of this library. `help(dialler_async.errors)` shows the tree."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.args == other.args and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.args))


@public
class ConfigurationError(DiallerError, ValueError):
    """A base URL, token, limit, ID, name or other setting is invalid. Nothing was sent."""


@public
class InvalidInputError(ConfigurationError):
    """An ID, name, language, date or user data has the right type, but a value that the server can't have.

    Such a value may come from a user of your app. Nothing was sent. All other ConfigurationErrors are mistakes in the
    program or its settings.
    """


@public
class ClientStateError(DiallerError, RuntimeError):
    """The client is closed, or belongs to another event loop or process."""


@public
class ClientClosedError(ClientStateError):
    """The client is closed. Nothing was sent, or the call was in flight when the client closed."""


@public
class RequestError(DiallerError):
    """Base class of the errors of a request.

    Attributes:
        request: method and path template of the call.
        attempts: number of attempts.
        about: the campaign of the call, such as "campaign 535"; empty for a call about all campaigns. A traceback shows
            this text as a note. The message does not contain it, so that the message can be logged.
        response: the response that caused the error; None if there was no response.
    """

    def __init__(self, message: str = "", *, request: SentRequest | None = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.request = request
        self.attempts = attempts
        self.about = ""
        self.response: ResponseInfo | None = None


@public
class NoReplyError(RequestError):
    """There is no usable response: no connection, a timeout, or an incomplete response.

    If a write may have run, the error is an OutcomeUnknownError.

    Attributes:
        permanent: whether a retry can't help, because a setting or the server must be changed first, such as for a
            certificate that is not trusted. The client does not retry these errors.
    """

    def __init__(
        self, message: str = "", *, request: SentRequest | None = None, attempts: int = 1, permanent: bool = False
    ) -> None:
        super().__init__(message, request=request, attempts=attempts)
        self.permanent = permanent


@public
class ConnectError(NoReplyError):
    """There is no connection. The request was never sent, so it is safe to retry."""


@public
class DeadlineError(NoReplyError, TimeoutError):
    """A timeout or the deadline expired. The message says which."""


@public
class OutcomeUnknownError(NoReplyError):
    """A write may or may not have run: check before you retry it.

    The message says what was sent and how to check. A write that you cancel in flight may have run, too, but it raises
    only CancelledError.
    """


@public
class StatusError(RequestError):
    """The server sent an error response.

    Attributes:
        status: HTTP status, or the status in the body if the HTTP status is 200.
        message: the server's message, at most 200 characters; empty if there is no message.
        retry_after: seconds to wait, from `Retry-After`; None without this header.

    Source: API reference, "Status codes and error bodies".
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


@public
class RedirectError(StatusError):
    """The server sent a redirect (3xx). Redirects are never followed, because the token would be sent elsewhere.

    Attributes:
        location: target of the redirect, without query and user info; empty if there is none.
    """

    def __init__(self, text: str = "", *, location: str = "", **rest: Any) -> None:
        super().__init__(text, **rest)
        self.location = location


@public
class BadRequestError(StatusError):
    """400: the request is invalid. Usually, a required parameter is missing; `.message` says more.

    Source: API reference, "Status codes and error bodies".
    """


@public
class AuthenticationError(StatusError):
    """401: the token, the ClientsID, or the combination of both is wrong.

    Source: API reference, "Status codes and error bodies".
    """


@public
class NotFoundError(StatusError, LookupError):
    """404 with a JSON body: the record does not exist. Also raised if no campaign has exactly the given name.

    Source: API reference, "Status codes and error bodies".
    """


@public
class EndpointNotFoundError(StatusError):
    """404 with an empty body: the endpoint does not exist on this server.

    This is not a `NotFoundError`, so `missing_ok` never hides a wrong base URL.

    Source: API reference, "Status codes and error bodies".
    """


@public
class ConflictError(StatusError):
    """409: the destination of a clone already exists, or another precondition does not hold.

    Attributes:
        may_be_own: whether an earlier attempt of the same call may have caused the conflict, because its response was
            lost. The destination may then be the clone of this call.

    Source: API reference, "Status codes and error bodies".
    """

    may_be_own: bool = False


@public
class RateLimitedError(StatusError):
    """429: there were too many requests. `.retry_after` has the seconds to wait."""


@public
class ServerError(StatusError):
    """5xx: the server failed, or a proxy in front of the server failed.

    Source: API reference, "Status codes and error bodies" (500).
    """


@public
class PayloadError(RequestError):
    """The status is 200, but the body does not match the API reference.

    Attributes:
        path: path of the invalid value in the body, such as `records[3].bDone`; empty for the whole body.
        record_id: `ID` of the invalid record; None if there is no ID.
        excerpt: the beginning of the body or of its invalid part, at most 200 characters.
        not_json: whether the body is not JSON, such as the error page of a proxy.
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


@public
class TokenSourceError(DiallerError):
    """The function that returns the token raised an error. Nothing was sent. The next call runs the function again.

    The message names the type of the error and the line that raised it. The original error is not attached, because its
    text or its traceback may hold the token.
    """


@public
class InvalidTokenError(TokenSourceError, ConfigurationError):
    """The function that returns the token returned a value that can't be sent in a header."""


@public
class ItemCancelledError(DiallerError):
    """An item of a `fan_out` awaited something that was cancelled, but the fan-out was not cancelled.

    In the outcome of the item, this error replaces the `CancelledError`, which is not an `Exception`.
    """


@public
class AmbiguousNameError(DiallerError, LookupError):
    """Several campaigns have this name.

    Attributes:
        matches: the campaigns, as the server returned them.
    """

    def __init__(self, message: str = "", *, matches: "Sequence[Campaign]" = ()) -> None:
        super().__init__(message)
        self.matches: tuple[Campaign, ...] = tuple(matches)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is an int or a float that is a number, and not a bool or an int too large for a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:
        return False


def require_type(name: str, value: object, kind: type) -> None:
    """Raise ConfigurationError unless the value of an argument has a type."""
    require(isinstance(value, kind), f"{name}=… must be a {kind.__name__}, not {type(value).__name__[:80]}")


def require(condition: bool, message: str) -> None:
    """Raise ConfigurationError with the message unless the condition is true."""
    if not condition:
        raise ConfigurationError(message)
