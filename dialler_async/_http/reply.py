"""What the server replied, and what a 200 of it says: decoded with pauses, and told without the token."""

import asyncio
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

from .._api.charsets import recoding
from .._api.decoding import PartialRecords
from .._api.endpoints import Request
from ..errors import Body, DiallerError, PayloadError, StatusError
from ..models import Campaign, Records
from .token import Token

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class Reply:
    """What came; shown nowhere, since it may hold the token that was sent."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Any, body: Body) -> None:
        self.status = status
        self.headers = headers
        self.body = body


async def decoded(request: Request[Any], reply: Reply, token: Token) -> Any:
    """What the reply to a request says, or the error; others run on the loop between the slices of a large one."""
    outcome = await _decode(request, reply)
    if isinstance(outcome, Records) and request.expected_id is None:
        return outcome
    if isinstance(outcome, DiallerError):
        recoded = await _in_steps(recoding(reply.body, reply.headers.get("Content-Type", "")))
        if recoded != reply.body:
            reply = Reply(reply.status, reply.headers, recoded)
            outcome = await _decode(request, reply)
    if isinstance(outcome, DiallerError):
        redacted = await _in_steps(token.redacting(reply.body))
        if redacted == reply.body:
            return outcome
        # Errors show pieces of a body, and half a token could not be found in a piece. So it is decoded once more.
        again = await _decode(request, Reply(reply.status, reply.headers, redacted))
        return again if isinstance(again, DiallerError) else _not_shown(request)
    if isinstance(outcome, Iterator):
        return _guarded(request, reply, token, outcome)
    if isinstance(outcome, PartialRecords) and outcome.invalid:
        redacted = await _in_steps(token.redacting(reply.body))
        if redacted != reply.body:
            return await _decode(request, Reply(reply.status, reply.headers, redacted))
    return outcome


def _guarded(request: Request[Any], reply: Reply, token: Token, slices: Iterator[T]) -> Iterator[T]:
    """Slices, which are structured after the call, with errors as those of the call."""
    try:
        yield from slices
        return
    except PayloadError as error:
        failed = _told(request, error)
    # Only then is it raised, for this frame shows it.
    failed = _fit_to_tell(request, reply, token, failed)
    raise failed


def _fit_to_tell(request: Request[Any], reply: Reply, token: Token, error: DiallerError) -> DiallerError:
    """The error of a body that can't be decoded, without the token if the body repeats it."""
    redacted = token.redacted(reply.body)
    if redacted == reply.body:
        return error
    return _failure(request, redacted) or _not_shown(request)


def _not_shown(request: Request[Any]) -> PayloadError:
    return PayloadError(
        f"{request.sent}: the server said 200, but not what is documented; not shown, since it repeats the token",
        request=request.sent,
    )


async def _in_steps(work: Generator[None, None, T]) -> T:
    """Return what the generator returns; others run on the loop wherever it yields."""
    try:
        while True:
            next(work)
            await asyncio.sleep(0)
    except StopIteration as done:
        result: T = done.value
        return result


async def _decode(request: Request[Any], reply: Reply) -> Any:
    try:
        value = await _in_steps(request.answer.decode(reply.body))
    except (PayloadError, StatusError) as error:
        return _told(request, error)
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
    return _told(request, error)


def _failure(request: Request[Any], body: Body) -> DiallerError | None:
    """The error that a body comes to, in its last slice if not before."""
    decoding = request.answer.decode(body)
    try:
        while True:
            next(decoding)
    except StopIteration as decoded:
        rest = decoded.value
    except (PayloadError, StatusError) as error:
        return _told(request, error)
    try:
        deque(rest if isinstance(rest, Iterator) else (), maxlen=0)
    except PayloadError as error:
        return _told(request, error)
    return None


def _told(request: Request[Any], error: PayloadError | StatusError) -> DiallerError:
    error.request = request.sent
    error.args = (f"{request.sent}: {error}",)
    return bare(error)


def bare(error: E) -> E:
    """An exception without the frames and exceptions behind it, whose local variables nobody vouches for."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
