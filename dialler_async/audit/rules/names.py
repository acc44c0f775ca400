"""Names that people or programs can confuse.

The search and the API's own delete by name match a part of the name, presumably without case.
Source: API reference, "The seven calls" and its traps.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ..account import AccountFacts, account_rule
from ..findings import Severity
from ..rule import Violation
from ..summary import CampaignSummary
from .words import campaign_label, keys_of, name_equal_campaigns, shorten_list


@account_rule(
    "duplicate-name",
    Severity.ERROR,
    title="Campaigns whose names differ only in case and spaces",
    why="People and programs that use the name can confuse these campaigns, and delete the wrong one.",
    fix="Rename all but one of them.",
    codes=False,
)
def duplicate_name(account: AccountFacts) -> Iterator[tuple[CampaignSummary, Violation]]:
    """Report names that differ only in case and spaces."""
    by_name: dict[str, list[CampaignSummary]] = {}
    for campaign in account.campaigns:
        by_name.setdefault(_squeezed(campaign.name), []).append(campaign)
    for same in by_name.values():
        keys = keys_of(same)
        for campaign in same if len(same) > 1 else ():
            message = f"has the same name as {name_equal_campaigns(campaign, same)}, except for case and spaces"
            yield campaign, Violation("Name", message, campaigns=keys)


@account_rule(
    "name-within-name",
    Severity.INFO,
    title="A name that is part of another campaign's name",
    why="A search for this name also finds the other campaigns, and the API's own delete by name may delete one.",
    fix="Delete such campaigns by ID only, or rename one of them.",
    codes=False,
)
def name_within_name(account: AccountFacts) -> Iterator[tuple[CampaignSummary, Violation]]:
    """Report names that are part of other names, without case. `duplicate-name` reports equal names."""
    campaigns = account.campaigns
    names = [campaign.name.casefold() for campaign in campaigns]
    within: dict[int, list[CampaignSummary]] = {}
    for short, long in _pairs(names):
        if _squeezed(names[short]) != _squeezed(names[long]):
            within.setdefault(short, []).append(campaigns[long])
    for short, longer in within.items():
        message = f"its name is part of the name of {shorten_list(map(campaign_label, longer))}"
        yield campaigns[short], Violation("Name", message, campaigns=keys_of(longer))


_GRAM = 3


def _pairs(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of indexes: a name, and another name that contains it.

    A longer name must contain every trigram of a shorter name. Only names with the rarest trigram of the shorter name
    are compared. Most names have a trigram that few other names have, so few pairs are compared.
    """
    sizes = {min(_GRAM, len(name)) for name in names if name}
    common = Counter(gram for name in names for gram in _grams(name, sizes))
    known_by: dict[str, list[int]] = {}
    for short, name in enumerate(names):
        if name:
            rarest = min(_grams(name, {min(_GRAM, len(name))}), key=common.__getitem__)
            known_by.setdefault(rarest, []).append(short)
    for long, name in enumerate(names):
        for gram in _grams(name, sizes) & known_by.keys():
            for short in known_by[gram]:
                if short != long and names[short] in name:
                    yield short, long


def _grams(name: str, sizes: Iterable[int]) -> set[str]:
    """Return all substrings of these lengths."""
    return {name[start : start + size] for size in sizes for start in range(len(name) - size + 1)}


def _squeezed(name: str) -> str:
    return "".join(name.casefold().split())
