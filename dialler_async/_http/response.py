"""Decode the response to a request, and keep the token out of its errors."""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from .._api.charsets import recoding
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
    """A response as it came. It is never shown, since it may repeat the token."""

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
"""Parts of header names. A URL in `Location`, `Link` or `Refresh` may hold a name, or credentials."""


def response_info(response: Response, token: Token) -> ResponseInfo:
    """Return what a user may see of a response."""
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        name = printable_excerpt(token.redacted_text(name)).lower()
        shown = "***" if _MAY_BE_SECRET.search(name) else printable_excerpt(token.redacted_text(value))
        headers[name] = f"{headers[name]}, {shown}" if name in headers else shown
    request_id = next((headers[name] for name in _REQUEST_IDS if name in headers), None)
    return ResponseInfo(status=response.status, headers=headers, request_id=request_id, received_at=CLOCK.now())


async def decode_response(request: Request[Any], response: Response, token: Token) -> Any:
    """Return what a 200 contains, or the error. Other tasks run between the slices of a large body.

    Only a redacted body is ever a local variable here: tools that record tracebacks show those.
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
    # Before it is decoded again: an error shows an excerpt, and half a token in an excerpt can't be found.
    redacted = recoded.with_body(await finish_in_slices(token.redacting(recoded.body)))
    if redacted.body == response.body:
        return outcome
    again = await _decode(request, redacted)
    if isinstance(again, Iterator):
        return _guarded(request, redacted, token, again)
    if recoded.body == response.body and isinstance(outcome, DiallerError) and not isinstance(again, DiallerError):
        # The redaction made the body valid: its records are not what the server sent.
        return _hidden_error(request)
    return again


def _guarded(request: Request[Any], response: Response, token: Token, slices: Iterator[T]) -> Iterator[T]:
    """Yield slices, which are decoded after the call has returned. Their errors name the call and hide the token."""
    try:
        yield from slices
        return
    except PayloadError as error:
        failure = _of_request(request, error)
    redacted = token.redacted(response.body)
    if redacted != response.body:
        failure = _decoding_error(request, redacted) or _hidden_error(request)
    # Raised only now, since this frame is in its traceback.
    raise failure


def _hidden_error(request: Request[Any]) -> PayloadError:
    return PayloadError(
        f"{request.sent}: the server said 200, but not what is documented; not shown, since it repeats the token",
        request=request.sent,
    )


async def _decode(request: Request[Any], response: Response) -> Any:
    try:
        value = await finish_in_slices(request.decoder(response.body))
    except (PayloadError, StatusError) as error:
        return _of_request(request, error)
    return value if request.expected_id is None else _checked_against_request(request, value)


def _checked_against_request(request: Request[Any], value: Any) -> Any:
    """Return the value, or a PayloadError if it names another campaign than the request does.

    A surplus response on a kept connection can belong to another call. A record without the ID is accepted: the
    published example of a campaign has none.
    """
    expected = request.expected_id
    if isinstance(value, Campaign):
        if value.id in (None, expected):
            return value
        path, record, found = "records[0].ID", value, value.id
    else:
        for index, code in enumerate(value):
            if code.dialler_campaigns_id not in (None, expected):
                path, record, found = f"records[{index}].DiallerCampaignsID", code, code.dialler_campaigns_id
                break
        else:
            return value
    error = PayloadError(
        f"asked for campaign {expected}, the server sent campaign {found}",
        path=path,
        record_id=record.id,
    )
    return _of_request(request, error)


def _decoding_error(request: Request[Any], body: Body) -> DiallerError | None:
    """Return the error of decoding a body to its last slice; None if there is none."""
    try:
        rest = finish(request.decoder(body))
        deque(rest if isinstance(rest, Iterator) else (), maxlen=0)
    except (PayloadError, StatusError) as error:
        return _of_request(request, error)
    return None


def _of_request(request: Request[Any], error: PayloadError | StatusError) -> DiallerError:
    """Return the error with its request, which the decoder does not know."""
    error.request = request.sent
    error.args = (f"{request.sent}: {error}",)
    return strip_traceback(error)
