"""The client on other event loops and under anyio: the same results, errors and connections as on asyncio's loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import anyio
import pytest
import trustme
import uvloop

from dialler_async import (
    DeadlineError,
    DiallerClient,
    NotFoundError,
    OutcomeUnknownError,
    PoolConfig,
    RetryPolicy,
    Timeouts,
)
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import HangUp, Meanwhile, Reset, StallBeforeHeaders, StallInBody

Main = Callable[[], Coroutine[Any, Any, None]]


def on_asyncio(main: Main) -> None:
    asyncio.run(main(), debug=True)


def on_uvloop(main: Main) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def on_anyio(main: Main) -> None:
    anyio.run(main)


def on_anyio_with_uvloop(main: Main) -> None:
    anyio.run(main, backend_options={"use_uvloop": True})


@pytest.fixture(params=[on_asyncio, on_uvloop, on_anyio, on_anyio_with_uvloop])
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Return a function that runs a coroutine function on each event loop in turn."""
    return request.param


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a server in its own thread, on asyncio's loop."""
    with Sandbox(campaigns=30, seed=1) as sandbox:
        yield sandbox


def client(sandbox: Sandbox, **options: Any) -> DiallerClient:
    return DiallerClient(sandbox.base_url, sandbox.token, **options)


def test_all_campaigns_and_codes_are_read_on_every_loop(run: Callable[[Main], None], sandbox: Sandbox) -> None:
    async def main() -> None:
        async with client(sandbox, pool=PoolConfig(limit=8)) as dialler:
            campaigns = await dialler.campaigns.list()
            assert {campaign.id for campaign in campaigns} == set(sandbox.campaigns)
            async for codes in dialler.result_codes.for_campaigns(campaigns):
                assert codes.error is None

    run(main)
    assert sandbox.connections.peak <= 8
    assert {received.status for received in sandbox.journal} == {200}


def test_writes_run_once_and_report_unknown_outcomes_on_every_loop(
    run: Callable[[Main], None], sandbox: Sandbox
) -> None:
    name = next(iter(sandbox.campaigns.values()))["Name"]

    async def main() -> None:
        async with client(sandbox, retry=RetryPolicy(base_delay=0)) as dialler:
            sandbox.faults.next(Reset(carried_out=True), HangUp(), match="clone")
            clone = await dialler.campaigns.clone(name, "New", exist_ok=True)
            assert clone.name == "New"
            sandbox.faults.next(Reset(carried_out=True), match="clone")
            with pytest.raises(OutcomeUnknownError):
                await dialler.campaigns.clone(name, "Newer")

    run(main)
    assert [one["Name"] for one in sandbox.campaigns.values()][-2:] == ["New", "Newer"]


@pytest.mark.parametrize("fault", [StallBeforeHeaders(), StallInBody()], ids=lambda fault: type(fault).__name__)
def test_timeouts_end_calls_and_close_their_connections(
    run: Callable[[Main], None], sandbox: Sandbox, fault: Any
) -> None:
    async def main() -> None:
        async with client(sandbox, retry=RetryPolicy(attempts=1)) as dialler:
            sandbox.faults.next(fault)
            with pytest.raises(DeadlineError):
                await dialler.with_options(timeouts=Timeouts(read=0.1)).campaigns.list()
            await dialler.campaigns.find("a")

    run(main)
    assert sandbox.connections.opened == 2


def test_connection_with_an_unsolicited_response_is_not_reused(run: Callable[[Main], None]) -> None:
    unsolicited = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    opened: list[int] = []

    def serve(listening: socket.socket) -> None:
        body = b'{"records":[],"count":0,"status":200}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        for _ in range(2):
            connection, _ = listening.accept()
            with connection:
                opened.append(len(opened))
                connection.recv(65536)
                connection.sendall(head + body + unsolicited)
                # The read ends when the client closes the connection.
                connection.recv(65536)

    async def main() -> None:
        port = listening.getsockname()[1]
        async with DiallerClient(f"http://127.0.0.1:{port}/rest/v1.0/1", "a-token") as dialler:
            for _ in range(2):
                assert not await dialler.campaigns.list()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve, args=(listening,))
        serving.start()
        run(main)
        serving.join(timeout=10)
    assert len(opened) == 2


