"""What has changed since an earlier report, as people read it."""

from datetime import datetime
from itertools import groupby

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dialler_async.audit import Change, Comparison, Finding

from .output import Console, text


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print what is gone and what changed, and how many findings are new; those stand among the others."""
    since = moment(comparison.since)
    _print_findings(f"Gone since {since}", comparison.gone, console)
    _print_findings(f"Found on {since}, not judged this time", comparison.unjudged, console)
    if comparison.changes:
        console.print(Text(f"Changed since {since}", style="bold"))
        for (id, name), changes in groupby(comparison.changes, key=lambda it: (it.campaign_id, it.campaign_name)):
            console.print(Padding(_campaign(id, name), (0, 0, 0, 2)))
            console.print(Padding(_changes(list(changes)), (0, 0, 0, 4)))
        console.print()
    numbers = f"{len(comparison.new):,} new, {len(comparison.gone):,} gone, {comparison.unchanged:,} unchanged"
    console.print(Text(f"Since {since}: {numbers}", style="bold"))
    console.print()


def moment(date: datetime) -> str:
    """A date to the minute, with its offset."""
    return date.isoformat(sep=" ", timespec="minutes")


def _print_findings(title: str, findings: tuple[Finding, ...], console: Console) -> None:
    if not findings:
        return
    console.print(Text(title, style="bold"))
    for finding in findings:
        where = Text("the whole account")
        if finding.campaign_name is not None:
            where = _campaign(finding.campaign_id, finding.campaign_name)
        console.print(Padding(where, (0, 0, 0, 2)))
        told = Text.assemble(f"{finding.severity}  ", text(finding.rule), "  ", text(finding.message))
        console.print(Padding(told, (0, 0, 0, 4)))
    console.print()


def _campaign(id: int | None, name: str) -> Text:
    return Text.assemble(f"Campaign {'without ID' if id is None else id}  ", text(name), overflow="fold")


def _changes(changes: list[Change]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for change in changes:
        before, after = (text(_NONE if value is None else value) for value in (change.before, change.after))
        table.add_row(text(change.what), Text.assemble(before, " → ", after, overflow="fold"))
    return table


_NONE = "nothing"
