"""The report as Markdown (GitHub's, with tables), for issues, wikis and pull requests, and its summary for a chat."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from ..._text.escaping import escape_unprintable
from ..._text.moments import to_minute
from ..findings import Finding, Severity
from ..report import Report
from ..story import Section, tell, where
from ..topics import Topic

MOST: Final = 65_000
"""Maximum number of characters of the report. GitHub takes no longer text in an issue."""
MOST_OF_SUMMARY: Final = 3_000
"""Maximum number of characters of the summary."""

# Only characters that have a meaning where they stand, so that the source is readable, too.
_SPECIAL = re.compile(
    r"""
      [\\`*\[\]<>|~$]          # code, emphasis, links, HTML, cells, strikethrough, formulas
    | (?<!\w)_ | _(?!\w)      # emphasis; an underscore within a word is plain
    | &(?=\#?\w+;)            # entities
    | :(?=//|[\d+-]*[a-z][\w+-]*:|[+-]1:|100:)    # URLs, names of emoji
    | (?<=www)\.              # URLs without a scheme
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Code hosts link these, and notify a user, even after a backslash, but not if a word joiner follows.
_REFERENCE = re.compile(r"[@#](?=\w)|[!%&~](?=\d)|(?<=\bGH)-(?=\d)")

# Nobody reads a table of thousands of accounts.
_WORST = 50
# Characters that are kept for the last line, which says how much was left out.
_FOR_THE_REST = 100
# Characters of one line of the summary, and of its sections. Known findings are only listed if nothing is compared.
_LINE = 200
_MOST_OF_SECTION = {Topic.NEW: 1350, Topic.GONE: 450, Topic.UNCHECKED: 300, Topic.ENDING: 300}
_MOST_WITHOUT_COMPARISON = {Topic.KNOWN: 1800, Topic.ENDING: 300}


def write_markdown(report: Report) -> Iterator[str]:
    """Yield the verdict, the sections of the story, and a table by rule with what to do, up to `MOST` characters."""
    story = tell(report)
    head = f"# {escaped(story.verdict)}\n\n" + (
        f"{report.campaign_count:,} campaigns, {report.code_count:,} result codes, {report.requests:,} requests; "
        f"as of {to_minute(report.now)}; {report.zone_note}; {escaped(report.tool)}.\n"
    )
    if report.scope_note:
        head += f"\n**{escaped(report.scope_note)}**\n"
    rules = "".join(_by_rule(report))
    accounts = "".join(_by_account(report)) if report.accounts and report.by_rule() else ""
    left = MOST - _FOR_THE_REST - len(head) - len(rules) - len(accounts)
    yield head
    left_out = 0
    for section in story.sections:
        rows = _table(section, report)
        written = 0
        # The headings only with a first finding.
        title = f"\n## {section.title}\n\n" + next(rows)
        for row in rows:
            text = row if written else title + row
            if len(text) > left:
                break
            left -= len(text)
            written += 1
            yield text
        left_out += section.number - written
    if left_out:
        yield f"\n… and {left_out:,} more; the format JSON has all findings.\n"
    yield accounts
    yield rules


def write_summary(report: Report) -> Iterator[str]:
    """Yield at most `MOST_OF_SUMMARY` characters: the verdict, the sections in short, and counts by rule."""
    story = tell(report)
    blocks = [f"**{escaped(_shortened(story.verdict))}**\n"]
    if report.scope_note:
        blocks.append(escaped(_shortened(report.scope_note)) + "\n")
    most_of = _MOST_WITHOUT_COMPARISON if report.since is None else _MOST_OF_SECTION
    for section in (*story.sections, *([story.ending] if story.ending else [])):
        if section.topic in most_of:
            lines = (_in_line(finding, section) for finding in section.findings)
            blocks.append(_list(section.title, lines, section.number, most_of[section.topic]))
    by_rule = report.by_rule()
    lines = (f"{escaped(info.id)} ({info.severity}): {number:,}" for info, number in by_rule.items())
    left = MOST_OF_SUMMARY - sum(len(block) + 1 for block in blocks)
    blocks.append(_list("By rule", lines, len(by_rule), left) if by_rule else "")
    yield "\n".join(filter(None, blocks))


def _list(title: str, lines: Iterable[str], number: int, most: int) -> str:
    """Return a list under a title, with as many of the lines as fit."""
    text, written = f"{title}:\n", 0
    for line in lines:
        if len(text) + len(line) + 30 > most:
            break
        text += f"- {line}\n"
        written += 1
    return text + (f"- … and {number - written:,} more\n" if written < number else "")


def _in_line(finding: Finding, section: Section) -> str:
    account = "" if finding.account is None else f"{finding.account}: "
    note = f"; {escaped(_shortened(section.note(finding)))}" if section.topic is Topic.ENDING else ""
    return f"{finding.severity}: {escaped(_shortened(f'{account}{where(finding)}: {finding.message}'))}{note}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"


def _by_rule(report: Report) -> Iterator[str]:
    by_rule = report.by_rule()
    if not by_rule:
        return
    yield "\n## By rule\n\n"
    yield _row("Severity", "Rule", "Findings", "What to do") + _row("---", "---", "---:", "---")
    for info, number in by_rule.items():
        yield _row(info.severity, escaped(info.id), f"{number:,}", escaped(f"{info.title}. {info.fix}"))


def _by_account(report: Report) -> Iterator[str]:
    yield "\n## By account\n\n"
    yield _row("Account", "Server", *Severity) + _row("---", "---", *["---:"] * len(Severity))
    by_account = report.by_account()
    for name, account in islice(by_account.items(), _WORST):
        server = escaped(str(account.identity)) if account.identity else ""
        yield _row(escaped(name), server, *(f"{number:,}" for number in account.found.values()))
    if len(by_account) > _WORST:
        yield f"\nThese are the worst {_WORST} of {len(by_account):,} accounts.\n"


def _table(section: Section, report: Report) -> Iterator[str]:
    """Yield the headings of a section, then a row for each finding."""
    headings = ["Account"] if report.accounts else []
    headings += ["Severity", "Rule", "Where", "What"]
    has_notes = section.topic in (Topic.UNCHECKED, Topic.ACCEPTED)
    headings += ["Why"] if has_notes else []
    yield _row(*headings) + _row(*["---"] * len(headings))
    for finding in section.findings:
        cells = [escaped(finding.account or "")] if report.accounts else []
        cells += [finding.severity, escaped(finding.rule), _where(finding, report)]
        cells += [escaped(f"{finding.message} ({age})" if (age := section.age(finding)) else finding.message)]
        cells += [escaped(section.note(finding))] if has_notes else []
        yield _row(*cells)


def _where(finding: Finding, report: Report) -> str:
    link = report.portal_link(finding)
    return escaped(where(finding)) if link is None else f"[{escaped(where(finding))}](<{link}>)"


def escaped(text: str) -> str:
    """Return a text for use within a line, with Markdown and HTML escaped.

    It can't end a table cell, link to anything or notify a user.
    """
    return _SPECIAL.sub(r"\\\g<0>", _REFERENCE.sub("\\g<0>\u2060", escape_unprintable(text)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
