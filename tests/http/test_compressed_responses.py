"""Compressed responses: other tasks run while a body is decompressed."""

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from dialler_async import DiallerClient
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse

MIB = 2**20


class CountingZlib:
    """Python's zlib, with the number of bytes that were decompressed since other tasks ran."""

    def __init__(self) -> None:
        self.bytes = 0
        self.maximum = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(zlib, name)

    def decompressobj(self, *args: Any, **options: Any) -> "CountingDecompressor":
        return CountingDecompressor(self, zlib.decompressobj(*args, **options))


class CountingDecompressor:
    def __init__(self, counts: CountingZlib, decompressor: Any) -> None:
        self._counts = counts
        self._decompressor = decompressor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decompressor, name)

    def decompress(self, *args: Any) -> bytes:
        data: bytes = self._decompressor.decompress(*args)
        self._counts.bytes += len(data)
        self._counts.maximum = max(self._counts.maximum, self._counts.bytes)
        return data


@pytest.fixture
def counting_zlib() -> Iterator[CountingZlib]:
    counting = CountingZlib()
    aiohttp.set_zlib_backend(counting)
    yield counting
    aiohttp.set_zlib_backend(zlib)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_other_tasks_run_while_a_body_is_decompressed(
    counting_zlib: CountingZlib, coding: str, status: int
) -> None:
    compress = gzip.compress if coding == "gzip" else zlib.compress
    body = compress(b'{"records":[],"count":0,"status":200}' + b" " * 32 * MIB)

    async def other_task() -> None:
        while True:
            counting_zlib.bytes = 0
            await asyncio.sleep(0)

    async with Sandbox(1) as sandbox, DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        sandbox.faults.chance(1.0, [CannedResponse(status, body, {"Content-Encoding": coding})])
        other = asyncio.create_task(other_task())
        await asyncio.gather(dialler.campaigns.list(), return_exceptions=True)
        other.cancel()
    assert 0 < counting_zlib.maximum <= MIB
