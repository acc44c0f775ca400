"""The records of the API: `Campaign`, `ResultCode`, `Records` and `Language`.

The API's documentation publishes no complete list of keys. So a record has an attribute for each published key, and
keeps all other keys unchanged. A missing key is `None`.

Source: API reference, "Campaign records", "Result codes" and "Dates".
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, Self, TypeVar, final, overload

import attrs
import msgspec

from ._public import public

__all__ = [
    "Campaign",
    "Language",
    "Record",
    "Records",
    "ResultCode",
]

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R", bound="Record")

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


@public
class Language(IntEnum):
    """A `LanguagesID`. Installations may have more languages than the published two, so any int is accepted.

    `Language(7)` is a member without a constant. Iterating the class yields the published two.

    Source: API reference, "The seven calls" and "Campaign records".
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
        # Some versions, such as Python 3.11.2, pickle a member by its name. An unpublished language has no such name.
        return type(self), (int(self),)


class Record:
    """Base class of campaigns and result codes: it keeps the record as the server sent it."""

    # Not a field of attrs, so that a record changed by `attrs.evolve` doesn't keep the JSON of the old one.
    __slots__ = ("_wire",)
    _wire: Any
    """The decoded record, or an object whose bytes are its JSON; unset for a record that the server did not send."""

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict by attribute name; dates are datetimes.

        `wire` has the server's keys instead.
        """
        kind: Any = type(self)
        return {field.name: getattr(self, field.name) for field in attrs.fields(kind)}

    @property
    def wire(self) -> dict[str, Any]:
        """The record as the server sent it: every key, in the server's order, unchanged.

        Each access decodes the JSON again, which takes about 5 µs for 73 keys. So a change of the dict does not change
        the record. The dict is empty for a record that the server did not send.
        """
        wire = getattr(self, "_wire", {})
        if not hasattr(wire, "__bytes__"):
            return dict(wire)
        try:
            return _decode_object(bytes(wire))
        except msgspec.DecodeError:
            # msgspec refuses a lone surrogate.
            decoded: dict[str, Any] = json.loads(bytes(wire))
            return decoded

    @property
    def extra(self) -> dict[str, Any]:
        """The part of `wire` with the keys that this library does not know."""
        known = wire_keys(type(self)).values()
        return {key: value for key, value in self.wire.items() if key not in known}

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        # Python's own way fails, because the attributes are frozen.
        for name, value in state[1].items():
            object.__setattr__(self, name, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from ._pydantic import record_schema

        return record_schema(cls, handler)


# In both classes below, the text in `Annotated` is the key of the attribute in JSON.


@public
@attrs.frozen(kw_only=True, weakref_slot=False, getstate_setstate=False)
class Campaign(Record):
    """A dialler campaign. Every campaign has a `name`. A key that the server left out is `None`.

    Campaigns are immutable. Equality and hash use the attributes below. `wire` is the whole record as the server sent
    it; `extra` is the part with the keys that this library does not know.

    Attributes:
        id: `ID`, the DiallerCampaignsID. Calls about one campaign need it. The published examples leave it out.
        name: `Name`, up to 64 characters on the server.
        clients_id: `ClientsID`, the client account.
        languages_id: `LanguagesID`, see `Language`.
        contact_preview_time: `ContactPreviewTime`, the preview before dialling, presumably in seconds.
        max_parallel_lines: `nMaxParallelLines`, maximum number of lines in use at once; None if there is no maximum.
        close_contacts_on_incoming_calls_match_caller_id: `bCloseContactsOnIncomingCallsMatchCallerID`, whether a
            contact is closed when the contact calls in.
        incoming_call_result_codes_id: `IncomingCallResultCodesID`, ID of the result code for such a contact.
        abort_on_no_tel_number_result_codes_id: `AbortOnNoTelNumberResultCodesID`, ID of the result code for a contact
            without a further telephone number.
        caller_id_active: `bCallerIDActive`, whether a caller ID is transmitted.
        dt_from: `dtFrom`, the start of the campaign's validity. Naive if the server sent no zone.
        dt_to: `dtTo`, the end of the campaign's validity. Naive if the server sent no zone.
        user_data: `UserData`, free text, used as the key in an external system.

    Source: API reference, "Campaign records" and "Dates".
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


