"""The command as a process: signals, pipes, encodings and imports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import StartProcess
    from tests.conftest import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and pipes"),
]


RunProcess = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_process(command: Command) -> RunProcess:
    """Return a function that runs `dialler` in a new process and waits for its end."""

    def run(*argv: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command.argv, *argv],
            env=command.environment(**changed),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_audit_of_the_sandbox_fits_80_columns_without_colours(run_process: RunProcess) -> None:
    done = run_process("audit", "--sandbox")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert re.search(r"^500 campaigns, [\d,]+ result codes, 1,001 requests in \d+\.\d s$", done.stdout, re.MULTILINE)


def test_missing_settings_print_one_line(run_process: RunProcess) -> None:
    done = run_process("campaigns", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "dialler: no base URL: set DIALLER_BASE_URL, or give --base-url (or try --sandbox)\n"


def test_refused_connection_prints_one_line_without_the_token(run_process: RunProcess) -> None:
    done = run_process(
        "campaigns", "list", DIALLER_BASE_URL="http://127.0.0.1:9/rest/v1.0/1", DIALLER_TOKEN="hidden-token"
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
    assert "hidden-token" not in done.stderr


@pytest.mark.parametrize(
    "argv",
    # The last output is so short that it stays in the buffer until the end.
    [["campaigns", "list"], ["campaigns", "list", "--json"], ["audit"], ["campaigns", "get", "665", "--json"]],
    ids=" ".join,
)
def test_closed_pipe_exits_with_141(argv: list[str], start_process: StartProcess) -> None:
    process = start_process(*argv, "--sandbox")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141
    process.stderr.close()


def test_characters_that_the_encoding_lacks_are_escaped(run_process: RunProcess) -> None:
    done = run_process("campaigns", "list", "--sandbox", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xfc" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sandbox_serves_until_a_signal(
    number: signal.Signals, run_process: RunProcess, start_process: StartProcess
) -> None:
    with start_process("sandbox", "--port", "0", "--campaigns", "20") as process:
        settings = dict(first_line(process).strip().split("=") for _ in range(2))
        listed = run_process("campaigns", "list", **settings)
        audited = run_process("audit", "--fail-on", "info", **settings)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert (listed.returncode, len(listed.stdout.splitlines()) > 20) == (0, True)
    assert (audited.returncode, "20 campaigns" in audited.stdout) == (1, True)


@pytest.mark.parametrize(
    ("exit", "argv"),
    [(2, ["audit"]), (5, ["export", "--output", "account.csv"]), (0, ["campaigns", "list"])],
)
def test_deleted_working_directory_prints_at_most_one_line(
    exit: int, argv: list[str], tmp_path: Path, command: Command
) -> None:
    deleted = tmp_path / "deleted"
    shell = f'mkdir "{deleted}"; cd "{deleted}"; rmdir "{deleted}"; exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *command.argv, *argv, "--sandbox"],
        env=command.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (exit, 1 if exit else 0)


def test_ctrl_c_in_a_running_audit_leaves_no_traceback(command: Command, start_process: StartProcess) -> None:
    with start_process("sandbox", "--port", "0", "--campaigns", "5000") as server:
        settings = dict(first_line(server).strip().split("=") for _ in range(2))
        master, slave = os.openpty()
        audit = subprocess.Popen(
            [*command.argv, "audit", "--concurrency", "1"],
            env=command.environment(**settings, TERM="xterm", COLUMNS="80"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
        )
        os.close(slave)
        seen = b""
        while b"/10000" not in seen:  # the progress bar shows that the audit runs
            seen += os.read(master, 4096)
        audit.send_signal(signal.SIGINT)
        output, _ = audit.communicate(timeout=30)
        seen += _read_to_end(master)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert (audit.returncode, output) == (130, b"")
    assert b"Traceback" not in seen
    assert b"Error" not in seen


def _read_to_end(master: int) -> bytes:
    seen = b""
    try:
        while chunk := os.read(master, 4096):
            seen += chunk
    except OSError:  # Linux raises this if the other end of a terminal is closed
        pass
    finally:
        os.close(master)
    return seen


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("dialler_async", {"cyclopts", "rich", "aiohttp.web", "dialler_async.sandbox"}),
        ("dialler_async.audit", {"cyclopts", "rich", "aiohttp.web", "dialler_async.sandbox"}),
        ("dialler_async.cli", {"cyclopts", "rich"}),
        ("dialler_async.cli.app", {"aiohttp", "dialler_async.audit", "dialler_async.fleet", "dialler_async.sandbox"}),
    ],
)
def test_import_of_a_module_does_not_load_unneeded_modules(imported: str, absent: set[str]) -> None:
    script = f"import sys, {imported}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""
