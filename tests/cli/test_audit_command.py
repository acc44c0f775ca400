"""`dialler audit`: rules, settings, baselines, chosen campaigns, accepted findings, and exit codes."""

from __future__ import annotations

import errno
import json
import os
import tomllib
from datetime import date
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from junitparser import JUnitXml

from dialler_async.audit import RULES
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Status

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, which has no settings in it or above it."""
    place = tmp_path / "account" / "nightly"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    return place


def findings_in(out: str) -> list[tuple[int, str]]:
    return [(finding["campaign_id"], finding["rule"]) for finding in json.loads(out)["findings"]]


class TestRules:
    def test_select_and_ignore_options_choose_rules(self, run: Run, sandbox: Sandbox) -> None:
        ran = run("audit", "--json", "--select", "duplicate-name", "--select", "name-within-name")
        assert findings_in(ran.out) == [(3, "duplicate-name"), (4, "duplicate-name"), (1, "name-within-name")]
        ran = run("audit", "--json", "--select", "duplicate-name", "--ignore", "duplicate-name")
        assert findings_in(ran.out) == []

    def test_rule_ids_separated_by_commas_are_accepted(self, run: Run, sandbox: Sandbox) -> None:
        ran = run(
            "audit", "--json", "--select", "duplicate-name, name-within-name", "--ignore", "expired,duplicate-name"
        )
        assert findings_in(ran.out) == [(1, "name-within-name")]

    def test_rule_that_raises_exits_with_2_and_not_with_1(
        self, run: Run, sandbox: Sandbox, here: Path, own_rule: str
    ) -> None:
        (here / "broken_rule.py").write_text(own_rule.replace('"is a twin"', "1 / 0"))
        ran = run("audit", "--json", "--rules", "broken_rule:twin", "--fail-on", "info")
        assert ran.exit == 2
        (failed,) = [finding for finding in json.loads(ran.out)["findings"] if finding["rule"] == "rule-failed"]
        assert failed["message"] == "the rule “twin” failed on 2 campaigns: ZeroDivisionError at broken_rule.py:7"
        assert (3, "duplicate-name") in findings_in(ran.out)

    def test_unknown_rule_is_a_usage_error(self, run: Run, sandbox: Sandbox) -> None:
        ran = run("audit", "--ignore", "duplicate-names")
        assert (ran.exit, ran.out) == (2, "")
        assert ran.err == "dialler: there is no rule “duplicate-names”; did you mean “duplicate-name”?\n"
        assert sandbox.journal == []

    def test_rule_of_the_user_is_applied(self, run: Run, sandbox: Sandbox, here: Path, own_rule: str) -> None:
        (here / "twins_here.py").write_text(own_rule)
        ran = run("audit", "--json", "--rules", "twins_here:twin", "--select", "twin", "--fail-on", "error")
        assert (ran.exit, findings_in(ran.out)) == (1, [(3, "twin"), (4, "twin")])

    def test_list_rules_sends_no_request(self, run: Run, no_settings: None) -> None:
        ran = run("audit", "--list-rules")
        assert (ran.exit, ran.err) == (0, "")
        assert max(map(len, ran.out.splitlines())) <= 80
        assert all(rule.info.id in ran.out for rule in RULES)


class TestSettings:
    @pytest.mark.parametrize(("name", "table"), [("dialler.toml", "audit"), ("pyproject.toml", "tool.dialler.audit")])
    def test_settings_come_from_the_nearest_file_upwards(
        self, name: str, table: str, run: Run, sandbox: Sandbox, here: Path, own_rule: str
    ) -> None:
        module = f"twins_of_{table.replace('.', '_')}"
        (here.parent / f"{module}.py").write_text(own_rule)
        (here.parent / name).write_text(
            f'[{table}]\nselect = ["twin"]\nrules = ["{module}:twin"]\n[{table}.twin]\nname = "Spring"\n'
        )
        # This file has no settings for audits.
        (here / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        assert findings_in(run("audit", "--json").out) == [(1, "twin")]
        # The command line overrides the file.
        assert findings_in(run("audit", "--json", "--select", "duplicate-name").out) == [
            (3, "duplicate-name"),
            (4, "duplicate-name"),
        ]

    def test_config_option_names_the_settings_file(self, run: Run, sandbox: Sandbox, here: Path) -> None:
        (here / "other.toml").write_text(
            '[audit]\nselect = ["duplicate-name"]\n[audit.duplicate-name]\nseverity="info"'
        )
        assert run("audit", "--config", "other.toml", "--fail-on", "warning").exit == 0
        assert run("audit", "--config", "other.toml", "--fail-on", "info").exit == 1

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[audit", "dialler.toml is not TOML: "),
            ("audit = 3", "“audit” must be a table, not 3"),
            ("[audit]\nselcet = []", "dialler.toml: there is no setting “selcet”"),
            ("[audit]\nselect = ['x']", "dialler.toml: there is no rule “x”"),
            ("[audit]\nignore = ['expird']", "dialler.toml: there is no rule “expird”; did you mean “expired”?"),
            ("[audt]\nselect = []", "dialler.toml: there is no table “audt”; did you mean “audit”?"),
            ("ignore = ['expired']\n[audit]", "dialler.toml: “ignore” belongs under [audit]"),
            ("[tool.dialler.audit]\nselect = []", "dialler.toml: the table is [audit] in this file"),
            ("[audit.expired]\nday = 3", "dialler.toml: there is no setting “day” of the rule “expired”"),
            (
                "[[audit.accept]]\nrule = 'expired'",
                "dialler.toml: an entry of [[audit.accept]] needs the key “reason”",
            ),
            ("[audit]\nrules = ['no_such_module:x']", "can't load rules from “no_such_module:x”: ModuleNotFoundError"),
        ],
    )
    def test_wrong_settings_are_a_usage_error_that_names_the_file(
        self, content: str, message: str, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        (here / "dialler.toml").write_text(content)
        ran = run("audit")
        assert (ran.exit, ran.out) == (2, "")
        assert message in ran.err
        assert sandbox.journal == []

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[tool.dialer.audit]\nselect = []", "there is no tool “dialer”; did you mean [tool.dialler.audit]?"),
            ("[tool.dialler.audti]\nselect = []", "no table under [tool.dialler] “audti”; did you mean “audit”?"),
            ("[tool.dialler]\nselect = []", "“select” belongs under [tool.dialler.audit]"),
        ],
    )
    def test_wrong_settings_in_a_pyproject_file_are_a_usage_error(
        self, content: str, message: str, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        (here / "pyproject.toml").write_text(content)
        ran = run("audit")
        assert ran.exit == 2
        assert f"pyproject.toml: {message}" in ran.err.replace("there is no table", "no table")
        assert sandbox.journal == []

    @pytest.mark.parametrize("content", ["[tool.ruff]", "[project]\nname='dialler'", "[tool.diallerish]", "tool = 3"])
    def test_pyproject_file_without_audit_settings_is_skipped(
        self, content: str, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        (here / "pyproject.toml").write_text(content)
        assert run("audit", "--json").exit == 0

    def test_template_and_fail_on_of_the_settings_are_used(self, run: Run, sandbox: Sandbox, here: Path) -> None:
        (here / "dialler.toml").write_text(
            "[audit]\nfail-on = 'warning'\nselect = ['differs-from-template']\n"
            "[[audit.template]]\nmatch = 'Spring*'\ncampaign = 'Spring 2'\n"
            "[[audit.template]]\nmatch = '*'\ncampaign = 'Spring'\n"
        )
        ran = run("audit", "--json")
        assert (ran.exit, findings_in(ran.out)) == (1, [(4, "differs-from-template")] * 2)
        assert run("audit", "--fail-on", "error").exit == 0
        assert findings_in(run("audit", "--json", "--template", "Spring").out) == findings_in(ran.out)

    def test_missing_settings_file_is_a_usage_error(self, run: Run, sandbox: Sandbox) -> None:
        assert (
            run("audit", "--config", "none.toml").err == f"dialler: can't read none.toml: {os.strerror(errno.ENOENT)}\n"
        )


class TestTemplate:
    def test_differences_from_a_template_are_reported(self, run: Run, sandbox: Sandbox) -> None:
        ran = run("audit", "--json", "--template", "Spring", "--select", "differs-from-template")
        subjects = [(finding["campaign_id"], finding["subject"]) for finding in json.loads(ran.out)["findings"]]
        assert subjects == [(4, "LanguagesID"), (4, "Extra")]

    @pytest.mark.parametrize(("name", "number"), [("spring", "no"), ("Twin", "2")])
    def test_template_name_of_no_or_several_campaigns_is_refused(
        self, name: str, number: str, run: Run, sandbox: Sandbox
    ) -> None:
        ran = run("audit", "--template", name)
        assert (ran.exit, ran.err) == (
            2,
            f"dialler: {number} campaigns have exactly the name of the template, “{name}”\n",
        )


class TestBaseline:
    @pytest.fixture(autouse=True)
    def last(self, run: Run, sandbox: Sandbox) -> None:
        assert run("audit", "--format", "json", "--output", "last.json").exit == 0

    def test_new_gone_and_changed_findings_are_shown(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.change(1, OwnResultCodesID=5, Extra="\x1b[31m")
        sandbox.remove(2)
        ran = run("audit", "--baseline", "last.json")
        lines = [line.strip() for line in ran.out.splitlines()]
        assert max(map(len, lines)) <= 80
        assert "\x1b" not in ran.out
        new, gone, changed, known = (
            next(number for number, line in enumerate(lines) if line.startswith(title))
            for title in ("New since", "Gone since", "Changed values", "Known on")
        )
        assert new < gone < changed < known
        assert any(line.startswith("error    dangling-result-code  OwnResultCodesID is 5") for line in lines[new:gone])
        assert any(line.startswith("info     name-within-name      its name is") for line in lines[gone:changed])
        assert {"OwnResultCodesID: not set → 5", "Extra: not set → \\x1b[31m", "campaign is gone"} <= {
            *lines[changed:known]
        }
        assert "1 new, 3 gone, 8 known; the worst is an" in f"{lines[0]} {lines[1]}"

    def test_fail_on_new_exits_with_1_for_new_findings_only(self, run: Run, sandbox: Sandbox) -> None:
        compared = ("audit", "--baseline", "last.json")
        assert run(*compared, "--fail-on-new").exit == 0
        assert run(*compared, "--fail-on", "error").exit == 1
        assert run(*compared, "--fail-on", "error", "--fail-on-new").exit == 0
        sandbox.change(1, dtTo="2020-01-01T00:00:00")
        assert run(*compared, "--fail-on-new").exit == 1
        assert run(*compared, "--fail-on", "error", "--fail-on-new").exit == 0

    def test_fail_on_new_needs_a_baseline_or_a_store(self, run: Run) -> None:
        error = "dialler: --fail-on-new needs a --baseline or a --store to compare with\n"
        assert run("audit", "--fail-on-new").err == error

    def test_baseline_of_another_account_is_refused_before_any_request(
        self, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        (here / "other.json").write_text((here / "last.json").read_text().replace('"clients_id": 1', '"clients_id": 2'))
        requests = len(sandbox.journal)
        ran = run("audit", "--baseline", "other.json")
        assert (ran.exit, ran.out, len(sandbox.journal)) == (2, "", requests)
        assert "it is of account 2 on 127.0.0.1:" in ran.err
        assert "--baseline-of-other-account" in ran.err
        assert run("audit", "--baseline", "other.json", "--baseline-of-other-account").exit == 0

    def test_fail_on_new_fails_only_new_findings_in_junit(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.change(1, OwnResultCodesID=5)
        compared = ("audit", "--format", "junit", "--baseline", "last.json")
        assert JUnitXml.fromstring(run(*compared).out.encode()).failures == 11
        assert JUnitXml.fromstring(run(*compared, "--fail-on-new").out.encode()).failures == 1

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "can't read other.json"), ("{}", "can't compare with other.json: it is not an audit report")],
    )
    def test_invalid_baseline_is_a_usage_error(self, content: str | None, message: str, run: Run, here: Path) -> None:
        if content is not None:
            (here / "other.json").write_text(content)
        ran = run("audit", "--baseline", "other.json")
        assert (ran.exit, ran.out) == (2, "")
        assert message in ran.err


def test_stopped_run_is_reported_and_exits_with_3(run: Run, sandbox: Sandbox) -> None:
    sandbox.faults.next(Status(401), match="result_codes", after=3)
    ran = run("audit", "--concurrency", 1, "--select", "duplicate-name")
    assert ran.exit == 3
    assert "stopped-early" in ran.out
    assert "The whole account" in ran.out


def test_run_in_which_no_campaign_could_be_looked_up_exits_with_3(run: Run, sandbox: Sandbox, here: Path) -> None:
    (here / "dialler.toml").write_text("[[audit.accept]]\nrule='duplicate-name'\ncampaign='*'\nreason='x'\n")
    sandbox.faults.chance(1, [Status(500)], match="result_codes")
    ran = run("audit", "--attempts", 1, "--select", "duplicate-name")
    assert ran.exit == 3
    assert "unreachable-codes" in ran.out
    assert "DiallerCampaignsID" not in ran.out, "the campaign is named, not the path of the request"


class TestSelection:
    @pytest.mark.parametrize(
        ("options", "campaigns", "scope"),
        [
            (["--name", "Spring*"], [1, 2], "name “Spring*”"),
            (["--id", 4, "--id", 2], [2, 4], "ID 4 or 2"),
            (["--running", "--limit", 3], [1, 2, 3], "running, at most 3"),
        ],
    )
    def test_options_fetch_only_chosen_campaigns(
        self, options: list[object], campaigns: list[int], scope: str, run: Run, sandbox: Sandbox
    ) -> None:
        ran = run("audit", "--json", *options)
        assert len(sandbox.journal) == 1 + 2 * len(campaigns)
        report = json.loads(ran.out)
        assert [record["id"] for record in report["records"]] == campaigns
        assert report["scope"] == scope

    def test_id_that_does_not_exist_is_a_usage_error(self, run: Run, sandbox: Sandbox) -> None:
        ran = run("audit", "--id", 77)
        assert (ran.exit, ran.out) == (2, "")
        assert ran.err == "dialler: the account has no campaign with the ID 77\n"

    @pytest.mark.parametrize("id", ["5.0", "0", "x"])
    def test_id_that_is_not_a_whole_number_is_refused(self, id: str, run: Run, sandbox: Sandbox) -> None:
        assert run("audit", "--id", id).exit == 2
        assert sandbox.journal == []


def test_findings_are_sorted_by_the_chosen_key(run: Run, sandbox: Sandbox) -> None:
    rules = ("audit", "--json", "--select", "duplicate-name,name-within-name,no-abort-code", "--id", 1, "--id", 2)
    by_severity = [(2, "no-abort-code"), (1, "no-abort-code"), (1, "name-within-name")]
    assert sorted(findings_in(run(*rules).out)[:2]) == sorted(by_severity[:2])
    assert findings_in(run(*rules, "--sort", "campaign").out) == [
        (1, "no-abort-code"),
        (1, "name-within-name"),
        (2, "no-abort-code"),
    ]
    assert [rule for _, rule in findings_in(run(*rules, "--sort", "rule").out)] == ["no-abort-code"] * 2 + [
        "name-within-name"
    ]


class TestAccept:
    @pytest.fixture(autouse=True)
    def reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", StringIO("  known since May \n"))

    def test_accept_writes_entries_for_the_selected_findings(self, run: Run, sandbox: Sandbox, here: Path) -> None:
        ran = run("audit", "--select", "duplicate-name", "--accept", "--fail-on", "error")
        assert ran.exit == 1, "it keeps the exit code of the run"
        assert ran.err == "Reason to accept 2 findings in dialler.toml: dialler: accepted 2 findings in dialler.toml\n"
        entries = tomllib.loads((here / "dialler.toml").read_text())["audit"]["accept"]
        entry = {"rule": "duplicate-name", "account": 1, "subject": "Name", "reason": "known since May"}
        assert entries == [{**entry, "campaign": 3}, {**entry, "campaign": 4}]
        again = run("audit", "--json", "--select", "duplicate-name", "--fail-on", "error")
        assert (again.exit, findings_in(again.out)) == (0, [])
        assert [one["acceptance"]["reason"] for one in json.loads(again.out)["accepted"]] == ["known since May"] * 2

    @pytest.mark.parametrize(("name", "table"), [("dialler.toml", "audit"), ("pyproject.toml", "tool.dialler.audit")])
    def test_accept_appends_entries_to_the_settings_in_use(
        self, name: str, table: str, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        before = f"# mine\n[{table}]\nselect = ['duplicate-name']\n\n[{table}.expired]\nseverity = 'error'"
        (here.parent / name).write_text(before)
        assert run("audit", "--id", 3, "--id", 4, "--accept").exit == 0
        assert (here.parent / name).read_text().startswith(before + "\n\n[[")
        assert findings_in(run("audit", "--json").out) == []

    def test_accept_without_a_reason_writes_nothing(
        self, run: Run, sandbox: Sandbox, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", StringIO(" \n"))
        ran = run("audit", "--accept")
        assert ran.exit == 2
        assert "an acceptance needs a reason" in ran.err
        assert list(here.iterdir()) == []

    def test_accept_does_not_change_a_settings_file_that_can_not_be_extended(
        self, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        (here / "dialler.toml").write_text("audit = {ignore = ['expired']}")
        ran = run("audit", "--accept")
        assert ran.exit == 2
        assert "can't add entries to" in ran.err
        assert (here / "dialler.toml").read_text() == "audit = {ignore = ['expired']}"

    def test_accept_options_work_without_a_terminal(
        self, run: Run, sandbox: Sandbox, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", StringIO(""))
        options = ("--reason", "known", "--owner", "Mia", "--until", "2999-12-31")
        assert run("audit", "--select", "duplicate-name", "--accept", *options).exit == 0
        entries = tomllib.loads((here / "dialler.toml").read_text())["audit"]["accept"]
        assert [(one["reason"], one["owner"], one["until"]) for one in entries] == [
            ("known", "Mia", date(2999, 12, 31))
        ] * 2
        assert findings_in(run("audit", "--json", "--select", "duplicate-name").out) == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--reason", "x"], "--reason needs --accept"),
            (["--accept", "--reason", " "], "--reason needs a text"),
            (["--accept", "--until", "soon"], "--until must be a date such as 2026-12-31, not “soon”"),
            (["--accept", "--until", "2020-01-01"], "--until 2020-01-01 has passed"),
        ],
    )
    def test_wrong_accept_option_is_a_usage_error_before_any_request(
        self, options: list[str], message: str, run: Run, sandbox: Sandbox
    ) -> None:
        ran = run("audit", *options)
        assert (ran.exit, ran.out, ran.err, sandbox.journal) == (2, "", f"dialler: {message}\n", [])

    def test_accept_after_an_unfinished_run_writes_nothing_and_keeps_its_exit_code(
        self, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        sandbox.faults.next(Status(401), match="result_codes", after=3)
        ran = run("audit", "--concurrency", 1, "--accept", "--reason", "x")
        assert ran.exit == 3
        assert ran.err.endswith("dialler: nothing was accepted, because the run did not finish\n")
        assert list(here.iterdir()) == []

    @pytest.mark.parametrize("beside", ["fleet.toml", "entry"])
    def test_accept_names_the_server_if_the_settings_serve_several(
        self, beside: str, run: Run, sandbox: Sandbox, here: Path
    ) -> None:
        other = '[[audit.accept]]\nrule = "expired"\nserver = "acd.example.com"\nreason = "x"\n'
        fleet = '[[servers]]\nname = "a"\nurl = "https://a.example.com"\n'
        (here / "dialler.toml").write_text(other if beside == "entry" else "[audit]\n")
        (here / "fleet.toml").write_text("" if beside == "entry" else fleet + fleet.replace("a", "b"))
        assert run("audit", "--select", "duplicate-name", "--accept", "--reason", "x").exit == 0
        entries = tomllib.loads((here / "dialler.toml").read_text())["audit"]["accept"]
        assert entries[-1]["server"] == sandbox.base_url.removeprefix("http://").removesuffix("/1")

    def test_accept_without_findings_says_so(self, run: Run, sandbox: Sandbox, here: Path) -> None:
        ran = run("audit", "--select", "expired", "--accept")
        assert (ran.exit, ran.err) == (0, "dialler: there is nothing to accept\n")
        assert list(here.iterdir()) == []
