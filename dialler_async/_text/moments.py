"""Points in time as people read them."""

from datetime import datetime


def to_minute(moment: datetime) -> str:
    """Return a point in time to the minute, such as `2026-03-02 12:00+00:00`."""
    return moment.isoformat(sep=" ", timespec="minutes")
