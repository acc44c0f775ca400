"""The sandbox in its own thread, which a plain `with` starts."""

import asyncio
import errno
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Meanwhile, Status
from dialler_async.sandbox.listener import Listener


def status_of(sandbox: Sandbox, path: str = "", method: str = "GET") -> int:
    request = urllib.request.Request(  # noqa: S310  the URL of the sandbox
        f"{sandbox.base_url}/dialler/campaigns{path}",
        method=method,
        headers={"Authorization": f"Bearer {sandbox.token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  the URL of the sandbox
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def port_of(sandbox: Sandbox) -> int:
    return int(sandbox.server.rpartition(":")[2])


def test_plain_with_serves_synchronous_clients() -> None:
    with Sandbox([{"ID": 7, "Name": "x"}]) as sandbox:
        assert status_of(sandbox, "/7") == 200
        sandbox.load({"ID": 8, "Name": "y"})
        assert status_of(sandbox, "/8") == 200
        sandbox.remove(8)
        assert status_of(sandbox, "/8") == 404
        sandbox.faults.next(Status(503))
        assert status_of(sandbox, "/7") == 503
        assert status_of(sandbox, "/campaign/7", "DELETE") == 200
        assert not sandbox.campaigns
    assert [received.status for received in sandbox.journal] == [200, 200, 404, 503, 200]


def test_closing_ends_the_thread_and_frees_the_port_for_reopening() -> None:
    sandbox = Sandbox([])
    before = set(threading.enumerate())
    for _ in range(2):
        with sandbox:
            port = port_of(sandbox)
            assert status_of(sandbox) == 200
            with pytest.raises(RuntimeError, match="open already"):
                sandbox.__enter__()
        assert set(threading.enumerate()) == before
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    with pytest.raises(RuntimeError, match="not open"):
        sandbox.__exit__(None, None, None)


def test_port_in_use_raises_in_the_calling_thread_and_leaves_no_thread() -> None:
    with Sandbox([]) as sandbox:
        before = set(threading.enumerate())
        second = Sandbox([], port=port_of(sandbox))
        with pytest.raises(OSError) as caught:  # noqa: PT011  the error number tells, below
            second.__enter__()
        assert caught.value.errno == errno.EADDRINUSE
        assert set(threading.enumerate()) == before
        with pytest.raises(RuntimeError, match="not open"):
            _ = second.base_url


def test_refusing_works_in_a_plain_with() -> None:
    with Sandbox([]) as sandbox:
        with sandbox.refusing(), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of(sandbox)))
        assert status_of(sandbox) == 200


async def test_refusing_works_in_async_with_from_another_loop() -> None:
    with Sandbox([]) as sandbox:
        async with sandbox.refusing():
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port_of(sandbox))
        assert await asyncio.to_thread(status_of, sandbox) == 200


async def test_refusing_in_a_plain_with_raises_if_the_sandbox_runs_in_the_event_loop() -> None:
    async with Sandbox([]) as sandbox:
        with pytest.raises(RuntimeError, match="use `async with"), sandbox.refusing():
            pass


def test_close_idle_closes_connections_in_the_thread_of_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    close_idle = Listener.close_idle

    def record(listener: Listener) -> None:
        threads.append(threading.current_thread().name)
        close_idle(listener)

    monkeypatch.setattr(Listener, "close_idle", record)
    with Sandbox([]) as sandbox, socket.create_connection(("127.0.0.1", port_of(sandbox)), timeout=10) as connection:
        assert status_of(sandbox) == 200  # After this response, the server has accepted the first connection too.
        sandbox.close_idle()
        assert connection.recv(1) == b""
    assert threads == ["dialler-sandbox"]


def test_larger_capacity_admits_queued_requests() -> None:
    with ThreadPoolExecutor(2) as threads, Sandbox([], capacity=1, latency=3600) as sandbox:
        arrived = threading.Semaphore(0)
        sandbox.faults.chance(1.0, [Meanwhile(arrived.release)])
        threads.submit(send_and_wait_for_close, sandbox)
        assert arrived.acquire(timeout=10)
        sandbox.latency = 0
        queued = threads.submit(status_of, sandbox)
        assert arrived.acquire(timeout=10)
        assert not queued.done()
        sandbox.capacity = 2
        assert queued.result(timeout=10) == 200


def send_and_wait_for_close(sandbox: Sandbox) -> None:
    """Send a request and wait until the sandbox closes the connection."""
    head = "GET /rest/v1.0/1/dialler/campaigns HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port_of(sandbox))) as connection:
        connection.sendall(head.format(sandbox.token).encode())
        connection.recv(1)


def test_fault_can_call_methods_of_the_sandbox_in_its_own_thread() -> None:
    with Sandbox([{"ID": 7}]) as sandbox:

        def act() -> None:
            sandbox.capacity = 3
            sandbox.remove(7)
            sandbox.close_idle()

        sandbox.faults.next(Meanwhile(act))
        assert status_of(sandbox, "/7") == 404
        assert sandbox.capacity == 3


def test_concurrent_changes_from_many_threads_are_all_applied() -> None:
    with Sandbox([{"ID": 1, "Name": "Template"}]) as sandbox, ThreadPoolExecutor(4) as threads:

        def change_campaigns(index: int) -> None:
            [id] = sandbox.load({"Name": f"Campaign {index}"})
            sandbox.change(id, UserData=str(index))
            assert status_of(sandbox) == 200
            sandbox.remove(id)

        for done in [threads.submit(change_campaigns, index) for index in range(40)]:
            done.result()
        assert list(sandbox.campaigns) == [1]
        assert status_of(sandbox) == 200
