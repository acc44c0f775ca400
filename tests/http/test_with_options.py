"""`DiallerClient.with_options`: which options its calls have, and what they share with the client."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import (
    ClientStateError,
    ConfigurationError,
    DeadlineError,
    DiallerClient,
    PoolConfig,
    RetryPolicy,
    ServerError,
    Timeouts,
)
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Status

if TYPE_CHECKING:
    from tests.conftest import Clock, HeldRequest
    from tests.http.conftest import AdvanceClock

ID = 535


def headers(server: Sandbox, name: str) -> list[str | None]:
    return [received.headers.get(name) for received in server.journal]


class BlockableLimiter:
    """A rate limiter that counts calls, and that a test can block."""

    def __init__(self) -> None:
        self.acquired = 0
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def acquire(self) -> None:
        self.arrived.set()
        await self.open.wait()
        self.acquired += 1


class TestOptions:
    async def test_options_set_the_retry_policy(self, server: Sandbox, dialler: DiallerClient) -> None:
        once = dialler.with_options(retry=RetryPolicy(attempts=1))
        server.faults.next(Status(500))
        with pytest.raises(ServerError):
            await once.campaigns.list()
        assert len(server.journal) == 1
        server.faults.next(Status(500))
        await dialler.campaigns.list()
        assert len(server.journal) == 3

    async def test_options_set_the_deadline(
        self, server: Sandbox, advance_clock: AdvanceClock, hold: type[HeldRequest]
    ) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            held = hold()
            server.faults.next(held)
            short_deadline = dialler.with_options(timeouts=Timeouts(deadline=5))
            call = asyncio.create_task(short_deadline.campaigns.get(ID))
            await held.arrived.wait()
            await advance_clock(6)
            with pytest.raises(DeadlineError, match="the deadline of 5 s"):
                await call
            assert (await dialler.campaigns.get(ID)).id == ID

    async def test_omitted_options_are_unchanged(self, server: Sandbox, clock: Clock) -> None:
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            view = dialler.with_options(timeouts=Timeouts(deadline=5)).with_options(headers={"X-App": "crm"})
            server.faults.next(Status(500))
            with pytest.raises(ServerError):
                await view.campaigns.list()
            assert len(server.journal) == 1

    async def test_options_set_the_rate_limit(self, server: Sandbox, dialler: DiallerClient) -> None:
        limiter = BlockableLimiter()
        limited = dialler.with_options(max_rate=limiter)
        server.faults.next(Status(500))
        await limited.campaigns.list()
        await dialler.campaigns.list()
        assert limiter.acquired == 2

    async def test_rate_limits_of_client_and_options_both_apply(self, server: Sandbox) -> None:
        outer, inner = BlockableLimiter(), BlockableLimiter()
        async with DiallerClient(server.base_url, server.token, max_rate=outer) as dialler:
            await dialler.with_options(max_rate=inner).campaigns.list()
        assert (outer.acquired, inner.acquired) == (1, 1)

    async def test_calls_that_wait_for_their_rate_limit_use_no_connection(self, server: Sandbox) -> None:
        limiter = BlockableLimiter()
        limiter.open.clear()
        async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
            waiting = asyncio.create_task(dialler.with_options(max_rate=limiter).campaigns.list())
            await asyncio.wait_for(limiter.arrived.wait(), 10)
            await dialler.campaigns.list()
            limiter.open.set()
            await waiting

    @pytest.mark.parametrize("max_rate", [0, -1, float("inf"), "5"])
    async def test_invalid_rate_is_refused(self, dialler: DiallerClient, max_rate: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_rate"):
            dialler.with_options(max_rate=max_rate)


class TestHeaders:
    async def test_headers_of_the_client_are_sent_with_every_request(self, server: Sandbox, clock: Clock) -> None:
        async with DiallerClient(server.base_url, server.token, headers={"X-App": "crm"}) as dialler:
            server.faults.next(Status(500))
            await dialler.campaigns.get(ID)
            await dialler.campaigns.delete(ID)
        assert headers(server, "X-App") == ["crm"] * 3
        assert all(received.authorised for received in server.journal)

    async def test_headers_of_options_are_added_and_override(self, server: Sandbox) -> None:
        first = {"X-App": "crm", "X-Other": "kept"}
        async with DiallerClient(server.base_url, server.token, headers=first) as dialler:
            await dialler.with_options(headers={"x-app": "night"}).campaigns.list()
            await dialler.campaigns.list()
        assert headers(server, "X-App") == ["night", "crm"]
        assert headers(server, "X-Other") == ["kept", "kept"]

    @pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
    async def test_token_can_not_be_overridden(self, server: Sandbox, dialler: DiallerClient, name: str) -> None:
        forged = {name: "Bearer other"}
        with pytest.raises(ConfigurationError, match="the client sets"):
            DiallerClient(server.base_url, server.token, headers=forged)
        with pytest.raises(ConfigurationError, match="the client sets"):
            dialler.with_options(headers=forged)
        dynamic = dialler.with_options(headers=lambda: forged)
        with pytest.raises(ConfigurationError, match="the client sets"):
            await dynamic.campaigns.list()
        assert server.journal == []

    async def test_header_function_sets_the_request_id_of_a_call_and_its_retries(
        self, server: Sandbox, clock: Clock
    ) -> None:
        request_id: ContextVar[str] = ContextVar("request_id")

        async def handler(id: str) -> None:
            request_id.set(id)
            await dialler.campaigns.list()

        async with DiallerClient(
            server.base_url, server.token, headers=lambda: {"X-Request-ID": request_id.get()}
        ) as dialler:
            server.faults.next(Status(500), Status(500))
            await asyncio.gather(handler("a"), handler("b"))
        assert sorted(str(id) for id in headers(server, "X-Request-ID")) == ["a", "a", "b", "b"]

    async def test_error_of_the_header_function_is_raised_and_nothing_is_sent(
        self, server: Sandbox, dialler: DiallerClient
    ) -> None:
        missing: ContextVar[str] = ContextVar("missing")
        view = dialler.with_options(headers=lambda: {"X-Request-ID": missing.get()})
        with pytest.raises(LookupError):
            await view.campaigns.list()
        assert server.journal == []


class TestSharing:
    async def test_with_options_shares_connections(self, server: Sandbox, dialler: DiallerClient) -> None:
        await dialler.campaigns.list()
        for _ in range(5):
            await dialler.with_options(timeouts=Timeouts(deadline=5)).campaigns.list()
        assert server.connections.opened == 1

    async def test_with_options_shares_the_token(self, server: Sandbox, clock: Clock) -> None:
        source_calls = 0

        def token() -> str:
            nonlocal source_calls
            source_calls += 1
            return server.token

        async with DiallerClient(server.base_url, token) as dialler:
            await dialler.with_options(headers={"X-App": "crm"}).campaigns.list()
            await dialler.campaigns.list()
            assert source_calls == 1
            server.faults.next(Status(401))
            await dialler.with_options(headers={"X-App": "crm"}).campaigns.list()
            await dialler.campaigns.list()
        assert source_calls == 2

    async def test_with_options_shares_cached_responses_in_both_directions(
        self, server: Sandbox, dialler: DiallerClient
    ) -> None:
        view = dialler.with_options(timeouts=Timeouts(deadline=5), retry=RetryPolicy.patient())
        cached = await dialler.campaigns.list(max_age=60)
        assert await view.campaigns.list(max_age=60) is cached
        await view.campaigns.delete(ID)
        assert await dialler.campaigns.list(max_age=60) is not cached

    async def test_with_options_shares_the_pause_after_429(
        self, server: Sandbox, dialler: DiallerClient, clock: Clock
    ) -> None:
        once = dialler.with_options(retry=RetryPolicy(attempts=1))
        server.faults.next(Status(429, retry_after=7))
        with pytest.raises(Exception, match="429"):
            await once.campaigns.list()
        await dialler.campaigns.list()
        assert clock.slept == [7]

    async def test_only_the_first_client_closes_the_pool(self, server: Sandbox) -> None:
        async with DiallerClient(server.base_url, server.token) as dialler:
            view = dialler.with_options(headers={"X-App": "crm"})
            await view.aclose()
            async with view:
                await view.campaigns.list()
            await dialler.campaigns.list()
        with pytest.raises(ClientStateError):
            await view.campaigns.list()

    async def test_for_account_has_the_options_of_the_client(self) -> None:
        async with (
            Sandbox(1, accounts=2) as server,
            DiallerClient.for_server(server.server, 1, server.accounts[1].token) as dialler,
        ):
            view = dialler.with_options(headers={"X-App": "crm"})
            await view.for_account(2, server.accounts[2].token).campaigns.list()
            assert headers(server, "X-App") == ["crm"]
