"""Print a report for people: its verdict, its sections, a summary by rule, and the verdict once more."""

import os
import sys
from collections.abc import Sequence
from itertools import islice
from shutil import which

import attrs
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .._text.moments import to_minute
from ..audit import AuditReport, Finding, Report, RuleInfo, Severity, Topic
from ..audit.story import FindingGroup, Section, Story, tell
from .output import Console, counted, text

# The severity is also printed as a word, because colours may be off.
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_WORST = 10
_SEVERITY_WIDTH = max(len(severity) for severity in Severity)
_ONE_LINE = 100_000
"""Columns of a pipe, in which a finding is always one line, so that `grep` and `awk` can process it."""


def print_report(report: Report, console: Console, *, unfold: bool = False) -> None:
    """Print the whole report.

    Args:
        report: the report.
        console: where to print it.
        unfold: whether to print every finding. By default, many known findings of one rule are one line.
    """
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _ONE_LINE
    story = tell(report)
    verdict = text(story.verdict, "bold")
    console.print(verdict)
    console.print(text(f"As of {to_minute(report.now)}; {report.zone_note}; {report.tool}"))
    if report.scope_note:
        console.print(text(report.scope_note, "bold"))
    console.print()
    rule_width = max(map(len, report.numbers.of(*Topic)), default=0)
    is_folded = False
    before, after = story.around_changes()
    for section in before:
        is_folded |= _print_section(section, rule_width, console, unfold=unfold)
    _print_changes(story, console)
    for section in after:
        is_folded |= _print_section(section, rule_width, console, unfold=unfold)
    if is_folded:
        console.print("--unfold shows every finding; so does every --format.")
        console.print()
    if report.by_rule():
        console.print(Text("By rule", style="bold"))
        console.print(_by_rule(report, rule_width))
        console.print()
    if report.accounts:
        _print_accounts(report, console)
    console.print(_run_totals(report))
    console.print(verdict)


def print_demonstration(report: AuditReport, console: Console) -> None:
    """Print the errors and the verdict of a report of the sandbox, and the commands to go on with."""
    errors = tuple(finding for finding in report.findings if finding.severity is Severity.ERROR)
    rule_width = max((len(finding.rule) for finding in errors), default=0)
    verdict = text(tell(report).verdict, "bold")
    console.print(verdict)
    console.print()
    for section in tell(attrs.evolve(report, findings=errors)).sections:
        _print_section(section, rule_width, console, unfold=False)
    console.print(_run_totals(report))
    console.print(verdict)
    console.print()
    command = "dialler" if which("dialler") else sys.argv[0]
    rule = errors[0].rule if errors else "RULE"
    console.print(Text("What next", style="bold"))
    for note, line in (
        ("See all findings, with the fix for each rule", f"{command} audit --sandbox --unfold"),
        ("Read what a rule means", f"{command} audit explain {rule}"),
        ("Set DIALLER_BASE_URL and DIALLER_TOKEN, and audit your own account", f"{command} audit"),
    ):
        console.print(text(f"  {note}:"))
        console.print(text(f"    {line}", "bold"), soft_wrap=True)


def _run_totals(report: Report) -> str:
    return (
        f"{counted(report.campaign_count, 'campaign')}, {counted(report.code_count, 'result code')}, "
        f"{counted(report.requests, 'request')} in {report.seconds:.1f} s"
    )


def _print_section(section: Section, rule_width: int, console: Console, *, unfold: bool) -> bool:
    """Print the findings of a section; return whether findings were folded."""
    console.print(Text(section.title, style="bold"))
    is_folded = False
    for group in section.groups(fold_above=section.number) if unfold else section.groups():
        if group.rule is None:
            findings = list(group.findings)
            console.print(Padding(_heading(findings[0]), (0, 0, 0, 2), expand=False))
            console.print(_rows(findings, section, rule_width))
        else:
            is_folded = True
            console.print(_folded(group, group.rule, rule_width))
    console.print()
    return is_folded


def _heading(finding: Finding) -> Text:
    account = "" if finding.account is None else f"{finding.account}: "
    if finding.campaign_name is None:
        return Text.assemble(text(account), "The whole account", overflow="fold")
    return Text.assemble(text(account), _campaign(finding.campaign_id, finding.campaign_name), overflow="fold")


def _campaign(id: int | None, name: str) -> Text:
    return Text.assemble(f"Campaign {'without ID' if id is None else id}  ", text(name), overflow="fold")


def _rows(findings: Sequence[Finding], section: Section, rule_width: int) -> Padding:
    table = _grid(rule_width)
    for finding in findings:
        age = section.age(finding)
        message = Text.assemble(text(finding.message), (f" ({age})" if age else "", "dim"), overflow="fold")
        table.add_row(_styled(finding.severity), text(finding.rule), message)
        if note := section.note(finding):
            table.add_row("", "", text(note, "dim"))
    return _indented(table)


def _folded(group: FindingGroup, rule: RuleInfo, rule_width: int) -> Padding:
    numbers = f"{counted(group.number, 'finding')} in {counted(group.number_of_campaigns, 'campaign')}"
    table = _grid(rule_width)
    table.add_row(_styled(rule.severity), text(rule.id), text(f"{numbers}: {rule.title}"))
    return _indented(table)


def _print_changes(story: Story, console: Console) -> None:
    if not story.changes:
        return
    console.print(Text("Changed values", style="bold"))
    for (id, name), changes in story.changes_by_campaign():
        console.print(Padding(_campaign(id, name), (0, 0, 0, 2), expand=False))
        for change in changes:
            console.print(Padding(text(change.in_words), (0, 0, 0, 4), expand=False))
    console.print()


def _by_rule(report: Report, rule_width: int) -> Padding:
    """Return the number of findings of each rule, with the rule's title and fix."""
    table = _grid(rule_width)
    for info, number in report.by_rule().items():
        table.add_row(_styled(info.severity), text(info.id), text(f"{number:,}: {info.title}"))
        table.add_row("", "", text(info.fix, "dim"))
    return _indented(table)


def _print_accounts(report: Report, console: Console) -> None:
    """Print the accounts with the worst findings; there may be thousands."""
    by_account = report.by_account()
    table = Table.grid(padding=(0, 2, 0, 0))
    for severity in Severity:
        table.add_column(min_width=len(severity), justify="right")
    table.add_row(*map(_styled, Severity))
    for name, account in islice(by_account.items(), _WORST):
        identity_note = "" if account.identity is None else f"  {account.identity}"
        table.add_row(*(f"{number:,}" for number in account.found.values()), text(f"{name}{identity_note}"))
    console.print(Text("By account", style="bold"))
    console.print(_indented(table))
    if len(by_account) > _WORST:
        console.print(f"  … and {len(by_account) - _WORST:,} more, none of them worse")
    console.print()
    sound = sum(not any(account.found.values()) for account in by_account.values())
    console.print(f"{counted(len(by_account), 'account')}, {sound:,} of them without a finding")


def _grid(rule_width: int) -> Table:
    """Return columns for severity, rule and text. Their widths are the same for all campaigns."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_SEVERITY_WIDTH)
    table.add_column(width=rule_width)
    table.add_column(ratio=1, overflow="fold")
    return table


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 4), expand=False)


def _styled(severity: Severity) -> Text:
    return Text(severity.value, style=_STYLES[severity])
