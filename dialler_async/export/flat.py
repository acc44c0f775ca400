"""A campaign as rows: one for each language and result code.

Columns, in this order:

- `campaign_…`: the attributes of `Campaign`, and `campaign_extra`, the unpublished keys as JSON.
- `language`: the LanguagesID of the lookup.
- `error`: why codes in this language are missing; else empty.
- `code_…`: the attributes of `ResultCode`, and `code_extra`. All empty in the row of a campaign that has no code in
  this language, or whose lookup failed.

CSV has dates as ISO 8601, those without a zone too. Parquet has types.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import get_args

import attrs

from dialler_async.models import Campaign, ResultCode

from .campaign import ExportedCampaign

Cell = str | int | bool | datetime | None


def _fields(cls: type[Campaign] | type[ResultCode]) -> dict[str, type]:
    """Return the public attributes of a record with their types, without None."""
    found = {}
    for field in attrs.fields(cls):
        if not field.name.startswith("_"):
            annotated = get_args(field.type)[0]
            found[field.name] = next(iter(get_args(annotated)), annotated)
    return found


_CAMPAIGN, _CODE = _fields(Campaign), _fields(ResultCode)

COLUMNS: dict[str, type] = {
    **{f"campaign_{name}": kind for name, kind in _CAMPAIGN.items()},
    "campaign_extra": str,
    "language": int,
    "error": str,
    **{f"code_{name}": kind for name, kind in _CODE.items()},
    "code_extra": str,
}
"""The columns with their types."""


def rows(exported: ExportedCampaign) -> Iterator[tuple[Cell, ...]]:
    """Yield the rows of one campaign."""
    campaign = _cells(exported.campaign, _CAMPAIGN)
    nothing: tuple[Cell, ...] = (None,) * (len(_CODE) + 1)
    for language in sorted({*exported.codes, *exported.errors}):
        around = (*campaign, int(language), exported.errors.get(language))
        for code in exported.codes.get(language, ()):
            yield (*around, *_cells(code, _CODE))
        if not exported.codes.get(language):
            yield (*around, *nothing)


def _cells(record: Campaign | ResultCode, fields: dict[str, type]) -> tuple[Cell, ...]:
    return (*(getattr(record, name) for name in fields), json.dumps(record.extra) if record.extra else None)
