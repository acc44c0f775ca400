"""The initial data of an account: generated campaigns with seeded defects, or records as given."""

from collections.abc import Iterable

from attrs import Factory, frozen

from dialler_async.sandbox.codes import WireRecord
from dialler_async.sandbox.defects import SeededDefect, Template, make_invalid, seed_defects
from dialler_async.sandbox.generator import Generator
from dialler_async.sandbox.store import Store


@frozen
class Contents:
    """A store and the defects that were seeded in it."""

    store: Store
    seeded_defects: list[SeededDefect] = Factory(list)
    template: Template | None = None


def given(records: Iterable[WireRecord]) -> Contents:
    """Return contents that serve the records as they are.

    Raises:
        ValueError: two records have the same ID.
    """
    store = Store()
    for record in records:
        store.add(record)
    return Contents(store)


def generated(campaigns: int, generator: Generator, *, invalid: bool) -> Contents:
    """Return as many generated campaigns with seeded defects; with `invalid`, one more record can't be read."""
    drafts = generator.drafts(campaigns)
    seeded_defects, template = seed_defects(drafts, generator)
    if invalid:
        sound = {draft.id for draft in drafts} - _affected_ids(seeded_defects, template)
        seeded_defects.append(make_invalid(next(draft for draft in drafts if draft.id in sound)))
    store = Store()
    for draft in drafts:
        store.add(draft.record, draft.codes)
    return Contents(store, seeded_defects, template)


def _affected_ids(seeded_defects: list[SeededDefect], template: Template | None) -> set[int]:
    ids = {id for one in seeded_defects for id in (one.campaign_id, *one.other_ids)}
    if template is not None:
        ids |= {template.campaign_id, *template.copies}
    return ids
