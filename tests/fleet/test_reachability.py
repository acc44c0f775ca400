"""Servers that don't respond, and OpenTelemetry."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import opentelemetry.trace
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import dialler_async.contrib.opentelemetry
import dialler_async.fleet.reachability
from dialler_async.audit import AuditSettings
from dialler_async.fleet import Account, Auditor, Fleet, Server, Worker, audit_fleet
from dialler_async.fleet.coordinator import begin_run
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from dialler_async.store import Store
    from tests.fleet.conftest import FleetOn


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server be given up after a moment instead of 45 s."""
    monkeypatch.setattr(dialler_async.fleet.reachability, "GIVE_UP_SECONDS", 0.3)


@pytest.mark.usefixtures("impatient")
async def test_accounts_of_a_dead_server_are_not_tried_one_by_one(fleet_on: FleetOn) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = Server(name="dead", url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        async with Sandbox(campaigns=2, accounts=3) as sandbox:
            fleet = fleet_on(sandbox)
            lost = [Account(name=f"lost {id}", server="dead", clients_id=id, token=lambda: "t") for id in range(1, 101)]
            async with asyncio.timeout(60):
                # With the nightly policy, each of the 100 accounts would wait for 75 s.
                report = await audit_fleet(Fleet.of([dead, *fleet.servers.values()], [*lost, *fleet.accounts.values()]))
    failed = [finding for finding in report.findings if finding.rule == "not-audited"]
    assert [finding.account for finding in failed] == [account.name for account in lost]
    assert {"the server did not respond for" in finding.message for finding in failed} == {True}
    assert report.campaign_count == 6


async def test_servers_that_hang_delay_no_other_server(file_store: Store, fleet_on: FleetOn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # Nobody accepts their connections. The paths make five servers of it.
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hanging = [Server(name=f"hanging {number}", url=f"{origin}/{number}") for number in range(5)]
        lost = [
            Account(name=f"{server.name} {id}", server=server.name, clients_id=id, token=lambda: "t")
            for server in hanging
            for id in range(1, 31)
        ]
        async with Sandbox(campaigns=2, accounts=3) as sandbox:
            fleet = fleet_on(sandbox)
            fleet = Fleet.of([*hanging, *fleet.servers.values()], [*lost, *fleet.accounts.values()])
            run = await begin_run(file_store, fleet, AuditSettings())
            stop = asyncio.Event()
            worker = Worker(file_store, Auditor(file_store, fleet, AuditSettings(), None), run=run.id)
            working = asyncio.create_task(worker.work(stop))
            try:
                async with asyncio.timeout(120):
                    servers = await file_store.runs.servers(run.id)
                    while servers[-1].waiting:
                        servers = await file_store.runs.servers(run.id)
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
    # Each of the others has not even been given up.
    assert [(server.done, server.failed) for server in servers] == [(0, 0)] * 5 + [(3, 0)]


@pytest.mark.usefixtures("impatient")
async def test_server_that_answers_with_errors_is_not_given_up(fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=2, accounts=2, latency=0.2) as sandbox:
        sandbox.accounts[1].revoke()
        report = await audit_fleet(fleet_on(sandbox))
    assert not any("did not respond" in finding.message for finding in report.findings)


async def test_spans_of_the_client_are_there_if_a_provider_is_set_up(
    fleet_on: FleetOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(opentelemetry.trace, "get_tracer_provider", lambda: provider)
    async with Sandbox(campaigns=2) as sandbox:
        await audit_fleet(fleet_on(sandbox))
    names = [span.name for span in exporter.get_finished_spans()]
    assert names.count("GET /dialler/campaigns") == 1
    assert len(names) == 5
