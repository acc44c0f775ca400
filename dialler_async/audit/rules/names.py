"""Names that are easily taken for each other.

Both the search and the API's own delete by name match a part of the name, presumably without case.
Source: API reference, "The seven calls" and its traps.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ..account import AccountFacts, account_rule
from ..findings import Severity
from ..rule import Violation
from ..summary import CampaignSummary
from .words import called, some


@account_rule(
    "duplicate-name",
    Severity.ERROR,
    title="Campaigns whose names are equal but for case and spaces",
    why="People and programs that go by the name take one for the other, also when they delete.",
    fix="Rename all but one of them.",
)
def duplicate_name(account: AccountFacts) -> Iterator[tuple[CampaignSummary, Violation]]:
    """Names equal but for case and spaces."""
    by_name: dict[str, list[CampaignSummary]] = {}
    for campaign in account.campaigns:
        by_name.setdefault(_squeezed(campaign.name), []).append(campaign)
    for same in by_name.values():
        for campaign in same if len(same) > 1 else ():
            # Four are more than are named, so that thousands of equal names don't take the square of their number.
            others = [other for other in same[:4] if other is not campaign][:3]
            rest = len(same) - 1 - len(others)
            told = some([*map(called, others), *([f"{rest:,} more"] if rest else [])], 4)
            yield campaign, Violation("Name", f"has the same name as {told}, but for case and spaces")


@account_rule(
    "name-within-name",
    Severity.INFO,
    title="A name that stands within the name of another campaign",
    why="A search for it finds the others too, and the API's own delete by name may delete one of those.",
    fix="Delete such campaigns by ID only, or rename one of them.",
)
def name_within_name(account: AccountFacts) -> Iterator[tuple[CampaignSummary, Violation]]:
    """Names that a partial match without case would confuse; those that are the same have a rule of their own."""
    campaigns = account.campaigns
    names = [campaign.name.casefold() for campaign in campaigns]
    within: dict[int, list[CampaignSummary]] = {}
    for short, long in _pairs(names):
        if _squeezed(names[short]) != _squeezed(names[long]):
            within.setdefault(short, []).append(campaigns[long])
    for short, longer in within.items():
        told = some(map(called, longer))
        yield campaigns[short], Violation("Name", f"its name stands within that of {told}")


_GRAM = 3


def _pairs(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The indexes of names that stand within others, each with the index of the other.

    A name can only stand within those that have its rarest three characters in a row. Names mostly have three that
    hardly any other has, so few pairs are left to be compared.
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
    """All pieces of a name that are so long."""
    return {name[start : start + size] for size in sizes for start in range(len(name) - size + 1)}


def _squeezed(name: str) -> str:
    return "".join(name.casefold().split())
