"""The findings as the page shows them, and the numbers by which it links to campaigns."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import attrs

from ...findings import Finding
from ...rule import RuleInfo
from ...story import FOLD_ABOVE, Section, Story
from ...topics import Topic
from .matrix import Row
from .timeline import Period

Key = Hashable
"""Account, ID and name of a campaign."""


@attrs.frozen(kw_only=True)
class Entry:
    """One finding.

    Attributes:
        finding: the finding.
        number: the number of its campaign in the links of the page; None if it is about the whole account.
        is_target: whether links to the campaign's findings lead here.
    """

    finding: Finding
    number: int | None
    is_target: bool


@attrs.frozen(kw_only=True)
class Block:
    """Findings that are shown together.

    Attributes:
        rule: the rule whose many findings are folded; None for the findings of one campaign or of the whole account.
        entries: the findings.
        rules: the rules of the findings, to be explained.
    """

    rule: RuleInfo | None
    entries: list[Entry]
    rules: list[RuleInfo]


def campaign_numbers(story: Story) -> dict[Key, int]:
    """Return a number for each campaign that has findings, for the links of the page."""
    found = (finding for section in story.sections for finding in section.findings)
    keys = dict.fromkeys(_key(finding) for finding in found if finding.campaign_name is not None)
    return {key: number for number, key in enumerate(keys)}


class Blocks:
    """Makes the blocks of each section, in the order of the page."""

    def __init__(self, rules: Iterable[RuleInfo], numbers: dict[Key, int]) -> None:
        self._rules = {info.id: info for info in rules}
        self._numbers = numbers
        self._without_target = set(numbers)

    def of(self, section: Section) -> Iterator[Block]:
        """Yield the blocks of a section. A long list of accepted findings is folded by rule."""
        is_long = section.topic is Topic.ACCEPTED and section.number > FOLD_ABOVE
        for group in section.groups(fold_above=0 if is_long else FOLD_ABOVE):
            entries = [self._entry(finding) for finding in group.findings]
            explained = dict.fromkeys(entry.finding.rule for entry in entries)
            yield Block(
                rule=group.rule,
                entries=entries,
                rules=[self._rules[rule] for rule in explained if rule in self._rules],
            )

    def _entry(self, finding: Finding) -> Entry:
        key = _key(finding)
        is_target = key in self._without_target
        self._without_target.discard(key)
        return Entry(finding=finding, number=self._numbers.get(key), is_target=is_target)


def _key(finding: Finding) -> Key:
    return finding.account, finding.campaign_id, finding.campaign_name


RowT = TypeVar("RowT", Period, Row)


def numbered(rows: Sequence[RowT], numbers: dict[Key, int]) -> list[tuple[RowT, int | None]]:
    """Return rows with the numbers of their campaigns. Only the first row of a campaign gets the number."""
    left = dict(numbers)
    return [(row, left.pop((row.campaign.account, row.campaign.id, row.campaign.name), None)) for row in rows]
