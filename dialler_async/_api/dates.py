"""Dates of the API, in both directions. Source: API reference, "Dates": neither format nor zone is stated."""

import re
from datetime import datetime
from functools import lru_cache

from ..errors import ConfigurationError

_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)


@lru_cache(maxsize=4096)
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
