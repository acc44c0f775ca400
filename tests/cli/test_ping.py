"""`dialler ping`, `--verbose`, and `python -m dialler_async`."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dialler_async.cli import main
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Status


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Yield a server in its own thread. The environment contains its URL and token."""
    with Sandbox([{"ID": 535, "Name": "Secret name"}]) as sandbox:
        monkeypatch.setenv("DIALLER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", sandbox.token)
        yield sandbox


def test_ping_names_the_server_and_the_time(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{sandbox.base_url} responds and accepts the token (")
    assert printed.out.endswith(" ms)\n")
    assert (printed.err, len(sandbox.journal)) == ("", 1)


def test_ping_is_not_retried_and_reports_a_failure(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox.faults.next(Status(503))
    assert main(["ping"]) == 3
    sandbox.revoke()
    assert main(["ping"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "the token, the ClientsID" in printed.err
    assert len(sandbox.journal) == 2


def test_ping_without_a_server_exits_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIALLER_TOKEN", "token")
    assert main(["ping", "--base-url", "http://127.0.0.1:1/rest/v1.0/1"]) == 4
    assert "no connection" in capsys.readouterr().err


def test_verbose_prints_each_attempt_without_secrets(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("dialler_async")
    before = logger.level, list(logger.handlers)
    sandbox.faults.next(Status(503, retry_after=0))
    assert main(["campaigns", "get", "535", "--verbose"]) == 0
    lines = capsys.readouterr().err.splitlines()
    template = "dialler: GET /dialler/campaigns/{DiallerCampaignsID}"
    assert [line.partition(" in ")[0] for line in lines] == [
        f"{template}: 503",
        f"{template} failed (503), attempt 1; retry",
        f"{template}: 200",
    ]
    assert not any(secret in line for line in lines for secret in (sandbox.token, "535", "Secret"))
    assert (logger.level, logger.handlers) == before


def test_python_runs_the_package_as_the_command(sandbox: Sandbox) -> None:
    command = [sys.executable, "-W", "error", "-m", "dialler_async", "campaigns", "get", "535"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Secret name" in done.stdout
