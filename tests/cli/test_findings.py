"""The report on a terminal, and the progress bar."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import attrs
import pytest

from dialler_async.audit import (
    Acceptance,
    AccountIdentity,
    AuditReport,
    Finding,
    FleetReport,
    FleetReportBuilder,
    Report,
    Severity,
)
from dialler_async.audit.rules import INCOMPLETE_LIST, NOT_AUDITED, RULES
from dialler_async.cli.findings import print_report
from dialler_async.cli.output import Console
from dialler_async.cli.progress import progress_bar

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LONG = "Winterkampagne Nord für Bestandskunden mit langer Laufzeit 2026x"


def report(*findings: Finding) -> AuditReport:
    return AuditReport(
        findings=findings,
        rules=(INCOMPLETE_LIST, *(rule.info for rule in RULES)),
        campaign_count=1,
        code_count=6401,
        lookups=2,
        requests=3,
        seconds=1.26,
        started=NOW,
        now=NOW,
        identity=AccountIdentity("acd.example.com/rest/v1.0", 1),
    )


def finding(rule: str, severity: Severity, message: str, id: int | None = 7, name: str | None = LONG) -> Finding:
    return Finding(rule=rule, severity=severity, campaign_id=id, campaign_name=name, subject="x", message=message)


FULL = report(
    finding("incomplete-list", Severity.ERROR, "the server counts 3 campaigns, but sent 1", None, None),
    finding(
        "dangling-result-code", Severity.ERROR, "AbortOnNoTelNumberResultCodesID is 8920, but " + "very " * 9 + "long"
    ),
    finding("expired", Severity.INFO, "ended 2026-02-02 00:00 (local time)"),
    finding("unreachable-codes", Severity.ERROR, "no codes: \x1b[31m[red]refused[/red]", None, "No\x1bID"),
)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the output have 200 columns, unless a test sets another number."""
    monkeypatch.setenv("COLUMNS", "200")


def lines(whole: Report, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_report(whole, Console())
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_report_has_the_expected_layout_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = lines(FULL, capsys)
    assert shown[:20] == [
        "account 1 on acd.example.com/rest/v1.0: 3 errors, 0 warnings, 1 info; the worst",
        "is an error",
        "As of 2026-03-02 12:00+00:00; dates without a zone are treated as local time;",
        "dialler_async 0.1.0",
        "",
        "Findings",
        "  The whole account",
        "    error    incomplete-list       the server counts 3 campaigns, but sent 1",
        f"  Campaign 7  {LONG}",
        "    error    dangling-result-code  AbortOnNoTelNumberResultCodesID is 8920, but",
        "                                   very very very very very very very very very",
        "                                   long",
        "    info     expired               ended 2026-02-02 00:00 (local time)",
        "  Campaign without ID  No\\x1bID",
        "    error    unreachable-codes     no codes: \\x1b[31m[red]refused[/red]",
        "",
        "By rule",
        "    error    incomplete-list       1: The list of campaigns is not complete",
        "                                   Ask the operator of the server why its list",
        "                                   is shortened.",
    ]


def test_short_rule_ids_make_the_message_column_wider(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(report(finding("expired", Severity.INFO, "ended 2026-02-02 00:00 (local time)")), capsys)
    assert "    info     expired  ended 2026-02-02 00:00 (local time)" in shown


def test_finding_in_a_pipe_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS")
    long = finding("expired", Severity.INFO, "word " * 100)
    assert f"    info     expired  {'word ' * 100}".rstrip() in lines(report(long), capsys)


@pytest.mark.parametrize("columns", ["80", "60", "200"])
def test_no_line_is_wider_than_the_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, lines(FULL, capsys))) <= int(columns)


def test_report_ends_with_the_totals_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(FULL, capsys)
    assert shown[-2:] == ["1 campaign, 6,401 result codes, 3 requests in 1.3 s", shown[0]]


def test_report_without_findings_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(report(), capsys) == [
        "account 1 on acd.example.com/rest/v1.0: nothing found",
        "As of 2026-03-02 12:00+00:00; dates without a zone are treated as local time; dialler_async 0.1.0",
        "",
        "1 campaign, 6,401 result codes, 3 requests in 1.3 s",
        "account 1 on acd.example.com/rest/v1.0: nothing found",
    ]


