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
│   ├── NotFoundError 404               the record does not exist
│   ├── EndpointNotFoundError 404       with an empty body: the base URL is wrong, or the server too old
│   ├── ConflictError 409
│   ├── RateLimitedError 429
│   └── ServerError 5xx
├── PayloadError                        200, but not what is documented: .path .record_id .excerpt
└── AmbiguousNameError (LookupError)    several campaigns have this name: .matches

Each is a plain value: it pickles, compares equal to its copy, and holds neither a token nor an aiohttp object.
Source: API reference, "Status codes and error bodies".
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import attrs

if TYPE_CHECKING:
    from .models import Campaign

EXCERPT_LENGTH = 200


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
    """Base of all errors of this library."""

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
    """

    def __init__(self, message: str = "", *, request: SentRequest | None = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.request = request
        self.attempts = attempts


class NoReplyError(RequestError):
    """Nothing usable came back."""


class ConnectError(NoReplyError):
    """No connection: the request was never sent, so it is safe to repeat."""


class DeadlineError(NoReplyError, TimeoutError):
    """The time given ran out; the message says which."""


class OutcomeUnknownError(NoReplyError):
    """A write that may or may not have been carried out: look before you repeat it.

    The message says what was sent and how to find out.
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


class NotFoundError(StatusError):
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
        request: method and path template of the call.
    """

    def __init__(
        self,
        message: str = "",
        *,
        path: str = "",
        record_id: int | None = None,
        excerpt: str = "",
        request: SentRequest | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message, request=request, attempts=attempts)
        self.path = path
        self.record_id = record_id
        self.excerpt = excerpt


class AmbiguousNameError(DiallerError, LookupError):
    """Several campaigns have this name.

    Attributes:
        matches: the campaigns, as the server returned them.
    """

    def __init__(self, message: str = "", *, matches: "Sequence[Campaign]" = ()) -> None:
        super().__init__(message)
        self.matches = tuple(matches)
