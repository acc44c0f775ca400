"""Decode the response to a request, and redact the token in its errors."""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from .._api.charsets import recoding
from .._api.decoding import FinishedWork
from .._api.endpoints import Request
from .._api.error_responses import printable_excerpt
from .._api.partial_records import PartialRecords
from ..errors import Body, DiallerError, PayloadError, ResponseInfo, StatusError
from ..models import Campaign, Records
from .clock import CLOCK
from .slices import finish, finish_in_slices
from .token import Token
from .transport_errors import strip_traceback

T = TypeVar("T")


class Response:
    """A response as the server sent it. Responses are never shown, since they may contain the token."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Any, body: Body) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def with_body(self, body: Body) -> "Response":
        """Return this response with another body."""
        return Response(self.status, self.headers, body)


_REQUEST_IDS: Final = ("x-request-id", "x-correlation-id", "request-id")
_MAY_BE_SECRET: Final = re.compile("auth|cookie|key|location|link|pass|refresh|secret|session|token")
"""Parts of header names. A URL in `Location`, `Link` or `Refresh` may contain a name or credentials."""


def response_info(response: Response, token: Token) -> ResponseInfo:
    """Return status and headers of a response, without secrets."""
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        name = printable_excerpt(token.redacted_text(name)).lower()
        shown = "***" if _MAY_BE_SECRET.search(name) else printable_excerpt(token.redacted_text(value))
        headers[name] = f"{headers[name]}, {shown}" if name in headers else shown
    request_id = next((headers[name] for name in _REQUEST_IDS if name in headers), None)
    return ResponseInfo(status=response.status, headers=headers, request_id=request_id, received_at=CLOCK.now())


async def decode_response(request: Request[Any], response: Response, token: Token) -> Any:
    """Return the decoded body of a 200, or the error. Other tasks run between the slices of a large body.

    Only redacted bodies are local variables here, since tools that record tracebacks show local variables.
    """
    outcome = await _decode(request, response)
    if isinstance(outcome, Records):
        return outcome
    if isinstance(outcome, Iterator):
        return _guarded(request, response, token, outcome)
    recoded = response
    if isinstance(outcome, DiallerError):
        content_type = response.headers.get("Content-Type", "")
        recoded = response.with_body(await finish_in_slices(recoding(response.body, content_type)))
    elif not (isinstance(outcome, PartialRecords) and outcome.invalid):
        return outcome
    # The body is redacted before it is decoded again: the error shows an excerpt, and an incomplete token in an excerpt
    # could not be redacted.
    redacted = recoded.with_body(await finish_in_slices(token.redacting(recoded.body)))
    if redacted.body == response.body:
        return outcome
    redacted_outcome = await _decode(request, redacted)
    is_repaired = isinstance(outcome, DiallerError) and not isinstance(redacted_outcome, DiallerError)
    if recoded.body == response.body and is_repaired:
        # The redaction made the body valid, but the server sent other records.
        return _redacted_error(request)
    if isinstance(redacted_outcome, Iterator):
        return _guarded(request, redacted, token, redacted_outcome)
    return redacted_outcome


def _guarded(request: Request[Any], response: Response, token: Token, slices: Iterator[T]) -> Iterator[T]:
    """Yield the slices, with errors that name the call and do not contain the token.

    The slices are decoded after the call has returned.
    """
    try:
        yield from slices
        return
    except PayloadError as error:
        failure = _with_request(request, error)
    redacted = token.redacted(response.body)
    if redacted != response.body:
        failure = _decoding_error(request, redacted) or _redacted_error(request)
    # Raised outside of the handler, so that the error has no context.
    raise failure


def _redacted_error(request: Request[Any]) -> PayloadError:
    return PayloadError(
        f"{request.sent}: the status is 200, but the body is not as documented; it is not shown, since it contains the"
        " token",
        request=request.sent,
    )


async def _decode(request: Request[Any], response: Response) -> Any:
    try:
        work = request.decoder(response.body)
        value = work.value if isinstance(work, FinishedWork) else await finish_in_slices(work)
    except (PayloadError, StatusError) as error:
        return _with_request(request, error)
    return value if request.expected_id is None else _checked_campaign(request, value)


def _checked_campaign(request: Request[Any], value: Any) -> Any:
    """Return the value, or a PayloadError if the value is about another campaign than the request.

    An unsolicited response on an idle connection may belong to another call. A record without an ID is accepted, since
    the published example of a campaign has no ID.
    """
    expected = request.expected_id
    if isinstance(value, Campaign):
        if value.id in (None, expected):
            return value
        path, record, found = "records[0].ID", value, value.id
    else:
        for index, code in enumerate(value):
            found = code.dialler_campaigns_id
            if found is not None and found != expected:
                path, record = f"records[{index}].DiallerCampaignsID", code
                break
        else:
            return value
    error = PayloadError(
        f"the request is about campaign {expected}, but the server sent campaign {found}",
        path=path,
        record_id=record.id,
    )
    return _with_request(request, error)


def _decoding_error(request: Request[Any], body: Body) -> DiallerError | None:
    """Return the error of decoding all slices of a body; None if the body is valid."""
    try:
        value = finish(request.decoder(body))
        deque(value if isinstance(value, Iterator) else (), maxlen=0)
    except (PayloadError, StatusError) as error:
        return _with_request(request, error)
    return None


def _with_request(request: Request[Any], error: PayloadError | StatusError) -> DiallerError:
    """Return the decoder's error with the request added."""
    error.request = request.sent
    error.args = (f"{request.sent}: {error}",)
    return strip_traceback(error)
