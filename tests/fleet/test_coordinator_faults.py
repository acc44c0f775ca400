"""Nothing is lost: coordinators that are killed, and several at once."""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from dialler_async.audit import AuditSettings
from dialler_async.fleet import Account, Auditor, Fleet, Server, Worker
from dialler_async.fleet.coordinator import begin_run, fleet_report, units_of, wait_for_run
from dialler_async.sandbox import Sandbox
from dialler_async.store import RunState, Store

if TYPE_CHECKING:
    from tests.fleet.conftest import FleetOn, Nights, StartAudit, StartWorker, WithoutTimes

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
SETTINGS = AuditSettings()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
async def test_run_whose_coordinator_is_killed_ten_times_ends_with_the_same_report(
    location: str, nights: Nights, start_worker: StartWorker, start_audit: StartAudit
) -> None:
    moments = sorted(random.Random(3).uniform(0, 1) for _ in range(10))
    async with nights(location) as night, start_worker(night):
        requests = night.expected["requests"]
        # The worker waits for the sandbox while a coordinator starts, and can't end the run before it is killed.
        await night.gate.let_pass(0)
        for number, moment in enumerate(moments):
            async with start_audit(night, "--workers") as audit:
                await night.gate.let_pass(moment * requests)
                await night.reach(moment)
                audit.send_signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
                _, errors = await audit.communicate()
                # SIGTERM may come before the command handles it by itself.
                assert audit.returncode in ((130, 143) if number % 2 else (-signal.SIGKILL,))
                assert b"Traceback" not in errors
        # The worker goes on, also to the end.
        await night.gate.let_pass(math.inf)
        async with asyncio.timeout(120):
            while not await night.is_over():
                pass
        assert (await night.store.runs.get()).state is RunState.OPEN
        async with start_audit(night, "--workers") as audit:
            output, _ = await audit.communicate()
        assert audit.returncode == 0
        assert json.loads(output)["findings"] == night.expected["findings"]
        await night.check()
        assert [received.call for received in night.sandbox.journal].count("list") == len(night.expected["accounts"])


async def test_two_coordinators_of_one_run_audit_each_account_once(
    location: str, store: Store, fleet_on: FleetOn, without_times: WithoutTimes
) -> None:
    async with Sandbox(campaigns=2, accounts=6) as sandbox, Store(location) as other:
        fleet = fleet_on(sandbox)
        run = await begin_run(store, fleet, SETTINGS, now=NOW)
        assert await other.runs.unfinished(units_of(fleet)) == run
        works = [Worker(one, Auditor(one, fleet, SETTINGS, None), run=run.id) for one in (store, other)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(wait_for_run(store, run, work.work(asyncio.Event())) for work in works))
        first, second = [await fleet_report(one, run) for one in (store, other)]
    assert without_times(first) == without_times(second)
    assert first.campaign_count == 12
    assert [received.call for received in sandbox.journal].count("list") == 6


async def test_runs_of_overlapping_fleets_at_once_each_have_the_report_of_an_undisturbed_run(
    location: str, store: Store, fleet_on: FleetOn
) -> None:
    async with Sandbox(campaigns=2, accounts=4) as sandbox, Sandbox(campaigns=3, seed=2) as elsewhere:
        whole = fleet_on(sandbox)
        server = Server(name="elsewhere", url=elsewhere.server)
        account = Account(name="elsewhere", server="elsewhere", clients_id=1, token=lambda: elsewhere.token)
        accounts = list(whole.accounts.values())
        fleets = [
            Fleet.of(whole.servers.values(), accounts[:3]),
            Fleet.of([server, *whole.servers.values()], [account, *accounts[1:]]),
        ]
        async with Store(location) as other:
            stores = (store, other)
            runs = [await begin_run(one, fleet, SETTINGS, now=NOW) for one, fleet in zip(stores, fleets, strict=True)]
            # Each goes on with its own run, though some accounts are in both.
            assert [await store.runs.unfinished(units_of(fleet)) for fleet in fleets] == runs
            works = [
                wait_for_run(
                    one, run, Worker(one, Auditor(one, fleet, SETTINGS, None), run=run.id).work(asyncio.Event())
                )
                for one, fleet, run in zip(stores, fleets, runs, strict=True)
            ]
            async with asyncio.timeout(60):
                await asyncio.gather(*works)
        reports = [await fleet_report(store, run) for run in runs]
    assert [list(report.accounts) for report in reports] == [list(fleet.accounts) for fleet in fleets]
    assert [report.campaign_count for report in reports] == [6, 9]
    # An account in both has the same findings in both. Only the run that came second says what is unchanged.
    shared = {account.name for account in accounts[1:3]}
    first, second = [
        {(one.account, one.rule, one.message) for one in report.findings if one.account in shared} for report in reports
    ]
    assert first == second


async def test_run_that_workers_ended_while_nobody_waited_is_reported_by_the_next_resume(
    store: Store, fleet_on: FleetOn
) -> None:
    async with Sandbox(campaigns=2, accounts=2) as sandbox:
        fleet = fleet_on(sandbox)
        run = await begin_run(store, fleet, SETTINGS, now=NOW)
        await Worker(store, Auditor(store, fleet, SETTINGS, None), run=run.id).work(asyncio.Event())
        assert await store.runs.unfinished(units_of(fleet)) == run
        assert await wait_for_run(store, run)
        assert (await store.runs.get()).state is RunState.FINISHED
        assert await store.runs.unfinished(units_of(fleet)) is None
