"""Fleets that are audited in one process, also if some accounts fail."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

import dialler_async.fleet.coordinator
from dialler_async import ConfigurationError
from dialler_async.audit import AuditSettings, Finding, FleetReport, Severity, Topic
from dialler_async.fleet import Account, Auditor, Fleet, Server, Worker, audit_fleet
from dialler_async.fleet.coordinator import begin_run, fleet_report, units_of, wait_for_run
from dialler_async.sandbox import Sandbox
from dialler_async.store import StoreError
from dialler_async.store.schema import RUNS, database_now

if TYPE_CHECKING:
    from dialler_async.store import Store
    from tests.conftest import HeldRequest
    from tests.fleet.conftest import AuditOneByOne, FleetOn, RequestGauge, WithoutTimes

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


def in_order(report: FleetReport) -> list[Finding]:
    """Return the findings of a fleet by severity, then in the order of its accounts."""
    places = {name: place for place, name in enumerate(report.accounts)}
    return sorted(report.findings, key=lambda finding: (finding.severity.rank, places[finding.account or ""]))


async def test_fleet_report_has_the_findings_of_single_audits(
    store: Store, fleet_on: FleetOn, audit_one_by_one: AuditOneByOne
) -> None:
    async with Sandbox(campaigns=10, accounts=4) as sandbox, Sandbox(campaigns=3, seed=2) as other:
        fleet = fleet_on(sandbox)
        report = await audit_fleet(fleet, store=store, now=NOW)
        assert in_order(report) == await audit_one_by_one(sandbox)
        assert list(report.accounts) == list(fleet.accounts)
        assert (report.campaign_count, report.lookups, report.requests) == (40, 80, 84)
        # Accounts of several servers are in the order of the manifest.
        elsewhere = Server(name="other", url=other.server)
        third = Account(name="third", server="other", clients_id=1, token=lambda: other.token)
        mixed = Fleet.of([*fleet.servers.values(), elsewhere], [third, *fleet.accounts.values()])
        both = await audit_fleet(mixed, now=NOW)
    assert list(both.accounts) == ["third", *fleet.accounts]
    assert both.campaign_count == 43
    assert [finding for finding in in_order(both) if finding.account != "third"] == in_order(report)


async def test_wait_goes_on_without_haste_if_accounts_are_opened_again_after_the_work_has_ended(
    file_store: Store, fleet_on: FleetOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(campaigns=1, accounts=2) as sandbox:
        fleet = fleet_on(sandbox)
        run = await begin_run(file_store, fleet, AuditSettings(), now=NOW)
        auditor = Auditor(file_store, fleet, AuditSettings(), None)

        async def other_process_works(_: float) -> None:
            await Worker(file_store, auditor, run=run.id).work(asyncio.Event())

        monkeypatch.setattr(dialler_async.fleet.coordinator.CLOCK, "sleep", other_process_works)
        async with asyncio.timeout(20):
            assert await wait_for_run(file_store, run, asyncio.sleep(0))


async def test_wait_for_workers_ends_when_the_run_is_given_up(store: Store, fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=1, accounts=2) as sandbox:
        fleet = fleet_on(sandbox)
        run = await begin_run(store, fleet, AuditSettings(), now=NOW)
        a_day_ago = RUNS.update().values(started=database_now() - 86_400.0)
        await store._database.write(lambda connection: connection.execute(a_day_ago))
        waiting = asyncio.create_task(wait_for_run(store, run))
        await begin_run(store, fleet, AuditSettings(), now=NOW)
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="run 1 was given up when a later run began"):
                await waiting


async def test_account_with_a_wrong_token_is_a_finding_and_others_are_audited(fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=3, accounts=3) as sandbox:
        fleet = fleet_on(sandbox)
        sandbox.accounts[2].revoke()
        fleet = Fleet.of(
            fleet.servers.values(),
            [
                attrs.evolve(account, token=lambda: "wrong-token") if account.clients_id == 2 else account
                for account in fleet.accounts.values()
            ],
        )
        progress: list[tuple[float, int, int | None]] = []
        report = await audit_fleet(fleet, now=NOW, on_progress=lambda *numbers: progress.append(numbers))
    not_audited = [finding for finding in report.findings if finding.account == "account 2"]
    assert [(finding.rule, finding.severity) for finding in not_audited] == [("not-audited", Severity.ERROR)]
    assert "GET /dialler/campaigns" in not_audited[0].message
    assert "401" in not_audited[0].message
    assert report.unfinished
    assert report.campaign_count == 6
    assert (progress[0], progress[-1]) == ((0, 0, 3), (3, 1, 3))


async def test_error_of_a_token_function_is_the_reason_of_its_account(fleet_on: FleetOn) -> None:
    def fails() -> str:
        raise OSError("the disk is broken")

    async with Sandbox(campaigns=3) as sandbox:
        [account] = fleet_on(sandbox).accounts.values()
        fleet = Fleet.of(fleet_on(sandbox).servers.values(), [attrs.evolve(account, token=fails)])
        report = await audit_fleet(fleet, now=NOW)
    [finding] = report.findings
    assert "raised OSError at test_coordinator.py:" in finding.message


async def test_resumed_run_asks_no_finished_account_again(
    store: Store, hold: type[HeldRequest], fleet_on: FleetOn, without_times: WithoutTimes
) -> None:
    async with Sandbox(campaigns=3, accounts=6) as sandbox:
        fleet = fleet_on(sandbox, max_concurrency=1)
        undisturbed = await audit_fleet(fleet, now=NOW)
        sandbox.journal.clear()
        auditor = Auditor(store, fleet, AuditSettings(), None)
        run = await begin_run(store, fleet, AuditSettings(), now=NOW)
        held = hold()
        sandbox.faults.next(held, after=40)
        working = asyncio.create_task(Worker(store, auditor, run=run.id).work(asyncio.Event()))
        await held.arrived.wait()
        async with asyncio.timeout(30):
            while len(await store.runs.units(run.id)) == 6:
                pass
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        left = {unit.clients_id for unit in await store.runs.units(run.id)}
        assert 0 < len(left) < 6
        sandbox.journal.clear()
        assert await store.runs.unfinished(units_of(fleet)) == run
        await wait_for_run(store, run, Worker(store, auditor, run=run.id).work(asyncio.Event()))
        assert len(sandbox.journal) == 7 * len(left)
        report = await fleet_report(store, run)
    assert without_times(report) == without_times(undisturbed)


async def test_run_of_chosen_accounts_audits_no_other(file_store: Store, fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=2, accounts=12) as sandbox:
        fleet = fleet_on(sandbox)
        run = await begin_run(file_store, fleet, AuditSettings(), accounts=["account 1*"])
        assert [unit.clients_id for unit in await file_store.runs.units(run.id)] == [1, 10, 11, 12]
        assert run.scope == "account “account 1*”"
        with pytest.raises(ConfigurationError, match="no account with a name like “acme”"):
            await begin_run(file_store, fleet, AuditSettings(), accounts=["acme"])


async def test_token_is_read_again_after_it_is_replaced_during_an_audit(
    hold: type[HeldRequest], fleet_on: FleetOn, audit_one_by_one: AuditOneByOne
) -> None:
    async with Sandbox(campaigns=6) as sandbox:
        held = hold()
        sandbox.faults.next(held, match="result_codes", after=2)
        audit = asyncio.create_task(audit_fleet(fleet_on(sandbox), now=NOW))
        await held.arrived.wait()
        sandbox.accounts[1].revoke()
        held.release.set()
        report = await audit
        assert in_order(report) == await audit_one_by_one(sandbox)
    assert not report.unfinished


async def test_cancelled_fleet_audit_leaves_no_task_and_no_lease(
    file_store: Store, hold: type[HeldRequest], fleet_on: FleetOn
) -> None:
    async with Sandbox(campaigns=6, accounts=3) as sandbox:
        held = hold()
        sandbox.faults.next(held)
        audit = asyncio.create_task(audit_fleet(fleet_on(sandbox), store=file_store, now=NOW))
        await held.arrived.wait()
        audit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await audit
        await held.hung_up.wait()
        assert await file_store.leases.held() == []


async def test_fleet_audit_uses_the_given_settings_and_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fleet_on: FleetOn
) -> None:
    module = """
