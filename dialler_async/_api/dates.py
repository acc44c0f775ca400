"""Parse and format the dates of the API.

Source: API reference, "Dates" (neither format nor zone is stated).
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from ..errors import ConfigurationError, InvalidInputError

_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)

_MAX_OFFSET: Final = timedelta(hours=14)
"""The largest offset of a time zone from UTC."""


@lru_cache(maxsize=4096)
def parse_date(text: str) -> datetime:
    """Return a date of the API: `T` or space, 0 to 6 fraction digits, with or without `Z` or an offset.

    Returns:
        a naive datetime if the text has no zone, because the API does not document the zone.
    Raises:
        ValueError: the text is not such a date.
    """
    if not _DATE.fullmatch(text):
        raise ValueError("not a date and time of the API")
    return datetime.fromisoformat(text)


def format_date(date: datetime) -> str:
    """Return the text of a date for a request, with its offset if it has one, in seconds or milliseconds.

    Raises:
        ConfigurationError: the value is not a datetime.
        InvalidInputError: its offset is not in whole minutes.
    """
    if not isinstance(date, datetime):
        raise ConfigurationError(f"a date must be a datetime, not {type(date).__name__[:80]}")
    offset = date.utcoffset()
    if offset is not None and offset.total_seconds() % 60:
        raise InvalidInputError(f"the UTC offset of {date} is not in whole minutes: use another time zone")
    return date.isoformat(timespec="milliseconds" if date.microsecond >= 1000 else "seconds")


def time_between(earlier: datetime, later: datetime) -> timedelta:
    """Return the time from one date to another; negative if the second date is before the first.

    A date without an offset may be in any zone. If only one date has an offset, the shortest possible time is returned:
    zero if the dates may be the same.
    """
    difference = _in_utc(later) - _in_utc(earlier)
    if (earlier.utcoffset() is None) == (later.utcoffset() is None):
        return difference
    zero = timedelta()
    return max(difference - _MAX_OFFSET, zero) if difference > zero else min(difference + _MAX_OFFSET, zero)


def _in_utc(date: datetime) -> datetime:
    return date.replace(tzinfo=UTC) if date.utcoffset() is None else date
