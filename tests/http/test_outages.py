"""Outages of a raw server: no read fails in a short outage, and a dead server gets few requests."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from dialler_async import ConnectError, DiallerClient, DiallerError, RetryPolicy, StatusError
from dialler_async.audit import audit
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.conftest import Until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("virtual_time")]

RESET, CUT, STALL, RESPOND = "reset", "cut", "stall", "respond"


class RawServer:
    """Responds to `get`. `plan` returns the behaviour for a path and the number of its earlier requests."""

    def __init__(self, plan: Callable[[str, int], str]) -> None:
        self.plan = plan
        self.requests: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and reset every connection."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            reset(writer)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                behaviour = self.plan(path, self.requests[path])
                self.requests[path] += 1
                if behaviour == STALL:
                    await asyncio.Event().wait()
                if not write_response(writer, path, behaviour):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()


def write_response(writer: asyncio.StreamWriter, path: str, behaviour: str) -> bool:
    """Write a response; return whether the connection stays open."""
    if behaviour == RESET:
        reset(writer)
        return False
    status, headers, body = "200", "", campaign(int(path.rpartition("/")[2]))
    if behaviour not in (CUT, RESPOND):
        status, _, retry_after = behaviour.partition(" ")
        headers = f"Retry-After: {retry_after}\r\n" if retry_after else ""
        body = b'{"status": %s, "error": "busy"}' % status.encode()
    sent = body[: len(body) // 2] if behaviour == CUT else body
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + sent)
    return behaviour != CUT


def campaign(id: int) -> bytes:
    return json.dumps({"records": [{"ID": id, "Name": f"Campaign {id}"}], "count": 1, "status": 200}).encode()


def reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def raw_server(plan: Callable[[str, int], str]) -> AsyncIterator[RawServer]:
    server = RawServer(plan)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def client_of(server: RawServer, **options: Any) -> AsyncIterator[DiallerClient]:
    async with DiallerClient(f"http://127.0.0.1:{server.port}/rest/v1.0/1", "token", **options) as dialler:
        yield dialler


async def get_all(dialler: DiallerClient, count: int) -> list[Any]:
    return await asyncio.gather(*(dialler.campaigns.get(id) for id in range(1, count + 1)), return_exceptions=True)


def failures(results: list[Any]) -> list[BaseException]:
    return [result for result in results if isinstance(result, BaseException)]


@pytest.mark.parametrize("concurrent", [8, 32, 200])
@pytest.mark.parametrize("behaviour", [RESET, CUT, "502", "503", "429", "503 0", "429 0"])
async def test_no_read_fails_when_each_first_request_fails(behaviour: str, concurrent: int) -> None:
    async with raw_server(lambda _, earlier: RESPOND if earlier else behaviour) as server, client_of(server) as dialler:
        results = await get_all(dialler, concurrent)
    assert failures(results) == []
    assert [result.id for result in results] == list(range(1, concurrent + 1))
    assert set(server.requests.values()) == {2}


@pytest.mark.parametrize("behaviour", ["429", "503"])
async def test_no_read_fails_when_30_percent_of_requests_get_429_or_503(behaviour: str) -> None:
    chance = random.Random(7)

    def plan(_: str, __: int) -> str:
        return behaviour if chance.random() < 0.3 else RESPOND

    async with raw_server(plan) as server, client_of(server, retry=RetryPolicy(attempts=8)) as dialler:
        results = await get_all(dialler, 600)
    assert failures(results) == []


@pytest.mark.parametrize("count", [1, 8, 200])
async def test_no_read_fails_when_the_port_refuses_for_400_ms(count: int, until: Until) -> None:
    async with raw_server(lambda *_: STALL) as server, client_of(server) as dialler:
        calling = asyncio.create_task(get_all(dialler, count))
        await until(lambda: server.requests.total() >= min(count, 32))
        await server.stop()
        server.plan = lambda *_: RESPOND
        # The length of the outage, in virtual time.
        await asyncio.sleep(0.4)
        await server.start()
        results = await calling
        assert failures(results) == []


async def test_calls_to_a_closed_port_fail_within_the_time_of_their_retries() -> None:
    async with raw_server(lambda *_: RESPOND) as server, client_of(server) as dialler:
        await server.stop()
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        errors = failures(await get_all(dialler, 200))
        took = loop.time() - started_at
        assert {type(error) for error in errors} == {ConnectError}
        assert len(errors) == 200
        # The delays take at most 1.75 s. A retry that the gate sends late takes longer.
        assert took < 1.75 + 2


@pytest.mark.parametrize("behaviour", [RESET, "503", "500", "502", "429"])
async def test_server_that_stays_down_gets_at_most_1_1_requests_per_concurrent_call(behaviour: str) -> None:
    async with raw_server(lambda *_: behaviour) as server, client_of(server) as dialler:
        errors = failures(await get_all(dialler, 200))
    assert len(errors) == 200
    assert server.requests.total() <= 220
    assert all(isinstance(error, DiallerError) for error in errors)
    if behaviour.isdigit():
        assert {error.status for error in errors if isinstance(error, StatusError)} == {int(behaviour)}


async def test_audit_reports_no_failed_lookup_when_the_server_restarts(until: Until) -> None:
    # The policy is ten times as fast as `patient()`, for an outage of 3 s instead of 30 s.
    patient = RetryPolicy.patient()
    fast = attrs.evolve(patient, base_delay=patient.base_delay / 10, max_delay=patient.max_delay / 10)
    async with Sandbox(campaigns=60, seed=1) as sandbox:
        async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
            report_without_outage = await audit(dialler)
        sandbox.journal.clear()
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=fast) as dialler:
            auditing = asyncio.create_task(audit(dialler))
            await until(lambda: len(sandbox.journal) >= 20)
            async with sandbox.refusing():
                # The length of the outage, in virtual time.
                await asyncio.sleep(3)
                assert not auditing.done()
            report = await auditing
    assert report.findings == report_without_outage.findings