from dialler_async.audit import Violation, Severity, rule

@rule("has-a-name", Severity.INFO, title="t", why="w", fix="f")
def has_a_name(facts):
    yield Violation("Name", "it has a name")
"""
    (tmp_path / "fleet_test_rules.py").write_text(module)
    monkeypatch.delitem(sys.modules, "fleet_test_rules", raising=False)
    settings = AuditSettings(rules=("fleet_test_rules:has_a_name",), select=("has-a-name",))
    async with Sandbox(campaigns=5) as sandbox:
        report = await audit_fleet(fleet_on(sandbox), now=NOW, settings=settings, directory=tmp_path)
        assert [finding.rule for finding in report.findings] == ["has-a-name"] * 5
        with pytest.raises(ConfigurationError, match="no rule “other”"):
            await audit_fleet(fleet_on(sandbox), settings=AuditSettings(select=("other",)))


async def test_template_is_fetched_once_for_each_account(fleet_on: FleetOn) -> None:
    async with Sandbox([{"ID": 1, "Name": "Master"}, {"ID": 2, "Name": "VIP"}]) as sandbox:
        report = await audit_fleet(fleet_on(sandbox), now=NOW, settings=AuditSettings.of({"template": "Master"}))
        assert [received.call for received in sandbox.journal].count("result_codes") == 4
    assert "differs-from-template" in {info.id for info in report.rules}


async def test_fleet_report_lists_accepted_findings_separately(fleet_on: FleetOn) -> None:
    tables = [
        {"rule": "missing-translation", "campaign": "*", "reason": "in every account"},
        {"rule": "not-started", "account": "account 2", "campaign": "*", "reason": "in one"},
    ]
    settings = AuditSettings.of({"accept": tables, "portal_url": "https://portal.example.com/{clients_id}/{id}"})
    async with Sandbox(campaigns=20, accounts=2) as sandbox:
        before = await audit_fleet(fleet_on(sandbox), now=NOW)
        report = await audit_fleet(fleet_on(sandbox), now=NOW, settings=settings)
    expected = [
        finding
        for finding in before.findings
        if finding.rule == "missing-translation" or (finding.rule, finding.account) == ("not-started", "account 2")
    ]
    assert {finding.rule for finding in expected} == {"missing-translation", "not-started"}
    assert [attrs.evolve(finding, acceptance=None) for finding in report.accepted] == expected
    assert len(in_order(report)) == len(in_order(before)) - len(expected)
    assert report.portal_url == settings.portal_url


async def test_acceptance_that_one_account_uses_is_not_unused_in_others(fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=20, accounts=3) as sandbox:
        before = await audit_fleet(fleet_on(sandbox), now=NOW)
        some = next(finding for finding in before.findings if finding.account == "account 2")
        used = {"rule": some.rule, "campaign": some.campaign_name, "reason": "known"}
        unused = {"rule": some.rule, "campaign": "no such campaign", "reason": "known"}
        report = await audit_fleet(fleet_on(sandbox), now=NOW, settings=AuditSettings.of({"accept": [used, unused]}))
    [finding] = [finding for finding in report.findings if finding.rule == "unused-acceptance"]
    assert "no such campaign" in finding.message
    assert finding.account is None


async def test_fleet_audit_refuses_an_acceptance_by_id_without_an_account(fleet_on: FleetOn) -> None:
    settings = AuditSettings.of({"accept": [{"rule": "expired", "campaign": 1, "reason": "x"}]})
    async with Sandbox(campaigns=1, accounts=2) as sandbox:
        with pytest.raises(ConfigurationError, match="is about 2 accounts"):
            await audit_fleet(fleet_on(sandbox), settings=settings)
        with pytest.raises(ConfigurationError):
            await audit_fleet(fleet_on(sandbox), languages=[])
    assert not sandbox.journal


async def test_second_run_says_what_is_new_in_each_account(store: Store, fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=3, accounts=2) as sandbox:
        first = await audit_fleet(fleet_on(sandbox), store=store, now=NOW)
        assert first.since is None
        sandbox.accounts[2].load({"ID": 999, "Name": "Old", "dtTo": "2020-01-01T00:00:00"})
        second = await audit_fleet(fleet_on(sandbox), store=store, now=NOW)
    assert second.since is not None
    assert {(one.account, one.campaign_name) for one in second.of(Topic.NEW)} == {("account 2", "Old")}
    assert second.numbers.of(Topic.KNOWN).total() == len(in_order(first))


class TestLimits:
    async def test_max_concurrency_limits_the_calls_of_all_accounts(
        self, fleet_on: FleetOn, gauge: RequestGauge
    ) -> None:
        async with Sandbox(campaigns=12, accounts=6, latency=0.002) as sandbox:
            sandbox.faults.chance(1.0, [gauge])
            await audit_fleet(fleet_on(sandbox, max_concurrency=3), now=NOW)
        assert gauge.peak == 3

    async def test_max_rate_limits_the_calls_of_all_accounts(self, fleet_on: FleetOn) -> None:
        loop = asyncio.get_running_loop()
        async with Sandbox(campaigns=3, accounts=2) as sandbox:
            begin = loop.time()
            await audit_fleet(fleet_on(sandbox, max_rate=100), now=NOW)
            took = loop.time() - begin
        assert len(sandbox.journal) == 14
        # The burst allows two calls at once.
        assert took >= 12 / 100 - 0.001


async def test_accounts_share_the_pool_of_their_server(fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=2, accounts=30) as sandbox:
        await audit_fleet(fleet_on(sandbox, max_concurrency=2), now=NOW)
        assert sandbox.connections.opened <= 2
