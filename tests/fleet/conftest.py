"""Fixtures: the fleet of a sandbox, stores, and runs whose processes are disturbed."""

import asyncio
import json
import math
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from dialler_async import DiallerClient
from dialler_async.audit import WRITERS, AuditSettings, Finding, FleetReport, audit
from dialler_async.fleet import Account, Fleet, Server, audit_fleet
from dialler_async.fleet.coordinator import begin_run, fleet_report, wait_for_run
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Fault
from dialler_async.sandbox.in_flight_request import InFlightRequest
from dialler_async.sandbox.response import SandboxResponse
from dialler_async.store import Run, Store

if TYPE_CHECKING:
    from tests.conftest import Command

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
_SETTINGS = AuditSettings()

FleetOn = Callable[..., Fleet]
WriteFleet = Callable[..., Path]
AuditOneByOne = Callable[[Sandbox], Awaitable[list[Finding]]]
WithoutTimes = Callable[[FleetReport], dict[str, Any]]


def _name_of(clients_id: int) -> str:
    return f"account {clients_id}"


@pytest.fixture
def fleet_on() -> FleetOn:
    """Return a function that creates a fleet of all accounts of a sandbox."""
    return _fleet_on


def _fleet_on(sandbox: Sandbox, **limits: Any) -> Fleet:
    return Fleet.of(
        [Server(name="sandbox", url=sandbox.server, **limits)],
        [
            Account(name=_name_of(id), server="sandbox", clients_id=id, token=partial(getattr, account, "token"))
            for id, account in sandbox.accounts.items()
        ],
    )


@pytest.fixture
def write_fleet() -> WriteFleet:
    """Return a function that writes the fleet of a sandbox to a `fleet.toml`, with one file per token."""
    return _write_fleet


def _write_fleet(sandbox: Sandbox, directory: Path, **limits: Any) -> Path:
    options = "".join(f"{key} = {value}\n" for key, value in limits.items())
    tables = [f'[[servers]]\nname = "sandbox"\nurl = "{sandbox.server}"\n{options}']
    for id, account in sandbox.accounts.items():
        (directory / f"{id}.token").write_text(account.token)
        tables.append(
            f'[[accounts]]\nname = "{_name_of(id)}"\nserver = "sandbox"\nclients_id = {id}\ntoken_file = "{id}.token"\n'
        )
    manifest = directory / "fleet.toml"
    manifest.write_text("\n".join(tables))
    return manifest


@pytest.fixture
def audit_one_by_one() -> AuditOneByOne:
    """Return a function that audits the accounts of a sandbox one by one, and returns all findings."""
    return _audit_one_by_one


async def _audit_one_by_one(sandbox: Sandbox) -> list[Finding]:
    findings: list[Finding] = []
    for id, account in sandbox.accounts.items():
        async with DiallerClient.for_server(sandbox.server, id, account.token) as dialler:
            report = await audit(dialler, now=NOW)
        findings += [attrs.evolve(finding, account=_name_of(id)) for finding in report.findings]
    return sorted(findings, key=lambda finding: finding.severity.rank)


@pytest.fixture
def without_times() -> WithoutTimes:
    """Return a function that returns the content of a report without its times, because they differ between runs."""
    return _without_times


def _without_times(report: FleetReport) -> dict[str, Any]:
    content: dict[str, Any] = json.loads("".join(WRITERS["json"](attrs.evolve(report, seconds=0.0, started=NOW))))
    return content


class RequestGauge(Fault):
    """Records how many requests the server runs at once, and does not change them."""

    def __init__(self) -> None:
        self.running = self.peak = 0

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            return await request.carry_out()
        finally:
            self.running -= 1


@pytest.fixture
def gauge() -> RequestGauge:
    """Return a fault that records how many requests the server runs at once."""
    return RequestGauge()


@pytest.fixture
async def store(location: str) -> AsyncIterator[Store]:
    """Yield an open store; the test runs on both databases."""
    async with Store(location) as store:
        yield store


@pytest.fixture
async def file_store(tmp_path: Path) -> AsyncIterator[Store]:
    """Yield an open store in a file, for what doesn't depend on the database."""
    async with Store(tmp_path / "audits.db") as store:
        yield store


