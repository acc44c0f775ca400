"""`aclose(timeout=…)`: calls in flight can finish within the timeout, and are cancelled after it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from dialler_async import (
    ClientClosedError,
    ConfigurationError,
    DiallerClient,
    DiallerError,
    OutcomeUnknownError,
    PoolConfig,
    Timeouts,
)
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox import Sandbox
from dialler_async.testing import Status

if TYPE_CHECKING:
    from tests.conftest import Clock, HeldRequest, Until
    from tests.http.conftest import AdvanceClock, Settle


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


@pytest.fixture
def id(sandbox: Sandbox) -> int:
    return min(sandbox.campaigns)


async def test_call_in_flight_finishes_within_the_timeout(
    sandbox: Sandbox, id: int, hold: type[HeldRequest], settle: Settle
) -> None:
    held = hold()
    sandbox.faults.next(held)
    dialler = DiallerClient(sandbox.base_url, sandbox.token)
    call = asyncio.create_task(dialler.campaigns.get(id))
    await held.arrived.wait()
    closing = asyncio.create_task(dialler.aclose(timeout=60))
    await settle()
    assert not closing.done()
    held.release.set()
    assert (await call).id == id
    await closing


@pytest.mark.parametrize("deadline", [120.0, math.inf])
async def test_read_in_flight_is_cancelled_after_the_timeout(
    sandbox: Sandbox, id: int, hold: type[HeldRequest], advance_clock: AdvanceClock, settle: Settle, deadline: float
) -> None:
    held = hold()
    sandbox.faults.next(held)
    dialler = DiallerClient(sandbox.base_url, sandbox.token, timeouts=Timeouts(deadline=deadline))
    call = asyncio.create_task(failure(dialler.campaigns.get(id)))
    await held.arrived.wait()
    closing = asyncio.create_task(dialler.aclose(timeout=5))
    await advance_clock(4)
    await settle()
    assert not closing.done()
    await advance_clock(2)
    error = await call
    assert type(error) is ClientClosedError
    assert "the client was closed while waiting for the response" in str(error)
    await closing
    await held.hung_up.wait()


async def test_write_in_flight_has_an_unknown_outcome_after_the_timeout(
    sandbox: Sandbox, id: int, hold: type[HeldRequest]
) -> None:
    held = hold(carried_out=True)
    sandbox.faults.next(held)
    dialler = DiallerClient(sandbox.base_url, sandbox.token)
    call = asyncio.create_task(failure(dialler.campaigns.delete(id)))
    await held.arrived.wait()
    await dialler.aclose(timeout=0)
    error = await call
    assert type(error) is OutcomeUnknownError
    assert error.request is not None
    assert id not in sandbox.campaigns


async def test_queued_calls_and_calls_of_other_accounts_end_after_the_timeout(
    sandbox: Sandbox, id: int, hold: type[HeldRequest], settle: Settle
) -> None:
    held = hold()
    sandbox.faults.next(held)
    dialler = DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(limit=1))
    other = dialler.for_account(2, "another-token")
    calls = [asyncio.create_task(failure(call)) for call in (dialler.campaigns.get(id), other.campaigns.list())]
    await held.arrived.wait()
    await settle()
    await dialler.aclose(timeout=0)
    assert [type(await call) for call in calls] == [ClientClosedError, ClientClosedError]
    assert len(sandbox.journal) == 1


async def test_user_session_stays_open_and_its_calls_are_cancelled(
    sandbox: Sandbox, id: int, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    async with aiohttp.ClientSession() as session:
        dialler = DiallerClient(sandbox.base_url, sandbox.token, session=session)
        call = asyncio.create_task(failure(dialler.campaigns.get(id)))
        await held.arrived.wait()
        await dialler.aclose(timeout=0)
        assert type(await call) is ClientClosedError
        assert not session.closed


async def test_call_in_backoff_is_refused_after_the_timeout(
    sandbox: Sandbox, id: int, hold: type[HeldRequest], clock: Clock, until: Until
) -> None:
    held = hold()
    sandbox.faults.next(Status(503, retry_after=30), held)
    dialler = DiallerClient(sandbox.base_url, sandbox.token)
    never = asyncio.Event()

    async def sleep(seconds: float) -> None:
        sleeping.set()
        await never.wait()

    sleeping = asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dialler_async._http.transport.CLOCK.sleep", sleep)
        waiting = asyncio.create_task(failure(dialler.campaigns.get(id)))
        await sleeping.wait()
        in_flight = asyncio.create_task(failure(dialler.campaigns.get(id)))
        await held.arrived.wait()
        await dialler.aclose(timeout=0)
        assert "closed while waiting for the next retry" in str(await waiting)
        assert type(await in_flight) is ClientClosedError


@pytest.mark.parametrize("of_client", [True, False])
async def test_retry_after_closing_does_not_wait_for_the_rate_limiter(
    sandbox: Sandbox, id: int, monkeypatch: pytest.MonkeyPatch, of_client: bool
) -> None:
    class CountingLimiter:
        acquired = 0

        async def acquire(self) -> None:
            self.acquired += 1

    limiter = CountingLimiter()
    opened = DiallerClient(sandbox.base_url, sandbox.token, max_rate=limiter if of_client else None)
    dialler = opened if of_client else opened.with_options(max_rate=limiter)

    async def close_instead(_: float) -> None:
        await opened.aclose()

    monkeypatch.setattr(CLOCK, "sleep", close_instead)
    sandbox.faults.next(Status(503))
    assert type(await failure(dialler.campaigns.get(id))) is ClientClosedError
    assert limiter.acquired == 1


async def test_call_is_refused_if_the_client_is_closed_during_the_wait_for_the_rate_limiter(
    sandbox: Sandbox, id: int
) -> None:
    class ClosingLimiter:
        async def acquire(self) -> None:
            await dialler.aclose()

    dialler = DiallerClient(sandbox.base_url, sandbox.token, max_rate=ClosingLimiter())
    assert type(await failure(dialler.campaigns.get(id))) is ClientClosedError
    assert sandbox.journal == []


async def test_caller_that_cancels_its_call_while_closing_gets_the_cancellation(
    sandbox: Sandbox, id: int, hold: type[HeldRequest], settle: Settle
) -> None:
    held = hold()
    sandbox.faults.next(held)
    dialler = DiallerClient(sandbox.base_url, sandbox.token)
    call = asyncio.create_task(dialler.campaigns.get(id))
    await held.arrived.wait()
    closing = asyncio.create_task(dialler.aclose(timeout=60))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await closing


async def test_idle_client_closes_immediately(sandbox: Sandbox) -> None:
    dialler = DiallerClient(sandbox.base_url, sandbox.token)
    await dialler.campaigns.list()
    await dialler.aclose(timeout=0)
    assert type(await failure(dialler.campaigns.list())) is ClientClosedError


@pytest.mark.parametrize("timeout", [-1, math.nan, "5", True])
async def test_invalid_timeout_is_refused(timeout: Any) -> None:
    dialler = DiallerClient("http://localhost/rest/v1.0/1", "t")
    with pytest.raises(ConfigurationError, match=r"aclose\(timeout=…\)"):
        await dialler.aclose(timeout=timeout)
