"""The report of an audit as people read it: findings by campaign, then a summary by rule, then the totals."""

from itertools import islice

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dialler_async.audit import AuditReport, Finding, Severity

from .comparison import moment, print_comparison
from .output import Console, counted, text

# Never told by colour alone: the word stands beside it.
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_WORST = 10
_SEVERITY_WIDTH = max(len(severity) for severity in Severity)


def print_report(report: AuditReport, console: Console) -> None:
    """Print the whole report."""
    rule_width = max((len(finding.rule) for finding in report.findings), default=0)
    new = set(report.comparison.new) if report.comparison else set[Finding]()
    for findings in report.by_campaign():
        console.print(_heading(findings[0]))
        console.print(_rows(findings, rule_width, new))
        console.print()
    if report.comparison:
        print_comparison(report.comparison, console)
    if report.findings:
        console.print(Text("By rule", style="bold"))
        console.print(_by_rule(report, rule_width))
        console.print()
    if report.accounts:
        _print_accounts(report, console)
    console.print(Text(f"As of {moment(report.now)}; {report.zone_note}"))
    console.print(_found(report))
    console.print(_looked_at(report))


def _heading(finding: Finding) -> Text:
    account = "" if finding.account is None else f"{finding.account}: "
    if finding.campaign_name is None:
        return Text.assemble(text(account, "bold"), ("The whole account", "bold"), overflow="fold")
    id = "without ID" if finding.campaign_id is None else finding.campaign_id
    return Text.assemble(
        text(account, "bold"), text(f"Campaign {id}  "), text(finding.campaign_name, "bold"), overflow="fold"
    )


def _rows(findings: tuple[Finding, ...], rule_width: int, new: set[Finding]) -> Padding:
    table = _grid(rule_width)
    for finding in findings:
        table.add_row(_word(finding.severity), text(finding.rule), _message(finding, new))
    return _indented(table)


def _message(finding: Finding, new: set[Finding]) -> Text:
    return Text.assemble(("new  ", "bold"), text(finding.message)) if finding in new else text(finding.message)


def _by_rule(report: AuditReport, rule_width: int) -> Padding:
    """How often each rule found something, what that means, and what to do about it."""
    table = _grid(rule_width)
    for info, number in report.by_rule().items():
        table.add_row(_word(info.severity), text(info.id), text(f"{number:,}: {info.title}"))
        table.add_row("", "", text(info.fix, "dim"))
    return _indented(table)


def _print_accounts(report: AuditReport, console: Console) -> None:
    """The accounts with the worst findings; there may be thousands."""
    by_account = report.by_account()
    table = Table.grid(padding=(0, 2, 0, 0))
    for severity in Severity:
        table.add_column(min_width=len(severity), justify="right")
    table.add_row(*map(_word, Severity))
    for name, numbers in islice(by_account.items(), _WORST):
        table.add_row(*(f"{number:,}" for number in numbers.values()), text(name))
    console.print(Text("By account", style="bold"))
    console.print(_indented(table))
    if len(by_account) > _WORST:
        console.print(f"  … and {len(by_account) - _WORST:,} more, none of them worse")
    console.print()
    sound = sum(not any(numbers.values()) for numbers in by_account.values())
    console.print(f"{counted(len(by_account), 'account')}, {sound:,} of them without a finding")


def _grid(rule_width: int) -> Table:
    """Columns for severity, rule and text; of the same widths for all campaigns, so that they can be read down."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_SEVERITY_WIDTH)
    table.add_column(width=rule_width)
    table.add_column(ratio=1)
    return table


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 2))


def _word(severity: Severity) -> Text:
    return Text(severity.value, style=_STYLES[severity])


def _found(report: AuditReport) -> Text:
    if not report.findings:
        return Text("Nothing found.", style="bold")
    numbers = (counted(number, severity.value) for severity, number in report.by_severity().items())
    return Text(", ".join(numbers), style="bold")


def _looked_at(report: AuditReport) -> Text:
    # Apart from the findings, so that neither line is broken at 80 columns.
    return Text(
        f"{counted(report.campaigns, 'campaign')}, {counted(report.codes, 'result code')}, "
        f"{counted(report.requests, 'request')} in {report.seconds:.1f} s"
    )
