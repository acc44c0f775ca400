"""Snapshots of records, which a report keeps so that the next report can show what has changed."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import attrs

from ..models import ResultCode, wire_keys
from .rule import CampaignFacts

_KEPT = ("export_key", "done", "aborted", "delay", "appointment", "agent_bound", "time_offset", "allow_delete")
_KEYS = tuple(wire_keys(ResultCode)[name] for name in _KEPT)
_values: Callable[[ResultCode], tuple[Any, ...]] = attrgetter(*_KEPT)

CodeSnapshot = tuple[tuple[str, Any], ...]
"""A code as keys and values without nulls; its texts are under `Content/1`, `Content/2` …"""


@attrs.frozen(kw_only=True)
class RecordSnapshot:
    """The record of one campaign and its codes at the time of the audit. A plain value: it pickles and compares.

    Attributes:
        id: `ID` of the campaign; None if the server sent none.
        name: its `Name`.
        settings: the rest of the record with unknown keys, without nulls.
        codes: its result codes by ID; None if not all could be fetched.
    """

    id: int | None
    name: str
    settings: Mapping[str, Any]
    codes: Mapping[int, CodeSnapshot] | None


class SnapshotBuilder:
    """Makes snapshots. Campaigns have copies of the same codes, so equal codes are kept once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], CodeSnapshot] = {}

    def build(self, facts: CampaignFacts) -> RecordSnapshot:
        """Return the snapshot of one campaign."""
        wire = facts.wire
        return RecordSnapshot(
            id=facts.campaign.id,
            name=facts.campaign.name,
            settings={key: value for key, value in wire.items() if value is not None and key not in ("ID", "Name")},
            codes={id: self._code(records) for id, records in facts.by_code.items() if isinstance(id, int)}
            if facts.codes_are_complete
            else None,
        )

    def _code(self, records: Mapping[Any, ResultCode]) -> CodeSnapshot:
        # This key is quicker to build than the snapshot.
        values = _values(next(iter(records.values())))
        known_by = (values, *records, *[code.content for code in records.values()])
        kept = self._known.get(known_by)
        if kept is None:
            texts = [(f"Content/{language:d}", code.content) for language, code in records.items()]
            pairs = (*zip(_KEYS, values, strict=True), *texts)
            kept = tuple(pair for pair in pairs if pair[1] is not None)
            self._known[known_by] = kept
        return kept
