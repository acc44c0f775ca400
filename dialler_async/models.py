"""What the API's records are in Python: `Campaign`, `ResultCode`, `Records` and `Language`.

The documentation says that its examples are shortened, and publishes no complete list of columns. So a record gives
the published keys by name and type, keeps every other key untouched, and takes a missing key for `None`.
Source of keys, types and meanings: API reference, "Campaign records", "Result codes" and "Dates".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, Self, TypeVar, final, overload

import attrs
import msgspec

T_co = TypeVar("T_co", covariant=True)

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class Language(IntEnum):
    """The `LanguagesID` of the server. Open: installations may have more, so any other int passes through.

    `Language(7)` is a member with no constant of its own; iterating the class gives the published two.
    """

    ENGLISH = 1
    GERMAN = 2

    @classmethod
    def _missing_(cls, value: object) -> "Language | None":
        if type(value) is not int:
            return None
        unpublished = int.__new__(cls, value)
        unpublished._name_ = f"LANGUAGE_{value}"
        unpublished._value_ = value
        return unpublished

    def __reduce_ex__(self, _: object) -> tuple[type[Self], tuple[int]]:
        # Python 3.11.2, for one, would pickle it by its name, which an unpublished one is not found by.
        return type(self), (int(self),)


class Record:
    """What campaigns and result codes share: the record as the server sent it."""

    __slots__ = ()
    _wire: Mapping[str, Any] | bytes

    @property
    def wire(self) -> dict[str, Any]:
        """The record as the server sent it: every key, in the server's order, unchanged.

        Each access decodes it from JSON again, which takes about 5 µs for 73 keys. So changing the dict changes no
        record. The dict is empty for a record that the server did not send.
        """
        return _decode_object(self._wire) if isinstance(self._wire, bytes) else dict(self._wire)

    @property
    def extra(self) -> dict[str, Any]:
        """The part of `wire` whose keys are unknown to this library."""
        known = wire_keys(type(self)).values()
        return {key: value for key, value in self.wire.items() if key not in known}


# What `Annotated` says of a field below is its key on the wire.


@attrs.frozen(kw_only=True, weakref_slot=False)
class Campaign(Record):
    """A dialler campaign. Only `name` is certain to be there; a key the server left out is `None`.

    Frozen; compared and hashed by the attributes below, whatever else the server sent. `wire` is the whole record as
    it came, `extra` the part of it that is unknown here.

    Attributes:
        id: `ID`, the DiallerCampaignsID. Calls for one campaign go by it; the published examples leave it out.
        name: `Name`, up to 64 characters on the server.
        clients_id: `ClientsID`, the client account.
        languages_id: `LanguagesID`, see `Language`.
        contact_preview_time: `ContactPreviewTime`, preview before dialling, presumably in seconds.
        max_parallel_lines: `nMaxParallelLines`, cap on the lines in use at once; None when none is set.
        close_contacts_on_incoming_calls_match_caller_id: `bCloseContactsOnIncomingCallsMatchCallerID`, close a
            contact that calls in by itself …
        incoming_call_result_codes_id: `IncomingCallResultCodesID`, … with the result code of this ID.
        abort_on_no_tel_number_result_codes_id: `AbortOnNoTelNumberResultCodesID`, ID of the result code given when
            no telephone number is left to try.
        caller_id_active: `bCallerIDActive`, whether a caller ID is transmitted.
        dt_from: `dtFrom`, when the campaign begins to be valid. Naive where the server named no zone.
        dt_to: `dtTo`, when it ceases to be valid. Naive where the server named no zone.
        user_data: `UserData`, free text, used as the key of a foreign system.
    """

    id: Annotated[int | None, "ID"] = None
    name: Annotated[str, "Name"]
    clients_id: Annotated[int | None, "ClientsID"] = None
    languages_id: Annotated[int | None, "LanguagesID"] = None
    contact_preview_time: Annotated[int | None, "ContactPreviewTime"] = None
    max_parallel_lines: Annotated[int | None, "nMaxParallelLines"] = None
    close_contacts_on_incoming_calls_match_caller_id: Annotated[
        bool | None, "bCloseContactsOnIncomingCallsMatchCallerID"
    ] = None
    incoming_call_result_codes_id: Annotated[int | None, "IncomingCallResultCodesID"] = None
    abort_on_no_tel_number_result_codes_id: Annotated[int | None, "AbortOnNoTelNumberResultCodesID"] = None
    caller_id_active: Annotated[bool | None, "bCallerIDActive"] = None
    dt_from: Annotated[datetime | None, "dtFrom"] = None
    dt_to: Annotated[datetime | None, "dtTo"] = None
    user_data: Annotated[str | None, "UserData"] = None
    _wire: Mapping[str, Any] | bytes = attrs.field(factory=dict, eq=False, repr=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class ResultCode(Record):
    """A result code: the outcome of working on a contact. A key the server left out is `None`.

    Frozen; compared and hashed by the attributes below, whatever else the server sent. `wire` is the whole record as
    it came, `extra` the part of it that is unknown here.

    Attributes:
        id: `ID`, its own key. The codes of a cloned campaign get new ones; match on `export_key`.
        dialler_campaigns_id: `DiallerCampaignsID`, the campaign's key.
        dialler_result_codes_types_id: `DiallerResultCodesTypesID`, the type's key. Decide by the four flags instead.
        dialler_result_codes_types_content: `DiallerResultCodesTypesContent`, the type in the language asked for.
        dialler_result_codes_types_short_text: `DiallerResultCodesTypesShortText`, the type's translation key.
        content: `Content`, what agents pick, in the language asked for.
        short_text: `ShortText`, the translation key of `content`, such as `DiallerCampaignsResultCodes.2695`.
        export_key: `ExportKey`, what back ends match on: up to 32 characters, promised to be unique nowhere.
        done: `bDone`, success, final.
        aborted: `bAborted`, failure, final.
        delay: `bDelay`, try again after `time_offset`.
        appointment: `bAppointment`, call at a given time.
        agent_bound: `bAgentBound`, stay with the same agent (appointment, delay).
        time_offset: `TimeOffset`, minutes until the next try (delay).
        allow_delete: `bAllowDelete`, may be deleted by the account.
    """

    id: Annotated[int | None, "ID"] = None
    dialler_campaigns_id: Annotated[int | None, "DiallerCampaignsID"] = None
    dialler_result_codes_types_id: Annotated[int | None, "DiallerResultCodesTypesID"] = None
    dialler_result_codes_types_content: Annotated[str | None, "DiallerResultCodesTypesContent"] = None
    dialler_result_codes_types_short_text: Annotated[str | None, "DiallerResultCodesTypesShortText"] = None
    content: Annotated[str | None, "Content"] = None
    short_text: Annotated[str | None, "ShortText"] = None
    export_key: Annotated[str | None, "ExportKey"] = None
    done: Annotated[bool | None, "bDone"] = None
    aborted: Annotated[bool | None, "bAborted"] = None
    delay: Annotated[bool | None, "bDelay"] = None
    appointment: Annotated[bool | None, "bAppointment"] = None
    agent_bound: Annotated[bool | None, "bAgentBound"] = None
    time_offset: Annotated[int | None, "TimeOffset"] = None
    allow_delete: Annotated[bool | None, "bAllowDelete"] = None
    _wire: Mapping[str, Any] | bytes = attrs.field(factory=dict, eq=False, repr=False)


_WIRE_KEYS: dict[type[Record], dict[str, str]] = {
    cls: {field.name: field.type.__metadata__[0] for field in attrs.fields(cls) if field.name != "_wire"}
    for cls in (Campaign, ResultCode)
}


def wire_keys(cls: type[Record]) -> dict[str, str]:
    """The published keys of a kind of record: attribute name to key on the wire."""
    return _WIRE_KEYS[cls]


def _as_tuple(items: Iterable[T_co]) -> tuple[T_co, ...]:
    # attrs would parse the signature of `tuple` itself out of a text, which adds 2 ms to the import.
    return tuple(items)


@final
@attrs.frozen(eq=False, repr=False)
class Records(Sequence[T_co]):
    """The records of one response, and what the server said about them.

    A sequence: it has a length, indices, slices and a search, and it equals any other `Records`, list or tuple of equal
    items. A slice is a `Records` too, and keeps what the server said about all records.

    Attributes:
        total: how many records the server says there are (`count` in its response). It is more than `len()` only where
            the server shortened the response, as the published example of result codes is; see `complete`.
        filter, limit_start, limit_page_size, order_by, ascending: what the server says about a list of campaigns.
            They are reserved or undocumented, and None in other responses.

    Source: API reference, "The seven calls" (list envelope, records envelope).
    """

    _items: tuple[T_co, ...] = attrs.field(converter=_as_tuple)
    total: int
    filter: str | None = None
    limit_start: int | None = None
    limit_page_size: int | None = None
    order_by: str | None = None
    ascending: bool | None = None

    @property
    def complete(self) -> bool:
        """Whether all records that the server counts are here."""
        return self.total == len(self._items)

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T_co | Self:
        if isinstance(index, slice):
            return attrs.evolve(self, items=self._items[index])
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._items)

    def __contains__(self, value: object) -> bool:
        return value in self._items

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Records):
            return self._items == other._items
        if isinstance(other, list | tuple):
            return self._items == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        shown = [_brief(item) for item in self._items[:3]]
        if len(self._items) > len(shown):
            shown.append(f"… {len(self._items) - len(shown)} more")
        return f"Records([{', '.join(shown)}], total={self.total})"


def _brief(item: object) -> str:
    text = repr(item)
    return text if len(text) <= 80 else f"{text[:79]}…"
