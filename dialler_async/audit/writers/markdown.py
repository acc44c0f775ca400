"""The report as Markdown (GitHub's, with tables), for issues, wikis and pull requests."""

import re
from collections.abc import Iterator
from itertools import islice

from dialler_async._text.escaping import escape_unprintable

from ..findings import Severity
from ..report import AuditReport
from .columns import where

_SPECIAL = re.compile(r"[\\`*_{}\[\]()#+\-.!|~<>&:$^=\"']")

# Of thousands of accounts nobody reads a table.
_WORST = 50


def write_markdown(report: AuditReport) -> Iterator[str]:
    """Totals, a table by rule with what to do, and a table of the findings."""
    yield "# Audit of the dialler\n\n"
    accounts = f"{len(report.accounts):,} accounts, " if report.accounts else ""
    yield (
        f"{accounts}{report.campaigns:,} campaigns, {report.codes:,} result codes, {report.requests:,} requests; "
        f"judged as of {report.now.isoformat(sep=' ', timespec='minutes')}; {report.zone_note}.\n\n"
    )
    if not report.findings:
        yield "Nothing found.\n"
        return
    yield ", ".join(f"**{number:,}** {severity}" for severity, number in report.by_severity().items()) + ".\n\n"
    yield "## By rule\n\n"
    yield _row("Severity", "Rule", "Findings", "What to do") + _row("---", "---", "---:", "---")
    for info, number in report.by_rule().items():
        yield _row(info.severity, escaped(info.id), f"{number:,}", escaped(f"{info.title}. {info.fix}"))
    if report.accounts:
        yield from _by_account(report)
    yield "\n## Findings\n\n"
    headings = ["Severity", "Rule", "Where", "What"]
    if report.accounts:
        headings.insert(0, "Account")
    yield _row(*headings) + _row(*["---"] * len(headings))
    for finding in report.findings:
        cells = [finding.severity, escaped(finding.rule), escaped(where(finding)), escaped(finding.message)]
        if report.accounts:
            cells.insert(0, escaped(finding.account or ""))
        yield _row(*cells)


def _by_account(report: AuditReport) -> Iterator[str]:
    yield "\n## By account\n\n"
    yield _row("Account", *Severity) + _row("---", *["---:"] * len(Severity))
    by_account = report.by_account()
    for name, numbers in islice(by_account.items(), _WORST):
        yield _row(escaped(name), *(f"{number:,}" for number in numbers.values()))
    if len(by_account) > _WORST:
        yield f"\nThese are the worst {_WORST} of {len(by_account):,} accounts.\n"


def escaped(text: str) -> str:
    """A text that stays what it is: no markup, no HTML, no end of a cell, and nobody is notified by it."""
    # An escaped @ would still call whoever has that name; one that is followed by a joiner does not.
    return _SPECIAL.sub(r"\\\g<0>", escape_unprintable(text)).replace("@", "@\u2060")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
