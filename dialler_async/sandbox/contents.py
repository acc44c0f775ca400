"""What an account holds to begin with: generated campaigns with planted defects, or records as given."""

from collections.abc import Iterable

from attrs import Factory, frozen

from dialler_async.sandbox.codes import WireRecord
from dialler_async.sandbox.generator import Generator
from dialler_async.sandbox.planting import Planted, Template, make_unreadable, plant
from dialler_async.sandbox.store import Store


@frozen
class Contents:
    """A store, and what is known to be wrong in it."""

    store: Store
    planted: list[Planted] = Factory(list)
    template: Template | None = None


def given(records: Iterable[WireRecord]) -> Contents:
    """Serve records as they are. Raises ValueError when an ID comes twice."""
    store = Store()
    for record in records:
        store.add(record)
    return Contents(store)


def generated(campaigns: int, generator: Generator, *, unreadable: bool) -> Contents:
    """Make up as many campaigns, defects among them."""
    drafts = generator.drafts(campaigns)
    planted, template = plant(drafts, generator)
    if unreadable:
        sound = {draft.id for draft in drafts} - _ids_concerned(planted, template)
        planted.append(make_unreadable(next(draft for draft in drafts if draft.id in sound)))
    store = Store()
    for draft in drafts:
        store.add(draft.record, draft.codes)
    return Contents(store, planted, template)


def _ids_concerned(planted: list[Planted], template: Template | None) -> set[int]:
    ids = {id for one in planted for id in (one.campaign_id, *one.other_ids)}
    if template is not None:
        ids |= {template.campaign_id, *template.copies}
    return ids
