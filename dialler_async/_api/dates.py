"""Dates of the API, in both directions. Source: API reference, "Dates": neither format nor zone is stated."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ..errors import ConfigurationError

_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)

_FURTHEST_ZONE: Final = timedelta(hours=14)
"""No time zone is further from UTC."""


def parse_date(text: str) -> datetime:
    """A date of the API: `T` or space, 0 to 6 fraction digits, with or without `Z` or an offset.

    Returns:
        Naive where no zone is named: which one the server meant is documented nowhere.
    Raises:
        ValueError: not such a date.
    """
    if not _DATE.fullmatch(text):
        raise ValueError("not a date and time of the API")
    return datetime.fromisoformat(text)


def format_date(date: datetime) -> str:
    """A date as it is sent: naive as it is, aware with its offset; to the second, or to the millisecond if it has any.

    Raises:
        ConfigurationError: not a datetime, or its offset is not in whole minutes.
    """
    if not isinstance(date, datetime):
        raise ConfigurationError(f"a date is a datetime, not {type(date).__name__}")
    offset = date.utcoffset()
    if offset is not None and offset.total_seconds() % 60:
        raise ConfigurationError(f"the zone of {date} is not a whole number of minutes from UTC; send another")
    return date.isoformat(timespec="milliseconds" if date.microsecond >= 1000 else "seconds")


def time_between(earlier: datetime, later: datetime) -> timedelta:
    """Return the time from one date to another, negative if the second is before the first.

    A date without an offset may be in any zone. Between one without and one with an offset, the shortest possible time
    is returned: zero if they may be the same.
    """
    apart = _in_utc(later) - _in_utc(earlier)
    if (earlier.utcoffset() is None) == (later.utcoffset() is None):
        return apart
    zero = timedelta()
    return max(apart - _FURTHEST_ZONE, zero) if apart > zero else min(apart + _FURTHEST_ZONE, zero)


def _in_utc(date: datetime) -> datetime:
    return date.replace(tzinfo=UTC) if date.utcoffset() is None else date
