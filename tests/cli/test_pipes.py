"""Lists in scripts: `$(…)` of a shell, and JSON for `jq`."""

import json
import subprocess
from collections.abc import Callable
from inspect import signature
from typing import Any

import pytest

from dialler_async.audit import audit
from dialler_async.cli import main
from dialler_async.sandbox import Sandbox

RECORDS = [{"ID": 535, "Name": "VIP Spring"}, {"ID": 536, "Name": "Autumn"}]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command against two campaigns, and returns its standard output."""

    def printed(*arguments: str) -> str:
        with Sandbox(RECORDS) as sandbox:
            monkeypatch.setenv("DIALLER_BASE_URL", sandbox.base_url)
            monkeypatch.setenv("DIALLER_TOKEN", sandbox.token)
            assert main(["campaigns", "list", *arguments]) == 0
        return capfd.readouterr().out

    return printed


def test_shell_reads_the_last_cell_of_a_line_unchanged(printed: Callable[..., str]) -> None:
    output = printed("--csv", "--columns", "Name,ID", "--filter", "Name=VIP*")
    script = 'id=$(tail -n +2 | cut -d, -f2); printf "%s" "<$id>"'
    done = subprocess.run(["sh", "-c", script], input=output, capture_output=True, text=True, check=True)  # noqa: S607  the shell of the system
    assert done.stdout == "<535>"


def test_json_has_the_records_in_the_format_of_the_server(printed: Callable[..., str]) -> None:
    listed: dict[str, Any] = json.loads(printed("--json", "--sort", "-ID"))
    assert [record["ID"] for record in listed["records"]] == [536, 535]


def test_help_shows_how_to_use_the_list_in_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaigns", "list", "--help"]) == 0
    assert "dialler campaigns list --json | jq '.records[].ID'" in capsys.readouterr().out


def test_help_of_the_audit_does_not_list_the_rules() -> None:
    assert len(str(signature(audit))) < 1000
