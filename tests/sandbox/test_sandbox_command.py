"""`dialler sandbox --accounts`: the printed command and the files for it."""

import asyncio
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dialler_async import DiallerClient
from dialler_async.cli import main
from dialler_async.fleet import read_fleet

pytestmark = pytest.mark.slow


def test_several_accounts_print_a_command_with_their_fleet_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    clients_ids_of: list[set[int | None]] = []

    async def audit_and_stop(stop: asyncio.Event) -> None:
        monkeypatch.undo()
        printed.extend(capsys.readouterr().out.splitlines())
        fleet = read_fleet(Path(shlex.split(printed[-1])[-1]))
        [server] = fleet.servers.values()
        for account in fleet.accounts.values():
            async with DiallerClient.for_server(server.url, account.clients_id, account.token) as dialler:
                clients_ids_of.append({campaign.clients_id for campaign in await dialler.campaigns.list()})
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()

    monkeypatch.setattr(asyncio.Event, "wait", audit_and_stop)
    assert main(["sandbox", "--port", "0", "--campaigns", "3", "--accounts", "12"]) == 0
    assert clients_ids_of == [{clients_id} for clients_id in range(1, 13)]
    *settings, audit = printed
    assert [line.partition("=")[0] for line in settings[:3]] == [
        "DIALLER_BASE_URL",
        "DIALLER_TOKEN",
        "DIALLER_SANDBOX_KEY",
    ]
    assert audit.startswith("dialler fleet audit ")
    assert not Path(shlex.split(audit)[-1]).parent.exists()


def test_printed_command_audits_all_accounts_from_another_process() -> None:
    command = (sys.executable, "-c", "import sys; from dialler_async.cli import main; sys.exit(main(sys.argv[1:]))")
    options = ("--port", "0", "--campaigns", "20", "--accounts", "3")
    with subprocess.Popen([*command, "sandbox", *options], stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        last_line = [sandbox.stdout.readline() for _ in range(5)][-1]
        audit = [*command, *shlex.split(last_line)[1:], "--fail-on", "info"]
        audited = subprocess.run(audit, capture_output=True, text=True, check=False, timeout=60)
        sandbox.send_signal(signal.SIGTERM)
    assert (sandbox.returncode, audited.returncode, audited.stderr) == (0, 1, "")
    assert "60 campaigns" in audited.stdout


def test_directory_of_tokens_is_private(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []

    async def record_mode_and_stop(stop: asyncio.Event) -> None:
        monkeypatch.undo()
        manifest = Path(shlex.split(capsys.readouterr().out.splitlines()[-1])[-1])
        modes.append(manifest.parent.stat().st_mode & 0o777)
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()

    monkeypatch.setattr(asyncio.Event, "wait", record_mode_and_stop)
    assert main(["sandbox", "--port", "0", "--campaigns", "1", "--accounts", "2"]) == 0
    assert modes == [0o700]