def test_many_findings_of_one_rule_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    many = [finding("missing-translation", Severity.WARNING, f"code {id}", id // 2) for id in range(9_800)]
    first = finding("no-success-code", Severity.ERROR, "none", 3)
    whole = report(first, *many, finding("expired", Severity.INFO, "ended", 3))
    shown = lines(whole, capsys)
    assert len(shown) < 40
    begin = shown.index("Findings")
    assert shown[begin : begin + 8] == [
        "Findings",
        f"  Campaign 3  {LONG}",
        "    error    no-success-code      none",
        "    info     expired              ended",
        "    warning  missing-translation  9,800 findings in 4,900 campaigns: A result",
        "                                  code without a text in one of the languages",
        "",
        "--unfold shows every finding; so does every --format.",
    ]
    print_report(whole, Console(), unfold=True)
    assert capsys.readouterr().out.count("missing-translation") == 9_801


def test_finding_has_the_time_for_which_it_is_open_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    known = attrs.evolve(finding("expired", Severity.INFO, "ended"), open_since=NOW - timedelta(days=12, hours=5))
    shown = lines(report(known), capsys)
    assert "    info     expired  ended (open for 12 days)" in shown


def test_accepted_findings_are_printed_apart(capsys: pytest.CaptureFixture[str]) -> None:
    accepted = attrs.evolve(
        finding("expired", Severity.INFO, "ended"),
        acceptance=Acceptance(reason="kept for its statistics", owner="Mia", until=NOW.date()),
    )
    shown = lines(attrs.evolve(report(), accepted=(accepted,)), capsys)
    begin = shown.index("Accepted")
    assert shown[begin : begin + 4] == [
        "Accepted",
        f"  Campaign 7  {LONG}",
        "    info     expired  ended",
        "                      kept for its statistics (Mia), until 2026-03-02",
    ]
    assert shown[-1].endswith(": nothing found, 1 accepted")


def test_many_accepted_findings_of_one_rule_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    acceptance = Acceptance(reason="kept for its statistics")
    many = [attrs.evolve(finding("expired", Severity.INFO, "ended", id), acceptance=acceptance) for id in range(30)]
    one = attrs.evolve(finding("not-started", Severity.INFO, "begins"), acceptance=acceptance)
    whole = attrs.evolve(report(), accepted=(*many, one))
    shown = lines(whole, capsys)
    begin = shown.index("Accepted")
    assert shown[begin + 1].startswith("    info     expired      30 findings in 30 campaigns: ")
    assert shown[begin + 2] == f"  Campaign 7  {LONG}"
    print_report(whole, Console(), unfold=True)
    assert capsys.readouterr().out.count("kept for its statistics") == 31


def test_accepted_findings_of_a_fleet_name_their_account(capsys: pytest.CaptureFixture[str]) -> None:
    accepted = attrs.evolve(finding("expired", Severity.INFO, "ended"), acceptance=Acceptance(reason="kept"))
    shown = lines(fleet({"no\x1brth": attrs.evolve(report(), accepted=(accepted,))}), capsys)
    assert any(line.startswith("  no\\x1brth: Campaign 7  Winterkampagne") for line in shown)


def test_report_of_a_part_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(attrs.evolve(report(), scope="running"), capsys)
    assert "only part of the account: 0 of 1 campaigns (running)" in shown


def fleet(accounts: dict[str, AuditReport]) -> FleetReport:
    builder = FleetReportBuilder(now=NOW)
    for name, one in accounts.items():
        builder.add(name, attrs.evolve(one, identity=None, rules=(NOT_AUDITED, *one.rules)))
    return builder.build(started=NOW, seconds=1.0)


LOST = report(finding("not-audited", Severity.ERROR, "could not be audited: why", None, None))
"""An account that could not be audited."""


def test_report_of_a_fleet_names_the_account_of_each_campaign(capsys: pytest.CaptureFixture[str]) -> None:
    campaigns = ((None, None), (7, "Summer"), (None, "Winter"))
    findings = [finding("expired", Severity.INFO, "over", id, name) for id, name in campaigns]
    shown = lines(fleet({"north": report(*findings), "so\x1buth": report(*findings)}), capsys)
    assert [line for line in shown if line.startswith(("  north", "  so"))] == [
        "  north: The whole account",
        "  north: Campaign 7  Summer",
        "  north: Campaign without ID  Winter",
        "  so\\x1buth: The whole account",
        "  so\\x1buth: Campaign 7  Summer",
        "  so\\x1buth: Campaign without ID  Winter",
    ]


def test_worst_accounts_are_printed_first(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(fleet({"north": report(), "south": LOST, "west": report()}), capsys)
    begin = shown.index("By account")
    assert shown[begin : begin + 7] == [
        "By account",
        "    error  warning  info",
        "        1        0     0  south",
        "        0        0     0  north",
        "        0        0     0  west",
        "",
        "3 accounts, 2 of them without a finding",
    ]


def test_only_the_worst_of_thousands_of_accounts_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"{number}-{LONG}-{LONG}" for number in range(10_000)]
    shown = lines(fleet({**dict.fromkeys(names, report()), names[9876]: LOST}), capsys)
    assert len(shown) < 60
    assert max(map(len, shown)) <= 80
    assert shown[shown.index("By account") + 2].startswith("        1        0     0  9876-")
    assert "  … and 9,990 more, none of them worse" in shown
    assert "10,000 accounts, 9,999 of them without a finding" in shown


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_used_on_terminals_only_and_not_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for no_color, colours in ((None, True), ("1", False)):
        if no_color:
            monkeypatch.setenv("NO_COLOR", no_color)
        terminal = Terminal()
        monkeypatch.setattr("sys.stdout", terminal)
        print_report(FULL, Console())
        assert ("\x1b[1;31merror" in terminal.getvalue()) is colours
        assert "error" in terminal.getvalue()
        assert "31m[red]refused" in terminal.getvalue()


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress_bar("Fetching") as show:
        assert show is not None
        show(1, 0, 10)
        show(10, 2, 10)
    assert "Fetching, 2 failed" in terminal.getvalue()
    assert "10/10" in terminal.getvalue()
    assert re.search(r"\d/s", terminal.getvalue()), "the rate"
    assert re.search(r"00:\d\d", terminal.getvalue()), "the remaining time"
    # The cursor is back where the bar began, and its line is wiped.
    assert terminal.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


def test_progress_is_not_shown_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Fetching") as show:
        assert show is None
    assert capsys.readouterr().err == ""
