"""The initial data of an account: generated campaigns with seeded defects, or given records."""

from collections.abc import Iterable

from attrs import Factory, frozen

from .codes import WireRecord
from .defects import SeededDefect, Template, make_invalid, seed_defects
from .generator import Generator
from .store import Store


@frozen
class Contents:
    """The initial store of an account, and the defects that are seeded in it."""

    store: Store
    seeded_defects: list[SeededDefect] = Factory(list)
    template: Template | None = None


def from_records(records: Iterable[WireRecord]) -> Contents:
    """Return contents with these records, unchanged.

    Raises:
        ValueError: two records have the same ID.
    """
    store = Store()
    for record in records:
        store.add(record)
    return Contents(store)


def generate(campaigns: int, generator: Generator, *, invalid: bool) -> Contents:
    """Return contents with this number of generated campaigns. With `invalid`, one record is invalid."""
    drafts = generator.drafts(campaigns)
    seeded_defects, template = seed_defects(drafts, generator)
    if invalid:
        unaffected = {draft.id for draft in drafts} - _affected_ids(seeded_defects, template)
        seeded_defects.append(make_invalid(next(draft for draft in drafts if draft.id in unaffected)))
    store = Store()
    for draft in drafts:
        store.add(draft.record, draft.codes)
    return Contents(store, seeded_defects, template)


def _affected_ids(seeded_defects: list[SeededDefect], template: Template | None) -> set[int]:
    ids = {id for defect in seeded_defects for id in (defect.campaign_id, *defect.other_ids)}
    if template is not None:
        ids |= {template.campaign_id, *template.copies}
    return ids
