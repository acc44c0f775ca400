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
from ...findings import Finding
from ...report import AuditReport
from ...story import accepted_note
from .coverage import coverage
from .findings import campaign_numbers, groups, numbered
from .matrix import Matrix
from .timeline import EDGES, Timeline

# Pieces of the template that are written at once. Without this, each tag would be a piece.
_PIECES = 512
# Limits for reports of thousands of accounts: no browser shows more.
_MOST = 5_000
_WORST = 100


def write_html(report: AuditReport) -> Iterator[str]:
    """Return the page, piece by piece."""
    timeline = Timeline.of(report.summaries, report.now)
    sheet = _file("report.css") + (_file("accounts.css") if report.accounts else "")
    numbers = campaign_numbers(report)
    periods = numbered(timeline.periods[-_MOST:] if report.accounts else timeline.periods, numbers)
    matrix = Matrix.of(report.summaries)
    rows = numbered(matrix.rows, numbers)
    style = Markup(f"{sheet}\n:root{{--now:{timeline.now:.2f}%}}\n{_edges()}")  # noqa: S704  # no text from the server
    script = Markup(_file("report.js").strip())  # noqa: S704  # a file of this package
    found = report.by_rule()
    page = _environment().get_template("report.html.jinja")
    stream = page.stream(
        report=report,
        rules=[*found.items(), *((about, 0) for about in report.rules if about not in found)],
        severities=report.by_severity(),
        groups=list(groups(report, numbers)),
        clean=_clean(report),
        worst=list(islice(report.by_account().items(), _WORST)),
        campaigns=Counter(summary.account for summary in report.summaries),
        timeline=timeline,
        periods=periods,
        matrix=matrix,
        rows=rows,
        in_timeline={number for _, number in periods if number is not None},
        in_matrix={number for _, number in rows if number is not None},
        coverage=coverage(report),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        apart=_apart(report),
        accepted_note=accepted_note,
    )
    stream.enable_buffering(_PIECES)
    return iter(stream)


def _apart(report: AuditReport) -> dict[str, tuple[Finding, ...]]:
    """Return the findings that are shown apart from the others, by their headings."""
    apart = {"Accepted": report.accepted}
    if report.comparison is not None:
        apart |= {"Gone": report.comparison.gone, "Not checked this time": report.comparison.unchecked}
    return {heading: findings for heading, findings in apart.items() if findings}


def _clean(report: AuditReport) -> int:
    """Return the number of campaigns without a finding."""
    with_findings = {(found.account, found.campaign_id, found.campaign_name) for found in report.findings}
    return sum((campaign.account, campaign.id, campaign.name) not in with_findings for campaign in report.summaries)


@cache
def _environment() -> Environment:
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


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(sha256(content.encode()).digest()).decode()}"


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
