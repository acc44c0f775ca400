"""What a web app answers when a call to the dialler failed: pure, and the same for every framework.

| error                                              | status | because                                          |
|----------------------------------------------------|--------|--------------------------------------------------|
| TokenSourceError                                   | 502    | the app's own token function failed              |
| ConfigurationError, BadRequestError                | 400    | an ID, name or language that can't work          |
| NotFoundError                                      | 404    |                                                  |
| ConflictError, AmbiguousNameError                  | 409    |                                                  |
| OutcomeUnknownError                                | 502    | not 503: nobody is to repeat it without a look   |
| other NoReplyErrors, ServerError, RateLimitedError | 503    | with `Retry-After` where the dialler gave one    |
| ClientStateError                                   | 503    | the app is going down                            |
| everything else                                    | 502    | AuthenticationError above all: the token that is |
|                                                    |        | wrong is the app's, so never a 401 to its user   |

The texts are fixed: what an error says is for the app's log, not for its users.
"""

import logging
import math
from collections.abc import Mapping
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


@final
@attrs.frozen
class ErrorAnswer:
    """What to answer with.

    Attributes:
        status: HTTP status.
        headers: `Retry-After`, or none.
        body: a JSON object, with the text for the app's user under `detail`.
    """

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, str]


_TEXTS: Final[tuple[tuple[tuple[type[DiallerError], ...], int, str], ...]] = (
    # Before ConfigurationError, which an InvalidTokenError is as well: the app's user can't mend it.
    ((TokenSourceError,), 502, "The dialler can't be asked: there is no token."),
    ((ConfigurationError, BadRequestError), 400, "The dialler can't be asked for this."),
    ((NotFoundError,), 404, "The dialler has no such record."),
    ((ConflictError,), 409, "It exists already, or something else stands in the way."),
    ((AmbiguousNameError,), 409, "Several campaigns have this name."),
    ((OutcomeUnknownError,), 502, "It may have been carried out, or not: look before you repeat it."),
    ((NoReplyError, ServerError, RateLimitedError, ClientStateError), 503, "The dialler can't be reached for now."),
    ((DiallerError,), 502, "The dialler's answer was of no use."),
)


def answer_for(error: DiallerError) -> ErrorAnswer:
    """The answer that an error stands for; nothing of its text is in it.

    Args:
        error: whatever this library raised.
    Returns:
        Status, headers and body, as the table above has them.
    """
    status, detail = next((status, text) for kinds, status, text in _TEXTS if isinstance(error, kinds))
    headers = {}
    retry_after = error.retry_after if status == 503 and isinstance(error, StatusError) else None
    # More digits than a float holds are infinite here, and nothing that a header could say.
    if retry_after is not None and math.isfinite(retry_after):
        headers["Retry-After"] = str(math.ceil(retry_after))
    return ErrorAnswer(status, headers, {"detail": detail})


def logged_answer_for(error: DiallerError) -> ErrorAnswer:
    """The same; where the user of the app can do nothing about it, a line in the log says what went wrong.

    The line names the call by its template, the kind of error and its status: no names, and nothing the server said.

    Args:
        error: whatever this library raised.
    Returns:
        Status, headers and body.
    """
    answer = answer_for(error)
    if answer.status >= 500:
        request = error.request if isinstance(error, RequestError) else "a call to the dialler"
        status = error.status if isinstance(error, StatusError) else "no status"
        _log.warning("%s: %s, %s; answered with %d", request, type(error).__name__, status, answer.status)
    return answer
