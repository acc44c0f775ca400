"""What has changed since an earlier report."""

from datetime import datetime
from typing import Any

import attrs

from .findings import Finding


@attrs.frozen(kw_only=True)
class Change:
    """A value that is another than in the earlier report.

    Attributes:
        campaign_id: `ID` of the campaign; None if it has none.
        campaign_name: its `Name` now, or last.
        what: a key of its record; `code 2490 (ABG) TimeOffset` for one of a code's; `code 2490 (ABG)` for a code, and
            `campaign` for a campaign, that came or went.
        before: the value then; None if there was none.
        after: the value now; None if there is none.
    """

    campaign_id: int | None
    campaign_name: str
    what: str
    before: Any
    after: Any


@attrs.frozen(kw_only=True)
class Comparison:
    """A report beside an earlier one. A finding is the same if rule, campaign and subject are; its message may differ.

    Attributes:
        since: when the earlier run began.
        new: findings of now that were not there.
        gone: findings of then that are there no more.
        unchanged: how many findings are in both.
        unjudged: findings of then that nobody can say of whether they are gone: their rule was not judged by this
            time, or their campaign could not be.
        changes: records that changed, key by key, in the order of the campaigns.
    """

    since: datetime
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    unchanged: int
    unjudged: tuple[Finding, ...]
    changes: tuple[Change, ...]
