"""The index of a fleet's pages: the verdict, what is new, the accounts with links to their pages, and the trend."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import islice

import attrs
from markupsafe import Markup

from ...fleet_report import FleetReport
from ...story import tell
from ...topics import Topic
from .drawing import steps
from .page import environment, file_text, policy_hash

_MOST = 100
"""Maximum number of new findings in the index. The pages of the accounts have all of them."""


@attrs.frozen(kw_only=True)
class TrendPoint:
    """A run in the trend: when it began, and its numbers of findings."""

    began: datetime
    errors: int
    warnings: int
    infos: int
    new: int


def page_name(account: str) -> str:
    """Return the name of the file with the page of an account. It is safe on every file system, and unique."""
    readable = re.sub(r"[^a-z0-9]+", "-", account.lower()).strip("-")[:60]
    digest = sha256(account.encode(errors="surrogatepass")).hexdigest()[:10]
    return f"{readable or 'account'}-{digest}.html"


def write_index(report: FleetReport, trend: Sequence[TrendPoint]) -> Iterator[str]:
    """Return the index, piece by piece.

    Args:
        report: the report of all accounts.
        trend: the runs until this one, the first run first.
    """
    story = tell(report)
    new = next((section for section in story.sections if section.topic is Topic.NEW), None)
    style = Markup(file_text("report.css").strip())  # noqa: S704  # a file of this package
    page = environment().get_template("index.html.jinja")
    return page.generate(
        report=report,
        story=story,
        new=new,
        newest=[*islice(new.findings, _MOST)] if new else [],
        accounts=report.by_account(),
        page_name=page_name,
        trend=trend,
        chart=steps([point.errors + point.warnings + point.infos for point in trend]),
        style=style,
        style_hash=policy_hash(style),
    )
