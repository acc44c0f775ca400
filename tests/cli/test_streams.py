"""Unwritable streams, and signals: each gives an exit code and one line, and no traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Fault
from dialler_async.sandbox.in_flight_request import InFlightRequest

if TYPE_CHECKING:
    from tests.cli.conftest import StartProcess
    from tests.conftest import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full"),
]

READS = [
    ["campaigns", "list"],
    ["campaigns", "list", "--json"],
    # This output is so short that it stays in the buffer until the end.
    ["campaigns", "get", "1", "--json"],
    ["result-codes", "1"],
    ["audit"],
    ["audit", "--format", "csv"],
    ["audit", "--list-rules"],
    ["--help"],
]


Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(command: Command) -> Shell:
    """Return a function that runs `dialler` in a shell with redirected streams."""

    def run(redirection: str, *argv: str, **changed: str) -> subprocess.CompletedProcess[str]:
        settings = {key: value for key, value in os.environ.items() if "DIALLER_" in key}
        return subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command.argv, *argv],
            env={**command.environment(**changed), **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("redirection", "reason"), [(">/dev/full", os.strerror(errno.ENOSPC)), (">&-", "it is closed")]
)
@pytest.mark.parametrize("argv", READS, ids=" ".join)
def test_unwritable_stdout_exits_with_5(
    sandbox: Sandbox, argv: list[str], redirection: str, reason: str, shell: Shell
) -> None:
    done = shell(redirection, *argv)
    assert (done.returncode, done.stderr) == (5, f"dialler: can't write to stdout: {reason}\n")


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_deletion_is_reported_on_stderr_if_stdout_is_unwritable(
    sandbox: Sandbox, redirection: str, shell: Shell
) -> None:
    done = shell(redirection, "campaigns", "delete", "1", "--yes")
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1].endswith("The line is: deleted campaign 1 “Spring”")
    assert 1 not in sandbox.campaigns


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_unwritable_stderr_keeps_the_exit_code(sandbox: Sandbox, redirection: str, shell: Shell) -> None:
    for argv, exit in (
        (["campaigns", "get", "99"], 3),
        (["campaigns", "get", "0x1"], 2),
        (["campaigns", "delete", "1"], 2),
    ):
        done = shell(redirection, *argv)
        assert (done.returncode, done.stdout, done.stderr) == (exit, "", "")


def test_report_is_written_with_all_streams_closed(sandbox: Sandbox, tmp_path: Path, shell: Shell) -> None:
    done = shell("<&- >&- 2>&-", "audit", "--output", str(tmp_path / "report"))
    assert done.returncode == 0
    assert "4 campaigns" in (tmp_path / "report").read_text()


@pytest.mark.parametrize("option", ["--output", "--html"])
def test_report_to_a_full_disk_exits_with_5(sandbox: Sandbox, option: str, shell: Shell) -> None:
    done = shell("", "audit", option, "/dev/full")
    assert (done.returncode, done.stderr) == (5, f"dialler: can't write /dev/full: {os.strerror(errno.ENOSPC)}\n")


@pytest.mark.parametrize("format", ["json", "csv", "parquet"])
def test_export_to_a_full_disk_exits_with_5(sandbox: Sandbox, tmp_path: Path, format: str, shell: Shell) -> None:
    full = tmp_path / f"account.{format}"
    full.symlink_to("/dev/full")
    done = shell("", "export", "--output", str(full))
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == f"dialler: can't write {full}: {os.strerror(errno.ENOSPC)}\n"


def test_report_larger_than_the_file_size_limit_keeps_the_old_file(
    sandbox: Sandbox, tmp_path: Path, command: Command
) -> None:
    report = tmp_path / "report"
    report.write_text("before")
    limited = f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); {command.argv[-1]}"
    limited = limited.replace("sys.exit", "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); sys.exit")
    done = subprocess.run(
        [sys.executable, "-c", limited, "audit", "--format", "json", "--output", str(report)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (5, f"dialler: can't write {report}: File too large\n")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report", "before")]


@attrs.frozen
class Stall(Fault):
    """Send no response, and set `arrived` when the request arrives."""

    carried_out: bool
    arrived: threading.Event = attrs.field(factory=threading.Event, eq=False)

    async def apply(self, request: InFlightRequest) -> None:
        if self.carried_out:
            await request.carry_out()
        self.arrived.set()
        await request.wait_closed()


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize(
    ("call", "argv", "message"),
    [
        (
            "delete",
            ["campaigns", "delete", "1", "--yes"],
            "dialler: interrupted: campaign 1 “Spring” may have been deleted; check with: dialler campaigns get 1",
        ),
        (
            "clone",
            ["campaigns", "clone", "Spring", "Next one"],
            "dialler: interrupted: the campaign may have been cloned; check with: dialler campaigns find -- 'Next one'",
        ),
    ],
)
def test_ctrl_c_during_a_write_exits_with_6_and_a_hint(
    sandbox: Sandbox, call: str, argv: list[str], message: str, carried_out: bool, start_process: StartProcess
) -> None:
    stall = Stall(carried_out)
    sandbox.faults.next(stall, match=call)
    with start_process(*argv, DIALLER_BASE_URL=sandbox.base_url, DIALLER_TOKEN=sandbox.token) as process:
        assert stall.arrived.wait(30)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors.splitlines()[-1]) == (6, "", message)
    assert "Traceback" not in errors


@pytest.mark.parametrize("call", ["get", "result_codes"])
def test_ctrl_c_before_a_write_exits_with_130(sandbox: Sandbox, call: str, start_process: StartProcess) -> None:
    stall = Stall(carried_out=False)
    sandbox.faults.next(stall, match=call)
    settings = {"DIALLER_BASE_URL": sandbox.base_url, "DIALLER_TOKEN": sandbox.token}
    with start_process("campaigns", "delete", "1", "--yes", **settings) as process:
        assert stall.arrived.wait(30)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors) == (130, "", "")
    assert 1 in sandbox.campaigns


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_in_a_running_audit_leaves_the_old_file_only(
    sandbox: Sandbox, number: signal.Signals, tmp_path: Path, start_process: StartProcess
) -> None:
    report = tmp_path / "report"
    report.write_text("before")
    stall = Stall(carried_out=False)
    sandbox.faults.next(stall)
    settings = {"DIALLER_BASE_URL": sandbox.base_url, "DIALLER_TOKEN": sandbox.token}
    with start_process("audit", "--output", str(report), **settings) as process:
        assert stall.arrived.wait(30)
        process.send_signal(number)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors) == (128 + number, "", "")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report", "before")]


def test_background_job_of_a_script_ignores_ctrl_c_and_ends_at_sigterm(
    sandbox: Sandbox, tmp_path: Path, command: Command
) -> None:
    """A shell starts the background jobs of a script with SIGINT ignored."""
    report = tmp_path / "report"
    stall = Stall(carried_out=False)
    sandbox.faults.next(stall)
    settings = {"DIALLER_BASE_URL": sandbox.base_url, "DIALLER_TOKEN": sandbox.token}
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command.argv, "audit", "--output", str(report)]
    with subprocess.Popen(background, env=command.environment(**settings), stderr=subprocess.PIPE) as process:
        try:
            assert stall.arrived.wait(30)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, errors) == (128 + signal.SIGTERM, b"")
    assert list(tmp_path.iterdir()) == []
