"""The campaigns by their export keys: which they have, of what type, and which usual keys they lack."""

from collections import Counter
from collections.abc import Sequence

import attrs
from markupsafe import Markup

from ...summary import CampaignSummary, CodeType
from .drawing import cells, sample, share_bar

# Nobody reads a wider or longer matrix. Rarer keys are in the table of keys only.
_COLUMNS = 48
_ROWS = 200


@attrs.frozen(kw_only=True)
class KeyCount:
    """One export key over all campaigns.

    Attributes:
        key: the export key.
        campaigns: number of campaigns that have it.
        lacking: number of campaigns that lack it.
        types: its types, each with the number of campaigns: `done 12, aborted 1`.
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
        lacks: the usual keys that it lacks.
        types: the type of each key that is drawn; None if the campaign lacks the key.
        usual: number of usual keys among these; they come first.
    """

    campaign: CampaignSummary
    lacks: tuple[str, ...]
    types: tuple[CodeType | None, ...]
    usual: int

    @property
    def cells(self) -> Markup:
        """The keys as a drawing."""
        return cells(self.types, self.usual)


@attrs.frozen(kw_only=True)
class Matrix:
    """Campaigns by export keys.

    Attributes:
        keys: all export keys, the commonest first.
        columns: the keys that are drawn.
        rows: the campaigns that are drawn. The campaigns that lack most usual keys come first.
        campaigns: number of campaigns whose result codes were fetched; the others are left out.
        lacking: number of campaigns that lack a usual key.
        legend: each mark and its meaning.
    """

    keys: list[KeyCount]
    columns: list[KeyCount]
    rows: list[Row]
    campaigns: int
    lacking: int
    legend: list[tuple[Markup, str]]

    @classmethod
    def of(cls, campaigns: Sequence[CampaignSummary]) -> "Matrix":
        """Return the matrix of these campaigns."""
        known = [campaign for campaign in campaigns if campaign.texts]
        keys = _keys(known)
        columns = keys[:_COLUMNS]
        usual = [key.key for key in columns if key.usual]
        lacks = [tuple(key for key in usual if key not in dict(campaign.export_keys)) for campaign in known]
        # The sort is stable: campaigns that lack the same number of keys stay in the order of the report.
        rows = sorted(zip(known, lacks, strict=True), key=lambda row: -len(row[1]))[:_ROWS]
        return cls(
            keys=keys,
            columns=columns,
            rows=[_row(campaign, lacking, columns, len(usual)) for campaign, lacking in rows],
            campaigns=len(known),
            lacking=sum(map(bool, lacks)),
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


def _row(campaign: CampaignSummary, lacks: tuple[str, ...], columns: Sequence[KeyCount], usual: int) -> Row:
    has = dict(campaign.export_keys)
    return Row(campaign=campaign, lacks=lacks, types=tuple(has.get(column.key) for column in columns), usual=usual)