@public
@attrs.frozen(kw_only=True, weakref_slot=False, getstate_setstate=False)
class ResultCode(Record):
    """A result code: the outcome of working on a contact. A key that the server left out is `None`.

    Result codes are immutable. Equality and hash use the attributes below. `wire` is the whole record as the server
    sent it; `extra` is the part with the keys that this library does not know.

    Attributes:
        id: `ID` of the result code. In a cloned campaign, the codes get new IDs; match them by `export_key`.
        dialler_campaigns_id: `DiallerCampaignsID`, ID of the campaign.
        dialler_result_codes_types_id: `DiallerResultCodesTypesID`, ID of the type. Use the four flags instead.
        dialler_result_codes_types_content: `DiallerResultCodesTypesContent`, the type's text in the requested language.
        dialler_result_codes_types_short_text: `DiallerResultCodesTypesShortText`, the type's translation key.
        content: `Content`, the text that agents pick, in the requested language.
        short_text: `ShortText`, the translation key of `content`, such as `DiallerCampaignsResultCodes.2695`.
        export_key: `ExportKey`, the value for back-end systems: up to 32 characters, not documented as unique.
        done: `bDone`, a final success.
        aborted: `bAborted`, a final failure.
        delay: `bDelay`, try again after `time_offset`.
        appointment: `bAppointment`, call at a given time.
        agent_bound: `bAgentBound`, the contact stays with the same agent (appointment, delay).
        time_offset: `TimeOffset`, minutes until the next try (delay).
        allow_delete: `bAllowDelete`, whether the account may delete the code.

    Source: API reference, "Result codes".
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


_WIRE_KEYS: dict[type[Record], dict[str, str]] = {
    cls: {field.name: field.type.__metadata__[0] for field in attrs.fields(cls)} for cls in (Campaign, ResultCode)
}


def wire_keys(cls: type[Record]) -> dict[str, str]:
    """Return the published JSON key of each attribute of a record class."""
    return _WIRE_KEYS[cls]


def with_wire(record: R, wire: Any) -> R:
    """Set what a new record returns as `wire`, and return the record.

    Args:
        record: a record that no one else has yet.
        wire: the decoded record, or an object whose bytes are its JSON.
    """
    object.__setattr__(record, "_wire", wire)
    return record


def _as_tuple(items: Iterable[T_co]) -> tuple[T_co, ...]:
    # With `tuple` as the converter, attrs parses its signature, which adds 2 ms to the import.
    return tuple(items)


@public
@final
@attrs.frozen(eq=False, repr=False)
class Records(Sequence[T_co]):
    """The records of one response, with the other values of the response.

    An immutable sequence that equals a `Records`, list or tuple of equal items. A slice is a `Records`, too, with the
    same attributes.

    Attributes:
        total: number of records that the server counts (`count` in the response). `total` can be more than `len()`, as
            in the published example of result codes; see `complete`.
        filter, limit_start, limit_page_size, order_by, ascending: reserved or undocumented values in the response to a
            list of campaigns; None in other responses.

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
        """Whether the response contains all records that the server counts."""
        return self.total == len(self._items)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each record as a dict by attribute name, for tables.

        `pandas.DataFrame(records.to_dicts())` and `polars.DataFrame(records.to_dicts(), infer_schema_length=None)`
        accept it. With polars, the parameter is needed if an attribute is None in the first 100 records.

        Raises:
            TypeError: the items are not records of the server.
        """
        return [_record(item).to_dict() for item in self._items]

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

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from ._pydantic import records_schema

        return records_schema(source, handler)

    def __repr__(self) -> str:
        shown = [_short_repr(item) for item in self._items[:3]]
        if len(self._items) > len(shown):
            shown.append(f"… {len(self._items) - len(shown)} more")
        return f"Records([{', '.join(shown)}], total={self.total})"


def _record(item: object) -> Record:
    if isinstance(item, Record):
        return item
    raise TypeError(f"to_dicts needs campaigns or result codes, not {type(item).__name__}")


def _short_repr(item: object) -> str:
    text = repr(item)
    return text if len(text) <= 80 else f"{text[:79]}…"
