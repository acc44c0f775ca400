"""The report as Markdown (GitHub's, with tables), for issues, wikis and pull requests."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from dialler_async._text.escaping import escape_unprintable

from ..findings import Finding, Severity
from ..report import AuditReport
from .columns import accepted_note, where

# Only characters that have a meaning where they stand, so that the source is readable, too.
_SPECIAL = re.compile(
    r"""
      [\\`*\[\]<>|~$]          # code, emphasis, links, HTML, cells, strikethrough, formulas
    | (?<!\w)_ | _(?!\w)      # emphasis; an underscore within a word is plain
    | &(?=\#?\w+;)            # entities
    | :(?=//|[\w+-]+:)        # URLs, names of emoji
    | (?<=www)\.              # URLs without a scheme
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Code hosts link these, and notify a user, even after a backslash, but not if a word joiner follows.
_REFERENCE = re.compile(r"[@#](?=\w)|[!%&~](?=\d)|(?<=\bGH)-(?=\d)")

# Nobody reads a table of thousands of accounts.
_WORST = 50


def write_markdown(report: AuditReport) -> Iterator[str]:
    """Yield totals, a table by rule with what to do, and tables of the findings."""
    yield f"# Audit of {escaped(report.title)}\n\n"
    yield (
        f"{report.campaigns:,} campaigns, {report.codes:,} result codes, {report.requests:,} requests; "
        f"as of {report.now.isoformat(sep=' ', timespec='minutes')}; {report.zone_note}; {escaped(report.tool)}.\n\n"
    )
    if report.scope_note:
        yield f"**{escaped(report.scope_note)}**\n\n"
    if report.findings:
        yield ", ".join(f"**{number:,}** {severity}" for severity, number in report.by_severity().items()) + ".\n"
    else:
        yield "Nothing found.\n"
    if (comparison := report.comparison) is not None:
        since = comparison.since.isoformat(sep=" ", timespec="minutes")
        numbers = f"**{len(comparison.new):,}** new, **{len(comparison.gone):,}** gone, {comparison.unchanged:,}"
        yield f"\nSince {since}: {numbers} unchanged.\n"
    yield from _by_rule(report)
    if report.accounts and report.findings:
        yield from _by_account(report)
    yield from _findings("Findings", report.findings, report)
    yield from _findings("Accepted", report.accepted, report)
    if comparison is not None:
        yield from _findings("Gone", comparison.gone, report)
        yield from _findings("Not checked this time", comparison.unchecked, report)


def _by_rule(report: AuditReport) -> Iterator[str]:
    if not report.findings:
        return
    yield "\n## By rule\n\n"
    yield _row("Severity", "Rule", "Findings", "What to do") + _row("---", "---", "---:", "---")
    for info, number in report.by_rule().items():
        yield _row(info.severity, escaped(info.id), f"{number:,}", escaped(f"{info.title}. {info.fix}"))


def _by_account(report: AuditReport) -> Iterator[str]:
    yield "\n## By account\n\n"
    yield _row("Account", "Server", *Severity) + _row("---", "---", *["---:"] * len(Severity))
    by_account = report.by_account()
    for name, numbers in islice(by_account.items(), _WORST):
        identity = report.identities.get(name)
        server = escaped(str(identity)) if identity else ""
        yield _row(escaped(name), server, *(f"{number:,}" for number in numbers.values()))
    if len(by_account) > _WORST:
        yield f"\nThese are the worst {_WORST} of {len(by_account):,} accounts.\n"


def _findings(title: str, findings: Iterable[Finding], report: AuditReport) -> Iterator[str]:
    findings = list(findings)
    if not findings:
        return
    headings = ["Account"] if report.accounts else []
    headings += ["Severity", "Rule", "Where", "What"]
    headings += ["State"] if report.comparison else []
    headings += ["Accepted because"] if any(finding.acceptance for finding in findings) else []
    yield f"\n## {title}\n\n"
    yield _row(*headings) + _row(*["---"] * len(headings))
    for finding in findings:
        cells = [escaped(finding.account or "")] if report.accounts else []
        cells += [finding.severity, escaped(finding.rule), _where(finding, report), escaped(finding.message)]
        cells += [finding.state or ""] if report.comparison else []
        cells += [escaped(accepted_note(finding))] if "Accepted because" in headings else []
        yield _row(*cells)


def _where(finding: Finding, report: AuditReport) -> str:
    link = report.portal_link(finding)
    return escaped(where(finding)) if link is None else f"[{escaped(where(finding))}](<{link}>)"


def escaped(text: str) -> str:
    """Return a text for use within a line, with Markdown and HTML escaped.

    It can't end a table cell, link to anything or notify a user.
    """
    return _SPECIAL.sub(r"\\\g<0>", _REFERENCE.sub("\\g<0>\u2060", escape_unprintable(text)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
