"""Workers and commands as processes: signals, exit codes and output."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

import dialler_async.fleet.coordinator
from dialler_async import ConfigurationError
from dialler_async._extras import needs_extra
from dialler_async.cli import main
from dialler_async.fleet import Fleet, audit_fleet, read_fleet
from dialler_async.fleet.redis_broker import RedisBroker
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.conftest import Command, HeldRequest
    from tests.fleet.conftest import FleetOn, RunningRedis, WithoutTimes, WriteFleet

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and sockets"),
]

# This worker is considered dead after 2 s instead of 30 s. A busy machine delays a heartbeat by less.
WORKER = """
import asyncio, sys
from pathlib import Path
from dialler_async.fleet import read_fleet
from dialler_async.fleet.redis_broker import RedisBroker
from dialler_async.fleet.worker import run_worker

async def main():
    broker = RedisBroker(sys.argv[2], slots=1, idle=2)
    fleet, stop = read_fleet(Path(sys.argv[1])), asyncio.Event()
    await run_worker(fleet, broker, stop=stop, on_ready=lambda: print("ready", flush=True))

asyncio.run(main())
"""


StartProcess = Callable[..., AbstractAsyncContextManager[Process]]
Run = Callable[..., Awaitable[tuple[int | None, str, str]]]


@pytest.fixture
def start_process(command: Command) -> StartProcess:
    """Return a context manager that runs a process, and kills it at the end."""

    @asynccontextmanager
    async def start_process(*argv: str, **changed: str) -> AsyncIterator[Process]:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, env=command.environment(**changed)
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    return start_process


@pytest.fixture
def run(command: Command, start_process: StartProcess) -> Run:
    """Return a function that runs `dialler`, and returns its exit code, stdout and stderr."""

    async def run(*argv: str, **changed: str) -> tuple[int | None, str, str]:
        async with start_process(*command.argv, *argv, **changed) as process:
            return await wait_for_exit(process)

    return run


async def wait_for_exit(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def read_line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    async with asyncio.timeout(60):
        return (await stream.readline()).decode()


def parsed_without_times(report: str) -> Any:
    content = json.loads(report)
    for key in ("seconds", "started", "now"):
        content.pop(key, None)
    return content


async def test_no_finding_is_lost_if_a_worker_is_killed_during_a_job(
    redis: RunningRedis,
    tmp_path: Path,
    hold: type[HeldRequest],
    fleet_on: FleetOn,
    write_fleet: WriteFleet,
    without_times: WithoutTimes,
    start_process: StartProcess,
) -> None:
    async with Sandbox(campaigns=10, accounts=3) as sandbox:
        fleet = fleet_on(sandbox)
        expected = await audit_fleet(fleet, now=NOW, chunk=4)
        manifest = str(write_fleet(sandbox, tmp_path))
        held = hold()
        sandbox.faults.next(held, match="result_codes", after=5)
        async with start_process(sys.executable, "-W", "error", "-c", WORKER, manifest, redis.url) as first:
            assert await read_line(first.stdout) == "ready\n"
            audit = asyncio.create_task(
                audit_fleet(read_fleet(Path(manifest)), broker=RedisBroker(redis.url), now=NOW, chunk=4)
            )
            await held.arrived.wait()
            async with start_process(sys.executable, "-W", "error", "-c", WORKER, manifest, redis.url) as second:
                assert await read_line(second.stdout) == "ready\n"
                first.kill()
                await held.hung_up.wait()
                report = await asyncio.wait_for(audit, 60)
                assert await remaining_data(redis) == (0, 0, [])
    assert without_times(report) == without_times(expected)


async def remaining_data(redis: RunningRedis) -> tuple[int, int, list[bytes]]:
    """Return the number of jobs, the number of pending jobs, and the other keys without the list of workers."""
    async with Redis.from_url(redis.url) as client:
        keys = [key async for key in client.scan_iter()]
        [group] = await client.xinfo_groups("dialler-fleet:jobs")
        others = [key for key in keys if key not in (b"dialler-fleet:jobs", b"dialler-fleet:workers")]
        return await client.xlen("dialler-fleet:jobs"), group["pending"], others


async def test_sigterm_lets_a_worker_finish_its_jobs(
    redis: RunningRedis,
    tmp_path: Path,
    hold: type[HeldRequest],
    write_fleet: WriteFleet,
    without_times: WithoutTimes,
    command: Command,
    start_process: StartProcess,
    run: Run,
) -> None:
    async with Sandbox(campaigns=3, accounts=4) as sandbox:
        manifest = str(write_fleet(sandbox, tmp_path))
        _, expected, _ = await run("fleet", "audit", manifest, "--json")
        held = hold()
        sandbox.faults.next(held, match="result_codes", after=2)
        worker = [*command.argv, "fleet", "worker", manifest, "--broker", redis.url, "--at-once", "1"]
        async with start_process(*worker) as first:
            assert await read_line(first.stdout) == f"working for {redis.url}: 4 accounts on 1 server\n"
            async with start_process(
                *command.argv, "fleet", "audit", manifest, "--json", DIALLER_BROKER=redis.url
            ) as audit:
                await held.arrived.wait()
                first.send_signal(signal.SIGTERM)
                assert (
                    await read_line(first.stderr)
                    == "dialler: finishing the running jobs; press Ctrl-C again to stop now\n"
                )
                held.release.set()
                assert await wait_for_exit(first) == (0, "", "")
                lists = [received.call for received in sandbox.journal].count("list")
                async with start_process(*worker) as second:
                    code, report, errors = await wait_for_exit(audit)
                    second.send_signal(signal.SIGINT)
                    assert (await wait_for_exit(second))[0] == 0
    assert lists == 4 + 1, "the worker takes no further account"
    assert (code, errors) == (0, "")
    assert parsed_without_times(report) == parsed_without_times(expected)
    assert [received.call for received in sandbox.journal].count("list") == 4 + 4, (
        "each account is listed once per audit"
    )
    assert await remaining_data(redis) == (0, 0, [])


async def test_second_sigint_stops_a_worker_and_returns_its_jobs(
    redis: RunningRedis,
    tmp_path: Path,
    hold: type[HeldRequest],
    fleet_on: FleetOn,
    write_fleet: WriteFleet,
    command: Command,
    start_process: StartProcess,
) -> None:
    async with Sandbox(campaigns=3) as sandbox:
        fleet = fleet_on(sandbox)
        held = hold()
        sandbox.faults.next(held, match="result_codes", after=2)
        worker = [*command.argv, "fleet", "worker", str(write_fleet(sandbox, tmp_path)), "--broker", redis.url]
        async with start_process(*worker) as first:
            await read_line(first.stdout)
            audit = asyncio.create_task(audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW))
            await held.arrived.wait()
            first.send_signal(signal.SIGINT)
            await read_line(first.stderr)
            first.send_signal(signal.SIGINT)
            assert await wait_for_exit(first) == (130, "", "")
        async with start_process(*worker) as second:
            await read_line(second.stdout)
            # The job is available at once, and not after 30 s without a heartbeat.
            report = await asyncio.wait_for(audit, 20)
    assert (report.campaigns, report.unfinished) == (3, False)
    assert await remaining_data(redis) == (0, 0, [])


async def test_ctrl_c_in_a_running_fleet_audit_leaves_no_traceback(
    tmp_path: Path, hold: type[HeldRequest], write_fleet: WriteFleet, command: Command, start_process: StartProcess
) -> None:
    async with Sandbox(campaigns=3) as sandbox:
        held = hold()
        sandbox.faults.next(held)
        async with start_process(*command.argv, "fleet", "audit", str(write_fleet(sandbox, tmp_path))) as audit:
            await held.arrived.wait()
            audit.send_signal(signal.SIGINT)
            assert await wait_for_exit(audit) == (130, "", "")


async def test_lost_broker_ends_the_audit_with_one_line_on_stderr(
    redis: RunningRedis,
    tmp_path: Path,
    hold: type[HeldRequest],
    write_fleet: WriteFleet,
    command: Command,
    start_process: StartProcess,
) -> None:
    async with Sandbox(campaigns=3) as sandbox:
        manifest = str(write_fleet(sandbox, tmp_path))
        held = hold()
        sandbox.faults.next(held)
        options = ["--broker", redis.url]
        async with start_process(*command.argv, "fleet", "worker", manifest, *options) as worker:
            await read_line(worker.stdout)
            async with start_process(*command.argv, "fleet", "audit", manifest, *options) as audit:
                await held.arrived.wait()
                redis.kill()
                code, output, errors = await wait_for_exit(audit)
            assert (code, output, errors.count("\n")) == (4, "", 1)
            assert errors.startswith(f"dialler: can't reach the broker at {redis.url}: ")
            held.release.set()
            # The worker keeps reconnecting until SIGTERM stops it.
            assert (await read_line(worker.stderr)).startswith("dialler: ")
            worker.send_signal(signal.SIGTERM)
            assert "Traceback" not in (await wait_for_exit(worker))[2]


class TestCommand:
    async def test_account_that_can_not_be_audited_gives_exit_code_3(
        self, tmp_path: Path, write_fleet: WriteFleet, run: Run
    ) -> None:
        async with Sandbox(campaigns=10, accounts=2) as sandbox:
            manifest = str(write_fleet(sandbox, tmp_path))
            failed = await run("fleet", "audit", manifest, "--fail-on", "info")
            os.remove(tmp_path / "2.token")
            refused = await run("fleet", "audit", manifest, "--fail-on", "info")
        assert (failed[0], failed[2], refused[0], refused[2]) == (1, "", 3, "")
        assert "can't read its token_file: " + os.strerror(errno.ENOENT) in " ".join(refused[1].split())
        assert max(map(len, refused[1].splitlines())) <= 80

    async def test_worker_and_audit_with_the_same_settings_apply_custom_rules(
        self,
        redis: RunningRedis,
        tmp_path: Path,
        write_fleet: WriteFleet,
        command: Command,
        start_process: StartProcess,
        run: Run,
    ) -> None:
        module = (
            "from dialler_async.audit import Violation, Severity, rule\n"
            'rule_of_ours = rule("named", Severity.INFO, title="t", why="w", fix="f")'
            '(lambda facts: [Violation("Name", "it has a name")])\n'
        )
        (tmp_path / "ours.py").write_text(module)
        (tmp_path / "dialler.toml").write_text('[audit]\nrules = ["ours:rule_of_ours"]\nselect = ["named"]\n')
        async with Sandbox(campaigns=3) as sandbox:
            manifest = str(write_fleet(sandbox, tmp_path))
            options = ["--broker", redis.url]
            settings = ["--config", str(tmp_path / "dialler.toml")]
            async with start_process(*command.argv, "fleet", "worker", manifest, *options, *settings) as worker:
                await read_line(worker.stdout)
                code, report, errors = await run("fleet", "audit", manifest, *options, *settings, "--json")
        assert (code, errors) == (0, "")
        assert [finding["rule"] for finding in json.loads(report)["findings"]] == ["named"] * 3

    async def test_sandbox_option_audits_generated_accounts(self, run: Run) -> None:
        code, output, errors = await run("fleet", "audit", "--sandbox", "--json")
        assert (code, errors) == (0, "")
        report = json.loads(output)
        assert (len(report["accounts"]), report["campaigns"]) == (100, 2000)

    def test_audit_without_a_worker_prints_how_to_start_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def audit_fleet(_: Fleet, *, on_no_worker: Callable[[], None], **options: Any) -> None:
            assert options["broker"].own_slots == 0
            on_no_worker()
            raise ConfigurationError("end of the test")

        monkeypatch.setattr(dialler_async.fleet, "audit_fleet", audit_fleet)
        manifest = tmp_path / "fleet.toml"
        account = 'name = "a"\nserver = "s"\nclients_id = 1\ntoken_env = "A"\n'
        manifest.write_text(f'[[servers]]\nname = "s"\nurl = "http://acd.example.com"\n[[accounts]]\n{account}')
        monkeypatch.setenv("DIALLER_BROKER", "redis://:hidden@broker.example.com:6380/2")
        assert main(["fleet", "audit", str(manifest)]) == 2
        warning, notice, rest = capsys.readouterr().err.splitlines()
        assert warning.startswith("dialler: warning: the token is sent to acd.example.com unencrypted")
        assert notice == (
            "dialler: waiting, because no worker is running: start one with "
            f"dialler fleet worker {manifest} --broker redis://broker.example.com:6380/2"
        )
        assert rest == "dialler: end of the test"

    def test_audit_without_a_worker_prints_that_it_needs_the_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def audit_fleet(_: Fleet, *, on_no_worker: Callable[[], None], **options: Any) -> None:
            on_no_worker()
            raise ConfigurationError("end of the test")

        monkeypatch.setattr(dialler_async.fleet, "audit_fleet", audit_fleet)
        account = 'name = "a"\nserver = "s"\nclients_id = 1\ntoken_env = "A"\n'
        manifest = tmp_path / "fleet.toml"
        manifest.write_text(f'[[servers]]\nname = "s"\nurl = "https://acd.example.com"\n[[accounts]]\n{account}')
        monkeypatch.setenv("DIALLER_FLEET_KEY", "k3y-of-the-fleet")
        assert main(["fleet", "audit", str(manifest), "--broker", "redis://broker.example.com/2"]) == 2
        errors = capsys.readouterr().err
        assert (
            "waiting, because no worker with this DIALLER_FLEET_KEY is running: start one with dialler fleet worker"
            in errors
        )
        assert "k3y-of-the-fleet" not in errors

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            (["audit"], f"can't read fleet.toml: {os.strerror(errno.ENOENT)}"),
            (
                ["audit", "--sandbox", "--broker", "redis://b"],
                "--sandbox audits its own accounts in this process",
            ),
            (["audit", "--sandbox", "other.toml"], "--sandbox audits its own accounts in this process"),
            (["audit", "--json", "--format", "csv"], "--json and --format csv contradict each other"),
            (["audit", "--output", "no/such/file"], "can't write no/such/file: there is no such directory"),
            (["worker"], "no broker: set DIALLER_BROKER, or give --broker, such as redis://"),
            (["worker", "--broker", "redis://:hid/den@b"], "the broker's URL must be like redis://HOST:PORT/DATABASE"),
        ],
        ids=" ".join,
    )
    def test_wrong_options_are_usage_errors_of_one_line(
        self,
        argv: list[str],
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("DIALLER_BROKER", raising=False)
        assert main(["fleet", *argv]) == 2
        output, errors = capsys.readouterr()
        assert (output, errors.count("\n")) == ("", 1)
        assert errors.startswith(f"dialler: {message}")
        assert "hid" not in errors

    @pytest.mark.parametrize("command", ["audit", "worker"])
    def test_missing_extra_is_a_usage_error_that_names_it(
        self, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("dialler_async.cli.fleet.find_spec", lambda name: None)
        assert main(["fleet", command]) == 2
        assert capsys.readouterr().err == f"dialler: {needs_extra('this command', 'fleet')}\n"

    def test_list_rules_prints_the_rules(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["fleet", "audit", "--list-rules", "--select", "expired"]) == 0
        assert "expired" in capsys.readouterr().out

    async def test_other_commands_import_no_fleet_dependency(self, start_process: StartProcess) -> None:
        program = (
            "import sys, dialler_async, dialler_async.fleet, dialler_async.cli.app\n"
            "assert not {'taskiq', 'redis', 'pyrate_limiter'} & set(sys.modules)"
        )
        async with start_process(sys.executable, "-c", program) as process:
            assert await wait_for_exit(process) == (0, "", "")
