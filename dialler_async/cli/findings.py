"""Print a report for people: the account, the findings by campaign, a summary by rule, and the totals."""

import sys
from itertools import islice
from shutil import which

import attrs
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dialler_async.audit import AuditReport, Finding, FindingGroup, Severity, State
from dialler_async.audit.writers.columns import accepted_note

from .comparison import minute, print_comparison, print_findings
from .output import Console, counted, text

# The severity is also printed as a word, since colours may be off.
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_WORST = 10
_SEVERITY_WIDTH = max(len(severity) for severity in Severity)


def print_report(report: AuditReport, console: Console, *, unfold: bool = False) -> None:
    """Print the whole report.

    Args:
        report: the report.
        console: where to print it.
        unfold: whether to print every finding. By default, many findings of one rule are one line.
    """
    rule_width = max((len(finding.rule) for finding in report.findings), default=0)
    console.print(_title(report))
    console.print()
    groups = report.groups(fold_above=len(report.findings)) if unfold else report.groups()
    for group in groups:
        _print_group(group, rule_width, console)
    if any(group.rule for group in groups):
        console.print("--unfold shows every finding; so does every --format.")
        console.print()
    print_findings("Accepted", report.accepted, console, unfold=unfold, note=accepted_note)
    if report.comparison:
        print_comparison(report.comparison, console, unfold=unfold)
    if report.findings:
        console.print(Text("By rule", style="bold"))
        console.print(_by_rule(report, rule_width))
        console.print()
    if report.accounts:
        _print_accounts(report, console)
    console.print(Text(f"As of {minute(report.now)}; {report.zone_note}"))
    if report.scope_note:
        console.print(text(report.scope_note, "bold"))
    console.print(_finding_totals(report))
    console.print(_run_totals(report))


def print_demonstration(report: AuditReport, console: Console) -> None:
    """Print the errors and the totals of a report of the sandbox, and the commands to go on with."""
    errors = tuple(finding for finding in report.findings if finding.severity is Severity.ERROR)
    rule_width = max((len(finding.rule) for finding in errors), default=0)
    console.print(_title(report))
    console.print()
    for group in attrs.evolve(report, findings=errors).groups():
        _print_group(group, rule_width, console)
    console.print(_finding_totals(report))
    console.print(_run_totals(report))
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
        console.print(text(f"    {line}", "bold"))


def _title(report: AuditReport) -> Text:
    return Text.assemble("Audit of ", text(report.title, "bold"), f", by {report.tool}", overflow="fold")


def _print_group(group: FindingGroup, rule_width: int, console: Console) -> None:
    first = group.findings[0]
    if group.rule is None:
        console.print(_heading(first))
        console.print(_rows(group.findings, rule_width))
    else:
        new = sum(finding.state is State.NEW for finding in group.findings)
        heading = f"{counted(len(group.findings), 'finding')} of one rule in {counted(group.campaigns, 'campaign')}"
        table = _grid(rule_width)
        note = Text.assemble((f"{new:,} new  ", "bold"), group.rule.title) if new else text(group.rule.title)
        table.add_row(_styled(first.severity), text(group.rule.id), note)
        console.print(Text(heading, style="bold"))
        console.print(_indented(table))
    console.print()


def _heading(finding: Finding) -> Text:
    account = "" if finding.account is None else f"{finding.account}: "
    if finding.campaign_name is None:
        return Text.assemble(text(account, "bold"), ("The whole account", "bold"), overflow="fold")
    id = "without ID" if finding.campaign_id is None else finding.campaign_id
    return Text.assemble(
        text(account, "bold"), text(f"Campaign {id}  "), text(finding.campaign_name, "bold"), overflow="fold"
    )


def _rows(findings: tuple[Finding, ...], rule_width: int) -> Padding:
    table = _grid(rule_width)
    for finding in findings:
        table.add_row(_styled(finding.severity), text(finding.rule), _message(finding))
    return _indented(table)


def _message(finding: Finding) -> Text:
    is_new = finding.state is State.NEW
    return Text.assemble(("new  ", "bold"), text(finding.message), overflow="fold") if is_new else text(finding.message)


def _by_rule(report: AuditReport, rule_width: int) -> Padding:
    """Return the number of findings of each rule, with the rule's title and fix."""
    table = _grid(rule_width)
    for info, number in report.by_rule().items():
        table.add_row(_styled(info.severity), text(info.id), text(f"{number:,}: {info.title}"))
        table.add_row("", "", text(info.fix, "dim"))
    return _indented(table)


def _print_accounts(report: AuditReport, console: Console) -> None:
    """Print the accounts with the worst findings; there may be thousands."""
    by_account = report.by_account()
    table = Table.grid(padding=(0, 2, 0, 0))
    for severity in Severity:
        table.add_column(min_width=len(severity), justify="right")
    table.add_row(*map(_styled, Severity))
    for name, numbers in islice(by_account.items(), _WORST):
        identity = report.identities.get(name)
        identity_note = "" if identity is None else f"  {identity}"
        table.add_row(*(f"{number:,}" for number in numbers.values()), text(f"{name}{identity_note}"))
    console.print(Text("By account", style="bold"))
    console.print(_indented(table))
    if len(by_account) > _WORST:
        console.print(f"  … and {len(by_account) - _WORST:,} more, none of them worse")
    console.print()
    sound = sum(not any(numbers.values()) for numbers in by_account.values())
    console.print(f"{counted(len(by_account), 'account')}, {sound:,} of them without a finding")


def _grid(rule_width: int) -> Table:
    """Return columns for severity, rule and text. Their widths are the same for all campaigns."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_SEVERITY_WIDTH)
    table.add_column(width=rule_width)
    table.add_column(ratio=1, overflow="fold")
    return table


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 2))


def _styled(severity: Severity) -> Text:
    return Text(severity.value, style=_STYLES[severity])


def totals(report: AuditReport) -> str:
    """Return how many findings of each severity there are, in words."""
    numbers = [counted(number, severity.value) for severity, number in report.by_severity().items()]
    accepted = [f"{len(report.accepted):,} accepted"] if report.accepted else []
    if not report.findings:
        return ", ".join(["Nothing found", *accepted]) + ("" if accepted else ".")
    return ", ".join([*numbers, *accepted])


def _finding_totals(report: AuditReport) -> Text:
    return Text(totals(report), style="bold")


def _run_totals(report: AuditReport) -> Text:
    # On its own line, so that this line and the line of findings each fit into 80 columns.
    return Text(
        f"{counted(report.campaigns, 'campaign')}, {counted(report.codes, 'result code')}, "
        f"{counted(report.requests, 'request')} in {report.seconds:.1f} s"
    )
