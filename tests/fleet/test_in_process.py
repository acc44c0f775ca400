"""Fleets that are audited in one process, also if some accounts fail."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

import dialler_async.fleet.tasks
from dialler_async import ConfigurationError
from dialler_async.audit import AuditSettings, Severity
from dialler_async.fleet import Account, Fleet, Server, audit_fleet
from dialler_async.fleet.limits import SharedRate
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.conftest import HeldRequest
    from tests.fleet.conftest import AuditOneByOne, FleetOn, RequestGauge, WithoutTimes

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


@pytest.mark.slow
async def test_fleet_report_has_the_findings_of_single_audits(
    fleet_on: FleetOn,
    audit_one_by_one: AuditOneByOne,
    without_times: WithoutTimes,
) -> None:
    async with Sandbox(campaigns=30, accounts=4) as sandbox, Sandbox(campaigns=3, seed=2) as other:
        # Accounts with more than eight campaigns are audited in slices.
        fleet = fleet_on(sandbox)
        report = await audit_fleet(fleet, now=NOW, chunk=8)
        assert report.findings == await audit_one_by_one(sandbox)
        assert report.accounts == tuple(fleet.accounts)
        assert (report.campaigns, report.lookups, report.requests) == (120, 240, 244)
        unsliced = await audit_fleet(fleet, now=NOW)
        assert without_times(unsliced) == without_times(report)
        # Accounts of several servers are in the order of the manifest.
        elsewhere = Server(name="other", url=other.server)
        third = Account(name="third", server="other", clients_id=1, token=lambda: other.token)
        mixed = Fleet.of([*fleet.servers.values(), elsewhere], [third, *fleet.accounts.values()])
        both = await audit_fleet(mixed, now=NOW, chunk=8)
    assert both.accounts == ("third", *fleet.accounts)
    assert both.campaigns == 123
    assert [finding for finding in both.findings if finding.account != "third"] == list(report.findings)


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
    assert "the job failed" not in not_audited[0].message, "a wrong token is not retried"
    assert report.unfinished
    assert report.campaigns == 6
    assert (progress[0], progress[-1]) == ((0, 0, 3), (3, 1, 3))


async def test_failed_job_is_retried_up_to_three_attempts(fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=3, accounts=2) as sandbox:
        fleet = fleet_on(sandbox)
        failures = 2

        def fails_twice() -> str:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise OSError("the disk is unmounted")
            return sandbox.token

        def fails_always() -> str:
            raise OSError("the disk is broken")

        flaky_fleet = Fleet.of(
            fleet.servers.values(),
            [
                attrs.evolve(account, token=fails_twice if account.clients_id == 1 else fails_always)
                for account in fleet.accounts.values()
            ],
        )
        report = await audit_fleet(flaky_fleet, now=NOW)
    [finding] = [finding for finding in report.findings if finding.rule == "not-audited"]
    assert finding.account == "account 2"
    assert "raised OSError at test_in_process.py:" in finding.message
    assert finding.message.endswith("(the job failed 3 times)")
    assert report.campaigns == 3


async def test_slice_that_keeps_failing_is_reported_with_its_size(
    monkeypatch: pytest.MonkeyPatch, fleet_on: FleetOn
) -> None:
    original = dialler_async.fleet.tasks.audit_slice

    async def audit_slice(dialler: object, campaigns: list[object], **options: object) -> object:
        if len(campaigns) == 2:
            raise RuntimeError("no memory left")
        return await original(dialler, campaigns, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(dialler_async.fleet.tasks, "audit_slice", audit_slice)
    async with Sandbox(campaigns=10) as sandbox:
        report = await audit_fleet(fleet_on(sandbox), now=NOW, chunk=4)
    assert [finding.message for finding in report.findings if finding.rule == "not-audited"] == [
        "2 campaigns were not audited: RuntimeError: no memory left (the job failed 3 times)"
    ]
    assert (report.campaigns, len(report.summaries)) == (10, 8)


async def test_token_is_read_again_after_it_is_replaced_during_an_audit(
    hold: type[HeldRequest],
    fleet_on: FleetOn,
    audit_one_by_one: AuditOneByOne,
) -> None:
    async with Sandbox(campaigns=6) as sandbox:
        held = hold()
        sandbox.faults.next(held, match="result_codes", after=2)
        audit = asyncio.create_task(audit_fleet(fleet_on(sandbox), now=NOW, chunk=2))
        await held.arrived.wait()
        sandbox.accounts[1].revoke()
        held.release.set()
        report = await audit
        assert report.findings == await audit_one_by_one(sandbox)
    assert not report.unfinished


async def test_cancelled_fleet_audit_leaves_no_task(hold: type[HeldRequest], fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=6, accounts=3) as sandbox:
        held = hold()
        sandbox.faults.next(held)
        audit = asyncio.create_task(audit_fleet(fleet_on(sandbox), now=NOW))
        await held.arrived.wait()
        before = asyncio.all_tasks()
        audit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await audit
        await held.hung_up.wait()
        assert audit in before


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
        report = await audit_fleet(fleet_on(sandbox), now=NOW, chunk=2, settings=settings, directory=tmp_path)
        assert [finding.rule for finding in report.findings] == ["has-a-name"] * 5
        with pytest.raises(ConfigurationError, match="no rule “other”"):
            await audit_fleet(fleet_on(sandbox), settings=AuditSettings(select=("other",)))


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
    assert len(report.findings) == len(before.findings) - len(expected)
    assert report.portal_url == settings.portal_url


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"template": "Master"}, "“template” works for one account only"),
        ({"accept": [{"rule": "expired", "campaign": 1, "reason": "x"}]}, "is about 2 accounts"),
    ],
)
async def test_fleet_audit_refuses_settings_that_fit_one_account_only(
    table: dict[str, object], message: str, fleet_on: FleetOn
) -> None:
    async with Sandbox(campaigns=1, accounts=2) as sandbox:
        with pytest.raises(ConfigurationError, match=message):
            await audit_fleet(fleet_on(sandbox), settings=AuditSettings.of(table))
    assert not sandbox.journal


@pytest.mark.parametrize("options", [{"languages": []}, {"chunk": 0}])
async def test_fleet_audit_refuses_no_languages_and_chunk_zero(options: dict[str, object], fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=1) as sandbox:
        with pytest.raises(ConfigurationError):
            await audit_fleet(fleet_on(sandbox), **options)  # type: ignore[arg-type]
    assert not sandbox.journal


class TestLimits:
    async def test_max_concurrency_limits_the_calls_of_all_jobs(self, fleet_on: FleetOn, gauge: RequestGauge) -> None:
        async with Sandbox(campaigns=12, accounts=6, latency=0.002) as sandbox:
            sandbox.faults.chance(1.0, [gauge])
            await audit_fleet(fleet_on(sandbox, max_concurrency=3), now=NOW, chunk=4)
        assert gauge.peak == 3

    async def test_max_rate_limits_the_calls_of_all_jobs(self, fleet_on: FleetOn) -> None:
        loop = asyncio.get_running_loop()
        async with Sandbox(campaigns=3, accounts=2) as sandbox:
            begin = loop.time()
            await audit_fleet(fleet_on(sandbox, max_rate=100), now=NOW)
            took = loop.time() - begin
        assert len(sandbox.journal) == 14
        # The burst allows two calls at once.
        assert took >= 12 / 100 - 0.001

    async def test_rate_limited_calls_are_evenly_spaced_from_the_start(self) -> None:
        loop = asyncio.get_running_loop()
        rate = SharedRate(Server(name="a", url="http://localhost", max_rate=50), None)
        begin, times = loop.time(), []

        async def acquire() -> None:
            await rate.acquire()
            times.append(loop.time() - begin)

        await asyncio.gather(*(acquire() for _ in range(5)))
        assert [moment >= number / 50 - 0.002 for number, moment in enumerate(times)] == [True] * 5


async def test_accounts_share_the_pool_of_their_server(fleet_on: FleetOn) -> None:
    async with Sandbox(campaigns=2, accounts=30) as sandbox:
        await audit_fleet(fleet_on(sandbox, max_concurrency=2), now=NOW)
        assert sandbox.connections.opened <= 2
