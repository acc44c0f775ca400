"""What tests share: a server played by aioresponses, and one that is really there."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import attrs
import pytest
from aioresponses import aioresponses
from aioresponses import core as aioresponses_core
from hypothesis import settings

from dialler_async.sandbox import Sandbox

pytest_plugins = ["pytester"]

# A busy machine is slow now and then: how long an example takes is not what a property is about.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

EXAMPLES = Path(__file__).with_name("examples")


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 knows nothing of `stream_writer`, which aiohttp wants since 3.14."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"stream_writer": Mock(output_size=0)} | options)


@attrs.frozen
class Sent:
    """A request as it was handed to aiohttp."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    follows_redirects: bool
    session: aiohttp.ClientSession


class PlayedServer(aioresponses):
    """aioresponses, with what was sent to it in order and unnormalised."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Sent] = []

    async def _request_mock(self, session: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> Any:
        data = options.get("data")
        body = None if data is None else json.loads(data)
        headers = dict(options.get("headers") or {})
        self.sent.append(Sent(method, str(url), headers, body, options.get("allow_redirects", True), session))
        return await super()._request_mock(session, method, url, **options)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedServer]:
    """A server whose answers a test names beforehand; no socket is opened. `played.sent` tells what reached it."""
    monkeypatch.setattr(aioresponses_core, "ClientResponse", _Response)
    with PlayedServer() as server:
        yield server


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """An embedded dialler with a few campaigns."""
    async with Sandbox(campaigns=5) as running:
        yield running
