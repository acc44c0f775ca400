"""The campaigns and result codes of an account, and the bodies that contain them (API reference, "The seven calls").

Encoded bodies are cached until a write. A list of 10,000 campaigns is 12 MB, and encoding it would distort benchmarks.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from .codes import Code, WireRecord, records_in_language

_LIST_HEAD = b'{"filter":"","limitStart":0,"limitPageSize":-1,"records":['
_RECORDS_HEAD = b'{"records":['


class Store:
    """The campaigns of an account with their result codes. Only its methods change them."""

    def __init__(self) -> None:
        self._campaigns: dict[int, WireRecord] = {}
        self._codes: dict[int, list[Code]] = {}
        self._next_campaign_id = 1
        self._next_code_id = 1
        self._encoded: dict[int, bytes] = {}
        self._encoded_codes: dict[tuple[int, int], bytes] = {}
        self._encoded_list: bytes | None = None

    @property
    def campaigns(self) -> Mapping[int, WireRecord]:
        """A live, read-only view of the campaign records by ID."""
        return MappingProxyType(self._campaigns)

    def codes(self, campaign_id: int) -> list[Code]:
        """Return the result codes of a campaign.

        Raises:
            KeyError: no campaign has this ID.
        """
        return list(self._codes[campaign_id])

    def add(self, record: WireRecord, codes: Iterable[Code] = (), id: int | None = None) -> int:
        """Add a campaign and return its ID: `id`, or the record's own `ID`, or a new one.

        A record without an `ID` is served unchanged.

        Raises:
            ValueError: a campaign with this ID exists already.
        """
        own_id = record.get("ID")
        campaign_id = id or (own_id if isinstance(own_id, int) else self._next_campaign_id)
        if campaign_id in self._campaigns:
            raise ValueError(f"campaign {campaign_id} exists already")
        self._put(campaign_id, record)
        self._codes[campaign_id] = list(codes)
        # As in an auto-increment column of a database, an ID is never used again.
        self._next_campaign_id = max(self._next_campaign_id, campaign_id + 1)
        self._next_code_id = max([self._next_code_id, *(code.id + 1 for code in self._codes[campaign_id])])
        return campaign_id

    def change(self, campaign_id: int, **keys: Any) -> None:
        """Set wire keys of a campaign.

        Raises:
            KeyError: no campaign has this ID.
        """
        self._put(campaign_id, {**self._campaigns[campaign_id], **keys})

    def remove(self, campaign_id: int) -> None:
        """Delete a campaign with its result codes.

        Raises:
            KeyError: no campaign has this ID.
        """
        del self._campaigns[campaign_id]
        for languages_id in {key[1] for key in self._encoded_codes if key[0] == campaign_id}:
            del self._encoded_codes[campaign_id, languages_id]
        del self._codes[campaign_id]
        self._encoded.pop(campaign_id, None)
        self._encoded_list = None

    def clone(self, source_id: int, destination: str, **keys: Any) -> int:
        """Copy a campaign with its result codes, set `keys` of the copy, and return the ID of the copy.

        The codes get new IDs, and the `…ResultCodesID` keys of the copy refer to them.
        """
        campaign_id = self._next_campaign_id
        copies = {
            code.id: code.copy_with_ids(new_id, campaign_id)
            for new_id, code in enumerate(self._codes[source_id], self._next_code_id)
        }
        record = {**self._campaigns[source_id], **keys, "Name": destination}
        if "ID" in record:
            record["ID"] = campaign_id
        for key, value in record.items():
            if key.endswith("ResultCodesID") and value in copies:
                record[key] = copies[value].id
        return self.add(record, copies.values(), campaign_id)

    def find_exact(self, name: str) -> int | None:
        """Return the lowest ID of the campaigns with this name, or None.

        Case and trailing spaces are ignored, as in the usual collations of MySQL.
        """
        wanted = _collation_key(name)
        return next((id for id in sorted(self._campaigns) if self._name(id) == wanted), None)

    def find_containing(self, text: str) -> list[int]:
        """Return the IDs of the campaigns whose names contain a text, in ascending order. Case is ignored."""
        wanted = text.casefold()
        return [id for id in sorted(self._campaigns) if wanted in str(self._campaigns[id].get("Name", "")).casefold()]

    def list_body(self) -> bytes:
        """Return the encoded list of all campaigns, ordered by name."""
        if self._encoded_list is None:
            ordered = sorted(self._campaigns, key=lambda campaign_id: (self._name(campaign_id), campaign_id))
            self._encoded_list = b"%b%b],%b" % (
                _LIST_HEAD,
                b",".join(map(self._record, ordered)),
                b'"count":%d,"orderBy":"Name","ascending":true,"status":200}' % len(ordered),
            )
        return self._encoded_list

    def records_body(self, campaign_ids: list[int]) -> bytes:
        """Return the encoded envelope with the records of these campaigns."""
        return _envelope([self._record(id) for id in campaign_ids])

    def codes_body(self, campaign_id: int, languages_id: int) -> bytes:
        """Return the encoded envelope with the result codes of a campaign in a language."""
        key = (campaign_id, languages_id)
        body = self._encoded_codes.get(key)
        if body is None:
            records = records_in_language(self._codes[campaign_id], languages_id)
            body = self._encoded_codes[key] = _envelope(list(map(msgspec.json.encode, records)))
        return body

    def _put(self, campaign_id: int, record: WireRecord) -> None:
        # Read-only, because a change from outside would not invalidate the cached bodies.
        self._campaigns[campaign_id] = MappingProxyType(dict(record))
        self._encoded.pop(campaign_id, None)
        self._encoded_list = None

    def _record(self, campaign_id: int) -> bytes:
        body = self._encoded.get(campaign_id)
        if body is None:
            body = msgspec.json.encode(dict(self._campaigns[campaign_id]))
            self._encoded[campaign_id] = body
        return body

    def _name(self, campaign_id: int) -> str:
        return _collation_key(str(self._campaigns[campaign_id].get("Name", "")))


def _collation_key(name: str) -> str:
    return name.casefold().rstrip(" ")


def _envelope(records: list[bytes]) -> bytes:
    return b'%b%b],"count":%d,"status":200}' % (_RECORDS_HEAD, b",".join(records), len(records))
