"""The pytest plugin: fixtures with an embedded dialler, for tests of code that uses `dialler_async`.

pytest loads it in every run of an environment where it is installed, so it imports the library only when a fixture is
used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:
    # Other plugins for async tests use pytest's own fixtures.
    async_fixture = pytest.fixture  # type: ignore[assignment]  # the types differ in options that are not used here

if TYPE_CHECKING:
    from dialler_async import DiallerClient
    from dialler_async.sandbox import Sandbox


@pytest.fixture
def dialler_sandbox() -> Iterator[Sandbox]:
    """A running dialler without campaigns: `dialler_sandbox.load(make_campaign(id=7).wire)`.

    `.campaigns` are the remaining campaigns, `.journal` the requests that arrived, and `.faults` plans faults. It runs
    in a thread of its own, so it serves synchronous and asynchronous tests. For a sandbox with other options, such as
    `Sandbox(campaigns=500, seed=1)`, define a fixture of this name.
    """
    from dialler_async.sandbox import Sandbox

    with Sandbox([]) as sandbox:
        yield sandbox


@async_fixture
async def dialler_client(dialler_sandbox: Sandbox) -> AsyncIterator[DiallerClient]:
    """A client of `dialler_sandbox`."""
    from dialler_async import DiallerClient

    async with DiallerClient(dialler_sandbox.base_url, dialler_sandbox.token) as client:
        yield client
