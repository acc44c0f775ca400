"""`dialler audit`: which rules it judges by, what it compares with, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dialler_async.audit import RULES
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Status

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with nothing above it that has settings."""
    place = tmp_path / "account" / "nightly"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    return place


def judged(out: str) -> list[tuple[int, str]]:
    return [(finding["campaign_id"], finding["rule"]) for finding in json.loads(out)["findings"]]


class TestRules:
    def test_select_and_ignore(self, run: Run, sandbox: Sandbox) -> None:
        ran = run("audit", "--json", "--select", "duplicate-name", "--select", "name-within-name")
        assert judged(ran.out) == [(3, "duplicate-name"), (4, "duplicate-name"), (1, "name-within-name")]
        ran = run("audit", "--json", "--select", "duplicate-name", "--ignore", "duplicate-name")
        assert judged(ran.out) == []

    def test_an_unknown_rule_is_a_usage_error(self, run: Run, sandbox: Sandbox) -> None:
        ran = run("audit", "--ignore", "duplicate-names")
        assert (ran.exit, ran.out) == (2, "")
        assert ran.err == "dialler: there is no rule “duplicate-names”; did you mean “duplicate-name”?\n"
        assert sandbox.journal == []

    def test_a_rule_of_ones_own(self, run: Run, sandbox: Sandbox, here: Path, own_rule: str) -> None:
        (here / "twins_here.py").write_text(own_rule)
        ran = run("audit", "--json", "--rules", "twins_here:twin", "--select", "twin", "--fail-on", "error")
        assert (ran.exit, judged(ran.out)) == (1, [(3, "twin"), (4, "twin")])

    def test_list_rules_asks_nobody(self, run: Run, no_settings: None) -> None:
        ran = run("audit", "--list-rules")
        assert (ran.exit, ran.err) == (0, "")
        assert max(map(len, ran.out.splitlines())) <= 80
        assert all(rule.info.id in ran.out for rule in RULES)


class TestSettings:
    @pytest.mark.parametrize(("name", "table"), [("dialler.toml", "audit"), ("pyproject.toml", "tool.dialler.audit")])
    def test_from_the_nearest_file_upwards(
        self, name: str, table: str, run: Run, sandbox: Sandbox, here: Path, own_rule: str
    ) -> None:
        module = f"twins_of_{table.replace('.', '_')}"
        (here.parent / f"{module}.py").write_text(own_rule)
        (here.parent / name).write_text(
            f'[{table}]\nselect = ["twin"]\nrules = ["{module}:twin"]\n[{table}.twin]\nname = "Spring"\n'
        )
        # No settings of ours: it is passed by.
        (here / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        assert judged(run("audit", "--json").out) == [(1, "twin")]
        # The command line goes before the file.
        assert judged(run("audit", "--json", "--select", "duplicate-name").out) == [
            (3, "duplicate-name"),
            (4, "duplicate-name"),
        ]

    def test_from_a_file_that_is_named(self, run: Run, sandbox: Sandbox, here: Path) -> None:
        (here / "other.toml").write_text(
            '[audit]\nselect = ["duplicate-name"]\n[audit.duplicate-name]\nseverity="info"'
        )
        assert run("audit", "--config", "other.toml", "--fail-on", "warning").exit == 0
        assert run("audit", "--config", "other.toml", "--fail-on", "info").exit == 1

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[audit", "dialler.toml is no TOML: "),
            ("audit = 3", "“audit” is a table, not 3"),
            ("[audit]\nselcet = []", "dialler.toml: there is no setting “selcet”"),
            ("[audit]\nselect = ['x']", "there is no rule “x”"),
            ("[audit]\nrules = ['no_such_module:x']", "can't load rules from “no_such_module:x”: ModuleNotFoundError"),
        ],
    )
    def test_what_is_wrong_in_it_is_told(
        self, content: str, message: str, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        (here / "dialler.toml").write_text(content)
        ran = run("audit")
        assert (ran.exit, ran.out) == (2, "")
        assert message in ran.err
        assert sandbox.journal == []

    def test_a_file_that_is_not_there(self, run: Run, sandbox: Sandbox) -> None:
        assert run("audit", "--config", "none.toml").err == "dialler: can't read none.toml: No such file or directory\n"


class TestTemplate:
    def test_differences(self, run: Run, sandbox: Sandbox) -> None:
        ran = run("audit", "--json", "--template", "Spring", "--select", "differs-from-template")
        subjects = [(finding["campaign_id"], finding["subject"]) for finding in json.loads(ran.out)["findings"]]
        assert subjects == [(4, "LanguagesID"), (4, "Extra")]

    @pytest.mark.parametrize(("name", "number"), [("spring", "no"), ("Twin", "2")])
    def test_not_exactly_one(self, name: str, number: str, run: Run, sandbox: Sandbox) -> None:
        ran = run("audit", "--template", name)
        assert (ran.exit, ran.err) == (
            2,
            f"dialler: {number} campaigns have exactly the name of the template, “{name}”\n",
        )


class TestBaseline:
    @pytest.fixture(autouse=True)
    def last(self, run: Run, sandbox: Sandbox) -> None:
        assert run("audit", "--format", "json", "--output", "last.json").exit == 0

    def test_new_gone_and_changed(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.change(1, OwnResultCodesID=5, Extra="\x1b[31m")
        sandbox.remove(2)
        ran = run("audit", "--baseline", "last.json")
        lines = [line.strip() for line in ran.out.splitlines()]
        assert max(map(len, lines)) <= 80
        assert "\x1b" not in ran.out
        (new,) = [line for line in lines if " new  " in line]
        assert new.startswith("error    dangling-result-code  new  OwnResultCodesID is 5")
        assert any(line.startswith("Gone since ") for line in lines)
        assert "info  name-within-name  its name stands within that of campaign 2" in lines
        assert "OwnResultCodesID  nothing → 5" in lines
        assert "Extra             nothing → \\x1b[31m" in lines
        assert "campaign  Spring 2 → nothing" in lines
        assert any(line.endswith("1 new, 3 gone, 8 unchanged") for line in lines)

    def test_fail_on_new(self, run: Run, sandbox: Sandbox) -> None:
        compared = ("audit", "--baseline", "last.json")
        assert run(*compared, "--fail-on-new").exit == 0
        assert run(*compared, "--fail-on", "error").exit == 1
        assert run(*compared, "--fail-on", "error", "--fail-on-new").exit == 0
        sandbox.change(1, dtTo="2020-01-01T00:00:00")
        assert run(*compared, "--fail-on-new").exit == 1
        assert run(*compared, "--fail-on", "error", "--fail-on-new").exit == 0

    def test_fail_on_new_needs_a_baseline(self, run: Run) -> None:
        assert run("audit", "--fail-on-new").err == "dialler: --fail-on-new needs a --baseline to compare with\n"

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "can't read other.json"), ("{}", "can't compare with other.json: it is no report of an audit")],
    )
    def test_what_is_no_baseline(self, content: str | None, message: str, run: Run, here: Path) -> None:
        if content is not None:
            (here / "other.json").write_text(content)
        ran = run("audit", "--baseline", "other.json")
        assert (ran.exit, ran.out) == (2, "")
        assert message in ran.err


def test_a_run_that_was_stopped_says_so_and_exits_as_refused(run: Run, sandbox: Sandbox) -> None:
    sandbox.faults.next(Status(401), match="result_codes", after=3)
    ran = run("audit", "--concurrency", 1, "--select", "duplicate-name")
    assert ran.exit == 3
    assert "stopped-early" in ran.out
    assert "The whole account" in ran.out
