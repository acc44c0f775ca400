"""The findings as the page shows them, and the numbers by which it links to campaigns."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import attrs

from ...findings import Finding
from ...report import AuditReport
from ...story import FindingGroup, Topic, tell

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


def campaign_numbers(report: AuditReport) -> dict[Key, int]:
    """Return a number for each campaign that has findings, for the links of the page."""
    keys = dict.fromkeys(_key(found) for found in report.findings if found.campaign_name is not None)
    return {key: number for number, key in enumerate(keys)}


def groups(report: AuditReport, numbers: dict[Key, int]) -> Iterator[tuple[FindingGroup, list[Entry]]]:
    """Yield the groups of the report, each with its findings."""
    without_target = set(numbers)
    for section in tell(report).sections:
        if section.topic in (Topic.NEW, Topic.KNOWN):
            for group in section.groups():
                yield group, list(_entries(group.findings, numbers, without_target))


def _entries(findings: Iterable[Finding], numbers: dict[Key, int], without_target: set[Key]) -> Iterator[Entry]:
    for finding in findings:
        key = _key(finding)
        yield Entry(finding=finding, number=numbers.get(key), is_target=key in without_target)
        without_target.discard(key)


def _key(finding: Finding) -> Key:
    return finding.account, finding.campaign_id, finding.campaign_name


class _Summary(Protocol):
    @property
    def account(self) -> str | None: ...
    @property
    def id(self) -> int | None: ...
    @property
    def name(self) -> str: ...


class _Row(Protocol):
    @property
    def campaign(self) -> _Summary: ...


RowT = TypeVar("RowT", bound=_Row)


def numbered(rows: Sequence[RowT], numbers: dict[Key, int]) -> list[tuple[RowT, int | None]]:
    """Return rows with the numbers of their campaigns. Only the first row of a campaign gets the number."""
    left = dict(numbers)
    return [(row, left.pop((row.campaign.account, row.campaign.id, row.campaign.name), None)) for row in rows]
