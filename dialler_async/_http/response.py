"""Decode the response to a request."""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from .._api.charsets import recoding
from .._api.decoding import Decoded
from .._api.endpoints import Request
from .._api.error_responses import printable_excerpt
from .._api.partial_records import PartialRecords
from ..errors import Body, PayloadError, RequestError, ResponseInfo, StatusError
from ..models import Campaign, Records
from .clock import CLOCK
from .secrets import Secrets
from .slices import finish_in_slices
from .transport_errors import strip_traceback

T = TypeVar("T")
E = TypeVar("E", bound=RequestError)


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


def response_info(response: Response, secrets: Secrets) -> ResponseInfo:
    """Return status and headers of a response, without secrets."""
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        name = secrets.clean(printable_excerpt(name)).lower()
        shown = "***" if _MAY_BE_SECRET.search(name) else secrets.clean(printable_excerpt(value))
        headers[name] = f"{headers[name]}, {shown}" if name in headers else shown
    request_id = next((headers[name] for name in _REQUEST_IDS if name in headers), None)
    return ResponseInfo(status=response.status, headers=headers, request_id=request_id, received_at=CLOCK.now())


async def decode_response(request: Request[Any], response: Response, secrets: Secrets) -> Any:
    """Return the decoded body of a 200, or the error. Other tasks run between the slices of a large body.

    No body is a local variable here, since tools that record tracebacks would show it, and it may contain the token.
    """
    outcome = await _decode(request, response)
    if isinstance(outcome, Records):
        return outcome
    if isinstance(outcome, RequestError):
        # A server may name another charset, and send UTF-8 nevertheless.
        content_type = response.headers.get("Content-Type", "")
        recoded = response.with_body(await finish_in_slices(recoding(response.body, content_type)))
        if recoded.body is not response.body:
            outcome = await _decode(request, recoded)
    if isinstance(outcome, RequestError):
        return secrets.clean_error(outcome)
    if isinstance(outcome, PartialRecords):
        for invalid in outcome.invalid:
            secrets.clean_error(invalid.error)
    elif isinstance(outcome, Iterator):
        return _with_clean_errors(request, outcome, secrets)
    return outcome


def _with_clean_errors(request: Request[Any], slices: Iterator[T], secrets: Secrets) -> Iterator[T]:
    """Yield the slices, which are decoded after the call has returned. An error names the call."""
    try:
        yield from slices
        return
    except PayloadError as error:
        failure = secrets.clean_error(_with_request(request, error))
    # Raised outside of the handler, so that the error has no context.
    raise failure


async def _decode(request: Request[Any], response: Response) -> Any:
    try:
        work = request.decoder(response.body)
        value = work.value if isinstance(work, Decoded) else await finish_in_slices(work)
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


def _with_request(request: Request[Any], error: E) -> E:
    """Return the decoder's error with the request added."""
    error.request = request.sent
    error.args = (f"{request.sent}: {error}",)
    return strip_traceback(error)
