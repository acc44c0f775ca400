"""Fleets that are audited by workers through a real Redis: takeover, retries, limits and cleanup."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import sys
import zlib
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pyrate_limiter.clocks
import pytest
from redis.asyncio import Redis

import dialler_async.fleet.coordinator
import dialler_async.fleet.heartbeat
import dialler_async.fleet.tasks
from dialler_async import ConfigurationError
from dialler_async._http.clock import CLOCK
from dialler_async.audit import AuditSettings
from dialler_async.fleet import Fleet, Server, audit_fleet
from dialler_async.fleet.broker import BrokerError
from dialler_async.fleet.limits import SharedRate
from dialler_async.fleet.messages import Result, settings_digest
from dialler_async.fleet.redis_broker import MAX_DELIVERIES, RedisBroker, SentJob
from dialler_async.fleet.wire import digest
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.conftest import HeldRequest
    from tests.fleet.conftest import AuditOneByOne, FleetOn, RequestGauge, RunningRedis, WithoutTimes, Workers

pytestmark = pytest.mark.slow

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)

SHORT_IDLE = 1.0
"""Seconds without a heartbeat after which a worker is considered dead."""


async def remaining_data(redis: RunningRedis, *, ignore_dead_workers: bool = False) -> dict[str, Any]:
    """Return the data in Redis, without the stream of jobs itself."""
    async with Redis.from_url(redis.url) as client:
        keys = {key.decode(): await client.type(key) async for key in client.scan_iter()}
        jobs = await client.xlen("dialler-fleet:jobs")
        groups = await client.xinfo_groups("dialler-fleet:jobs")
    keys.pop("dialler-fleet:jobs")
    if ignore_dead_workers:
        # Killed workers do not unregister, so the list of workers remains until it expires.
        keys.pop("dialler-fleet:workers", None)
        groups[0]["consumers"] = 0
    return {"jobs": jobs, "pending": groups[0]["pending"], "keys": keys, "workers": groups[0]["consumers"]}


NO_DATA = {"jobs": 0, "pending": 0, "keys": {}, "workers": 0}


async def test_two_workers_give_the_report_of_one_process_and_leave_redis_empty(
    redis: RunningRedis,
    fleet_on: FleetOn,
    workers: Workers,
    without_times: WithoutTimes,
) -> None:
    async with Sandbox(campaigns=30, accounts=4) as sandbox:
        fleet = fleet_on(sandbox)
        in_process = await audit_fleet(fleet, now=NOW, chunk=8)
        progress: list[tuple[float, int, int | None]] = []
        async with workers(fleet, workers=2):
            shared = await audit_fleet(
                fleet,
                broker=RedisBroker(redis.url),
                now=NOW,
                chunk=8,
                on_progress=lambda *numbers: progress.append(numbers),
            )
            second_run = await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW)
    assert without_times(shared) == without_times(in_process) == without_times(second_run)
    assert (progress[0], progress[-1]) == ((0, 0, 4), (4, 0, 4))
    assert 0.0 < progress[1][0] < 4, "a part of an account is a fraction"
    assert await remaining_data(redis) == NO_DATA


async def test_redis_receives_no_token(redis: RunningRedis, fleet_on: FleetOn, workers: Workers) -> None:
    async with Sandbox(campaigns=10, accounts=3) as sandbox:
        fleet = fleet_on(sandbox, max_rate=500, max_concurrency=4)
        refused = attrs.evolve(fleet.accounts["account 2"], token=lambda: "t0ken-that-is-wrong")
        fleet = attrs.evolve(fleet, accounts={**fleet.accounts, "account 2": refused})
        commands: list[str] = []
        async with Redis.from_url(redis.url) as client, client.monitor() as monitor, workers(fleet):
            listening = asyncio.create_task(_record_commands(monitor, commands))
            report = await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW, chunk=4)
            await client.set("end", "of test")
            await listening
    tokens = [account.token() for account in fleet.accounts.values()]
    sent = "\n".join(commands)
    unpacked = [zlib.decompress(b64decode(packed)).decode() for packed in re.findall(r"eJ[\w+/]{40,}=*", sent)]
    assert len(unpacked) > 10, "the messages contain packed campaigns and findings"
    assert (report.campaigns, report.unfinished) == (20, True)
    all_text = "\n".join([sent, *unpacked])
    assert "account 2" in all_text
    assert '"Name"' in all_text
    assert not [token for token in tokens if token in all_text]


async def _record_commands(monitor: Any, commands: list[str]) -> None:
    async for command in monitor.listen():
        commands.append(command["command"])
        if command["command"] == "SET end of test":
            return


async def test_pickled_result_is_rejected(redis: RunningRedis, caplog: pytest.LogCaptureFixture) -> None:
    class Dangerous:
        def __reduce__(self) -> Any:
            return pytest.fail, ("the pickle was executed",)

    broker = RedisBroker(redis.url)
    await broker.startup()
    await broker.open_run("r")
    broker._sent["r/1"] = SentJob(b"1-0", digest(b"job"))
    entry = {"job": "r/1", "result": pickle.dumps(Dangerous()), "of": digest(b"job")}
    await broker.redis.xadd("dialler-fleet:results:r", entry)
    assert await broker.results("r", 0.1) == []
    assert "rejected a result: it is malformed" in caplog.text
    await broker.shutdown()


class TestDeadWorkers:
    async def test_job_of_a_killed_worker_is_taken_over(
        self,
        redis: RunningRedis,
        fleet_on: FleetOn,
        audit_one_by_one: AuditOneByOne,
        workers: Workers,
    ) -> None:
        async with Sandbox(campaigns=10, accounts=2) as sandbox:
            fleet = fleet_on(sandbox)
            dead_worker = RedisBroker(redis.url, slots=4, idle=SHORT_IDLE)
            await dead_worker.startup()
            audit = asyncio.create_task(audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW, chunk=4))
            jobs = dead_worker.listen()
            await anext(jobs)
            await anext(jobs)
            await kill(dead_worker, jobs)
            async with workers(fleet, idle=SHORT_IDLE):
                report = await audit
            assert report.findings == await audit_one_by_one(sandbox)
        assert await remaining_data(redis, ignore_dead_workers=True) == NO_DATA

    async def test_job_that_kills_its_workers_is_reported_after_three_deliveries(
        self, redis: RunningRedis, fleet_on: FleetOn, workers: Workers
    ) -> None:
        async with Sandbox(campaigns=10) as sandbox:
            fleet = fleet_on(sandbox)
            audit = asyncio.create_task(audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW))
            for _ in range(MAX_DELIVERIES):
                dead_worker = RedisBroker(redis.url, slots=1, idle=SHORT_IDLE)
                await dead_worker.startup()
                jobs = dead_worker.listen()
                await anext(jobs)
                await kill(dead_worker, jobs)
            async with workers(fleet, idle=SHORT_IDLE):
                report = await audit
        assert [finding.message for finding in report.findings] == [
            "could not be audited: 3 workers died while they ran the job"
        ]
        assert not sandbox.journal
        assert await remaining_data(redis, ignore_dead_workers=True) == NO_DATA

    async def test_job_of_a_slow_worker_is_not_taken_over(
        self,
        redis: RunningRedis,
        monkeypatch: pytest.MonkeyPatch,
        hold: type[HeldRequest],
        fleet_on: FleetOn,
        workers: Workers,
    ) -> None:
        claims, claimed_often = 0, asyncio.Event()
        original = RedisBroker._claim_orphan

        async def count_claims(self: RedisBroker) -> Any:
            nonlocal claims
            claims += 1
            # There is one claim per heartbeat.
            if claims > 4:
                claimed_often.set()
            return await original(self)

        async with Sandbox(campaigns=3) as sandbox:
            fleet = fleet_on(sandbox)
            held = hold()
            sandbox.faults.next(held, match="result_codes")
            async with workers(fleet, slots=1, idle=SHORT_IDLE):
                audit = asyncio.create_task(audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW))
                await held.arrived.wait()
                monkeypatch.setattr(RedisBroker, "_claim_orphan", count_claims)
                async with workers(fleet, slots=1, idle=SHORT_IDLE):
                    await asyncio.wait_for(claimed_often.wait(), 60)
                    held.release.set()
                    await audit
        assert [received.call for received in sandbox.journal].count("list") == 1
        assert await remaining_data(redis) == NO_DATA

    async def test_second_result_of_a_job_is_ignored(
        self,
        redis: RunningRedis,
        hold: type[HeldRequest],
        fleet_on: FleetOn,
        audit_one_by_one: AuditOneByOne,
        workers: Workers,
    ) -> None:
        async with Sandbox(campaigns=6) as sandbox:
            fleet = fleet_on(sandbox)
            slow = RedisBroker(redis.url, slots=1, idle=SHORT_IDLE)
            await slow.startup()
            audit = asyncio.create_task(audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW, chunk=2))
            jobs = slow.listen()
            message = await anext(jobs)
            await kill(slow, jobs, disconnect=False)
            held = hold()
            sandbox.faults.next(held, match="result_codes", after=3)
            async with workers(fleet, idle=SHORT_IDLE):
                # Another worker has finished the survey. Now the slow worker finishes it too.
                await held.arrived.wait()
                slow._buffer._results[json.loads(message.data)["task_id"]] = {
                    "part": None,
                    "remaining": [],
                    "error": "late",
                    "is_permanent": True,
                }
                await message.ack()
                held.release.set()
                report = await audit
            await slow.connection_pool.disconnect()
            assert report.findings == await audit_one_by_one(sandbox)


async def test_consumers_of_dead_workers_are_removed(redis: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialler_async.fleet.heartbeat, "_REMOVE_AFTER_SECONDS", -1)
    first, second = RedisBroker(redis.url, slots=1), RedisBroker(redis.url, slots=1)
    await first.startup()
    await first.redis.xgroup_createconsumer("dialler-fleet:jobs", "workers", "long dead")
    await second.startup()
    assert not await first.redis.xinfo_consumers("dialler-fleet:jobs", "workers")
    assert 0 < await first.redis.ttl("dialler-fleet:workers") <= 60
    for broker in (first, second):
        await broker.shutdown()


async def kill(broker: RedisBroker, jobs: Any, *, disconnect: bool = True) -> None:
    """Simulate SIGKILL for a worker: it stops its heartbeat and closes its connections."""
    assert broker._heartbeat._task is not None
    broker._heartbeat._stop.set()
    await broker._heartbeat._task
    await jobs.aclose()
    if disconnect:
        await broker.connection_pool.disconnect()


async def test_job_that_keeps_failing_is_reported_and_others_succeed(
    redis: RunningRedis, monkeypatch: pytest.MonkeyPatch, fleet_on: FleetOn, workers: Workers
) -> None:
    original = dialler_async.fleet.tasks.survey

    async def survey(dialler: Any, **options: Any) -> Any:
        if dialler.base_url.endswith("/2"):
            raise RuntimeError("no memory left")
        return await original(dialler, **options)

    monkeypatch.setattr(dialler_async.fleet.tasks, "survey", survey)
    async with Sandbox(campaigns=3, accounts=3) as sandbox:
        fleet = fleet_on(sandbox)
        async with workers(fleet):
            report = await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW)
    assert [(finding.account, finding.message) for finding in report.findings if finding.rule == "not-audited"] == [
        ("account 2", "could not be audited: RuntimeError: no memory left (the job failed 3 times)")
    ]
    assert report.campaigns == 6
    assert await remaining_data(redis) == NO_DATA


async def test_worker_with_another_manifest_or_version_fails_the_job(
    redis: RunningRedis, monkeypatch: pytest.MonkeyPatch, fleet_on: FleetOn, workers: Workers
) -> None:
    async with Sandbox(campaigns=3, accounts=2) as sandbox:
        fleet = fleet_on(sandbox)
        narrow = Fleet.of(fleet.servers.values(), [fleet.accounts["account 1"]])
        async with workers(narrow):
            report = await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW)
            monkeypatch.setattr("dialler_async.fleet.messages.__version__", "0.0.1")
            spec = dialler_async.fleet.coordinator.JobSpec.to_json
            monkeypatch.setattr(
                dialler_async.fleet.coordinator.JobSpec, "to_json", lambda self: {**spec(self), "version": "9.9"}
            )
            older = await audit_fleet(narrow, broker=RedisBroker(redis.url), now=NOW)
    assert [finding.message for finding in report.findings if finding.account == "account 2"] == [
        "could not be audited: the fleet.toml of this worker has no account “account 2”: add it "
        "(the job failed 3 times)"
    ]
    assert [finding.message for finding in older.findings] == [
        "could not be audited: this worker has dialler-async 0.0.1, the audit has 9.9: install the same version "
        "(the job failed 3 times)"
    ]


async def test_worker_with_other_settings_reports_both_digests_and_imports_no_rules_of_the_audit(
    redis: RunningRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fleet_on: FleetOn,
    workers: Workers,
) -> None:
    (tmp_path / "foreign_rules.py").write_text(
        "import sys\nfrom dialler_async.audit import Violation, Severity, rule\n"
        "sys.foreign_rules_imports = getattr(sys, 'foreign_rules_imports', 0) + 1\n"
        'named = rule("named", Severity.INFO, title="t", why="w", fix="f")('
        'lambda facts: [Violation("Name", "named")])\n'
    )
    monkeypatch.setattr(sys, "foreign_rules_imports", 0, raising=False)

    def unload_rules(*_: Any) -> None:
        # A second import, by the worker, is counted only if the module is unloaded.
        sys.modules.pop("foreign_rules", None)

    theirs, ours = AuditSettings(rules=("foreign_rules:named",)), AuditSettings()
    async with Sandbox(campaigns=3) as sandbox:
        fleet = fleet_on(sandbox)
        async with workers(fleet, directory=tmp_path):
            report = await audit_fleet(
                fleet,
                broker=RedisBroker(redis.url),
                now=NOW,
                settings=theirs,
                directory=tmp_path,
                on_progress=unload_rules,
            )
        assert not sandbox.journal
    [finding] = [finding for finding in report.findings if finding.rule == "not-audited"]
    assert settings_digest(theirs)[:12] in finding.message
    assert settings_digest(ours)[:12] in finding.message
    assert "give both the same settings" in finding.message
    assert sys.foreign_rules_imports == 1  # type: ignore[attr-defined]


async def test_worker_with_equivalent_settings_runs_the_job(
    redis: RunningRedis, fleet_on: FleetOn, workers: Workers
) -> None:
    settings = AuditSettings(select=("expired", "expiring-soon"), by_rule={"expiring-soon": {"days": 9}})
    same = AuditSettings(select=("expiring-soon", "expired"), by_rule={"expiring-soon": {"days": 9}})
    async with Sandbox(campaigns=3) as sandbox:
        fleet = fleet_on(sandbox)
        async with workers(fleet, settings=same):
            report = await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW, settings=settings)
    assert (report.campaigns, report.unfinished) == (3, False)


class TestWithoutWorkerOrCoordinator:
    async def test_audit_calls_on_no_worker_and_continues_when_a_worker_starts(
        self, redis: RunningRedis, monkeypatch: pytest.MonkeyPatch, fleet_on: FleetOn, workers: Workers
    ) -> None:
        seconds = iter(range(0, 1000, 4))
        monkeypatch.setattr(CLOCK, "monotonic", lambda: float(next(seconds)))
        monkeypatch.setattr(dialler_async.fleet.coordinator, "_POLL_SECONDS", 0.001)
        notified = asyncio.Event()
        async with Sandbox(campaigns=3) as sandbox:
            fleet = fleet_on(sandbox)
            audit = asyncio.create_task(
                audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW, on_no_worker=notified.set)
            )
            await asyncio.wait_for(notified.wait(), 60)
            monkeypatch.undo()
            async with workers(fleet):
                assert (await audit).campaigns == 3

    async def test_cancelled_audit_deletes_its_jobs(self, redis: RunningRedis, fleet_on: FleetOn) -> None:
        async with Sandbox(campaigns=3, accounts=3) as sandbox:
            broker = RedisBroker(redis.url)
            audit = asyncio.create_task(audit_fleet(fleet_on(sandbox), broker=broker, now=NOW))
            async with Redis.from_url(redis.url) as client:
                # The stream gets a job when the audit has started.
                while not await client.xread({"dialler-fleet:jobs": "0"}, block=5000):
                    pass
            audit.cancel()
            with pytest.raises(asyncio.CancelledError):
                await audit
        assert await remaining_data(redis) == NO_DATA

    async def test_jobs_of_a_killed_audit_are_deleted_by_workers(
        self, redis: RunningRedis, monkeypatch: pytest.MonkeyPatch, fleet_on: FleetOn, workers: Workers
    ) -> None:
        monkeypatch.setattr(dialler_async.fleet.coordinator, "_POLL_SECONDS", 0.05)
        async with Sandbox(campaigns=3) as sandbox:
            fleet = fleet_on(sandbox)
            audit = asyncio.create_task(audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW))
            async with Redis.from_url(redis.url) as client:
                while not await client.xread({"dialler-fleet:jobs": "0"}, block=5000):
                    pass
                [run] = await client.keys("dialler-fleet:run:*")
                # This simulates a run that expires without its coordinator, while its jobs are still in the stream.
                await client.delete(run)
                with pytest.raises(BrokerError, match="has lost the data of this run"):
                    await audit
                assert await client.xlen("dialler-fleet:jobs") == 1
            async with workers(fleet):
                report = await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW)
            assert report.campaigns == 3
        assert [received.call for received in sandbox.journal].count("list") == 1
        assert await remaining_data(redis) == NO_DATA


async def test_results_are_deleted_when_they_are_read(redis: RunningRedis) -> None:
    broker = RedisBroker(redis.url)
    await broker.startup()
    await broker.open_run("r")
    for number in range(3):
        broker._sent[f"r/{number}"] = SentJob(b"1-0", digest(b"job"))
        result = json.dumps(Result(error=str(number)).to_json())
        entry = {"job": f"r/{number}", "result": result, "of": digest(b"job")}
        await broker.redis.xadd("dialler-fleet:results:r", entry)
    results = [(job, result.error) for job, result in await broker.results("r", 0.1)]
    assert results == [("r/0", "0"), ("r/1", "1"), ("r/2", "2")]
    assert await broker.redis.xlen("dialler-fleet:results:r") == 0
    assert await broker.results("r", 0.001) == []
    await broker.shutdown()


class TestLostRedis:
    async def test_audit_fails_when_redis_is_lost(
        self, redis: RunningRedis, hold: type[HeldRequest], fleet_on: FleetOn, workers: Workers
    ) -> None:
        async with Sandbox(campaigns=3) as sandbox:
            fleet = fleet_on(sandbox)
            held = hold()
            sandbox.faults.next(held)
            async with workers(fleet):
                audit = asyncio.create_task(audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW))
                await held.arrived.wait()
                redis.kill()
                with pytest.raises(BrokerError, match=r"^can't reach the broker at unix:.*/socket: ") as raised:
                    await audit
                held.release.set()
        assert raised.value.__cause__ is None

    async def test_audit_and_worker_fail_without_redis_at_the_start(self, fleet_on: FleetOn) -> None:
        async with Sandbox(campaigns=1) as sandbox:
            with pytest.raises(BrokerError, match=r"^can't reach the broker at redis://127\.0\.0\.1:9/0: ") as raised:
                await audit_fleet(
                    fleet_on(sandbox), broker=RedisBroker("redis://user:hidden@127.0.0.1:9/0?password=hidden"), now=NOW
                )
        assert "hidden" not in str(raised.value)

    @pytest.mark.parametrize("url", ["", "redis", "http://localhost", "redis://:hid/den@localhost", "redis://[hidden"])
    def test_invalid_broker_url_is_not_in_the_message(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match=r"^the broker's URL must be like redis://HOST:PORT/DATABASE$"):
            RedisBroker(url)


class TestLimits:
    async def test_max_concurrency_limits_the_calls_of_all_workers(
        self, redis: RunningRedis, fleet_on: FleetOn, gauge: RequestGauge, workers: Workers
    ) -> None:
        async with Sandbox(campaigns=8, accounts=6, latency=0.02) as sandbox:
            sandbox.faults.chance(1.0, [gauge])
            fleet = fleet_on(sandbox, max_concurrency=3)
            async with workers(fleet, workers=2, slots=4):
                await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW, chunk=4)
        assert gauge.peak == 3

    async def test_max_rate_limits_the_calls_of_all_workers(
        self, redis: RunningRedis, fleet_on: FleetOn, workers: Workers
    ) -> None:
        loop = asyncio.get_running_loop()
        async with Sandbox(campaigns=3, accounts=3) as sandbox:
            fleet = fleet_on(sandbox, max_rate=100)
            async with workers(fleet, workers=2):
                begin = loop.time()
                await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW)
                took = loop.time() - begin
        assert len(sandbox.journal) == 21
        # The burst allows two calls at once.
        assert took >= 19 / 100 - 0.001

    async def test_rate_limit_uses_the_clock_of_redis(
        self, redis: RunningRedis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The clock of the first worker is far ahead. With this clock, the second worker would wait for years.
        server = Server(name="a", url="http://localhost", max_rate=100)
        async with Redis.from_url(redis.url) as first, Redis.from_url(redis.url) as second:
            with monkeypatch.context() as fast:
                fast.setattr(pyrate_limiter.clocks, "time_ns", lambda: 10**19)
                await SharedRate(server, first).acquire()
            async with asyncio.timeout(60):
                await SharedRate(server, second).acquire()

    async def test_rate_limit_leaves_a_key_that_expires(self, redis: RunningRedis) -> None:
        async with Redis.from_url(redis.url) as client:
            # One call in 100 seconds.
            await SharedRate(Server(name="a", url="http://localhost", max_rate=0.01), client).acquire()
            [key] = await client.keys("dialler-fleet:rate:*")
            assert 0 < await client.ttl(key) <= 1000
