"""Campaigns and result codes, shown: as tables, or as JSON in the shape of the server's envelopes."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dialler_async import Campaign, Records, ResultCode

from .exits import say
from .languages import language_name
from .output import print_json, print_table, text

# What the server says around a list of campaigns, and only there.
_LIST_KEYS = {
    "filter": "filter",
    "limit_start": "limitStart",
    "limit_page_size": "limitPageSize",
    "order_by": "orderBy",
    "ascending": "ascending",
}


def envelope(records: Records[Any]) -> dict[str, Any]:
    """Records as the server sends them: `records` (each as it came, nothing lost) and `count`, and around a list of
    campaigns also `filter`, `limitStart`, `limitPageSize`, `orderBy`, `ascending`.
    """
    around = {key: getattr(records, attribute) for attribute, key in _LIST_KEYS.items()}
    return {
        "records": [record.wire for record in records],
        "count": records.total,
        **{key: value for key, value in around.items() if value is not None},
    }


def show_campaigns(campaigns: Records[Campaign], *, as_json: bool) -> None:
    """Campaigns, one a line."""
    if as_json:
        print_json(envelope(campaigns))
        return
    print_table(
        ["ID", "Name", "Lang", "From", "To"],
        (
            (
                text(campaign.id),
                text(campaign.name),
                text(language_name(campaign.languages_id)),
                text(_date(campaign.dt_from)),
                text(_date(campaign.dt_to)),
            )
            for campaign in campaigns
        ),
        right=["ID"],
    )
    _tell_if_shortened(campaigns)


def show_campaign(campaign: Campaign, *, as_json: bool) -> None:
    """All of one campaign, a key a line, by the names that the server has for them."""
    if as_json:
        print_json(envelope(Records([campaign], total=1)))
        return
    print_table(
        ["Key", "Value"],
        ((text(key), text(value if isinstance(value, str) else json.dumps(value))) for key, value in _items(campaign)),
    )


def show_result_codes(codes: Records[ResultCode], *, as_json: bool) -> None:
    """Result codes, one a line."""
    if as_json:
        print_json(envelope(codes))
        return
    print_table(
        ["ID", "Text", "Export key", "Type", "Minutes"],
        (
            (
                text(code.id),
                text(code.content),
                text(code.export_key),
                text(", ".join(name for name in ("done", "aborted", "delay", "appointment") if getattr(code, name))),
                text(code.time_offset),
            )
            for code in codes
        ),
        right=["ID", "Minutes"],
    )
    _tell_if_shortened(codes)


def _items(campaign: Campaign) -> Sequence[tuple[str, Any]]:
    """What tells campaigns apart first, then the rest in the order of the server."""
    return sorted(campaign.wire.items(), key=lambda item: {"ID": 0, "Name": 1}.get(item[0], 2))


def _date(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat(sep=" ", timespec="minutes")


def _tell_if_shortened(records: Records[Any]) -> None:
    if not records.complete:
        say(f"the server counts {records.total} records, but sent {len(records)}")