def test_cancelled_calls_leave_the_client_usable(run: Callable[[Main], None], sandbox: Sandbox) -> None:
    async def main() -> None:
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        sandbox.latency = 3600
        sandbox.faults.next(Meanwhile(lambda: loop.call_soon_threadsafe(arrived.set)))
        async with client(sandbox, pool=PoolConfig(limit=1)) as dialler:
            call = asyncio.create_task(dialler.campaigns.list())
            await arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            sandbox.latency = 0
            assert await dialler.campaigns.list()

    run(main)


def test_https_works_on_every_loop(run: Callable[[Main], None]) -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    async def main() -> None:
        async with client(sandbox, pool=PoolConfig(ssl=client_context)) as dialler:
            assert len(await dialler.campaigns.list()) == 3
            assert len(await dialler.campaigns.list()) == 3

    with Sandbox(3, ssl_context=server_context) as sandbox:
        run(main)
        assert sandbox.connections.opened == 1


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def run_anyio(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Return a function that runs a coroutine function under anyio, on each event loop in turn."""

    def run(main: Main) -> None:
        anyio.run(main, backend_options={"use_uvloop": request.param})

    return run


def test_anyio_cancel_scope_cancels_calls(run_anyio: Callable[[Main], None], sandbox: Sandbox) -> None:
    async def main() -> None:
        async with client(sandbox, pool=PoolConfig(limit=1)) as dialler:
            sandbox.faults.next(StallBeforeHeaders(), StallBeforeHeaders())
            with anyio.move_on_after(0.05) as scope:
                await dialler.campaigns.list()
            assert scope.cancelled_caught
            with pytest.raises(TimeoutError), anyio.fail_after(0.05):
                await dialler.campaigns.list()
            assert await dialler.campaigns.list()

    run_anyio(main)


def test_deadline_inside_an_anyio_cancel_scope_is_a_deadline_error(
    run_anyio: Callable[[Main], None], sandbox: Sandbox
) -> None:
    async def main() -> None:
        async with client(sandbox, timeouts=Timeouts(deadline=0.05)) as dialler:
            sandbox.faults.next(StallBeforeHeaders())
            with anyio.fail_after(60), pytest.raises(DeadlineError):
                await dialler.campaigns.list()

    run_anyio(main)


def test_anyio_task_group_shares_one_client(run_anyio: Callable[[Main], None], sandbox: Sandbox) -> None:
    names: dict[int, str | None] = {}

    async def main() -> None:
        async def fetch(id: int) -> None:
            names[id] = (await dialler.campaigns.get(id)).name

        async with client(sandbox, pool=PoolConfig(limit=4)) as dialler:
            async with anyio.create_task_group() as group:
                for id in sandbox.campaigns:
                    group.start_soon(fetch, id)
            with pytest.raises(ExceptionGroup) as raised:
                async with anyio.create_task_group() as group:
                    group.start_soon(fetch, 404404)
            assert [type(error) for error in raised.value.exceptions] == [NotFoundError]

    run_anyio(main)
    assert names == {id: record["Name"] for id, record in sandbox.campaigns.items()}
    assert sandbox.connections.peak <= 4


def test_worker_threads_make_calls_through_the_event_loop(run_anyio: Callable[[Main], None], sandbox: Sandbox) -> None:
    async def main() -> None:
        async with client(sandbox) as dialler:

            def blocking() -> int:
                return len(anyio.from_thread.run(dialler.campaigns.list))

            assert await anyio.to_thread.run_sync(blocking) == 30

    run_anyio(main)
