"""The campaigns by their dates: how many are valid at each time, and the period of each."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs
from markupsafe import Markup

from ...rule import with_zone
from ...summary import CampaignSummary
from .drawing import steps

# A date farther away than this is drawn at the edge: the year 9999 would leave no room for the present.
_REACH = timedelta(days=3 * 365)
_STEPS = 240
_TICKS = 5

_CLASSES = {"running": "r", "over": "o", "not begun": "a", "inverted": "i"}
"""The classes of the states in the style sheet; short, because each campaign has one."""

EDGES = 250
"""The number of steps at which bars begin and end. Each step has a class in the style sheet."""


@attrs.frozen(kw_only=True)
class Period:
    """One campaign on the timeline.

    Attributes:
        campaign: the campaign.
        state: `running`, `over`, `not begun`, or `inverted`: it ends before it begins.
        dates: first and last day, in words.
        begin: left end of its bar, from 0 to `EDGES`.
        end: right end of its bar, at least one step after `begin`.
    """

    campaign: CampaignSummary
    state: str
    dates: str
    begin: int
    end: int

    @property
    def classes(self) -> str:
        """The classes of its state and of the ends of its bar."""
        return f"{_CLASSES[self.state]} b{self.begin} e{self.end}"


@attrs.frozen(kw_only=True)
class Timeline:
    """All campaigns on one scale.

    Attributes:
        periods: the campaigns that have dates, ordered by their end.
        undated: number of campaigns without dates; they are always valid, and not drawn.
        states: number of campaigns in each state.
        valid: how many campaigns are valid at each time, as a drawing.
        most: the maximum number of campaigns that are valid at the same time.
        ticks: dates at equal distances from the left edge to the right.
        now: position of the present, in percent of the width.
        cut: whether any date is beyond the edges.
    """

    periods: list[Period]
    undated: int
    states: dict[str, int]
    valid: Markup
    most: int
    ticks: list[str]
    now: float
    cut: bool

    @property
    def inverted(self) -> bool:
        """Whether any campaign ends before it begins."""
        return "inverted" in self.states

    @classmethod
    def of(cls, campaigns: Sequence[CampaignSummary], now: datetime) -> "Timeline":
        """Return the timeline of these campaigns. Naive dates are treated as local time, in the zone of `now`."""
        dated = [campaign for campaign in campaigns if campaign.dt_from or campaign.dt_to]
        dates = [
            with_zone(date, now)
            for campaign in dated
            for date in (campaign.dt_from, campaign.dt_to)
            if date is not None
        ]
        scale = _Scale.over(dates, now)
        periods = [_period(campaign, scale, now) for campaign in sorted(dated, key=lambda one: _end(one, now))]
        heights = _valid(campaigns, scale, now)
        states = [period.state for period in periods]
        return cls(
            periods=periods,
            undated=len(campaigns) - len(dated),
            states={state: states.count(state) for state in dict.fromkeys(states)},
            valid=steps(heights),
            most=max(heights),
            ticks=[scale.at(tick / (_TICKS - 1)).date().isoformat() for tick in range(_TICKS)],
            now=100 * scale.share(now),
            cut=any(not scale.begin <= date <= scale.end for date in dates),
        )


@attrs.frozen
class _Scale:
    begin: datetime
    end: datetime

    @classmethod
    def over(cls, dates: Sequence[datetime], now: datetime) -> "_Scale":
        near = [date for date in dates if abs(date - now) <= _REACH]
        month = timedelta(days=30)
        return cls(min([*near, now]) - month, max([*near, now]) + month)

    def share(self, date: datetime) -> float:
        """Return the position of a date: 0 at the left edge, 1 at the right."""
        return min(max((date - self.begin) / (self.end - self.begin), 0.0), 1.0)

    def at(self, share: float) -> datetime:
        return self.begin + share * (self.end - self.begin)


def _period(campaign: CampaignSummary, scale: _Scale, now: datetime) -> Period:
    begin = None if campaign.dt_from is None else with_zone(campaign.dt_from, now)
    end = None if campaign.dt_to is None else with_zone(campaign.dt_to, now)
    if begin is not None and end is not None and begin > end:
        state = "inverted"
        edges = scale.share(end), scale.share(begin)
    else:
        edges = 0.0 if begin is None else scale.share(begin), 1.0 if end is None else scale.share(end)
        if end is not None and end < now:
            state = "over"
        elif begin is not None and begin > now:
            state = "not begun"
        else:
            state = "running"
    left = min(round(EDGES * edges[0]), EDGES - 1)
    return Period(
        campaign=campaign,
        state=state,
        dates=f"{_day(campaign.dt_from)} – {_day(campaign.dt_to)}",  # noqa: RUF001  # from … to
        begin=left,
        end=max(round(EDGES * edges[1]), left + 1),
    )


def _valid(campaigns: Sequence[CampaignSummary], scale: _Scale, now: datetime) -> list[int]:
    """Return how many campaigns are valid, at equal distances along the scale."""
    earliest = [0.0 if one.dt_from is None else scale.share(with_zone(one.dt_from, now)) for one in campaigns]
    latest = [1.0 if one.dt_to is None else scale.share(with_zone(one.dt_to, now)) for one in campaigns]
    periods = [(begin, end) for begin, end in zip(earliest, latest, strict=True) if begin <= end]
    begins, ends = sorted(begin for begin, _ in periods), sorted(end for _, end in periods)
    middles = [(step + 0.5) / _STEPS for step in range(_STEPS)]
    return [bisect_right(begins, middle) - bisect_right(ends, middle) for middle in middles]


def _end(campaign: CampaignSummary, now: datetime) -> tuple[bool, datetime]:
    """Return the sort key of the timeline; a campaign without a last day ends after all others."""
    return campaign.dt_to is None, now if campaign.dt_to is None else with_zone(campaign.dt_to, now)


def _day(date: datetime | None) -> str:
    return "…" if date is None else date.date().isoformat()
