"""Choose campaigns of an account by name, ID or dates, before their result codes are fetched. Pure."""

from collections.abc import Iterable
from datetime import datetime
from fnmatch import fnmatchcase

import attrs

from ..errors import require
from ..models import Campaign
from .rule import Named, with_zone
from .summary import order


def name_matches(name: str, pattern: str) -> bool:
    """Return whether a name equals a pattern, or matches it with `*`, `?` and `[…]`. Case counts."""
    return name == pattern or fnmatchcase(name, pattern)


@attrs.frozen(kw_only=True)
class Selection:
    """Which campaigns of an account are audited. A campaign must meet every condition that is given.

    Attributes:
        names: patterns of names, such as `VIP*`; one of them must match.
        ids: IDs; the campaign must have one of them.
        running: only campaigns that are valid now by their dates.
        limit: the maximum number of campaigns. The campaigns with the lowest IDs are audited.
    """

    names: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    running: bool = False
    limit: int | None = None

    def __str__(self) -> str:
        conditions = [
            "running" if self.running else "",
            f"name {' or '.join(f'“{name}”' for name in self.names)}" if self.names else "",
            f"ID {' or '.join(map(str, self.ids))}" if self.ids else "",
            f"at most {self.limit:,}" if self.limit is not None else "",
        ]
        return ", ".join(filter(None, conditions))

    def require_found(self, campaigns: Iterable[Named]) -> None:
        """Check that each ID and each name pattern matches at least one campaign.

        Raises:
            ConfigurationError: an ID or a pattern matches no campaign.
        """
        campaigns = list(campaigns)
        for id in self.ids:
            require(any(campaign.id == id for campaign in campaigns), f"the account has no campaign with the ID {id}")
        for pattern in self.names:
            found = any(name_matches(campaign.name, pattern) for campaign in campaigns)
            require(found, f"the account has no campaign with a name like “{pattern}”")

    def choose(self, campaigns: Iterable[Campaign], now: datetime) -> list[Campaign]:
        """Return the chosen campaigns."""
        chosen = [
            campaign
            for campaign in campaigns
            if self.matches_name_and_id(campaign) and (not self.running or _is_running(campaign, now))
        ]
        return chosen if self.limit is None else sorted(chosen, key=order)[: self.limit]

    def matches_name_and_id(self, campaign: Named) -> bool:
        """Return whether the campaign meets the conditions on names and IDs."""
        by_name = not self.names or any(name_matches(campaign.name, pattern) for pattern in self.names)
        return by_name and (not self.ids or campaign.id in self.ids)


def _is_running(campaign: Campaign, now: datetime) -> bool:
    has_begun = campaign.dt_from is None or with_zone(campaign.dt_from, now) <= now
    return has_begun and (campaign.dt_to is None or with_zone(campaign.dt_to, now) >= now)
