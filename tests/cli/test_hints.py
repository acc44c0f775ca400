"""Hints of the library's errors on the command line are about the command line, not about Python."""

import ast
import re
from pathlib import Path

import pytest

import dialler_async
from dialler_async.cli import main
from dialler_async.cli.exits import hints_for_command_line

SOURCE = Path(dialler_async.__file__).parent
PYTHON = re.compile(
    r"PoolConfig\(|RetryPolicy\(|Timeouts\(|DiallerClient|campaigns\.[a-z_]+\(|max_rate=|with_options|client_cert=|ssl\."
)
NOT_OF_COMMANDS = re.compile(
    # Values that the parser of the command line has checked already, and calls that no command makes.
    r"PoolConfig\((limit|max_body|ssl|keep_alive|proxy)=…\) |\) must be |never closed|pickled or copied"
    r"|an ssl\.SSLContext; |the server must be given without|`campaigns.find\(name\)`|awaited first"
)
MODULES = [*SOURCE.glob("_http/*.py"), *SOURCE.glob("_api/*.py"), *SOURCE.glob("*.py")]


def messages(module: Path) -> list[str]:
    """Return the texts in a module, without docstrings, each with `…` for its values."""
    tree = ast.parse(module.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    texts = []
    for node in ast.walk(tree):
        if id(node) in docstrings or id(node) in inner:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            texts.append("".join(str(it.value) if isinstance(it, ast.Constant) else "…" for it in node.values))
    return [text for text in texts if " " in text]


def test_no_message_for_a_command_is_about_python() -> None:
    found = [text for module in MODULES for text in messages(module) if PYTHON.search(text)]
    assert len(found) > 10
    wrong = [text for text in found if PYTHON.search(hints_for_command_line(text))]
    unknown = [text for text in wrong if not NOT_OF_COMMANDS.search(text)]
    assert unknown == [], "add what to do on the command line to `_HINTS` in cli/exits.py"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base-url", "https://acd.example.com"], "the base URL has no ClientsID: append /rest/v1.0/CLIENTS_ID"),
        (["--base-url", " https://acd.example.com/rest/v1.0/1"], "contains a space or a line break: remove it"),
        (["--base-url", "https://acd.example.com:99999/rest/v1.0/1"], "use one from 1 to 65535"),
    ],
)
def test_wrong_base_url_is_a_usage_error_without_python(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIALLER_TOKEN", "token")
    assert main(["campaigns", "list", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "DiallerClient" not in error


def test_usage_of_audit_does_not_ask_for_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: dialler audit [COMMAND] [OPTIONS]\n")
