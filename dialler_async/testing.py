"""Helpers for tests of code that uses this library: records, instant waits, and faults.

    @pytest.mark.asyncio
    async def test_expired_campaigns_are_deleted(dialler_sandbox, dialler_client):
        dialler_sandbox.load(make_campaign(id=7, dt_to=datetime(2026, 1, 31)).wire)
        dialler_sandbox.faults.next(Status(503, retry_after=30), match="delete")
        with instant_waits() as waits:
            await delete_expired(dialler_client)
        assert 7 not in dialler_sandbox.campaigns
        assert waits == [30.0]

The pytest plugin of the package provides the fixtures `dialler_sandbox` and `dialler_client`. `dialler_client` needs a
plugin for async tests: pytest-asyncio, or anyio alone (`@pytest.mark.anyio`). `dialler_async.sandbox.faults` defines
the faults.

To test with aioresponses instead of a server, use `patch_aioresponses`.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar
from unittest.mock import Mock, patch

import aiohttp
import attrs

from ._api import decoding
from ._api.dates import format_date
from ._http.clock import CLOCK
from ._http.response import finish
from .models import Campaign, Record, Records, ResultCode, wire_keys
from .sandbox import Sandbox
from .sandbox.faults import (
    CannedResponse,
    CloseAfterResponse,
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
    "CannedResponse",
    "CloseAfterResponse",
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
    "patch_aioresponses",
]

_ids = count(1)
_FLAGS = ("done", "aborted", "delay", "appointment")


def make_campaign(*, extra: Mapping[str, Any] | None = None, **attributes: Any) -> Campaign:
    """Return a campaign as the server could send it. `Sandbox.load` accepts its `.wire`.

    Args:
        extra: unknown wire keys with their values.
        attributes: attributes of `Campaign`. By default, the ID is new, the name contains the ID, and the rest is null.
    Raises:
        TypeError: `Campaign` has no such attribute.
        PayloadError: a value has a wrong type.
    """
    attributes.setdefault("id", next(_ids))
    attributes.setdefault("name", f"Campaign {attributes['id']}")
    return _decode_record(Campaign, decoding.CAMPAIGNS, attributes, extra or {})


def make_result_code(*, extra: Mapping[str, Any] | None = None, **attributes: Any) -> ResultCode:
    """Return a result code as the server could send it.

    To serve it, use `Sandbox.load(…, codes={Language.ENGLISH: [code.wire]})`.

    Args:
        extra: unknown wire keys with their values.
        attributes: attributes of `ResultCode`. By default, the ID is new, `content` is the name of the flag that is
            true, and the rest is null. `done` is true unless another flag is true.
    Raises:
        TypeError: `ResultCode` has no such attribute.
        PayloadError: a value has a wrong type.
    """
    attributes.setdefault("id", next(_ids))
    kind = next((flag for flag in _FLAGS if attributes.get(flag)), "done")
    for flag in _FLAGS:
        attributes.setdefault(flag, flag == kind)
    attributes.setdefault("content", kind.capitalize())
    return _decode_record(ResultCode, decoding.RESULT_CODES, attributes, extra or {})


def _decode_record(
    kind: type[R],
    decoder: decoding.ResponseDecoder[Records[R]],
    attributes: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> R:
    keys = wire_keys(kind)
    if unknown := attributes.keys() - keys:
        raise TypeError(f"a {kind.__name__} has no attribute {', '.join(sorted(unknown))}")
    record = {keys[name]: _wire_value(attributes.get(name)) for name in keys} | dict(extra)
    # Decoded from JSON, so that the record equals a record in a response.
    decoded: R = finish(decoder(decoding.encode({"records": [record]})))[0]
    return decoded


def _wire_value(value: Any) -> Any:
    return format_date(value) if isinstance(value, datetime) else value


@contextmanager
def instant_waits() -> Iterator[list[float]]:
    """Skip the waits of all clients between retries and after a 429.

    The clocks of the library advance by the skipped time, so that cached responses expire. The monotonic clock stays
    ahead after the block, so that no call waits for a pause which began inside. Waits for `max_rate`, for the server
    and for deadlines are not skipped.

    Yields:
        The skipped waits so far, in seconds.
    """
    real = copy(CLOCK)
    before = real.monotonic if isinstance(real.monotonic, _ClockAhead) else _ClockAhead(real.monotonic, 0.0)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    CLOCK.sleep = sleep
    CLOCK.monotonic = lambda: before() + sum(waits)
    CLOCK.now = lambda: real.now() + timedelta(seconds=sum(waits))
    try:
        yield waits
    finally:
        CLOCK.sleep, CLOCK.now = real.sleep, real.now
        CLOCK.monotonic = attrs.evolve(before, seconds=before.seconds + sum(waits))


@attrs.frozen
class _ClockAhead:
    """A monotonic clock that is some seconds ahead of another one."""

    clock: Callable[[], float]
    seconds: float

    def __call__(self) -> float:
        return self.clock() + self.seconds


@contextmanager
def patch_aioresponses() -> Iterator[None]:
    """Make aioresponses 0.7.9 work with aiohttp 3.14, on which it raises a TypeError.

        with patch_aioresponses(), aioresponses() as server:
            server.get("http://acd.example.com/rest/v1.0/1/dialler/campaigns", payload={"records": []})

    A newer aioresponses works inside it, too. No socket is opened, so timeouts and retries after a lost connection
    can't be tested; the sandbox can.

    Raises:
        ModuleNotFoundError: aioresponses is not installed.
    """
    with patch("aioresponses.core.ClientResponse", _ResponseWithWriter):
        yield


class _ResponseWithWriter(aiohttp.ClientResponse):
    """A response with the argument `stream_writer`, which aiohttp 3.14 requires and aioresponses 0.7.9 omits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"stream_writer": Mock(output_size=0)} | options)
