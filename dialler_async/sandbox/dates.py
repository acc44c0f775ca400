"""Dates as the server prints and reads them (API reference, "Dates").

The API reference states neither a format nor a zone, so the sandbox can serve both common styles. Its wall clock is
UTC, so that one style can be converted into the other.
"""

import re
from datetime import UTC, datetime
from typing import Literal

DateStyle = Literal["naive", "zulu"]

_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII)


def printed(moment: datetime, style: DateStyle) -> str:
    """Return a naive wall-clock time as text in a style."""
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return f"{text}Z" if style == "zulu" else text


def parsed(text: str) -> datetime:
    """Return the naive wall-clock time of a date in a clone request.

    Raises:
        ValueError: not ISO 8601 with a `T` or a space, 0 to 6 fraction digits, and optionally `Z` or an offset.
    """
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"not a date: {text!r}")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
