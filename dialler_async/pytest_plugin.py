"""The pytest plugin: fixtures over an embedded dialler, for tests of code that uses `dialler_async`.

pytest loads it in every run of an environment that it is installed in. So it imports the rest of the library only where
a fixture is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture
except ImportError:
    # Whatever else runs async tests takes pytest's own; the types differ in options that nobody uses here.
    fixture = pytest.fixture  # type: ignore[assignment]

if TYPE_CHECKING:
    from dialler_async import DiallerClient
    from dialler_async.sandbox import Sandbox


@fixture
async def dialler_sandbox() -> AsyncIterator[Sandbox]:
    """A running dialler without campaigns: `dialler_sandbox.load(make_campaign(id=7).wire)`.

    `.campaigns` shows what is left, `.journal` what was asked, `.faults` is for what goes wrong. For another one, such
    as `Sandbox(campaigns=500, seed=1)`, define a fixture of this name.
    """
    from dialler_async.sandbox import Sandbox

    async with Sandbox([]) as sandbox:
        yield sandbox


@fixture
async def dialler_client(dialler_sandbox: Sandbox) -> AsyncIterator[DiallerClient]:
    """A client of `dialler_sandbox`."""
    from dialler_async import DiallerClient

    async with DiallerClient(dialler_sandbox.base_url, dialler_sandbox.token) as client:
        yield client
