"""The campaigns by their export keys: who has which, of what type, and who lacks one that is usual."""

from collections import Counter
from collections.abc import Sequence

import attrs
from markupsafe import Markup

from ...summary import CampaignSummary, CodeType
from .drawing import cells, sample, share_bar

# Wider than this nobody reads it; rarer keys are told in the table of keys only.
_COLUMNS = 48


@attrs.frozen(kw_only=True)
class KeyCount:
    """One export key over all campaigns.

    Attributes:
        key: the export key.
        campaigns: how many have it.
        lacking: how many do not.
        types: what types it has, and in how many campaigns: `done 12, aborted 1`.
        usual: whether at least half of the campaigns have it.
        bar: the share of campaigns that have it, as a drawing.
    """

    key: str
    campaigns: int
    lacking: int
    types: str
    usual: bool
    bar: Markup


@attrs.frozen(kw_only=True)
class Row:
    """One campaign in the matrix.

    Attributes:
        campaign: the campaign.
        lacks: the usual keys that it does not have.
        types: the type of each key that is drawn; None where the campaign does not have it.
        usual: how many of these are usual; they come first.
    """

    campaign: CampaignSummary
    lacks: tuple[str, ...]
    types: tuple[CodeType | None, ...]
    usual: int

    @property
    def cells(self) -> Markup:
        """Its keys as a drawing."""
        return cells(self.types, self.usual)


@attrs.frozen(kw_only=True)
class Matrix:
    """Campaigns by export keys.

    Attributes:
        keys: all export keys, those that most campaigns have first.
        columns: the keys that are drawn.
        rows: the campaigns; those that lack most come first. Those whose codes did not come are left out.
        lacking: how many lack a usual key.
        legend: a mark and what it means.
    """

    keys: list[KeyCount]
    columns: list[KeyCount]
    rows: list[Row]
    lacking: int
    legend: list[tuple[Markup, str]]

    @classmethod
    def of(cls, campaigns: Sequence[CampaignSummary]) -> "Matrix":
        """The matrix of these campaigns."""
        known = [campaign for campaign in campaigns if campaign.texts]
        keys = _keys(known)
        columns = keys[:_COLUMNS]
        usual = [key.key for key in columns if key.usual]
        rows = [_row(campaign, columns, usual) for campaign in known]
        rows.sort(key=lambda row: -len(row.lacks))
        return cls(
            keys=keys,
            columns=columns,
            rows=rows,
            lacking=sum(bool(row.lacks) for row in rows),
            legend=[(sample(type.value), type.value) for type in CodeType] + [(sample("lacks"), "lacks a usual key")],
        )


def _keys(campaigns: Sequence[CampaignSummary]) -> list[KeyCount]:
    counts: dict[str, Counter[CodeType]] = {}
    for campaign in campaigns:
        for key, type in campaign.export_keys:
            counts.setdefault(key, Counter())[type] += 1
    found = []
    for key, types in sorted(counts.items(), key=lambda item: (-item[1].total(), item[0])):
        having = types.total()
        found.append(
            KeyCount(
                key=key,
                campaigns=having,
                lacking=len(campaigns) - having,
                types=", ".join(f"{type} {number:,}" for type, number in types.most_common()),
                usual=2 * having >= len(campaigns),
                bar=share_bar(having / len(campaigns)),
            )
        )
    return found


def _row(campaign: CampaignSummary, columns: Sequence[KeyCount], usual: Sequence[str]) -> Row:
    has = dict(campaign.export_keys)
    return Row(
        campaign=campaign,
        lacks=tuple(key for key in usual if key not in has),
        types=tuple(has.get(column.key) for column in columns),
        usual=len(usual),
    )
