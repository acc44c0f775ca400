"""`dialler --help`, `--version` and shell completion: what they import, and whether they match the commands."""

import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts.completion.detect import ShellDetectionError

import dialler_async
from dialler_async.cli import main
from dialler_async.cli.app import app
from dialler_async.cli.overview import COMMANDS, INSTALL_COMPLETION, overview


@pytest.mark.parametrize(
    ("argv", "absent"),
    [
        (["--help"], ["aiohttp", "cyclopts", "rich", "dialler_async.client"]),
        (["--version"], ["aiohttp", "cyclopts", "rich", "dialler_async.client"]),
        (
            ["campaigns", "--help"],
            ["aiohttp.web", "dialler_async.audit", "dialler_async.fleet", "dialler_async.sandbox"],
        ),
    ],
    ids=["help", "version", "campaigns-help"],
)
def test_help_imports_only_the_called_command(argv: list[str], absent: list[str]) -> None:
    script = (
        f"import sys; from dialler_async.cli import main; main({argv!r}); "
        f"sys.exit(' '.join({{*{absent!r}}} & {{*sys.modules}}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_overview_has_the_first_sentence_of_each_command_help() -> None:
    for name, (_, sentence) in COMMANDS.items():
        command = app[name]
        assert command.help.startswith(sentence[:-1]), name
        assert f"  {name} " in overview()
    assert INSTALL_COMPLETION in app


def test_overview_is_at_most_80_columns_wide() -> None:
    assert max(map(len, overview().splitlines())) <= 80


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]], ids=["nothing", "--help", "-h"])
def test_no_arguments_and_help_print_the_overview(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    assert capsys.readouterr() == (overview(), "")


def test_version_option_works_without_the_cli_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [name for name in sys.modules if name.startswith(("dialler_async.cli.", "cyclopts", "rich"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{dialler_async.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_contains_commands_and_options(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    script = tmp_path / "script"
    assert main([INSTALL_COMPLETION, "--shell", shell, "--output", str(script)]) == 0
    assert all(word in script.read_text() for word in ("result-codes", "clone", "worker", "fail-on"))
    assert capsys.readouterr().err == ""


def test_completion_for_an_unknown_shell_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> str:
        raise ShellDetectionError

    monkeypatch.setattr("cyclopts.completion.detect.detect_shell", fail)
    assert main([INSTALL_COMPLETION]) == 2
    assert "--shell" in capsys.readouterr().err
