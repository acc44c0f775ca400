"""An account that a sandbox serves: its ClientsID, its token, its data."""

import string
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import count
from random import Random
from typing import Any

from attrs import Factory, define, field

from dialler_async.sandbox.codes import Code, WireRecord, records_in
from dialler_async.sandbox.contents import Contents
from dialler_async.sandbox.defects import SeededDefect, Template
from dialler_async.sandbox.store import Store
from dialler_async.sandbox.vocabulary import ENGLISH

_TOKEN_LETTERS = string.ascii_letters + string.digits


@define(eq=False)
class Account:
    """One client account. Its campaigns are made up when somebody first asks for them."""

    clients_id: int
    _seed: int | str = field(repr=False)
    _make: Callable[[int | str, int], Contents] = field(repr=False)
    token: str = field(default=Factory(lambda self: token_for(self._seed), takes_self=True), init=False, repr=False)
    """The only valid token. Setting another makes the old one invalid at once."""
    _tokens_made: int = field(default=0, init=False, repr=False)

    @cached_property
    def _contents(self) -> Contents:
        return self._make(self._seed, self.clients_id)

    @property
    def store(self) -> Store:
        """The live data."""
        return self._contents.store

    @property
    def campaigns(self) -> Mapping[int, WireRecord]:
        """The campaign records by ID, live and read-only; see `change` and `remove`."""
        return self.store.campaigns

    @property
    def seeded_defects(self) -> list[SeededDefect]:
        """What an audit should find, and nothing else, in the campaigns as generated."""
        return self._contents.seeded_defects

    @property
    def template(self) -> Template | None:
        """The generated template campaign; None where there was no room for one."""
        return self._contents.template

    def result_codes(self, campaign_id: int, languages_id: int = ENGLISH) -> list[dict[str, Any]]:
        """The result-code records of a campaign in a language.

        Raises KeyError when there is no such campaign.
        """
        return records_in(self.store.codes(campaign_id), languages_id)

    def load(
        self,
        payload: WireRecord,
        *,
        campaign_id: int | None = None,
        codes: Mapping[int, Any] | None = None,
    ) -> list[int]:
        """Add campaigns from an envelope or a single record, and answer with their IDs.

        Records are served as given. One without an `ID` is reached by `campaign_id`, or else by
        the ID that is made up for it. `codes` are a single campaign's result codes: by LanguagesID
        an envelope or a list of records. Raises ValueError when an ID is taken.
        """
        records = _records(payload)
        if len(records) != 1 and (campaign_id is not None or codes is not None):
            raise ValueError("campaign_id and codes are for a single campaign")
        given = _codes(codes or {})
        return [self.store.add(record, given, campaign_id) for record in records]

    def change(self, campaign_id: int, **keys: Any) -> None:
        """Set wire keys of a campaign, as somebody in the portal would.

        Raises KeyError when there is no such campaign.
        """
        self.store.change(campaign_id, **keys)

    def remove(self, campaign_id: int) -> None:
        """Delete a campaign, as somebody in the portal would.

        Raises KeyError when there is no such campaign.
        """
        self.store.remove(campaign_id)

    def revoke(self) -> str:
        """Replace the token by a new one, as the portal does, and answer with the new one."""
        self._tokens_made += 1
        self.token = token_for(self._seed, self._tokens_made)
        return self.token


def token_for(seed: int | str, nth: int = 0) -> str:
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
