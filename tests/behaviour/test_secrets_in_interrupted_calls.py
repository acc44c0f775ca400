"""No error shows the token when a call is interrupted: revoked tokens, refused connections, deadlines, cancellation."""

from __future__ import annotations

import asyncio
import gc
import json
import traceback
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import DiallerClient, RetryPolicy, Timeouts, errors
from dialler_async.sandbox import faults

if TYPE_CHECKING:
    from tests.behaviour.conftest import AssertHidden, AtWork, ErrorOf

# Letters at both ends, which no encoding changes, so that half a token and one spelt otherwise are found as well.
TOKEN = "Zm9vYmFyMjE3/+=.~\"&<'%c2VjcmV0ODQy"
IN_JSON = json.dumps(TOKEN).replace("/", "\\/").replace("+", "\\u002B").encode()


def get(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.get(535)


def find(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.find("Summer")


def list_all(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.list()


def clone(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.clone("Summer", "Monday")


@pytest.mark.parametrize("source", ["static", "function", "coroutine function"])
async def test_no_error_shows_a_token_that_is_revoked_during_a_run(
    source: str, caplog: pytest.LogCaptureFixture, at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    caplog.set_level(0)
    async with at_work(source) as (sandbox, dialler):
        sandbox.faults.next(faults.Meanwhile(sandbox.revoke), match="get")
        error = await error_of(get, dialler)
        assert type(error) is errors.AuthenticationError
        assert_hidden.in_pickle_and_value(error)
        assert_hidden.in_log(caplog.records)


async def test_no_error_shows_the_token_when_the_connection_is_refused(
    caplog: pytest.LogCaptureFixture, at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    caplog.set_level(0)
    async with at_work() as (sandbox, dialler), sandbox.refusing():
        error = await error_of(get, dialler)
    assert type(error) is errors.ConnectError
    assert_hidden.in_pickle_and_value(error)
    assert_hidden.in_log(caplog.records)


async def test_no_error_shows_the_token_when_the_client_is_closed_or_on_another_loop(
    at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    async with at_work() as (_, dialler):
        await dialler.campaigns.get(535)
        elsewhere = await asyncio.to_thread(asyncio.run, error_of(get, dialler))
    closed = await error_of(get, dialler)
    for error, kind in ((elsewhere, errors.ClientStateError), (closed, errors.ClientClosedError)):
        assert type(error) is kind
        assert_hidden.in_pickle_and_value(error)


@pytest.mark.usefixtures("virtual_time")
async def test_no_error_shows_the_token_when_the_deadline_expires(
    at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    async with at_work(timeouts=Timeouts(deadline=0.2)) as (sandbox, dialler):
        sandbox.faults.chance(1.0, [faults.StallBeforeHeaders()])
        for call, kind in ((get, errors.DeadlineError), (clone, errors.OutcomeUnknownError)):
            error = await error_of(call, dialler)
            assert type(error) is kind
            assert_hidden.in_pickle_and_value(error)


class LateEcho(faults.CannedResponse):
    """Responds with the first token, after the client has got another one."""

    def __init__(self) -> None:
        super().__init__(500, b'{"status":500,"error":%s}' % IN_JSON)
        self.__dict__.update(arrived=asyncio.Event(), renewed=asyncio.Event())

    async def apply(self, request: Any) -> Any:
        self.arrived.set()
        await self.renewed.wait()
        return await super().apply(request)


async def test_replaced_token_is_redacted_from_a_late_response(
    at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    late = LateEcho()
    async with at_work("changing", retry=RetryPolicy(attempts=1)) as (sandbox, dialler):
        sandbox.faults.next(late, match="find")
        finding = asyncio.create_task(error_of(find, dialler))
        await late.arrived.wait()
        sandbox.faults.next(faults.CannedResponse(401, b'{"status":401,"error":%s}' % IN_JSON), match="get")
        sandbox.token = "another"
        assert await error_of(get, dialler) is None
        late.renewed.set()
        error = await finding
    assert type(error) is errors.ServerError
    assert_hidden.in_pickle_and_value(error)


def large(status: int = 200) -> faults.CannedResponse:
    """Return a response that is decoded in many slices, each with the token."""
    each = b'{"ID":1,"Name":"x","UserData":%s,"Filler":"%s"}' % (IN_JSON, b"x" * 900)
    body = b'{"records":[%s],"count":600,"status":200}' % b",".join([each] * 600)
    return faults.CannedResponse(status, body, {"Content-Type": "application/json", "X-Echo": TOKEN})


CANCELLED_WHILE: dict[str, tuple[faults.Fault, str]] = {
    "waiting for the headers": (faults.StallBeforeHeaders(), "_send_once"),
    "reading the body": (faults.StallInBody(), "_send_once"),
    "decoding": (large(), "_decode"),
    "waiting for the next retry": (faults.Status(503, retry_after=30), "_send_with_retries"),
}


@pytest.mark.parametrize("while_", CANCELLED_WHILE)
async def test_cancelled_call_shows_no_token(
    while_: str, caplog: pytest.LogCaptureFixture, at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    caplog.set_level(0)
    frames = await check_cancelled(while_, at_work, error_of, assert_hidden)
    gc.collect()
    assert CANCELLED_WHILE[while_][1] in frames
    assert_hidden.in_log(caplog.records)


async def check_cancelled(while_: str, at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden) -> set[str]:
    """Cancel such a call after more and more turns of the loop, and return the functions that it was in."""
    frames: set[str] = set()
    retry = RetryPolicy(attempts=2)
    async with at_work(retry=retry) as (sandbox, dialler):
        sandbox.faults.chance(1.0, [CANCELLED_WHILE[while_][0]])
        for turns in range(0, 180, 3):
            calling = asyncio.create_task(error_of(list_all, dialler))
            for _ in range(turns):
                await asyncio.sleep(0)
            calling.cancel()
            try:
                error = await calling
            except asyncio.CancelledError:
                continue  # It was cancelled before it began.
            if error is None:
                break
            assert type(error) is asyncio.CancelledError
            frames |= {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
            assert_hidden.in_value(error)
    return frames
