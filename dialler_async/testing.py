"""For tests of code that uses this library: records to begin with, waits that take no time, things that go wrong.

    async def test_only_what_is_over_is_deleted(dialler_sandbox, dialler_client):
        dialler_sandbox.load(make_campaign(id=7, dt_to=datetime(2026, 1, 31)).wire)
        dialler_sandbox.faults.next(Status(503, retry_after=30), match="delete")
        with instant_waits() as waits:
            await delete_what_is_over(dialler_client)
        assert 7 not in dialler_sandbox.campaigns
        assert waits == [30.0]

The fixtures `dialler_sandbox` and `dialler_client` come with the package's pytest plugin, and need pytest-asyncio. The
faults are those of `dialler_async.sandbox.faults`.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from ._api import decoding
from ._api.dates import format_date
from ._http.clock import CLOCK
from ._http.slices import finish
from .models import Campaign, Record, Records, ResultCode, wire_keys
from .sandbox import Sandbox
from .sandbox.faults import (
    Answer,
    CloseAfterAnswer,
    CutShort,
    Fault,
    GzipBomb,
    Gzipped,
    HangUp,
    Html,
    Meanwhile,
    Raw,
    Redirect,
    Reset,
    StallBeforeHeaders,
    StallInBody,
    Status,
    Trickle,
    WrongLength,
)

R = TypeVar("R", bound=Record)

__all__ = [
    "Answer",
    "CloseAfterAnswer",
    "CutShort",
    "Fault",
    "GzipBomb",
    "Gzipped",
    "HangUp",
    "Html",
    "Meanwhile",
    "Raw",
    "Redirect",
    "Reset",
    "Sandbox",
    "StallBeforeHeaders",
    "StallInBody",
    "Status",
    "Trickle",
    "WrongLength",
    "instant_waits",
    "make_campaign",
    "make_result_code",
]

_ids = count(1)
_FLAGS = ("done", "aborted", "delay", "appointment")


def make_campaign(*, extra: Mapping[str, Any] | None = None, **attributes: Any) -> Campaign:
    """A campaign as the server might have sent it; `.wire` is that, and what `Sandbox.load` takes.

    Args:
        extra: keys on the wire that this library doesn't know, with their values.
        attributes: those of `Campaign`; without them the ID is a new one, the name is made of it, the rest is null.
    Returns:
        The campaign.
    Raises:
        TypeError: a `Campaign` has no such attribute.
        PayloadError: a value is of a type that the API doesn't have there.
    """
    attributes.setdefault("id", next(_ids))
    attributes.setdefault("name", f"Campaign {attributes['id']}")
    return _made(Campaign, decoding.CAMPAIGNS, attributes, extra or {})


def make_result_code(*, extra: Mapping[str, Any] | None = None, **attributes: Any) -> ResultCode:
    """A result code as the server might have sent it: `Sandbox.load(…, codes={Language.ENGLISH: [code.wire]})`.

    Args:
        extra: keys on the wire that this library doesn't know, with their values.
        attributes: those of `ResultCode`; without them the ID is a new one, its type "done" unless another of the
            four flags is given, `content` made of these, and the rest null.
    Returns:
        The result code.
    Raises:
        TypeError: a `ResultCode` has no such attribute.
        PayloadError: a value is of a type that the API doesn't have there.
    """
    attributes.setdefault("id", next(_ids))
    kind = next((flag for flag in _FLAGS if attributes.get(flag)), "done")
    for flag in _FLAGS:
        attributes.setdefault(flag, flag == kind)
    attributes.setdefault("content", kind.capitalize())
    return _made(ResultCode, decoding.RESULT_CODES, attributes, extra or {})


def _made(
    kind: type[R], answer: decoding.Answer[Records[R]], attributes: Mapping[str, Any], extra: Mapping[str, Any]
) -> R:
    keys = wire_keys(kind)
    if unknown := attributes.keys() - keys:
        raise TypeError(f"a {kind.__name__} has no {', '.join(sorted(unknown))}")
    record = {keys[name]: _on_the_wire(attributes.get(name)) for name in keys} | dict(extra)
    # Decoded from JSON, so that the record is what the client would make of a server's response.
    made: R = finish(answer.decode(decoding.encode({"records": [record]})))[0]
    return made


def _on_the_wire(value: Any) -> Any:
    return format_date(value) if isinstance(value, datetime) else value


@contextmanager
def instant_waits() -> Iterator[list[float]]:
    """Makes the waits of every client take no time: those between repeats, and the pauses that a 429 asks for.

    The clocks that the library looks at move on as if they had been waited, so that kept answers grow old, too. Waits
    by `max_rate` and by the server are real, and so are deadlines.

    Yields:
        The waits so far, in seconds.
    """
    real = copy(CLOCK)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    CLOCK.sleep = sleep
    CLOCK.monotonic = lambda: real.monotonic() + sum(waits)
    CLOCK.now = lambda: real.now() + timedelta(seconds=sum(waits))
    try:
        yield waits
    finally:
        CLOCK.sleep, CLOCK.monotonic, CLOCK.now = real.sleep, real.monotonic, real.now
