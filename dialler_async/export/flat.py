"""The rows of a campaign in a flat file, one for each language and result code.

The columns are, in this order:

- `campaign_…`: the attributes of `Campaign`, and `campaign_extra`, its unknown keys as JSON.
- `language`: the LanguagesID of the lookup.
- `error`: the reason why codes in this language are missing; otherwise empty.
- `code_…`: the attributes of `ResultCode`, and `code_extra`. They are empty if the campaign has no code in this
  language, or if the lookup failed.

Dates in CSV are in ISO 8601, with or without an offset. Parquet columns have types.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import get_args

import attrs

from ..models import Campaign, ResultCode
from .campaign import ExportedCampaign

Cell = str | int | bool | datetime | None


def _fields(cls: type[Campaign] | type[ResultCode]) -> dict[str, type]:
    """Return the attributes of a class with their types. The types don't include None."""
    types = {}
    for field in attrs.fields(cls):
        annotated = get_args(field.type)[0]
        types[field.name] = next(iter(get_args(annotated)), annotated)
    return types


_CAMPAIGN_FIELDS, _CODE_FIELDS = _fields(Campaign), _fields(ResultCode)

COLUMNS: dict[str, type] = {
    **{f"campaign_{name}": kind for name, kind in _CAMPAIGN_FIELDS.items()},
    "campaign_extra": str,
    "language": int,
    "error": str,
    **{f"code_{name}": kind for name, kind in _CODE_FIELDS.items()},
    "code_extra": str,
}
"""The name and type of each column."""


def rows(exported: ExportedCampaign) -> Iterator[tuple[Cell, ...]]:
    """Yield the rows of a campaign."""
    campaign = _cells(exported.campaign, _CAMPAIGN_FIELDS)
    no_code: tuple[Cell, ...] = (None,) * (len(_CODE_FIELDS) + 1)
    for language in sorted({*exported.codes, *exported.errors}):
        common = (*campaign, int(language), exported.errors.get(language))
        for code in exported.codes.get(language, ()):
            yield (*common, *_cells(code, _CODE_FIELDS))
        if not exported.codes.get(language):
            yield (*common, *no_code)


def _cells(record: Campaign | ResultCode, fields: dict[str, type]) -> tuple[Cell, ...]:
    return (*(getattr(record, name) for name in fields), json.dumps(record.extra) if record.extra else None)
