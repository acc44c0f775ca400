"""Fixtures: the fleet of a sandbox, and stores."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from dialler_async import DiallerClient
from dialler_async.audit import WRITERS, Finding, FleetReport, audit
from dialler_async.fleet import Account, Fleet, Server
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Fault
from dialler_async.sandbox.in_flight_request import InFlightRequest
from dialler_async.sandbox.response import SandboxResponse
from dialler_async.store import Store

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)

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
    return lambda report: json.loads("".join(WRITERS["json"](attrs.evolve(report, seconds=0.0, started=NOW))))


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