# A worker of all open runs, or with a third argument the process of one run. Its lease is 2 s long instead of 15 s, and
# it audits 2 accounts at once instead of 16, so that some have ended whenever it is killed.
_WORKER = """
import asyncio, os, signal, sys
import dialler_async.fleet.worker
from pathlib import Path
from dialler_async.audit import AuditSettings
from dialler_async.fleet import Auditor, Worker, read_fleet
from dialler_async.store import Store

dialler_async.fleet.worker._ACCOUNTS_OF_A_SERVER = 2

async def main():
    manifest, stop = Path(sys.argv[1]), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    run = int(sys.argv[3]) if len(sys.argv) > 3 else None
    settings = AuditSettings(rules=tuple(os.environ.get("RULES", "").split()))
    async with Store(sys.argv[2]) as store:
        print("ready", flush=True)
        auditor = Auditor(store, read_fleet(manifest), settings, manifest.parent)
        await Worker(store, auditor, run=run, lease_seconds=2).work(stop)

asyncio.run(main())
"""


class Gate(Fault):
    """Lets requests pass up to a number, at first all. The others wait for a higher number."""

    def __init__(self) -> None:
        self._arrived = 0
        self._most = math.inf
        self._changed = asyncio.Condition()

    async def let_pass(self, most: float) -> None:
        """Let so many requests pass, counted from the first."""
        async with self._changed:
            self._most = most
            self._changed.notify_all()

    async def reached(self, number: float) -> None:
        """Wait until so many requests have arrived."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._arrived >= number)

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        async with self._changed:
            self._arrived += 1
            number = self._arrived
            self._changed.notify_all()
            await self._changed.wait_for(lambda: number <= self._most)
        return await request.carry_out()


@attrs.frozen
class Night:
    """A run of a fleet on a sandbox, which takes long enough to be disturbed.

    Attributes:
        gate: limits the requests that the sandbox answers.
        expected: the report of an undisturbed run, without its times.
    """

    sandbox: Sandbox
    manifest: str
    store: Store
    run: Run
    expected: dict[str, Any]
    gate: Gate

    async def reach(self, share: float) -> None:
        """Wait until this share of the requests of an undisturbed run has arrived."""
        async with asyncio.timeout(120):
            await self.gate.reached(share * self.expected["requests"])

    async def wait_until_taken_by(self, worker: Process) -> None:
        """Wait until a worker has the server."""
        while not any(one.url and one.host.endswith(f":{worker.pid}") for one in await self.store.leases.held()):
            pass

    async def is_over(self) -> bool:
        """Return whether each account has a result."""
        return not await self.store.runs.units(self.run.id)

    async def check(self) -> None:
        """Wait for the end of the run, and compare its report."""
        async with asyncio.timeout(180):
            await wait_for_run(self.store, self.run)
        assert _without_times(await fleet_report(self.store, self.run)) == self.expected


Nights = Callable[..., AbstractAsyncContextManager[Night]]


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    """Return a context manager that begins a run in a store."""

    @asynccontextmanager
    async def night(location: str, settings: AuditSettings = _SETTINGS) -> AsyncIterator[Night]:
        async with Sandbox(campaigns=4, accounts=12) as sandbox, Store(location) as store:
            fleet, gate = _fleet_on(sandbox), Gate()
            expected = await audit_fleet(fleet, settings=settings, directory=tmp_path, now=NOW)
            sandbox.journal.clear()
            manifest = str(_write_fleet(sandbox, tmp_path, max_rate=60))
            run = await begin_run(store, fleet, settings, now=NOW)
            sandbox.faults.chance(1.0, [gate])
            yield Night(sandbox, manifest, store, run, _without_times(expected), gate)

    return night


StartWorker = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def start_worker(command: "Command", location: str) -> StartWorker:
    """Return a context manager that runs a worker of the store, and kills it at the end."""

    @asynccontextmanager
    async def start(night: Night, *arguments: str, **changed: str) -> AsyncIterator[Process]:
        argv = (sys.executable, "-W", "error", "-c", _WORKER, night.manifest, location, *arguments)
        async with _process(argv, command.environment(**changed), stdout=PIPE, stderr=DEVNULL) as process:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            yield process

    return start


StartAudit = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def start_audit(command: "Command", location: str) -> StartAudit:
    """Return a context manager that runs `dialler fleet audit --resume --json`, and kills it at the end."""

    @asynccontextmanager
    async def start(night: Night, *arguments: str) -> AsyncIterator[Process]:
        argv = (*command.argv, "fleet", "audit", night.manifest, "--store", location, "--resume", "--json", *arguments)
        async with _process(argv, command.environment(), stdout=PIPE, stderr=PIPE) as process:
            assert process.stderr is not None
            assert b"is unfinished" in await process.stderr.readline()
            yield process

    return start


@asynccontextmanager
async def _process(argv: Iterable[str], environment: dict[str, str], **streams: int) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, env=environment, **streams)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
