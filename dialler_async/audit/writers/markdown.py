"""The report as Markdown (GitHub's, with tables), for issues, wikis and pull requests."""

import re
from collections.abc import Iterator

from dialler_async.harmless import harmless

from ..report import AuditReport
from .columns import where

_SPECIAL = re.compile(r"[\\`*_{}\[\]()#+\-.!|~<>&:$^=\"']")


def write_markdown(report: AuditReport) -> Iterator[str]:
    """Totals, a table by rule with what to do, and a table of the findings."""
    yield "# Audit of the dialler\n\n"
    yield (
        f"{report.campaigns:,} campaigns, {report.codes:,} result codes, {report.requests:,} requests; "
        f"judged as of {report.now.isoformat(sep=' ', timespec='minutes')}; {report.zone_note}.\n\n"
    )
    if not report.findings:
        yield "Nothing found.\n"
        return
    yield ", ".join(f"**{number:,}** {severity}" for severity, number in report.by_severity().items()) + ".\n\n"
    yield "## By rule\n\n"
    yield _row("Severity", "Rule", "Findings", "What to do") + _row("---", "---", "---:", "---")
    for about, number in report.by_rule().items():
        yield _row(about.severity, escaped(about.id), f"{number:,}", escaped(f"{about.title}. {about.fix}"))
    yield "\n## Findings\n\n"
    yield _row("Severity", "Rule", "Where", "What") + _row("---", "---", "---", "---")
    for finding in report.findings:
        yield _row(finding.severity, escaped(finding.rule), escaped(where(finding)), escaped(finding.message))


def escaped(text: str) -> str:
    """A text that stays what it is: no markup, no HTML, no end of a cell, and nobody is notified by it."""
    # An escaped @ would still call whoever has that name; one that is followed by a joiner does not.
    return _SPECIAL.sub(r"\\\g<0>", harmless(text)).replace("@", "@\u2060")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
