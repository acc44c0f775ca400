"""The page: what is shown, put into the template."""

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

from dialler_async._text.escaping import escape_unprintable
from dialler_async.version import __version__

from ...report import AuditReport
from .coverage import coverage
from .matrix import Matrix
from .timeline import Timeline

# So many characters at once; the template would hand out each tag on its own.
_PIECES = 512
# Of thousands of accounts: no browser shows the campaigns of all, and nobody reads a table so long.
_MOST = 5_000
_WORST = 100


def write_html(report: AuditReport) -> Iterator[str]:
    """The page, piece by piece."""
    timeline = Timeline.of(report.summaries, report.now)
    sheet = _file("report.css") + (_file("accounts.css") if report.accounts else "")
    style = Markup(f"{sheet}\n:root{{--now:{timeline.now:.2f}%}}\n")  # noqa: S704  # ours, no text from elsewhere
    script = Markup(_file("report.js"))  # noqa: S704  # likewise
    page = _environment().get_template("report.html.jinja")
    stream = page.stream(
        report=report,
        rules=[(about, report.by_rule().get(about, 0)) for about in report.rules],
        severities=report.by_severity(),
        groups=list(report.by_campaign()),
        clean=_clean(report),
        worst=list(islice(report.by_account().items(), _WORST)),
        campaigns=Counter(summary.account for summary in report.summaries),
        most=_MOST if report.accounts else len(report.summaries) + 1,
        timeline=timeline,
        matrix=Matrix.of(report.summaries),
        coverage=coverage(report),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        version=__version__,
    )
    stream.enable_buffering(_PIECES)
    return iter(stream)


def _clean(report: AuditReport) -> int:
    """How many campaigns nothing was found in."""
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
    environment.filters.update(number="{:,}".format, moment=_moment)
    return environment


def _shown(value: Any) -> Any:
    """What the template puts out; it is escaped after this, unless it is markup of ours."""
    return escape_unprintable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moment(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="minutes")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(sha256(content.encode()).digest()).decode()}"


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
