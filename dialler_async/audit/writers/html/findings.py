"""The findings in blocks: one for each campaign, and one that folds for each rule with very many findings."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar

import attrs

from ...findings import Finding, Severity
from ...report import AuditReport
from ...rule import RuleInfo

# Nobody reads more lines that say the same.
_FOLDED_ABOVE = 100

Key = Hashable
"""What a campaign is known by in the page: account, ID and name."""


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
        rule: the rule, if the block folds all its findings; None for a campaign's block.
        entries: the findings, worst first.
    """

    rule: RuleInfo | None
    entries: tuple[Entry, ...]


def campaign_numbers(report: AuditReport) -> dict[Key, int]:
    """Return a number for each campaign that has findings, for the links of the page."""
    keys = dict.fromkeys(_key(found) for found in report.findings if found.campaign_name is not None)
    return {key: number for number, key in enumerate(keys)}


def blocks(report: AuditReport, numbers: dict[Key, int]) -> list[Block]:
    """Return all findings in blocks, those with the worst findings first; within a severity, folded blocks first."""
    counts = Counter(finding.rule for finding in report.findings)
    rules = {rule.id: rule for rule in report.rules if counts[rule.id] > _FOLDED_ABOVE}
    order = list(Severity)
    groups: dict[tuple[int, Key], list[Finding]] = {}
    for finding in sorted(report.findings, key=lambda finding: order.index(finding.severity)):
        group = (0, finding.rule) if finding.rule in rules else (1, _key(finding))
        groups.setdefault(group, []).append(finding)
    # Stable: within a severity, the order of the report.
    ordered = sorted(groups.items(), key=lambda item: (order.index(item[1][0].severity), item[0][0]))
    waiting = set(numbers)
    found = []
    for (_, key), findings in ordered:
        rule = rules.get(key) if isinstance(key, str) else None
        found.append(Block(rule=rule, entries=tuple(_entries(findings, numbers, waiting))))
    return found


def _entries(findings: Iterable[Finding], numbers: dict[Key, int], waiting: set[Key]) -> Iterable[Entry]:
    for finding in findings:
        key = _key(finding)
        yield Entry(finding=finding, number=numbers.get(key), is_target=key in waiting)
        waiting.discard(key)


def _key(finding: Finding) -> Key:
    return finding.account, finding.campaign_id, finding.campaign_name


class _InBrief(Protocol):
    @property
    def account(self) -> str | None: ...
    @property
    def id(self) -> int | None: ...
    @property
    def name(self) -> str: ...


class _Row(Protocol):
    @property
    def campaign(self) -> _InBrief: ...


RowT = TypeVar("RowT", bound=_Row)


def numbered(rows: Sequence[RowT], numbers: dict[Key, int]) -> list[tuple[RowT, int | None]]:
    """Return rows with the numbers of their campaigns. Of rows of the same campaign, only the first has it."""
    left = dict(numbers)
    return [(row, left.pop((row.campaign.account, row.campaign.id, row.campaign.name), None)) for row in rows]
