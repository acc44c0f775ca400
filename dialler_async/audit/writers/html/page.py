"""The page: the data of the template, and its settings."""

import base64
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import islice
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...._text.escaping import escape_unprintable
from ...findings import Severity
from ...report import AuditReport
from ...story import Topic, accepted_note, tell
from .coverage import coverage
from .findings import Blocks, campaign_numbers, numbered
from .matrix import Matrix
from .timeline import EDGES, Timeline

# Pieces of the template that are written at once. Without this, each tag would be a piece.
_PIECES = 512
# Limits for reports of thousands of accounts: no browser shows more.
_MOST = 5_000
_WORST = 20


def write_html(report: AuditReport) -> Iterator[str]:
    """Return the page, piece by piece."""
    story = tell(report)
    timeline = Timeline.of(report.summaries, report.now)
    numbers = campaign_numbers(story)
    periods = numbered(timeline.periods[-_MOST:] if report.accounts else timeline.periods, numbers)
    matrix = Matrix.of(report.summaries)
    rows = numbered(matrix.rows, numbers)
    sheet = f"{file_text('report.css')}\n:root{{--now:{timeline.now:.2f}%}}\n{_edges()}"
    style = Markup(sheet)  # noqa: S704  # no text from the server
    script = Markup(file_text("report.js").strip())  # noqa: S704  # a file of this package
    by_rule = Counter(finding.rule for section in story.sections for finding in section.findings)
    page = environment().get_template("report.html.jinja")
    stream = page.stream(
        report=report,
        story=story,
        blocks=Blocks(report.rules, numbers),
        accepted_note=accepted_note,
        tiles=_tiles(report),
        rules=[(id, by_rule[id]) for id in sorted(by_rule, key=_ranks(report).__getitem__)],
        clean=_clean(report),
        worst=[(name, found) for name, found in islice(report.by_account().items(), _WORST) if any(found.values())],
        campaigns=Counter(summary.account for summary in report.summaries),
        timeline=timeline,
        periods=periods,
        matrix=matrix,
        rows=rows,
        in_timeline={number for _, number in periods if number is not None},
        in_matrix={number for _, number in rows if number is not None},
        coverage=coverage(report),
        style=style,
        style_hash=policy_hash(style),
        script=script,
        script_hash=policy_hash(script),
    )
    stream.enable_buffering(_PIECES)
    return iter(stream)


def _tiles(report: AuditReport) -> Iterator[tuple[str, int, str, str]]:
    """Yield what the page counts: in words, the number, the topic, and the severity if only one is counted."""
    comparison = report.comparison
    if comparison is not None:
        yield "new", len(comparison.new), Topic.NEW.name.lower(), ""
        yield "gone", len(comparison.gone), Topic.GONE.name.lower(), ""
        yield "not checked", len(comparison.unchecked), Topic.UNCHECKED.name.lower(), ""
    if report.accepted:
        yield "accepted", len(report.accepted), Topic.ACCEPTED.name.lower(), ""
    for severity, number in report.by_severity().items():
        yield f"{severity}{'' if number == 1 else 's'}", number, "", severity


def _ranks(report: AuditReport) -> dict[str, tuple[int, int]]:
    """Return the place of each rule: the worst first. Rules that are no longer applied come last."""
    ranks = {finding.rule: (len(Severity), 0) for finding in report.all_findings()}
    return ranks | {info.id: (info.severity.rank, place) for place, info in enumerate(report.rules)}


def _clean(report: AuditReport) -> int:
    """Return the number of campaigns without a finding."""
    with_findings = {(found.account, found.campaign_id, found.campaign_name) for found in report.findings}
    return sum((campaign.account, campaign.id, campaign.name) not in with_findings for campaign in report.summaries)


@cache
def environment() -> Environment:
    """Return the settings of the templates, with their filters."""
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number="{:,}".format, moment=_moment, machine=_machine)
    return environment


def _shown(value: Any) -> Any:
    """Return a value as the page shows it. Jinja escapes HTML after this, except in our own markup."""
    return escape_unprintable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moment(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="minutes")


def _machine(moment: datetime) -> str:
    """Return a moment as the attribute `datetime` takes it: no more than three decimals."""
    return moment.isoformat(timespec="milliseconds")


def _edges() -> str:
    """Return CSS classes for the left and right ends of bars. A class needs fewer bytes than an SVG for each bar."""
    return "".join(
        f".b{edge}{{--b:{100 * edge / EDGES:g}%}}.e{edge}{{--e:{100 * edge / EDGES:g}%}}" for edge in range(EDGES + 1)
    )


def policy_hash(content: str) -> str:
    """Return the hash by which the content security policy allows a style or a script."""
    return f"sha256-{base64.b64encode(sha256(content.encode()).digest()).decode()}"


def file_text(name: str) -> str:
    """Return the text of a file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
