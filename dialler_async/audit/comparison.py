"""What has changed since a baseline."""

from datetime import datetime
from typing import Any

import attrs

from .findings import Finding


@attrs.frozen(kw_only=True)
class Change:
    """A value that differs from the baseline.

    Attributes:
        campaign_id: `ID` of the campaign; None if it has none.
        campaign_name: its `Name` now; for a campaign that is gone, its last one.
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


@attrs.frozen(kw_only=True)
class Comparison:
    """The differences of a report from its baseline.

    A finding is the same in both if its rule, campaign and subject are; its message may differ.

    Attributes:
        since: when the run of the baseline began.
        new: findings that fail now and did not fail then: they were not there, or they were accepted.
        gone: findings of the baseline that are no longer there.
        unchanged: how many findings are in both.
        unjudged: findings of the baseline that this run could not check again: their rule was not applied, or their
            campaign was not audited.
        changes: records that changed, key by key, in the order of the campaigns.
    """

    since: datetime
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    unchanged: int
    unjudged: tuple[Finding, ...]
    changes: tuple[Change, ...]
