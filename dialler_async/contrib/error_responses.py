"""The response of a web app after a failed call to the dialler, for any framework. Pure.

| error                                              | status | reason                                             |
|----------------------------------------------------|--------|----------------------------------------------------|
| OutcomeUnknownError                                | 502    | not 503, because clients may retry a 503 blindly   |
| TokenSourceError                                   | 502    | the app's own token function failed                |
| other NoReplyErrors, ServerError, RateLimitedError | 503    | with `Retry-After` if the dialler sent one         |
| ClientClosedError                                  | 503    | the app is shutting down                           |
| other ConfigurationErrors and ClientStateErrors    | 500    | a mistake in the app, such as an ID that is a str  |
| ConflictError, AmbiguousNameError                  | 409    |                                                    |
| InvalidInputError, BadRequestError                 | 400    | the user's ID, name, language or date is invalid   |
| NotFoundError                                      | 404    |                                                    |
| all others, such as AuthenticationError            | 502    | the app's token is wrong, not the user's: no 401   |

An exception group, such as a `TaskGroup` raises, gets the response to its worst error: an unknown outcome, then 500,
the other 502s, 503, 409, 400, 404. A group that contains an exception of another library is not handled.

The texts of the responses are fixed. The text of an error is meant for the app's log, not for the app's users.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Final, final

import attrs

from ..errors import (
    AmbiguousNameError,
    BadRequestError,
    ClientClosedError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    DiallerError,
    InvalidInputError,
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
    """A handler that prints warnings to stderr if the app has no logging handler for them.

    Python does the same for loggers without handlers, but the library's logger has a `NullHandler`. uvicorn's default
    configuration covers only uvicorn's own loggers.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if logging.lastResort is not None and not any(_app_handlers()):
            logging.lastResort.handle(record)


def _app_handlers() -> Iterator[logging.Handler]:
    logger: logging.Logger | None = _log
    while logger is not None:
        for handler in logger.handlers:
            if not isinstance(handler, _StderrHandler | logging.NullHandler):
                yield handler
        logger = logger.parent if logger.propagate else None


_log.addHandler(_StderrHandler(logging.WARNING))


@final
@attrs.frozen
class ErrorResponse:
    """A response to an error.

    Attributes:
        status: HTTP status.
        headers: `Retry-After`, or empty.
        body: a JSON object. `detail` has the text for the app's user.
    """

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, str]


_MISTAKES: Final = (ConfigurationError, ClientStateError)
"""Mistakes in the program, unless an earlier row has their subclass."""

# An error gets the response of the first row that it matches.
_RESPONSES: Final[tuple[tuple[tuple[type[DiallerError], ...], int, str], ...]] = (
    # Before ConfigurationError, a base class of InvalidTokenError: the app's user can't correct the token.
    ((TokenSourceError,), 502, "The app has no token for the dialler."),
    ((InvalidInputError, BadRequestError), 400, "The request to the dialler is invalid."),
    ((NotFoundError,), 404, "The record does not exist in the dialler."),
    ((ConflictError,), 409, "The record already exists, or another precondition does not hold."),
    ((AmbiguousNameError,), 409, "Several campaigns have this name."),
    ((OutcomeUnknownError,), 502, "The change may or may not have been made. Check before you try again."),
    (
        (NoReplyError, ServerError, RateLimitedError, ClientClosedError),
        503,
        "The dialler is unavailable. Try again later.",
    ),
    (_MISTAKES, 500, "The app made a mistake in a call to the dialler. Its log says which."),
    ((DiallerError,), 502, "The dialler sent an unusable response."),
)
_WORST_FIRST: Final = (500, 502, 503, 409, 400, 404)


def response_for(error: DiallerError) -> ErrorResponse:
    """Return the response to an error, by the table of this module. The response does not contain the error's text.

    Args:
        error: any error of this library.
    """
    status, detail = next((status, text) for kinds, status, text in _RESPONSES if isinstance(error, kinds))
    headers = {}
    retry_after = _retry_after(error) if status == 503 else None
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(retry_after))
    return ErrorResponse(status, headers, {"detail": detail})


def logged_response_for(error: DiallerError) -> ErrorResponse:
    """Return the response to an error, and log it if the status of the response is 500 or more.

    A mistake in the app (500) is logged as an error with its text and traceback. Everything else is logged as a warning
    with the method and path template, the class of the error and its status, but no names and no text from the server.
    The logger is `dialler_async.contrib`. Without a handler for this logger, the line is printed to stderr.

    Args:
        error: any error of this library.
    """
    response = response_for(error)
    if response.status == 500:
        _log.error("%s: %s; responded with 500", type(error).__name__, error, exc_info=error)
    elif response.status > 500:
        request = error.request if isinstance(error, RequestError) else "a call to the dialler"
        status = error.status if isinstance(error, StatusError) else "no status"
        _log.warning("%s: %s, %s; responded with %d", request, type(error).__name__, status, response.status)
    return response


def worst_error(error: Exception) -> DiallerError | None:
    """Return the error that decides the response to an exception; None if the exception is of another library.

    Args:
        error: an error or an exception group.
    Returns:
        the error itself, or the worst error of a group. Of several errors with a 503, the error with the longest
            `Retry-After` is the worst. None if the group contains an exception of another library.
    """
    errors: list[DiallerError] = []
    for leaf in _leaves(error):
        if not isinstance(leaf, DiallerError):
            return None
        errors.append(leaf)
    return min(errors, key=_rank)


def _rank(error: DiallerError) -> tuple[bool, int, float]:
    by_status = _WORST_FIRST.index(response_for(error).status)
    return not isinstance(error, OutcomeUnknownError), by_status, -(_retry_after(error) or 0.0)


def _retry_after(error: DiallerError) -> float | None:
    retry_after = error.retry_after if isinstance(error, StatusError) else None
    # A number with too many digits for a float is infinite here, and is not sent in a header.
    return retry_after if retry_after is not None and math.isfinite(retry_after) else None


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error
