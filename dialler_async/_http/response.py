"""Make the outcome of a call from a response: the decoded value, or an error."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar, cast

import attrs

from .._api.charsets import recoding
from .._api.decoding import Decoded, Decoding
from .._api.endpoints import Request
from .._api.error_responses import error_from_response, printable_excerpt
from .._api.partial_records import PartialRecords
from ..errors import Body, PayloadError, RequestError, ResponseInfo, StatusError
from ..models import Campaign, Records
from .clock import CLOCK
from .secrets import Secrets
from .transport_errors import strip_traceback

T = TypeVar("T")
S = TypeVar("S")
E = TypeVar("E", bound=RequestError)


@attrs.define(repr=False, eq=False)
class Response:
    """A response as the server sent it. Responses are never shown, because they may contain the token."""

    status: int
    headers: Mapping[str, str]
    body: Body


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


async def outcome_of(
    request: Request[T], response: Response, secrets: Secrets, info: ResponseInfo | None
) -> T | RequestError:
    """Return the decoded body of a 200, or the error of a response. Other tasks run while a large body is decoded.

    No body is a local variable here, because tools that record tracebacks would show it, and it may contain the token.
    `info` is None if no observer has got it yet.
    """
    outcome: T | RequestError
    if response.status == 200:
        outcome = await _decode(request, response)
        if isinstance(outcome, Records):
            return outcome
        if isinstance(outcome, RequestError):
            outcome = await _decode_recoded(request, response, outcome)
    else:
        outcome = error_from_response(
            response.status,
            response.headers,
            response.body,
            request=request.sent,
            path=request.path,
            now=CLOCK.now(),
        )
    if isinstance(outcome, RequestError):
        outcome.response = info or response_info(response, secrets)
        return secrets.clean_error(outcome)
    if isinstance(outcome, PartialRecords):
        for invalid in outcome.invalid:
            secrets.clean_error(invalid.error)
    elif isinstance(outcome, Iterator):
        # mypy does not infer that T is an iterator.
        return cast(T, _with_clean_errors(request, outcome, secrets))
    return outcome


async def _decode_recoded(request: Request[T], response: Response, error: RequestError) -> T | RequestError:
    """Return the outcome of decoding a body in another charset than UTF-8; otherwise the error."""
    # A server may name another charset, and send UTF-8 nevertheless.
    content_type = response.headers.get("Content-Type", "")
    recoded = Response(200, response.headers, await finish_in_slices(recoding(response.body, content_type)))
    return error if recoded.body is response.body else await _decode(request, recoded)


def _with_clean_errors(request: Request[T], slices: Iterator[S], secrets: Secrets) -> Iterator[S]:
    """Yield the slices, which are decoded after the call has returned. An error names the call."""
    try:
        yield from slices
        return
    except PayloadError as error:
        failure = secrets.clean_error(_with_request(request, error))
    # Raised outside of the handler, so that the error has no context.
    raise failure


async def _decode(request: Request[T], response: Response) -> T | RequestError:
    try:
        work = request.decoder(response.body)
        value = work.value if isinstance(work, Decoded) else await finish_in_slices(work)
    except (PayloadError, StatusError) as error:
        return _with_request(request, error)
    return value if request.expected_id is None else _checked_campaign(request, value)


def _checked_campaign(request: Request[T], value: T) -> T | PayloadError:
    """Return the value, or a PayloadError if the value is about another campaign than the request.

    An unsolicited response on an idle connection may belong to another call. A record without an ID is accepted,
    because the published example of a campaign has no ID.
    """
    expected = request.expected_id
    path = "records[0].ID"
    found, record_id = (value.id, value.id) if isinstance(value, Campaign) else (None, None)
    if isinstance(value, Records):
        for index, code in enumerate(value):
            if code.dialler_campaigns_id not in (None, expected):
                path, found, record_id = f"records[{index}].DiallerCampaignsID", code.dialler_campaigns_id, code.id
                break
    if found in (None, expected):
        return value
    text = f"the request is about campaign {expected}, but the server sent campaign {found}"
    return _with_request(request, PayloadError(text, path=path, record_id=record_id))


def _with_request(request: Request[T], error: E) -> E:
    """Return the decoder's error with the request added."""
    error.request = request.sent
    error.args = (f"{request.sent}: {error}",)
    return strip_traceback(error)


def finish(work: Decoding[T]) -> T:
    """Return the result of the work. No other task runs between the slices."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        result: T = end.value
        return result


async def finish_in_slices(work: Decoding[T]) -> T:
    """Return the result of the work. Other tasks run between the slices."""
    try:
        while True:
            next(work)
            await asyncio.sleep(0)
    except StopIteration as end:
        result: T = end.value
        return result
