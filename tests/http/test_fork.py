"""What a forked child does with a client that it inherited, and what the parent notices of it: nothing."""

import asyncio
import gc
import os
import traceback
import warnings
from collections.abc import Callable

import aiohttp
import pytest

from dialler_async import DiallerClient, NotFoundError, RetryPolicy
from dialler_async.sandbox import Sandbox

ID = 535

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


async def child(does: Callable[[], object]) -> int:
    """The exit code of a forked child that does something: 0 unless it raised."""
    with warnings.catch_warnings():
        # Newer Pythons warn where other threads run; the child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            does()
            gc.collect()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("brought", [False, True])
async def test_a_child_that_drops_its_parents_client_leaves_the_parents_connection_usable(
    server: Sandbox, brought: bool
) -> None:
    held: list[object] = []

    async def use() -> DiallerClient:
        session = aiohttp.ClientSession() if brought else None
        dialler = DiallerClient(server.base_url, server.token, session=session, retry=RetryPolicy(attempts=1))
        await dialler.campaigns.get(ID)
        held.append(session)
        return dialler

    parents = [await use()]

    def drop() -> None:
        parents.clear()
        held.clear()

    assert await child(drop) == 0
    await parents[0].campaigns.delete(ID)
    with pytest.raises(NotFoundError):
        await parents[0].campaigns.get(ID)
    assert server.connections.opened == 1
    await parents[0].aclose()
    if isinstance(session := held[0], aiohttp.ClientSession):
        await session.close()


async def test_a_child_that_closes_its_parents_client_harms_nothing(server: Sandbox) -> None:
    async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
        await dialler.campaigns.get(ID)

        def close() -> None:
            asyncio._set_running_loop(None)
            asyncio.run(dialler.aclose())
            asyncio.run(dialler.aclose())

        assert await child(close) == 0
        await dialler.campaigns.delete(ID)
    assert server.connections.opened == 1


async def test_a_client_made_before_a_fork_and_never_used_works_in_the_child(server: Sandbox) -> None:
    dialler = DiallerClient(server.base_url, server.token)

    async def use() -> None:
        async with dialler:
            await dialler.campaigns.get(ID)

    def in_child() -> None:
        asyncio._set_running_loop(None)
        asyncio.run(use())

    assert await child(in_child) == 0
    await use()
    assert [received.call for received in server.journal] == ["get", "get"]
