"""Results of accounts, and the findings over time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
import pytest
from sqlalchemy import text

import dialler_async.store.results
from dialler_async.audit import Acceptance, AuditReport, not_audited
from dialler_async.audit.rules import RULES
from dialler_async.models import Language
from dialler_async.store import Run, RunState, Store, StoreError, UnitState

if TYPE_CHECKING:
    from tests.store.conftest import BeginRun, MakeReport


async def save(store: Store, run: Run, report: AuditReport, *, error: str | None = None) -> AuditReport | None:
    [unit] = [unit for unit in await store.runs.units(run.id) if unit.clients_id == report.identity.clients_id]
    return await store.results.save(unit, report, error=error)


def names(report: AuditReport | None, state: str) -> list[str]:
    assert report is not None
    return [finding.campaign_name for finding in report.all_findings() if finding.state == state]


def failed_report(report: AuditReport) -> AuditReport:
    made = not_audited("no route", rules=RULES, languages=Language, now=report.now, started=report.now)
    return attrs.evolve(made, identity=report.identity)


async def test_stored_report_is_read_as_it_was_saved(store: Store, begin: BeginRun, report: MakeReport) -> None:
    run = await begin("acme", "globex")
    # PostgreSQL has no text with NUL, and neither database has lone surrogates.
    saved = report("a\0b", "lone \ud800", "plain")
    await save(store, run, saved)
    [result] = [result async for result in store.results.read(run.id)]
    assert (result.name, result.state, result.report) == ("acme", UnitState.DONE, saved)
    assert [one.campaign_name for one in await store.history.findings()] == ["a\\x00b", "lone \\ud800", "plain"]


async def test_account_that_is_opened_again_while_results_are_read_is_left_out(
    store: Store, begin: BeginRun, report: MakeReport
) -> None:
    run = await begin("acme", "globex")
    for id in (1, 2):
        await save(store, run, failed_report(report(clients_id=id)), error="no route")
    read = []
    async for result in store.results.read(run.id):
        read.append(result.name)
        await store.runs.reopen(run.id)
    assert read == ["acme"]


async def test_result_without_earlier_results_has_no_states(store: Store, begin: BeginRun, report: MakeReport) -> None:
    run = await begin("acme")
    saved = await save(store, run, report("a"))
    assert saved is not None
    assert saved.comparison is None
    assert [finding.state for finding in saved.findings] == [None]


async def test_findings_are_new_unchanged_and_gone_from_run_to_run(
    store: Store, begin: BeginRun, report: MakeReport
) -> None:
    await save(store, await begin("acme"), report("a", "b"))
    second = await save(store, await begin("acme"), report("a", "b", "c"))
    assert (names(second, "unchanged"), names(second, "new")) == (["a", "b"], ["c"])
    third = await save(store, await begin("acme"), report("a"))
    assert (names(third, "unchanged"), names(third, "gone")) == (["a"], ["b", "c"])
    assert [one.campaign_name for one in await store.history.findings(only_open=True)] == ["a"]
    fourth = await save(store, await begin("acme"), report("a", "b"))
    assert names(fourth, "new") == ["b"]
    by_name = {one.campaign_name: one for one in await store.history.findings()}
    assert by_name["a"].first_seen < by_name["c"].first_seen < by_name["b"].first_seen, "b began anew"
    assert by_name["c"].gone_since is not None
    assert by_name["b"].gone_since is None


async def test_known_finding_carries_when_it_was_first_seen(store: Store, begin: BeginRun, report: MakeReport) -> None:
    await save(store, await begin("acme"), report("a", "b"))
    first = {one.campaign_name: one.first_seen for one in await store.history.findings()}
    await save(store, await begin("acme"), report("a"))
    third = await save(store, await begin("acme"), report("a", "b"))
    assert third is not None
    since = {finding.campaign_name: finding.open_since and finding.open_since.timestamp() for finding in third.findings}
    assert since == {"a": pytest.approx(first["a"], abs=1e-3), "b": None}, "b began anew"


async def test_accounts_are_compared_by_server_and_clients_id(
    store: Store, begin: BeginRun, report: MakeReport
) -> None:
    await save(store, await begin("acme", "globex"), report("a"))
    run = await begin("renamed", "globex")
    assert names(await save(store, run, report("a")), "unchanged") == ["a"]
    other = await save(store, run, report("a", clients_id=2))
    assert other is not None
    assert other.comparison is None


async def test_second_result_of_an_account_in_a_run_changes_nothing(
    store: Store, begin: BeginRun, report: MakeReport
) -> None:
    run = await begin("acme")
    [unit] = await store.runs.units(run.id)
    await store.results.save(unit, report("a"))
    before = [one._replace(age=0) for one in await store.history.findings()]
    assert await store.results.save(unit, report("b")) is None
    assert [one._replace(age=0) for one in await store.history.findings()] == before
    [result] = [result async for result in store.results.read(run.id)]
    assert [finding.campaign_name for finding in result.report.findings] == ["a"]


async def test_two_processes_that_save_the_same_result_store_it_once(
    location: str, store: Store, begin: BeginRun, report: MakeReport
) -> None:
    run = await begin("acme")
    [unit] = await store.runs.units(run.id)
    async with Store(location) as other:
        saved = await asyncio.gather(*(one.results.save(unit, report("a")) for one in (store, other) * 3))
    assert len([one for one in saved if one is not None]) == 1


async def test_result_is_stored_completely_or_not_at_all(
    store: Store, begin: BeginRun, report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await begin("acme")
    # The last statement of the transaction fails.
    with monkeypatch.context() as patch:
        patch.setattr(dialler_async.store.results, "_END_UNIT", text("UPDATE no_such_table SET a = 1"))
        with pytest.raises(StoreError, match="no_such_table"):
            await save(store, run, report("a"))
    assert await store.history.findings() == []
    assert len(await store.runs.units(run.id)) == 1
    assert await save(store, run, report("a")) is not None


async def test_failed_account_keeps_its_findings_as_not_checked(
    store: Store, begin: BeginRun, report: MakeReport
) -> None:
    await save(store, await begin("acme"), report("a"))
    run = await begin("acme")
    saved = await save(store, run, failed_report(report()), error="no route")
    assert names(saved, "unchecked") == ["a"]
    [server] = await store.runs.servers(run.id)
    assert (server.failed, server.done) == (1, 0)
    after = await save(store, await begin("acme"), report("a"))
    assert names(after, "unchanged") == ["a"]
    assert [finding.rule for finding in after.comparison.gone] == ["not-audited"]


async def test_first_audit_that_fails_is_no_baseline(store: Store, begin: BeginRun, report: MakeReport) -> None:
    await save(store, await begin("acme"), failed_report(report()), error="no route")
    saved = await save(store, await begin("acme"), report("a"))
    assert saved is not None
    assert saved.comparison is None
    assert [one.rule for one in await store.history.findings(only_open=True)] == ["expired"]


async def test_accepted_finding_that_is_no_longer_accepted_is_new(
    store: Store, begin: BeginRun, report: MakeReport
) -> None:
    plain = report("a")
    accepted = tuple(attrs.evolve(one, acceptance=Acceptance(reason="known")) for one in plain.findings)
    await save(store, await begin("acme"), attrs.evolve(plain, findings=(), accepted=accepted))
    assert [one.is_accepted for one in await store.history.findings()] == [True]
    assert names(await save(store, await begin("acme"), plain), "new") == ["a"]


async def test_partial_audit_does_not_call_other_campaigns_gone(
    store: Store, begin: BeginRun, report: MakeReport
) -> None:
    await save(store, await begin("acme"), report("a", "b"))
    saved = await save(store, await begin("acme", scope="name “a”"), report("a", scope="name “a”"))
    assert (names(saved, "unchanged"), names(saved, "unchecked")) == (["a"], ["b"])


async def test_reading_chooses_accounts_by_pattern_in_the_order_of_the_run(
    store: Store, begin: BeginRun, report: MakeReport
) -> None:
    run = await begin("zeta", "acme-1", "acme-2")
    for id in (3, 2, 1):
        await save(store, run, report("a", clients_id=id))
    assert [result.name async for result in store.results.read(run.id)] == ["zeta", "acme-1", "acme-2"]
    assert [result.name async for result in store.results.read(run.id, ["acme*"])] == ["acme-1", "acme-2"]


class TestRuns:
    async def test_run_ends_when_each_account_has_a_result(
        self, store: Store, begin: BeginRun, report: MakeReport
    ) -> None:
        run = await begin("acme", "globex")
        await save(store, run, report("a"))
        assert not await store.runs.finish(run.id)
        assert (await store.runs.get()).state is RunState.OPEN
        await save(store, run, report("a", clients_id=2))
        assert await store.runs.finish(run.id)
        ended = await store.runs.get(run.id)
        assert ended.state is RunState.FINISHED
        assert ended.ended is not None
        assert await store.runs.finish(run.id)
        assert await store.runs.get(run.id) == ended

    async def test_unfinished_run_is_found_by_its_accounts(
        self, store: Store, begin: BeginRun, report: MakeReport
    ) -> None:
        run = await begin("acme", "globex")
        units = await store.runs.units(run.id)
        assert await store.runs.unfinished(units) == run
        await save(store, run, report("a"))
        assert await store.runs.unfinished([units[1]]) == run
        assert await store.runs.unfinished([units[0]]) is None, "acme has its result"
        assert await store.runs.unfinished([attrs.evolve(units[1], clients_id=9)]) is None

    async def test_reopened_run_repeats_the_failed_accounts_only(
        self, store: Store, begin: BeginRun, report: MakeReport
    ) -> None:
        run = await begin("acme", "globex")
        await save(store, run, report("a"))
        await save(store, run, report(clients_id=2), error="no route")
        await store.runs.finish(run.id)
        assert await store.runs.reopen(run.id) == 1
        assert [unit.name for unit in await store.runs.units(run.id)] == ["globex"]
        assert (await store.runs.get()).state is RunState.OPEN

    async def test_history_counts_findings_of_each_run(self, store: Store, begin: BeginRun, report: MakeReport) -> None:
        for campaigns in (("a",), ("a", "b")):
            run = await begin("acme", "globex")
            await save(store, run, report(*campaigns))
        last, first = await store.history.runs()
        assert (first.warnings, first.new, first.accounts, first.waiting) == (1, 0, 2, 1)
        assert (last.warnings, last.new) == (2, 1)
        assert [one.warnings for one in await store.history.runs(account="globex")] == [0, 0]

    async def test_prune_deletes_old_runs_and_keeps_open_findings(
        self, store: Store, begin: BeginRun, report: MakeReport
    ) -> None:
        await save(store, await begin("acme"), report("a", "b"))
        await save(store, await begin("acme"), report("a"))
        assert await store.history.prune(3600) == 0
        assert len(await store.history.findings()) == 2
        assert await store.history.prune(-1) == 2
        assert await store.history.runs() == []
        assert [one.campaign_name for one in await store.history.findings()] == ["a"]
        assert names(await save(store, await begin("acme"), report("a", "c")), "new") == ["c"]


class TestLeases:
    async def test_one_process_has_a_server_until_it_gives_it_back(self, store: Store) -> None:
        first = await store.leases.claim("https://a", 60, run=1)
        assert first is not None
        assert await store.leases.claim("https://a", 60, run=2) is None
        assert await store.leases.claim("https://b", 60, run=1) is not None
        await store.leases.release(first)
        assert await store.leases.claim("https://a", 60, run=2) is not None

    async def test_lease_that_has_ended_goes_to_the_next_and_can_not_be_renewed(self, store: Store) -> None:
        first = await store.leases.claim("https://a", -1, run=1)
        second = await store.leases.claim("https://a", 60, run=1)
        assert first is not None
        assert second is not None
        assert not await store.leases.renew(first)
        assert await store.leases.renew(second)
        await store.leases.release(first)
        assert [one.url for one in await store.leases.held()] == ["https://a"]

    async def test_many_claims_at_once_give_a_server_to_one(self, location: str, store: Store) -> None:
        async with Store(location) as other:
            for number in range(10):
                claims = (one.leases.claim(f"https://{number}", 60, run=1) for one in (store, other) * 4)
                leases = await asyncio.gather(*claims)
                assert sum(lease is not None for lease in leases) == 1

    async def test_worker_shows_that_it_runs_and_what_it_can_not_take(self, store: Store) -> None:
        presence = await store.leases.claim("", 60)
        assert presence is not None
        assert await store.leases.renew(presence, "can't take a: why")
        assert [(one.url, one.note) for one in await store.leases.held()] == [("", "can't take a: why")]
