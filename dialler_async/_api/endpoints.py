"""The seven calls of the API: each is a pure function that returns a `Request`.

The paths of the API are asymmetric. A campaign is read at `campaigns/{ID}`. A campaign is deleted at
`campaigns/campaign/{ID}`, and its result codes are read at `campaigns/campaign/{ID}/resultCodes`.

Source: API reference, "The seven calls".
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Generic, Literal, TypeAlias, TypeVar, final
from urllib.parse import quote

import msgspec

from ..errors import ConfigurationError, InvalidInputError, SentRequest, require
from ..models import Campaign, Language, Records, ResultCode
from .dates import format_date, time_between
from .decoding import CAMPAIGN, CAMPAIGN_SLICES, CAMPAIGNS, DONE, PARTIAL_CAMPAIGNS, RESULT_CODES, ResponseDecoder
from .partial_records import PartialRecords

T_co = TypeVar("T_co", covariant=True)

MAX_NAME_LENGTH: Final = 64
"""Maximum length of a campaign's name. Source: API reference, "Campaign records" (stated)."""


class Idempotency(Enum):
    """Whether a request may be retried after an attempt that may have run."""

    SAFE = "idempotent: a second run has no further effect"
    DELETE = "idempotent, but a second run finds no record and gets a 404"
    NEVER = "not idempotent: a second run may change another campaign"
    UNKNOWN = "unknown to this library, so the request is never retried"


Invalidates: TypeAlias = int | Literal["lists", "everything"]
"""The cached responses that a write may change: those about a campaign, by its ID, and all lists; all lists; or all."""


@final
class Missing(msgspec.Struct, Generic[T_co], frozen=True):
    """The value of a call that gets a 404 with a JSON body: always, or only after an attempt that may have run."""

    value: T_co
    only_after_run: bool


# A struct, because each call makes a request: a frozen attrs class takes 0.8 µs, and the struct 0.1 µs.
@final
class Request(msgspec.Struct, Generic[T_co], frozen=True):
    """The request of one call.

    Attributes:
        sent: HTTP method and path template. Errors and logs show nothing else of the request.
        path: path below the base URL, percent-encoded, with a leading slash.
        query: query, percent-encoded, without the question mark; empty for no query.
        body: value to send as JSON; None for no body.
        decoder: decodes the body of a 200.
        idempotency: whether the request may be retried after an attempt that may have run.
        recovery_hint: how to find out whether a write with an unknown outcome ran, for error messages.
        about: the campaign of the call, for the caller's errors; never for logs and traces.
        expected_id: ID of the campaign that the response must be about; None if the response may be about any campaign.
        missing: what a 404 means; None if it is an error.
        exists_after_409: whether a 409 shows that what the request creates exists. It resolves an unknown outcome.
        invalidates: the cached responses that the request may change; None for a read.
    """

    sent: SentRequest
    path: str
    decoder: ResponseDecoder[T_co]
    idempotency: Idempotency = Idempotency.SAFE
    query: str = ""
    body: object = None
    recovery_hint: str = ""
    about: str = ""
    expected_id: int | None = None
    missing: Missing[T_co] | None = None
    exists_after_409: bool = False
    invalidates: Invalidates | None = None

    @property
    def is_write(self) -> bool:
        """Whether the request may change something on the server."""
        return self.invalidates is not None


_CAMPAIGNS = "/dialler/campaigns"
_CAMPAIGN = "/dialler/campaigns/campaign"

_LIST = SentRequest("GET", _CAMPAIGNS)
_GET = SentRequest("GET", f"{_CAMPAIGNS}/{{DiallerCampaignsID}}")
_FIND = SentRequest("GET", _CAMPAIGN)
_RESULT_CODES = SentRequest("GET", f"{_CAMPAIGN}/{{DiallerCampaignsID}}/resultCodes")
_CLONE = SentRequest("POST", f"{_CAMPAIGNS}/clone")
_DELETE = SentRequest("DELETE", f"{_CAMPAIGN}/{{DiallerCampaignsID}}")
DELETE_BY_NAME = SentRequest("DELETE", _CAMPAIGN)

