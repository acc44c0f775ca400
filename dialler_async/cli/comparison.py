"""Print on the terminal what has changed since a baseline."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dialler_async.audit import Change, Comparison, Finding
from dialler_async.audit.report import FOLD_ABOVE

from .output import Console, counted, text


def print_comparison(comparison: Comparison, console: Console, *, unfold: bool) -> None:
    """Print the fixed findings, the changed values, and the number of new findings.

    The new findings themselves are in the list of all findings.
    """
    since = minute(comparison.since)
    print_findings(f"Gone since {since}", comparison.gone, console, unfold=unfold)
    print_findings(f"Found on {since}, not checked this time", comparison.unchecked, console, unfold=unfold)
    if comparison.changes:
        console.print(Text(f"Changed since {since}", style="bold"))
        for (id, name), changes in groupby(
            comparison.changes, key=lambda change: (change.campaign_id, change.campaign_name)
        ):
            console.print(Padding(_campaign_line(id, name), (0, 0, 0, 2)))
            console.print(Padding(_changes_table(list(changes)), (0, 0, 0, 4)))
        console.print()
    numbers = f"{len(comparison.new):,} new, {len(comparison.gone):,} gone, {comparison.unchanged:,} unchanged"
    console.print(Text(f"Since {since}: {numbers}", style="bold"))
    console.print()


def print_findings(
    title: str,
    findings: Sequence[Finding],
    console: Console,
    *,
    unfold: bool,
    note: Callable[[Finding], str] = lambda _: "",
) -> None:
    """Print findings under a title, each with its note. More than 20 findings of one rule are folded into one line."""
    if not findings:
        return
    console.print(Text(title, style="bold"))
    numbers = Counter(finding.rule for finding in findings)
    folded = {} if unfold else {rule: number for rule, number in numbers.items() if number > FOLD_ABOVE}
    for rule, number in folded.items():
        line = Text.assemble(text(rule), f"  {counted(number, 'finding')}; --unfold shows each")
        console.print(Padding(line, (0, 0, 0, 2)))
    for finding in findings:
        if finding.rule in folded:
            continue
        where = Text("the whole account")
        if finding.campaign_name is not None:
            where = _campaign_line(finding.campaign_id, finding.campaign_name)
        account = text("" if finding.account is None else f"{finding.account}: ")
        console.print(Padding(Text.assemble(account, where, overflow="fold"), (0, 0, 0, 2)))
        line = Text.assemble(f"{finding.severity}  ", text(finding.rule), "  ", text(finding.message))
        console.print(Padding(line, (0, 0, 0, 4)))
        if note_text := note(finding):
            console.print(Padding(text(note_text, "dim"), (0, 0, 0, 4)))
    console.print()


def minute(date: datetime) -> str:
    """Return a date without its seconds, with its offset."""
    return date.isoformat(sep=" ", timespec="minutes")


def _campaign_line(id: int | None, name: str) -> Text:
    return Text.assemble(f"Campaign {'without ID' if id is None else id}  ", text(name), overflow="fold")


def _changes_table(changes: list[Change]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for change in changes:
        before, after = (text("nothing" if value is None else value) for value in (change.before, change.after))
        table.add_row(text(change.what), Text.assemble(before, " → ", after, overflow="fold"))
    return table
