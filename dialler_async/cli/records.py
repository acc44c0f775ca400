"""Print campaigns and result codes as tables, or as JSON in the format of the server."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .. import Campaign, Records, ResultCode
from .._text.moments import to_minute
from .exits import print_error
from .languages import language_code
from .output import print_json, print_table, text

# Only the response with the list of campaigns has these keys.
_LIST_KEYS = {
    "filter": "filter",
    "limit_start": "limitStart",
    "limit_page_size": "limitPageSize",
    "order_by": "orderBy",
    "ascending": "ascending",
}


def envelope(records: Records[Any]) -> dict[str, Any]:
    """Return records as the server sends them: `records`, each unchanged, and `count`.

    A list of campaigns also has `filter`, `limitStart`, `limitPageSize`, `orderBy` and `ascending`.
    """
    list_keys = {key: getattr(records, attribute) for attribute, key in _LIST_KEYS.items()}
    return {
        "records": [record.wire for record in records],
        "count": records.total,
        **{key: value for key, value in list_keys.items() if value is not None},
    }


def show_campaigns(campaigns: Records[Campaign], *, as_json: bool) -> None:
    """Print one campaign per line. A wide terminal shows more columns."""
    if as_json:
        print_json(envelope(campaigns))
        return
    print_table(
        ["ID", "Name", "Lang", "From", "To", "User data", "Lines", "Caller ID"],
        (
            (
                text(campaign.id),
                text(campaign.name),
                text(language_code(campaign.languages_id)),
                text(_to_minute(campaign.dt_from)),
                text(_to_minute(campaign.dt_to)),
                text(campaign.user_data),
                text(campaign.max_parallel_lines),
                text(None if campaign.caller_id_active is None else "yes" if campaign.caller_id_active else "no"),
            )
            for campaign in campaigns
        ),
        right=["ID", "Lines"],
        optional=3,
    )
    warn_if_incomplete(campaigns)


def show_campaign(campaign: Campaign, *, as_json: bool) -> None:
    """Print one campaign with one key per line. Keys are the server's names."""
    if as_json:
        print_json(envelope(Records([campaign], total=1)))
        return
    print_table(
        ["Key", "Value"],
        ((text(key), text(value if isinstance(value, str) else json.dumps(value))) for key, value in _items(campaign)),
    )


def show_result_codes(codes: Records[ResultCode], *, as_json: bool) -> None:
    """Print one result code per line."""
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
    warn_if_incomplete(codes)


def warn_if_incomplete(records: Records[Any]) -> None:
    """Print a warning if the server counts more records than it sent."""
    if not records.complete:
        print_error(f"the list is incomplete: the server counts {records.total} records, but sent {len(records)}")


def _items(campaign: Campaign) -> Sequence[tuple[str, Any]]:
    """Return the items of the record: ID and name first, then the others in the server's order."""
    return sorted(campaign.wire.items(), key=lambda item: {"ID": 0, "Name": 1}.get(item[0], 2))


def _to_minute(date: datetime | None) -> str | None:
    return None if date is None else to_minute(date)
