"""An account of a sandbox: its ClientsID, its token and its campaigns."""

import string
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import count
from random import Random
from threading import RLock
from typing import Any, TypeVar

from attrs import Factory, define, field

from .codes import Code, WireRecord, records_in_language
from .contents import Contents
from .defects import SeededDefect, Template
from .store import Store
from .vocabulary import ENGLISH

# A type variable, because `Mapping` is invariant in its keys: a dict by `Language` is no `Mapping[int, Any]`.
LanguagesID = TypeVar("LanguagesID", bound=int)

_TOKEN_LETTERS = string.ascii_letters + string.digits


@define(eq=False)
class SandboxAccount:
    """An account of a sandbox. Its campaigns are generated at the first access.

    Attributes:
        clients_id: the ClientsID, which is part of the account's URL.
        token: the only valid token. A new value invalidates the old token immediately.
        lock: a lock to hold while reading or changing `store`.
    """

    clients_id: int
    _seed: int | str = field(repr=False)
    _make_contents: Callable[[int | str, int], Contents] = field(repr=False)
    token: str = field(default=Factory(lambda self: token_for(self._seed), takes_self=True), init=False, repr=False)
    _revocations: int = field(default=0, init=False, repr=False)
    # The sandbox may run in its own thread while a test changes its campaigns.
    lock: RLock = field(factory=RLock, init=False, repr=False)

    @cached_property
    def _contents(self) -> Contents:
        return self._make_contents(self._seed, self.clients_id)

    @property
    def store(self) -> Store:
        """The live data of the account."""
        with self.lock:
            return self._contents.store

    @property
    def campaigns(self) -> Mapping[int, WireRecord]:
        """The campaign records by ID, live and read-only; `change` and `remove` edit them."""
        return self.store.campaigns

    @property
    def seeded_defects(self) -> list[SeededDefect]:
        """All defects of the generated campaigns. An audit should find exactly these."""
        with self.lock:
            return self._contents.seeded_defects

    @property
    def template(self) -> Template | None:
        """The generated template campaign, or None if the account is too small for one."""
        with self.lock:
            return self._contents.template

    def result_codes(self, campaign_id: int, languages_id: int = ENGLISH) -> list[dict[str, Any]]:
        """Return the result-code records of a campaign in a language.

        Raises:
            KeyError: no campaign has this ID.
        """
        with self.lock:
            return records_in_language(self.store.codes(campaign_id), languages_id)

    def load(
        self,
        payload: WireRecord,
        *,
        campaign_id: int | None = None,
        codes: Mapping[LanguagesID, Any] | None = None,
    ) -> list[int]:
        """Add campaigns and return their IDs. The sandbox serves the records unchanged.

        Args:
            payload: a single campaign record, or an envelope with `records`.
            campaign_id: the ID of a single record without an `ID`; by default, a new one.
            codes: the result codes of a single campaign by LanguagesID. Each value is a list of records or an envelope.
        Raises:
            ValueError: a campaign with this ID exists, or `campaign_id` or `codes` is used with several records.
        """
        records = _records(payload)
        if len(records) != 1 and (campaign_id is not None or codes is not None):
            raise ValueError("campaign_id and codes need a payload with a single campaign")
        new_codes = [] if codes is None else _codes(codes)
        with self.lock:
            return [self.store.add(record, new_codes, campaign_id) for record in records]

    def change(self, campaign_id: int, **keys: Any) -> None:
        """Set wire keys of a campaign, as another user of the server could.

        Raises:
            KeyError: no campaign has this ID.
        """
        with self.lock:
            self.store.change(campaign_id, **keys)

    def remove(self, campaign_id: int) -> None:
        """Delete a campaign, as another user of the server could.

        Raises:
            KeyError: no campaign has this ID.
        """
        with self.lock:
            self.store.remove(campaign_id)

    def revoke(self) -> str:
        """Replace the token and return the new one. The old token becomes invalid immediately."""
        with self.lock:
            self._revocations += 1
            self.token = token_for(self._seed, self._revocations)
            return self.token


def token_for(seed: int | str, index: int = 0) -> str:
    """Return a token in the format of a real one. Equal arguments give equal tokens."""
    random = Random(f"token {index} of {seed}")  # noqa: S311  the token is valid for a sandbox only
    return "".join(random.choices(_TOKEN_LETTERS, k=40))


def _records(payload: Any) -> list[WireRecord]:
    if isinstance(payload, Mapping):
        payload = payload.get("records", [payload])
    return list(payload)


def _codes(by_language: Mapping[LanguagesID, Any]) -> list[Code]:
    """Return one `Code` per ID, with its record in each language."""
    templates: dict[int, dict[int, WireRecord]] = {}
    substitute_ids: Iterable[int] = count(-1, -1)
    for languages_id, payload in by_language.items():
        for record, substitute in zip(_records(payload), substitute_ids, strict=False):
            code_id = record.get("ID", substitute)
            templates.setdefault(code_id, {})[languages_id] = dict(record)
    return [Code(id, records) for id, records in templates.items()]
