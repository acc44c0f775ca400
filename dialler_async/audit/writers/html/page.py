"""The page: the data of the template, and its settings."""

import base64
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
from ...._text.moments import to_minute
from ....errors import require
from ...findings import Severity
from ...fleet_report import MOST_SUMMARIES
from ...report import Report
from ...story import Story, tell
from ...topics import Topic
from .coverage import coverage
from .findings import Blocks, campaign_numbers, numbered
from .matrix import Matrix
from .timeline import EDGES, Timeline

# Pieces of the template that are written at once. Without this, each tag would be a piece.
_PIECES = 512
# Nobody reads a longer table of accounts.
_WORST = 20


def write_html(report: Report, *, index: str | None = None) -> Iterator[str]:
    """Return the page, piece by piece.

    Args:
        report: the report of one account, or of a small fleet.
        index: the name of the file that the page links back to.
    Raises:
        ConfigurationError: the fleet has too many campaigns for one page.
    """
    too_large = f"{report.campaign_count:,} campaigns of a fleet are too many for one page: give a directory"
    require(not report.accounts or report.campaign_count <= MOST_SUMMARIES, too_large)
    summaries = [summary for part in report.parts() for summary in part.summaries]
    story = tell(report)
    timeline = Timeline.of(summaries, report.now)
    numbers = campaign_numbers(story)
    periods = numbered(timeline.periods, numbers)
    matrix = Matrix.of(summaries)
    rows = numbered(matrix.rows, numbers)
    sheet = f"{file_text('report.css')}\n:root{{--now:{timeline.now:.2f}%}}\n{_edges()}"
    style = Markup(sheet)  # noqa: S704  # no text from the server
    script = Markup(file_text("report.js").strip())  # noqa: S704  # a file of this package
    page = environment().get_template("report.html.jinja")
    stream = page.stream(
        report=report,
        story=story,
        index=index,
        blocks=Blocks(report.rules, numbers),
        tiles=_tiles(report),
        rules=_rules(report, story),
        clean=_clean(report),
        worst=[one for one in islice(report.by_account().items(), _WORST) if any(one[1].found.values())],
        timeline=timeline,
        periods=periods,
        matrix=matrix,
        rows=rows,
        in_timeline={number for _, number in periods if number is not None},
        in_matrix={number for _, number in rows if number is not None},
        coverage=coverage(report.languages, summaries),
        style=style,
        style_hash=policy_hash(style),
        script=script,
        script_hash=policy_hash(script),
    )
    stream.enable_buffering(_PIECES)
    return iter(stream)


def _tiles(report: Report) -> Iterator[tuple[str, int, str, str]]:
    """Yield what the page counts: in words, the number, the topic, and the severity if only one is counted."""
    compared = (Topic.NEW, Topic.GONE, Topic.UNCHECKED) if report.since is not None else ()
    for topic in (*compared, Topic.ACCEPTED):
        if (number := report.numbers.of(topic).total()) or topic in compared:
            yield topic, number, topic.name.lower(), ""
    for severity, number in report.by_severity().items():
        yield f"{severity}{'' if number == 1 else 's'}", number, "", severity


def _rules(report: Report, story: Story) -> list[tuple[str, int]]:
    """Return the number of findings of each rule: the worst first. Rules that are no longer applied come last."""
    numbers = report.numbers.of(*(section.topic for section in story.sections))
    places = {info.id: (info.severity.rank, place) for place, info in enumerate(report.rules)}
    return sorted(numbers.items(), key=lambda item: places.get(item[0], (len(Severity), 0)))


def _clean(report: Report) -> int:
    """Return the number of campaigns without a finding."""
    number = 0
    for part in report.parts():
        with_findings = {(found.campaign_id, found.campaign_name) for found in part.findings}
        number += sum((campaign.id, campaign.name) not in with_findings for campaign in part.summaries)
    return number


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
    environment.filters.update(number="{:,}".format, moment=to_minute, machine=_machine)
    return environment


def _shown(value: Any) -> Any:
    """Return a value as the page shows it. Jinja escapes HTML after this, except in our own markup."""
    return escape_unprintable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


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
