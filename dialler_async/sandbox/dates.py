"""Formatting and parsing of dates in requests and responses (API reference, "Dates").

The API reference specifies neither a format nor a time zone, so the sandbox supports the two common styles. The
time zone of the sandbox is UTC, so that one style can be converted to the other.
"""

import re
from datetime import UTC, datetime
from typing import Literal

DateStyle = Literal["naive", "zulu"]

_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII)


def format_date(moment: datetime, style: DateStyle) -> str:
    """Return a naive wall-clock time as a text in this style."""
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return f"{text}Z" if style == "zulu" else text


def parse_date(text: str) -> datetime:
    """Return the naive wall-clock time of a date in a clone request.

    Raises:
        ValueError: the text is not ISO 8601 with `T` or a space, up to 6 fraction digits and an optional `Z` or offset.
    """
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"not a date: {text!r}")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
