"""`dialler audit explain`: one rule in words, with an example and its settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dialler_async.audit import RULES
from dialler_async.audit.rules import RUN_RULES

if TYPE_CHECKING:
    from tests.cli.conftest import Run

INFOS = [*RUN_RULES, *(rule.info for rule in RULES)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("id", [info.id for info in INFOS])
def test_explain_prints_every_rule_with_an_example(id: str, run: Run, no_settings: None, here: Path) -> None:
    info = next(info for info in INFOS if info.id == id)
    ran = run("audit", "explain", id)
    shown = " ".join(ran.out.split())
    assert (ran.exit, ran.err) == (0, "")
    assert shown.startswith(f"{id} ({info.severity}): {info.title} Why {info.why} Example ")
    assert f"What to do {info.fix}" in shown
    assert len(shown.partition("Example")[2].partition("What to do")[0].strip()) > 10


def test_explain_shows_the_settings_of_a_rule_that_the_file_ignores(run: Run, here: Path) -> None:
    (here / "dialler.toml").write_text(
        "[audit]\nignore = ['expiring-soon']\n[audit.expiring-soon]\nseverity = 'error'\ndays = 14\n"
    )
    out = run("audit", "explain", "expiring-soon").out
    assert out.startswith("expiring-soon (error): ")
    assert out.rstrip().endswith('severity = "error"\n  days = 14')


def test_explain_prints_a_rule_of_the_user(run: Run, here: Path, own_rule: str) -> None:
    (here / "my_rules_explained.py").write_text(own_rule)
    ran = run("audit", "explain", "twin", "--rules", "my_rules_explained:twin")
    assert (ran.exit, ran.err) == (0, "")
    assert ran.out.startswith("twin (error): A twin")
    # The rule finds nothing in the sandbox.
    assert "Example" not in ran.out


def test_unknown_rule_is_a_usage_error_with_a_suggestion(run: Run, here: Path) -> None:
    ran = run("audit", "explain", "expird")
    assert (ran.exit, ran.out) == (2, "")
    assert ran.err == "dialler: there is no rule “expird”; did you mean “expired”?\n"


def test_portal_url_in_the_settings_links_the_html_report(run: Run, no_settings: None, here: Path) -> None:
    (here / "dialler.toml").write_text("[audit]\nportal_url = 'https://portal.example.com/{id}'\n")
    assert run("audit", "--sandbox", "--html", "report.html").exit == 0
    assert re.search(r'<a href="https://portal.example.com/(\d+)">#\1</a>', (here / "report.html").read_text())
