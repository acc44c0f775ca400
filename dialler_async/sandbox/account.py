"""The account that a sandbox serves: its ClientsID, its token, its data."""

import string
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any

from attrs import define, field

from dialler_async.sandbox.codes import Code, WireRecord
from dialler_async.sandbox.dates import DateStyle
from dialler_async.sandbox.generator import Generator
from dialler_async.sandbox.planting import Planted, Template, make_unreadable, plant
from dialler_async.sandbox.store import Store

_TOKEN_LETTERS = string.ascii_letters + string.digits


@define(eq=False)
class Account:
    """One client account with its store."""

    clients_id: int
    token: str = field(repr=False)
    store: Store = field(factory=Store, repr=False)
    planted: list[Planted] = field(factory=list, repr=False)
    template: Template | None = None

    def generate(
        self,
        campaigns: int,
        seed: int,
        now: datetime | None,
        dates: DateStyle,
        *,
        filler_keys: int,
        unreadable: bool,
    ) -> None:
        """Fill the store with generated campaigns, defects among them."""
        random = Random(seed)  # noqa: S311  # made-up data, no secret
        moment = now or datetime.now(UTC)
        generator = Generator(random, self.clients_id, moment, dates, filler_keys)
        drafts = generator.drafts(campaigns)
        self.planted, self.template = plant(drafts, generator)
        if unreadable:
            sound = {draft.id for draft in drafts} - self._ids_concerned()
            self.planted.append(make_unreadable(next(d for d in drafts if d.id in sound)))
        for draft in drafts:
            self.store.add(draft.record, draft.codes)

    def load(
        self,
        payload: WireRecord,
        campaign_id: int | None,
        codes: Mapping[int, Any] | None,
    ) -> list[int]:
        """Take in a record, or all records of an envelope; answer with their IDs."""
        records = _records(payload)
        if len(records) != 1 and (campaign_id is not None or codes is not None):
            raise ValueError("campaign_id and codes are for a single campaign")
        given = _codes(codes or {})
        return [self.store.add(record, given, campaign_id) for record in records]

    def _ids_concerned(self) -> set[int]:
        ids = {id for planted in self.planted for id in (planted.campaign_id, *planted.other_ids)}
        if self.template is not None:
            ids |= {self.template.campaign_id, *self.template.copies}
        return ids


def token_for(seed: int, nth: int = 0) -> str:
    """A token that looks like a real one, the same for the same seed."""
    random = Random(f"token {nth} of {seed}")  # noqa: S311  # opens nothing but a sandbox
    return "".join(random.choices(_TOKEN_LETTERS, k=40))


def _records(payload: Any) -> list[WireRecord]:
    if isinstance(payload, Mapping):
        payload = payload.get("records", [payload])
    return list(payload)


def _codes(by_language: Mapping[int, Any]) -> list[Code]:
    """The codes given language by language, put together by their IDs."""
    templates: dict[int, dict[int, WireRecord]] = {}
    unnamed: Iterable[int] = count(-1, -1)
    for languages_id, payload in by_language.items():
        for record, substitute in zip(_records(payload), unnamed, strict=False):
            code_id = record.get("ID", substitute)
            templates.setdefault(code_id, {})[languages_id] = dict(record)
    return [Code(id, records) for id, records in templates.items()]
