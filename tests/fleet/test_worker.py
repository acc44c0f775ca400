"""Workers: leases, misfits, dead servers, and stopping."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import pytest

import dialler_async.fleet.worker
import dialler_async.store.runs
from dialler_async import ConfigurationError
from dialler_async.audit import AuditSettings
from dialler_async.fleet import Account, Auditor, Fleet, Server, Worker, audit_fleet
from dialler_async.fleet.coordinator import begin_run, fleet_report, wait_for_run
from dialler_async.fleet.worker import seconds_to_next_look
from dialler_async.sandbox import Sandbox
from dialler_async.store import Store, StoreError
from dialler_async.store.schema import LEASES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dialler_async.store import Run
    from tests.conftest import HeldRequest, Until
    from tests.fleet.conftest import FleetOn, RequestGauge, WithoutTimes

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
SETTINGS = AuditSettings()


def worker_of(store: Store, fleet: Fleet, run: Run | None = None, **options: Any) -> Worker:
    auditor = Auditor(store, fleet, options.pop("settings", SETTINGS), None)
    return Worker(store, auditor, run=None if run is None else run.id, **options)


def without(fleet: Fleet, *names: str) -> Fleet:
    accounts = [account for name, account in fleet.accounts.items() if name not in names]
    return Fleet.of(fleet.servers.values(), accounts)


def with_second_account(fleet: Fleet, changes: dict[str, Any]) -> Fleet:
    accounts = {**fleet.accounts, "account 2": attrs.evolve(fleet.accounts["account 2"], **changes)}
    return Fleet.of(fleet.servers.values(), accounts.values())


class HeldRun(NamedTuple):
    """A run of two accounts with one campaign each, on a sandbox that holds the first request."""

    sandbox: Sandbox
    fleet: Fleet
    run: Run
    held: HeldRequest


@pytest.fixture
async def held_run(file_store: Store, hold: type[HeldRequest], fleet_on: FleetOn) -> AsyncIterator[HeldRun]:
    async with Sandbox(campaigns=1, accounts=2) as sandbox:
        fleet, held = fleet_on(sandbox), hold()
        run = await begin_run(file_store, fleet, SETTINGS, now=NOW)
        sandbox.faults.next(held)
        yield HeldRun(sandbox, fleet, run, held)


async def finish(store: Store, run: Run, *workers: Worker) -> None:
    """Let workers without a run of their own finish a run."""
    stop = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.work(stop))
        await wait_for_run(store, run)
        stop.set()


async def test_two_workers_share_the_servers_of_a_run(location: str, store: Store, fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=2, accounts=3) as first, Sandbox(campaigns=2, accounts=3, seed=2) as second:
        servers = [Server(name="first", url=first.server), Server(name="second", url=second.server)]
        accounts = [
            Account(name=f"{server.name} {id}", server=server.name, clients_id=id, token=lambda one=one: one.token)
            for server, sandbox in zip(servers, (first, second), strict=True)
            for id, one in sandbox.accounts.items()
        ]
        fleet = Fleet.of(servers, accounts)
        run = await begin_run(store, fleet, SETTINGS, now=NOW)
        async with Store(location) as other:
            await finish(store, run, worker_of(store, fleet), worker_of(other, fleet))
        report = await fleet_report(store, run)
    assert report.campaign_count == 12
    assert not report.unfinished
    # Each account is listed once, by whichever worker.
    assert [received.call for received in (*first.journal, *second.journal)].count("list") == 6


async def test_two_runs_never_have_one_server_at_a_time(
    location: str, store: Store, fleet_on: FleetOn, gauge: RequestGauge
) -> None:
    async with Sandbox(campaigns=3, accounts=6, latency=0.002) as sandbox, Store(location) as other:
        sandbox.faults.chance(1.0, [gauge])
        fleet = fleet_on(sandbox, max_concurrency=2)
        runs = [await begin_run(one, fleet, SETTINGS, now=NOW) for one in (store, other)]
        works = [
            worker_of(one, fleet, run).work(asyncio.Event()) for one, run in zip((store, other), runs, strict=True)
        ]
        await asyncio.gather(*(wait_for_run(store, run, work) for run, work in zip(runs, works, strict=True)))
        first, second = [await fleet_report(store, run) for run in runs]
    assert gauge.peak == 2
    assert {finding.message for finding in first.findings} == {finding.message for finding in second.findings}


class TestMisfits:
    @pytest.mark.parametrize(
        ("misfit", "reason"),
        [
            ("fewer accounts", "account “account 2”: this fleet.toml has no such account"),
            ("another ClientsID", "account “account 2”: it has clients_id 2 in the run, and 9 in this fleet.toml"),
            ("another URL", "this fleet.toml has no server with this URL"),
            ("other settings", "the audit settings of the run"),
            ("another version", "the run is of dialler-async"),
        ],
    )
    async def test_worker_that_does_not_match_the_run_changes_nothing_in_its_report(
        self,
        store: Store,
        fleet_on: FleetOn,
        without_times: WithoutTimes,
        until: Until,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        misfit: str,
        reason: str,
    ) -> None:
        async with Sandbox(campaigns=2, accounts=3) as sandbox, Sandbox(campaigns=1, accounts=3) as other:
            fleet = fleet_on(sandbox)
            expected = without_times(await audit_fleet(fleet, now=NOW))
            run = await begin_run(store, fleet, SETTINGS, now=NOW)
            fleets = {
                "fewer accounts": without(fleet, "account 2"),
                "another ClientsID": with_second_account(fleet, {"clients_id": 9}),
                "another URL": fleet_on(other),
            }
            settings = AuditSettings(select=("expired",)) if misfit == "other settings" else SETTINGS
            stop = asyncio.Event()
            working = asyncio.create_task(worker_of(store, fleets.get(misfit, fleet), settings=settings).work(stop))
            with monkeypatch.context() as patch:
                if misfit == "another version":
                    patch.setattr(dialler_async.store.runs, "__version__", "0.0.1")
                    patch.setattr(dialler_async.fleet.worker, "__version__", "0.0.1")
                await until(lambda: reason in caplog.text)
            await finish(store, run, worker_of(store, fleet))
            stop.set()
            await working
            report = await fleet_report(store, run)
        assert without_times(report) == expected
        assert not other.journal

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"clients_id": 9}, "it has clients_id 2 in the run, and 9 in this fleet.toml"),
            ({"name": "renamed"}, "this fleet.toml has no such account"),
        ],
    )
    async def test_changed_account_is_refused_and_the_run_goes_on_later(
        self, file_store: Store, fleet_on: FleetOn, changes: dict[str, Any], reason: str
    ) -> None:
        async with Sandbox(campaigns=1, accounts=3) as sandbox:
            fleet = fleet_on(sandbox)
            run = await begin_run(file_store, fleet, SETTINGS, now=NOW)
            with pytest.raises(ConfigurationError, match=f"account “account 2”: {reason}"):
                await worker_of(file_store, with_second_account(fleet, changes), run).work(asyncio.Event())
            assert [unit.name for unit in await file_store.runs.units(run.id)] == ["account 2"]
            await worker_of(file_store, fleet, run).work(asyncio.Event())
        assert await file_store.runs.finish(run.id)

    async def test_swapped_clients_ids_are_refused(self, file_store: Store, fleet_on: FleetOn) -> None:
        async with Sandbox(campaigns=1, accounts=2) as sandbox:
            fleet = fleet_on(sandbox)
            first, second = fleet.accounts.values()
            swapped = [attrs.evolve(first, clients_id=2), attrs.evolve(second, clients_id=1)]
            run = await begin_run(file_store, fleet, SETTINGS, now=NOW)
            with pytest.raises(ConfigurationError, match="it has clients_id 1 in the run, and 2"):
                await worker_of(file_store, Fleet.of(fleet.servers.values(), swapped), run).work(asyncio.Event())
            assert not sandbox.journal

    async def test_account_on_another_server_is_refused(self, file_store: Store, fleet_on: FleetOn) -> None:
        async with Sandbox(campaigns=1, accounts=2) as sandbox, Sandbox(campaigns=1) as other:
            fleet = fleet_on(sandbox)
            run = await begin_run(file_store, fleet, SETTINGS, now=NOW)
            elsewhere = Server(name="other", url=other.server)
            moved = Fleet.of(
                [*fleet.servers.values(), elsewhere],
                [fleet.accounts["account 1"], attrs.evolve(fleet.accounts["account 2"], server="other")],
            )
            with pytest.raises(ConfigurationError, match=f"account “account 2”: it is on {sandbox.server} in the run"):
                await worker_of(file_store, moved, run).work(asyncio.Event())
            assert not other.journal

    async def test_other_settings_version_or_url_are_refused_before_the_first_request(
        self, file_store: Store, fleet_on: FleetOn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with Sandbox(campaigns=1) as sandbox, Sandbox(campaigns=1) as other:
            fleet = fleet_on(sandbox)
            run = await begin_run(file_store, fleet, SETTINGS, now=NOW)
            settings = AuditSettings(select=("expired",))
            with pytest.raises(ConfigurationError, match=r"audit settings of the run .* differ"):
                await worker_of(file_store, fleet, run, settings=settings).work(asyncio.Event())
            with pytest.raises(ConfigurationError, match=r"this fleet.toml has no server with this URL"):
                await worker_of(file_store, fleet_on(other), run).work(asyncio.Event())
            with monkeypatch.context() as patch:
                patch.setattr(dialler_async.store.runs, "__version__", "0.0.1")
                old = await begin_run(file_store, fleet, SETTINGS, now=NOW)
            with pytest.raises(ConfigurationError, match=r"the run is of dialler-async 0\.0\.1"):
                await worker_of(file_store, fleet, old).work(asyncio.Event())
            assert not sandbox.journal

    async def test_idle_worker_says_what_it_can_not_take(
        self, file_store: Store, fleet_on: FleetOn, until: Until
    ) -> None:
        async with Sandbox(campaigns=1) as sandbox:
            fleet = fleet_on(sandbox)
            await begin_run(file_store, fleet, SETTINGS, now=NOW)
            stop = asyncio.Event()
            worker = worker_of(file_store, fleet, settings=AuditSettings(select=("expired",)), lease_seconds=0.3)
            working = asyncio.create_task(worker.work(stop))
            async with asyncio.timeout(30):
                notes: set[str] = set()
                while not any("settings of the run" in note for note in notes):
                    notes = {one.note for one in await file_store.leases.held()}
            stop.set()
            await working
            assert await file_store.leases.held() == []


async def test_worker_that_lost_its_lease_stops_the_server_at_once(file_store: Store, held_run: HeldRun) -> None:
    _, fleet, run, held = held_run
    stop = asyncio.Event()
    working = asyncio.create_task(worker_of(file_store, fleet, lease_seconds=0.6).work(stop))
    await held.arrived.wait()
    # Another process takes the row, as if this one had stood still.
    [server] = [one for one in await file_store.leases.held() if one.url]
    await _steal(file_store, server.url)
    await held.hung_up.wait()
    stop.set()
    await working
    assert len(await file_store.runs.units(run.id)) >= 1
    assert any(one.url for one in await file_store.leases.held()), "the lease of the other process stays"


async def _steal(store: Store, url: str) -> None:
    await store._database.write(
        lambda connection: connection.execute(
            LEASES.update().where(LEASES.c.url == url).values(owner="another", until=2e10)
        )
    )


async def test_stopped_worker_leaves_its_accounts_to_others_within_seconds(
    file_store: Store, held_run: HeldRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialler_async.fleet.worker._GRACE_SECONDS", 0.1)
    _, fleet, run, held = held_run
    stop = asyncio.Event()
    working = asyncio.create_task(worker_of(file_store, fleet).work(stop))
    await held.arrived.wait()
    stop.set()
    async with asyncio.timeout(10):
        await working
    assert await file_store.leases.held() == []
    await wait_for_run(file_store, run, worker_of(file_store, fleet, run).work(asyncio.Event()))


@pytest.mark.parametrize("turns", [1, 2, 6, 9])
async def test_worker_that_is_cancelled_again_while_it_ends_closes_its_client_and_gives_the_server_back(
    file_store: Store, held_run: HeldRun, until: Until, turns: int
) -> None:
    sandbox, fleet, run, held = held_run
    working = asyncio.create_task(worker_of(file_store, fleet).work(asyncio.Event()))
    await held.arrived.wait()
    while len(await file_store.runs.units(run.id)) == 2:
        pass
    assert sandbox.connections.open > 1, "the pool keeps the connection of the account that has ended"
    working.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await until(lambda: sandbox.connections.open == 0)
    async with asyncio.timeout(10):
        while await file_store.leases.held():
            pass


async def test_store_that_fails_ends_the_work_of_a_run_with_its_reason(
    file_store: Store, fleet_on: FleetOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise StoreError("the store audits.db: database or disk is full")

    async with Sandbox(campaigns=1, accounts=3) as sandbox:
        fleet = fleet_on(sandbox)
        run = await begin_run(file_store, fleet, SETTINGS, now=NOW)
        with monkeypatch.context() as patch:
            patch.setattr(file_store.results, "save", fails)
            with pytest.raises(StoreError, match="disk is full"):
                await worker_of(file_store, fleet, run).work(asyncio.Event())
        await worker_of(file_store, fleet, run).work(asyncio.Event())
    assert await file_store.runs.finish(run.id)


@pytest.mark.parametrize(("took", "pause"), [(0.0, 0.1), (0.03, 0.3), (60.0, 1.0)])
def test_slower_store_is_looked_into_less_often(took: float, pause: float) -> None:
    assert seconds_to_next_look(took) == pytest.approx(pause)


async def test_worker_does_not_request_accounts_again_and_again_while_results_can_not_be_stored(
    file_store: Store,
    fleet_on: FleetOn,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise StoreError("the store audits.db: database or disk is full")

    monkeypatch.setattr("dialler_async.fleet.worker.seconds_to_next_look", lambda took: 0)
    async with Sandbox(campaigns=1, accounts=3) as sandbox:
        fleet = fleet_on(sandbox)
        run = await begin_run(file_store, fleet, SETTINGS, now=NOW)
        stop = asyncio.Event()
        with monkeypatch.context() as patch:
            patch.setattr(file_store.results, "save", fails)
            working = asyncio.create_task(worker_of(file_store, fleet, lease_seconds=3600).work(stop))
            await until(lambda: "disk is full" in caplog.text)
            requested = len(sandbox.journal)
            for _ in range(50):
                assert len(await file_store.runs.units(run.id)) == 3
            assert len(sandbox.journal) == requested
        stop.set()
        await working
        await finish(file_store, run, worker_of(file_store, fleet))