_HINT_CLONE = "if it ran, `campaigns.get_by_name(destination)` finds the clone; reads may lag behind writes"
_HINT_DELETE = "if it ran, `campaigns.get(campaign)` raises NotFoundError; reads may lag behind writes"
_HINT_DELETE_BY_NAME = "`campaigns.find(name)` returns the campaigns that are left; reads may lag behind writes"


def list_campaigns() -> Request[Records[Campaign]]:
    """Return the request for all campaigns of the account."""
    return Request(_LIST, _CAMPAIGNS, CAMPAIGNS)


def list_campaigns_in_slices() -> Request[Iterator[list[Campaign]]]:
    """Return the request for all campaigns, decoded slice by slice."""
    return Request(_LIST, _CAMPAIGNS, CAMPAIGN_SLICES)


def list_partial_campaigns() -> Request[PartialRecords[Campaign]]:
    """Return the request for all campaigns. An invalid record is reported, and does not fail the call."""
    return Request(_LIST, _CAMPAIGNS, PARTIAL_CAMPAIGNS)


def get_campaign(campaign: Campaign | int) -> Request[Campaign]:
    """Return the request for one campaign by its ID. The server sends 404 if there is no such campaign."""
    campaign_id = checked_id(campaign)
    return Request(
        _GET, f"{_CAMPAIGNS}/{campaign_id}", CAMPAIGN, expected_id=campaign_id, about=f"campaign {campaign_id}"
    )


def find_campaigns(name: str) -> Request[Records[Campaign]]:
    """Return the request for the campaigns whose name contains a text: a partial match."""
    # The API reference does not say whether a search without a match is a 200 or a 404.
    none = Missing(Records[Campaign](items=(), total=0), only_after_run=False)
    return Request(_FIND, _CAMPAIGN, CAMPAIGNS, query=_query(name), about=f"campaigns named {name!r}", missing=none)


def list_result_codes(campaign: Campaign | int, language: int) -> Request[Records[ResultCode]]:
    """Return the request for the result codes of a campaign, with their texts in one language."""
    query = f"languagesID={checked_language(language)}"
    campaign_id = checked_id(campaign)
    path = f"{_CAMPAIGN}/{campaign_id}/resultCodes"
    return Request(
        _RESULT_CODES, path, RESULT_CODES, query=query, expected_id=campaign_id, about=f"campaign {campaign_id}"
    )


def clone_campaign(
    source: str,
    destination: str,
    *,
    user_data: str | None = None,
    dt_from: datetime | None = None,
    dt_to: datetime | None = None,
    exist_ok: bool = False,
) -> Request[Campaign]:
    """Return the request to copy a campaign without its contacts.

    With `exist_ok`, the caller treats a 409 as a success, so the request is idempotent.
    """
    body = {"source": _name(source), "destination": _new_name(destination)}
    if user_data is not None:
        body["userData"] = _text(user_data, "user_data")
    if dt_from is not None:
        body["dtFrom"] = format_date(dt_from)
    if dt_to is not None:
        body["dtTo"] = format_date(dt_to)
    if dt_from is not None and dt_to is not None and time_between(dt_from, dt_to) < timedelta():
        raise InvalidInputError(f"dt_to {dt_to.isoformat()} is before dt_from {dt_from.isoformat()}: swap the dates")
    idempotency = Idempotency.SAFE if exist_ok else Idempotency.NEVER
    about = f"clone of {source!r} as {destination!r}"
    return Request(
        _CLONE,
        f"{_CAMPAIGNS}/clone",
        CAMPAIGN,
        idempotency,
        body=body,
        recovery_hint=_HINT_CLONE,
        about=about,
        exists_after_409=exist_ok,
        invalidates="lists",
    )


