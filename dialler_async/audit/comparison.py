"""What has changed since a baseline."""

import re
from datetime import datetime
from typing import Any

import attrs

from .findings import Finding


@attrs.frozen(kw_only=True)
class Change:
    """A value that differs from the baseline.

    Attributes:
        campaign_id: `ID` of the campaign; None if it has none.
        campaign_name: its `Name` now, or its `Name` in the baseline if the campaign is gone.
        what: a key of its record; `code 2490 (ABG) TimeOffset` for a key of a code; `code 2490 (ABG)` for a code, or
            `campaign` for a campaign, that was added or removed.
        before: the value in the baseline; None if there was none.
        after: the value now; None if there is none.
    """

    campaign_id: int | None
    campaign_name: str
    what: str
    before: Any
    after: Any

    @property
    def in_words(self) -> str:
        """The change, such as `TimeOffset: 5 → 10` or `code 2490 (ABG) was added`."""
        if not _WHOLE.fullmatch(self.what):
            return f"{self.what}: {_value(self.before)} → {_value(self.after)}"
        return f"{self.what} {'was added' if self.before is None else 'is gone'}"


# A campaign or a code itself, and not a key of it.
_WHOLE = re.compile(r"campaign|code -?\d+(?: \(.*\))?")


def _value(value: Any) -> str:
    return "not set" if value is None else str(value)


@attrs.frozen(kw_only=True)
class Comparison:
    """The differences of a report from its baseline.

    `Finding.identity` says which findings are the same.

    Attributes:
        since: when the run of the baseline began.
        new: findings that the baseline does not know, that it contains as accepted, or that have got worse.
        gone: findings of the baseline that this run checked and did not find again.
        unchanged: number of findings that are in both reports.
        unchecked: findings of the baseline that this run could not check. The next baseline still knows
            them.
        changes: records that changed, key by key, in the order of the campaigns.
    """

    since: datetime
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    unchanged: int
    unchecked: tuple[Finding, ...]
    changes: tuple[Change, ...]
