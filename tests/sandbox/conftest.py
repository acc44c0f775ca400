"""Fixtures: a plain HTTP client for the sandbox."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from dialler_async.sandbox import Sandbox


class Caller:
    """A plain HTTP client of a sandbox. It returns the status and the body of each response."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def raw(self, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        url = self.sandbox.base_url + path
        headers = {"Authorization": f"Bearer {self.sandbox.token}"} | options.pop("headers", {})
        async with self.session.request(method, url, headers=headers, **options) as response:
            return response.status, await response.read()

    async def __call__(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        status, body = await self.raw(method, "/dialler/campaigns" + path, **options)
        return status, json.loads(body)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def caller_of(session: aiohttp.ClientSession) -> Callable[[Sandbox], Caller]:
    """Return a function that creates a client for a sandbox."""
    return lambda sandbox: Caller(sandbox, session)


@pytest.fixture
def call(sandbox: Sandbox, session: aiohttp.ClientSession) -> Caller:
    return Caller(sandbox, session)