def delete_campaign(campaign: Campaign | int, *, missing_ok: bool = False) -> Request[None]:
    """Return the request to delete a campaign and all its related data by its ID.

    The server sends 404 if there is no such campaign. After an attempt that may have run, this is a success.
    """
    campaign_id = checked_id(campaign)
    return Request(
        _DELETE,
        f"{_CAMPAIGN}/{campaign_id}",
        DONE,
        Idempotency.DELETE,
        recovery_hint=_HINT_DELETE,
        about=f"campaign {campaign_id}",
        missing=Missing(None, only_after_run=not missing_ok),
        invalidates=campaign_id,
    )


def delete_campaign_by_name(name: str) -> Request[None]:
    """Return the request to delete by name. Which campaigns the server deletes is not documented."""
    return Request(
        DELETE_BY_NAME,
        _CAMPAIGN,
        DONE,
        Idempotency.NEVER,
        _query(name),
        recovery_hint=_HINT_DELETE_BY_NAME,
        about=f"campaigns named {name!r}",
        invalidates="everything",
    )


_MAX_ID: Final = 2**63 - 1
"""The largest signed integer of 64 bits."""


def checked_id(campaign: Campaign | int) -> int:
    """Return the ID of a campaign; raise ConfigurationError without a valid one."""
    if not isinstance(campaign, Campaign):
        return _positive(campaign, "a campaign's ID", _id_hint)
    if campaign.id is None:
        raise ConfigurationError("this campaign has no ID, because the server's response left it out: pass the ID")
    return _positive(campaign.id, "a campaign's ID", _id_hint)


def _id_hint(value: object) -> str:
    """Return what to do instead of passing this value as a campaign's ID; empty if unknown."""
    match value:
        case str():
            return ": for a name, use get_by_name, find or delete_by_name"
        case ResultCode():
            return ": use its dialler_campaigns_id"
        case Iterable():
            return ": for many campaigns, use result_codes.for_campaigns or fan_out"
        case _:
            return ""


def checked_language(language: int) -> Language:
    """Return the language; raise ConfigurationError for a value that can't be a LanguagesID."""
    # A Language may be any int, also a negative one.
    if type(language) is Language and language > 0:
        return language
    hint = ": use Language.ENGLISH, Language.GERMAN or another LanguagesID"
    return Language(_positive(language, "a language", lambda _: hint))


def checked_languages(languages: Iterable[int]) -> tuple[Language, ...]:
    """Return the languages in the given order, without duplicates; raise ConfigurationError without a valid one."""
    checked = tuple(dict.fromkeys(map(checked_language, languages)))
    require(bool(checked), "languages must contain at least one language")
    return checked


def _positive(value: object, name: str, hint: Callable[[object], str]) -> int:
    """Return the value if it is an int that an ID can be. No message contains the value, so that it can be logged."""
    # A bool is an int in Python, and `True` would mean campaign 1.
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(f"{name} must be an int, not {type(value).__name__[:80]}{hint(value)}")
    # A server responds to larger numbers as if the endpoint did not exist.
    if not 1 <= value <= _MAX_ID:
        raise InvalidInputError(f"{name} must be a positive int of at most {_MAX_ID}")
    return int(value)


def _name_hint(value: object) -> str:
    match value:
        case Campaign():
            return ": use its name"
        case int():
            return ": for an ID, use get or delete"
        case _:
            return ""


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a str, not {type(value).__name__[:80]}{_name_hint(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{name} contains a lone surrogate, which can't be sent: remove it") from None
    # msgspec does not encode subclasses of str, such as the safe text of a template engine.
    return str.__str__(value)


def _name(value: object) -> str:
    name = _text(value, "a campaign's name")
    if not name:
        raise InvalidInputError("a campaign's name must not be empty")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise InvalidInputError("a campaign's name must not contain a control character, such as a tab or a line break")
    return name


def _new_name(value: object) -> str:
    name = _name(value)
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidInputError(
            f"a campaign's name must have at most {MAX_NAME_LENGTH} characters; this name has {len(name)}"
        )
    return name


def _query(name: object) -> str:
    return f"name={quote(_name(name), safe='')}"
