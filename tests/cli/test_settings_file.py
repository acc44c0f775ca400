"""The settings file of audits: which file is read, and what is refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run

SETTINGS = "[audit]\nselect = ['duplicate-name']\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, which has no settings in it or above it."""
    place = tmp_path / "account" / "nightly"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    return place


def rules(run: Run, *options: str) -> int:
    """Return how many rules are applied."""
    return run("audit", "--list-rules", *options).out.count(" error ")


def test_settings_file_with_a_byte_order_mark_is_read(run: Run, here: Path) -> None:
    everything = rules(run)
    (here / "dialler.toml").write_text(SETTINGS, encoding="utf-8-sig")
    assert rules(run) < everything
    assert rules(run, "--config", "dialler.toml") == rules(run)


@pytest.mark.parametrize("options", [[], ["--config", "dialler.toml"]])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("directory", os.strerror(errno.EISDIR)),
        ("pipe", "it is not a regular file"),
        ("loop", os.strerror(errno.ELOOP)),
        ("dangling link", os.strerror(errno.ENOENT)),
    ],
)
def test_settings_file_that_is_no_file_is_an_error(
    kind: str, reason: str, options: list[str], run: Run, here: Path
) -> None:
    file = here / "dialler.toml"
    match kind:
        case "directory":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "loop":
            file.symlink_to(file)
        case _:
            file.symlink_to("nowhere")
    ran = run("audit", "--list-rules", *options)
    assert (ran.exit, ran.out) == (2, "")
    assert ran.err.startswith("dialler: can't read ")
    assert ran.err.endswith(f"dialler.toml: {reason}\n")


@pytest.mark.parametrize(
    ("name", "content", "table"),
    [
        ("dialler.toml", "", "audit"),
        ("other.toml", "# nothing\n", "audit"),
        ("pyproject.toml", "[project]\nname = 'x'\n", "tool.dialler.audit"),
        ("pyproject.toml", "[tool.dialler]\n", "tool.dialler.audit"),
    ],
)
def test_config_option_needs_a_file_with_settings_for_audits(
    name: str, content: str, table: str, run: Run, here: Path
) -> None:
    (here / name).write_text(content)
    ran = run("audit", "--list-rules", "--config", name)
    message = f"dialler: {name} has no settings for audits: it needs the table [{table}]\n"
    assert (ran.exit, ran.out, ran.err) == (2, "", message)


def test_empty_dialler_toml_is_the_nearest_settings_file(run: Run, here: Path) -> None:
    everything = rules(run)
    (here.parent / "dialler.toml").write_text(SETTINGS)
    assert rules(run) < everything
    (here / "dialler.toml").touch()
    assert rules(run) == everything


def test_rule_in_a_file_beside_the_settings_is_applied(run: Run, here: Path, own_rule: str) -> None:
    (here.parent / "checks").mkdir()
    (here.parent / "checks" / "my rules.py").write_text(own_rule)
    (here.parent / "dialler.toml").write_text("[audit]\nrules = ['checks/my rules.py:twin']\n")
    assert "A twin" in run("audit", "--list-rules").out


@pytest.mark.parametrize("missing", ["title", "why", "fix"])
def test_rule_without_a_description_is_refused(missing: str, run: Run, here: Path, own_rule: str) -> None:
    words = {"title": "A twin", "why": "A test.", "fix": "None."}
    (here / "bare.py").write_text(own_rule.replace(f'{missing}="{words[missing]}"', f'{missing}=" "'))
    ran = run("audit", "--list-rules", "--rules", "bare.py:twin")
    assert (ran.exit, ran.out) == (2, "")
    assert f"the rule “twin” needs a text as its {missing}, not ' '" in ran.err


def test_name_of_the_account_in_the_settings_is_in_the_title(run: Run, sandbox: object, here: Path) -> None:
    (here / "dialler.toml").write_text("[audit]\nname = 'Vienna sales'\n")
    assert "Vienna sales (account 1 on 127.0.0.1" in run("audit").out.replace("\n", " ")
