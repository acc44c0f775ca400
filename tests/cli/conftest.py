"""Fixtures that run `dialler` in this process or in a new one, and a server for both."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from dialler_async.cli import main
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.conftest import Command

TOKEN = "a-secret-that-nobody-may-see"


class CommandResult(NamedTuple):
    """The exit code and the output of a command."""

    exit: int
    out: str
    err: str


Run = Callable[..., CommandResult]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `dialler` in this process, and checks that the output does not contain the token."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*argv: object) -> CommandResult:
        exit = main([str(argument) for argument in argv])
        output = capsys.readouterr()
        assert TOKEN not in output.out + output.err
        return CommandResult(exit, output.out, output.err)

    return call


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the connection from the environment."""
    for name in ("DIALLER_BASE_URL", "DIALLER_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Yield a server with four campaigns, which runs in its own thread. The environment contains its URL and token."""
    records = [{"ID": id, "Name": name, "LanguagesID": 2} for id, name in ((1, "Spring"), (2, "Spring 2"), (3, "Twin"))]
    with Sandbox([*records, {"ID": 4, "Name": "Twin", "Extra": 1}], token=TOKEN) as sandbox:
        monkeypatch.setenv("DIALLER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", TOKEN)
        yield sandbox


@pytest.fixture
def own_rule() -> str:
    """Return the code of a module with one rule. The rule finds the campaign `Twin`."""
    return """
from dialler_async.audit import Violation, Severity, rule

@rule("twin", Severity.ERROR, title="A twin", why="A test.", fix="None.", settings={"name": "Twin"})
def twin(facts, *, name):
    if facts.campaign.name == name:
        yield Violation("Name", "is a twin")
"""


class Process(subprocess.Popen[str]):
    """A process that is killed if the test fails. `Popen` would wait for its end."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, traceback)


StartProcess = Callable[..., Process]


@pytest.fixture
def start_process(command: Command) -> StartProcess:
    """Return a function that starts `dialler` in a new process."""

    def start(*argv: str, **changed: str) -> Process:
        return Process(
            [*command.argv, *argv],
            env=command.environment(**changed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    return start
