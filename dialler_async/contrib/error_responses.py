"""Which response a web app sends when a call to the dialler failed: pure, and the same for every framework.

| error                                              | status | reason                                             |
|----------------------------------------------------|--------|----------------------------------------------------|
| OutcomeUnknownError                                | 502    | not 503, because nobody must retry it blindly      |
| TokenSourceError                                   | 502    | the app's own token function failed                |
| other NoReplyErrors, ServerError, RateLimitedError | 503    | with `Retry-After` if the dialler sent one         |
| ClientStateError                                   | 503    | the app is shutting down                           |
| ConflictError, AmbiguousNameError                  | 409    |                                                    |
| ConfigurationError, BadRequestError                | 400    | an ID, name or language that can't work            |
| NotFoundError                                      | 404    |                                                    |
| all others                                         | 502    | such as AuthenticationError: the wrong token is    |
|                                                    |        | the app's, so its user never gets a 401            |

An exception group, such as a `TaskGroup` raises, gets the response to its worst error: an unknown outcome, then the
other 502s, 503, 409, 400, 404. A group that contains any other exception is not handled.

The texts are fixed. The text of the error is for the app's log, not for its users.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Final, final

import attrs

from ..errors import (
    AmbiguousNameError,
    BadRequestError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    DiallerError,
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestError,
    ServerError,
    StatusError,
    TokenSourceError,
)

_log = logging.getLogger("dialler_async.contrib")


class _StderrHandler(logging.Handler):
    """Prints warnings to stderr if the app has set up no logging that would show them.

    Python does the same for loggers without handlers, but the library's logger has a `NullHandler`. uvicorn's default
    configuration covers only uvicorn's own loggers.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if logging.lastResort is not None and not any(_handlers_of_the_app()):
            logging.lastResort.handle(record)


def _handlers_of_the_app() -> Iterator[logging.Handler]:
    logger: logging.Logger | None = _log
    while logger is not None:
        yield from (one for one in logger.handlers if not isinstance(one, _StderrHandler | logging.NullHandler))
        logger = logger.parent if logger.propagate else None


_log.addHandler(_StderrHandler(logging.WARNING))


@final
@attrs.frozen
class ErrorResponse:
    """A response to an error.

    Attributes:
        status: HTTP status.
        headers: `Retry-After`, or none.
        body: a JSON object, with the text for the app's user under `detail`.
    """

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, str]


# An error gets the response of the first row that it matches.
_RESPONSES: Final[tuple[tuple[tuple[type[DiallerError], ...], int, str], ...]] = (
    # Before ConfigurationError, a base class of InvalidTokenError: the app's user can't correct the token.
    ((TokenSourceError,), 502, "The dialler can't be asked: there is no token."),
    ((ConfigurationError, BadRequestError), 400, "The dialler can't be asked for this."),
    ((NotFoundError,), 404, "The dialler has no such record."),
    ((ConflictError,), 409, "It exists already, or another precondition does not hold."),
    ((AmbiguousNameError,), 409, "Several campaigns have this name."),
    ((OutcomeUnknownError,), 502, "It may have been carried out, or not. Check before you try again."),
    ((NoReplyError, ServerError, RateLimitedError, ClientStateError), 503, "The dialler can't be reached for now."),
    ((DiallerError,), 502, "The dialler's response can't be used."),
)
_WORST_FIRST: Final = (502, 503, 409, 400, 404)


def response_for(error: DiallerError) -> ErrorResponse:
    """Return the response to an error. It contains nothing of the error's text.

    Args:
        error: any error of this library.
    Returns:
        Status, headers and body, as the table above says.
    """
    status, detail = next((status, text) for kinds, status, text in _RESPONSES if isinstance(error, kinds))
    headers = {}
    retry_after = _retry_after(error) if status == 503 else None
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(retry_after))
    return ErrorResponse(status, headers, {"detail": detail})


def logged_response_for(error: DiallerError) -> ErrorResponse:
    """Return the same, and log a warning if the user of the app can't do anything about the error.

    The warning names the template of the request, the class of the error and its status. It contains no names and
    nothing that the server sent. It goes to the logger `dialler_async.contrib`, and to stderr if no handler would show
    it.

    Args:
        error: any error of this library.
    Returns:
        Status, headers and body.
    """
    response = response_for(error)
    if response.status >= 500:
        request = error.request if isinstance(error, RequestError) else "a call to the dialler"
        status = error.status if isinstance(error, StatusError) else "no status"
        _log.warning("%s: %s, %s; responded with %d", request, type(error).__name__, status, response.status)
    return response


def worst_error(error: Exception) -> DiallerError | None:
    """Return the error that decides the response to an exception, or None if the exception isn't this library's.

    Args:
        error: an error or an exception group. Of several errors that get a 503, the longest `Retry-After` decides.
    Returns:
        The error itself, or the worst one of a group that contains only errors of this library.
    """
    errors: list[DiallerError] = []
    for one in _leaves(error):
        if not isinstance(one, DiallerError):
            return None
        errors.append(one)
    return min(errors, key=_rank)


def _rank(error: DiallerError) -> tuple[bool, int, float]:
    by_status = _WORST_FIRST.index(response_for(error).status)
    return not isinstance(error, OutcomeUnknownError), by_status, -(_retry_after(error) or 0.0)


def _retry_after(error: DiallerError) -> float | None:
    retry_after = error.retry_after if isinstance(error, StatusError) else None
    # More digits than a float holds are infinite here; no header can say that.
    return retry_after if retry_after is not None and math.isfinite(retry_after) else None


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
