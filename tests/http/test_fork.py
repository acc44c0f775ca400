"""A forked child that drops, closes or uses an inherited client does not harm the parent."""

import asyncio
import gc
import os
import traceback
import warnings
from collections.abc import Callable

import aiohttp
import pytest

from dialler_async import DiallerClient, RetryPolicy
from dialler_async.sandbox import Sandbox

ID = 535

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


async def run_in_child(action: Callable[[], object]) -> int:
    """Return the exit code of a forked child that runs an action: 0 unless the action raised an error."""
    with warnings.catch_warnings():
        # Newer Pythons warn about a fork with other threads. The child does not need the threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            action()
            gc.collect()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("user_session", [False, True])
async def test_connection_of_the_parent_works_after_a_child_drops_the_client(
    server: Sandbox, user_session: bool
) -> None:
    sessions: list[object] = []

    async def use() -> DiallerClient:
        session = aiohttp.ClientSession() if user_session else None
        dialler = DiallerClient(server.base_url, server.token, session=session, retry=RetryPolicy(attempts=1))
        await dialler.campaigns.get(ID)
        sessions.append(session)
        return dialler

    parents = [await use()]

    def drop() -> None:
        parents.clear()
        sessions.clear()

    assert await run_in_child(drop) == 0
    assert (await parents[0].campaigns.get(ID)).id == ID
    assert server.connections.opened == 1
    await parents[0].aclose()
    if isinstance(session := sessions[0], aiohttp.ClientSession):
        await session.close()


async def test_connection_of_the_parent_works_after_a_child_closes_the_client(server: Sandbox) -> None:
    async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
        await dialler.campaigns.get(ID)

        def close() -> None:
            asyncio._set_running_loop(None)
            asyncio.run(dialler.aclose())
            asyncio.run(dialler.aclose())

        assert await run_in_child(close) == 0
        assert (await dialler.campaigns.get(ID)).id == ID
    assert server.connections.opened == 1


async def test_client_that_was_unused_before_the_fork_works_in_the_child(server: Sandbox) -> None:
    dialler = DiallerClient(server.base_url, server.token)

    async def use() -> None:
        async with dialler:
            await dialler.campaigns.get(ID)

    def in_child() -> None:
        asyncio._set_running_loop(None)
        asyncio.run(use())

    assert await run_in_child(in_child) == 0
    await use()
    assert [received.call for received in server.journal] == ["get", "get"]
