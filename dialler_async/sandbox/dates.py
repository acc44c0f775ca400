"""Dates as the server prints and takes them (API reference, "Dates").

No page states a format or a zone, so both common readings can be served. The sandbox's own wall
clock is taken to be UTC: that makes the two readings convertible into each other.
"""

import re
from datetime import UTC, datetime
from typing import Literal

DateStyle = Literal["naive", "zulu"]

_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII)


def printed(moment: datetime, style: DateStyle) -> str:
    """Print a naive wall-clock `moment` in the style that the sandbox serves."""
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return f"{text}Z" if style == "zulu" else text


def taken(text: str) -> datetime:
    """Read a date of a clone request; the answer is naive wall-clock time.

    Raises ValueError for anything but ISO 8601 with a `T` or a space, 0 to 6 fraction digits, and
    optionally `Z` or an offset.
    """
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"not a date: {text!r}")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
