"""The pytest plugin: fixtures with an embedded dialler, for tests of code that uses `dialler_async`.

Asynchronous tests need pytest-asyncio, or anyio alone. pytest loads the plugin in every run, so it imports the rest of
the library only when a test uses a fixture.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:
    # Other plugins for async tests accept pytest's own fixtures.
    async_fixture = pytest.fixture  # type: ignore[assignment]  # the types differ in unused options

if TYPE_CHECKING:
    from . import DiallerClient
    from .sandbox import Sandbox


@pytest.fixture
def dialler_sandbox() -> Iterator[Sandbox]:
    """Yield a running sandbox without campaigns. Add some: `dialler_sandbox.load(make_campaign(id=7).wire)`.

    `.campaigns` contains the campaigns, `.journal` the received requests, and `.faults` plans faults. The sandbox runs
    in its own thread, so it serves synchronous and asynchronous tests. For a sandbox with other options, such as
    `Sandbox(campaigns=500, seed=1)`, define your own fixture with this name.
    """
    from .sandbox import Sandbox

    with Sandbox([]) as sandbox:
        yield sandbox


@async_fixture
async def dialler_client(dialler_sandbox: Sandbox) -> AsyncIterator[DiallerClient]:
    """Yield a client of `dialler_sandbox`."""
    from . import DiallerClient

    async with DiallerClient(dialler_sandbox.base_url, dialler_sandbox.token) as client:
        yield client
