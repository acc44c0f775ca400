"""The dates of a campaign.

Naive dates are compared as local wall time: see `with_zone`. A campaign with inverted dates has one finding:
either date can be wrong.
Source: API reference, "Dates".
"""

from collections.abc import Iterator

from ..findings import Severity
from ..rule import CampaignFacts, Violation, rule
from .words import format_minute

_A_DAY = 24 * 60 * 60


@rule(
    "inverted-dates",
    Severity.ERROR,
    title="A campaign that ends before it begins",
    why="It is never valid, so it never dials.",
    fix="Correct the campaign's first or last day.",
    codes=False,
)
def inverted_dates(facts: CampaignFacts) -> Iterator[Violation]:
    """Report `dtFrom` after `dtTo`."""
    begins, ends = facts.campaign.dt_from, facts.campaign.dt_to
    if begins is not None and ends is not None and facts.dates_are_inverted:
        yield Violation("dtFrom", f"begins {format_minute(begins)}, after it ends {format_minute(ends)}")


@rule(
    "expired",
    Severity.INFO,
    title="A campaign that is over",
    why="It no longer dials, but every list and report still shows it.",
    fix="Delete it if its data is no longer needed, or give it a new last day.",
    codes=False,
)
def expired(facts: CampaignFacts) -> Iterator[Violation]:
    """Report `dtTo` before now."""
    ends = facts.campaign.dt_to
    if ends is not None and not facts.dates_are_inverted and facts.moment(ends) < facts.now:
        yield Violation("dtTo", f"ended {format_minute(ends)}")


@rule(
    "expiring-soon",
    Severity.WARNING,
    title="A campaign that ends soon",
    why="It stops dialling on its last day, even if its work is not done.",
    fix="Give it a new last day, or make sure that its work is done by then.",
    settings={"days": 7},
    codes=False,
)
def expiring_soon(facts: CampaignFacts, *, days: int) -> Iterator[Violation]:
    """Report `dtTo` within the next `days` days."""
    ends = facts.campaign.dt_to
    if ends is None or facts.dates_are_inverted:
        return
    if 0 <= (facts.moment(ends) - facts.now).total_seconds() <= days * _A_DAY:
        yield Violation("dtTo", f"ends {format_minute(ends)}")


@rule(
    "not-started",
    Severity.INFO,
    title="A campaign that has not begun",
    why="It does not dial yet.",
    fix="Nothing, if this is intended. Otherwise give it an earlier first day.",
    codes=False,
)
def not_started(facts: CampaignFacts) -> Iterator[Violation]:
    """Report `dtFrom` after now."""
    begins = facts.campaign.dt_from
    if begins is not None and not facts.dates_are_inverted and facts.moment(begins) > facts.now:
        yield Violation("dtFrom", f"begins {format_minute(begins)}")
