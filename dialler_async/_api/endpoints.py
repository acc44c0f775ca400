"""The whole API on one page: seven pure functions, each returns a `Request`.

Source: API reference, "The seven calls". Mind the asymmetry there: a campaign is read at `campaigns/{ID}`, but deleted
(and its result codes are read) at `campaigns/campaign/{ID}`.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Generic, TypeVar, final
from urllib.parse import quote

import attrs

from ..errors import ConfigurationError, SentRequest, require
from ..models import Campaign, Language, Records, ResultCode
from .dates import format_date, time_between
from .decoding import CAMPAIGN, CAMPAIGN_SLICES, CAMPAIGNS, DONE, PARTIAL_CAMPAIGNS, RESULT_CODES, ResponseDecoder
from .partial_records import PartialRecords

T = TypeVar("T")

MAX_NAME_LENGTH: Final = 64
"""Characters that a campaign's name holds on the server (API reference, "Campaign records": stated)."""


class Idempotency(Enum):
    """Whether a request may be sent again after an attempt that may have run."""

    SAFE = "idempotent: running it twice is the same as once"
    GONE_MEANS_DONE = "idempotent, but the second run finds nothing and answers 404"
    NEVER = "not idempotent: a second run may change another campaign"
    UNKNOWN = "unknown to this library, so nothing is retried, whatever the method"


@final
@attrs.frozen
class Request(Generic[T]):
    """One call, ready to be sent.

    Attributes:
        sent: HTTP method and path template, which is all that errors and logs tell of it.
        path: path below the base URL, percent-encoded, with its leading slash.
        query: query, percent-encoded, without the question mark; empty for none.
        body: what is sent as JSON; None for no body.
        decoder: what turns the body of a 200 into the result.
        idempotency: whether it may be sent again after an attempt that may have run.
        recovery_hint: how a caller finds out whether a write of unknown outcome ran.
        about: the campaign that the call is about, for the caller's errors; never for logs and traces.
        expected_id: the campaign that the response must be about, where it names one; None for any.
    """

    sent: SentRequest
    path: str
    decoder: ResponseDecoder[T]
    idempotency: Idempotency = Idempotency.SAFE
    query: str = ""
    body: object = None
    recovery_hint: str = ""
    about: str = ""
    expected_id: int | None = None

    @property
    def method(self) -> str:
        """HTTP method."""
        return self.sent.method

    @property
    def is_write(self) -> bool:
        """Whether it may change something on the server. This server has functions that do so on a GET."""
        return self.sent.method != "GET" or self.idempotency is Idempotency.UNKNOWN


_CAMPAIGNS = "/dialler/campaigns"
_ONE = "/dialler/campaigns/campaign"

_LIST = SentRequest("GET", _CAMPAIGNS)
_GET = SentRequest("GET", f"{_CAMPAIGNS}/{{DiallerCampaignsID}}")
_FIND = SentRequest("GET", _ONE)
_RESULT_CODES = SentRequest("GET", f"{_ONE}/{{DiallerCampaignsID}}/resultCodes")
_CLONE = SentRequest("POST", f"{_CAMPAIGNS}/clone")
_DELETE = SentRequest("DELETE", f"{_ONE}/{{DiallerCampaignsID}}")
DELETE_BY_NAME = SentRequest("DELETE", _ONE)

_HINT_CLONE = "`campaigns.get_by_name(destination)` finds the clone if it did; reads may lag behind writes"
_HINT_DELETE = "`campaigns.get(campaign)` raises NotFoundError if it did; reads may lag behind writes"
_HINT_DELETE_BY_NAME = "`campaigns.find(name)` returns the campaigns that are left; reads may lag behind writes"


def list_campaigns() -> Request[Records[Campaign]]:
    """All campaigns of the account, whole, in one answer."""
    return Request(_LIST, _CAMPAIGNS, CAMPAIGNS)


def list_campaigns_in_slices() -> Request[Iterator[list[Campaign]]]:
    """The same call, answered with the campaigns slice by slice."""
    return Request(_LIST, _CAMPAIGNS, CAMPAIGN_SLICES)


def list_partial_campaigns() -> Request[PartialRecords[Campaign]]:
    """The same call, where a record that is not as documented costs only itself."""
    return Request(_LIST, _CAMPAIGNS, PARTIAL_CAMPAIGNS)


def get_campaign(campaign: Campaign | int) -> Request[Campaign]:
    """One campaign by its ID; 404 if absent."""
    campaign_id = checked_id(campaign)
    return Request(
        _GET, f"{_CAMPAIGNS}/{campaign_id}", CAMPAIGN, expected_id=campaign_id, about=f"campaign {campaign_id}"
    )


def find_campaigns(name: str) -> Request[Records[Campaign]]:
    """Campaigns whose name holds a text: a partial match, which may return several."""
    return Request(_FIND, _ONE, CAMPAIGNS, query=f"name={_encoded(_name(name))}", about=f"campaigns named {name!r}")


def list_result_codes(campaign: Campaign | int, language: int) -> Request[Records[ResultCode]]:
    """The result codes of a campaign, with their texts in one language."""
    query = f"languagesID={checked_language(language)}"
    campaign_id = checked_id(campaign)
    path = f"{_ONE}/{campaign_id}/resultCodes"
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
    """A copy of a campaign, without its contacts. With `exist_ok` the caller takes a 409 for done, so it may repeat."""
    body = {"source": _name(source), "destination": _new_name(destination)}
    if user_data is not None:
        body["userData"] = _text(user_data, "user_data")
    if dt_from is not None:
        body["dtFrom"] = format_date(dt_from)
    if dt_to is not None:
        body["dtTo"] = format_date(dt_to)
    if dt_from is not None and dt_to is not None and time_between(dt_from, dt_to) < timedelta():
        dates = f"dt_to {dt_to.isoformat()} is before dt_from {dt_from.isoformat()}"
        raise ConfigurationError(f"{dates}: the campaign would end before it begins")
    idempotency = Idempotency.SAFE if exist_ok else Idempotency.NEVER
    about = f"clone of {source!r} as {destination!r}"
    return Request(
        _CLONE, f"{_CAMPAIGNS}/clone", CAMPAIGN, idempotency, body=body, recovery_hint=_HINT_CLONE, about=about
    )


def delete_campaign(campaign: Campaign | int) -> Request[None]:
    """Deletes a campaign and all its related data by its ID; 404 if absent."""
    id = checked_id(campaign)
    idempotency = Idempotency.GONE_MEANS_DONE
    return Request(_DELETE, f"{_ONE}/{id}", DONE, idempotency, recovery_hint=_HINT_DELETE, about=f"campaign {id}")


def delete_campaign_by_name(name: str) -> Request[None]:
    """Deletes by name, whatever the server takes that to match: which one of several is not documented."""
    query = f"name={_encoded(_name(name))}"
    about = f"campaigns named {name!r}"
    return Request(
        DELETE_BY_NAME, _ONE, DONE, Idempotency.NEVER, query, recovery_hint=_HINT_DELETE_BY_NAME, about=about
    )


MOST: Final = 2**63 - 1
"""The largest ID that any server can hold: a signed integer of 64 bits."""


def checked_id(campaign: Campaign | int) -> int:
    """The ID that a call goes by; ConfigurationError if there is none or it can't be one."""
    if not isinstance(campaign, Campaign):
        return _positive(campaign, "a campaign's ID")
    if campaign.id is None:
        raise ConfigurationError("this campaign has no ID: the server's answer left it out, so no call can go by it")
    return _positive(campaign.id, "a campaign's ID")


def checked_language(language: int) -> Language:
    """The language that a call asks for; ConfigurationError for what can't be a LanguagesID."""
    # A Language may be any int.
    return language if type(language) is Language and language > 0 else Language(_positive(language, "a LanguagesID"))


def checked_languages(languages: Iterable[int]) -> tuple[Language, ...]:
    """Return the languages in their order, each once.

    Raises:
        ConfigurationError: There is none, or one can't be a LanguagesID.
    """
    checked = tuple(dict.fromkeys(map(checked_language, languages)))
    require(bool(checked), "at least one language is needed")
    return checked


def _positive(value: object, what: str) -> int:
    # A server answers larger numbers as if the endpoint did not exist. Their text may be too long for Python to make.
    if isinstance(value, int) and abs(value) > MOST:
        raise ConfigurationError(f"{what} is a positive int of at most {MOST}: no server holds a larger one")
    # bool is an int to Python, and `True` would quietly mean campaign 1.
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{what} is a positive int, not {value!r}")
    return int(value)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} is a str, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what} holds a lone surrogate, which no server can be sent") from None
    # A plain str, whatever subclass it was (a template engine's safe text, say): JSON encodes no other.
    return str.__str__(value)


def _name(value: object) -> str:
    name = _text(value, "a campaign's name")
    if not name:
        raise ConfigurationError("a campaign's name is empty")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ConfigurationError("a campaign's name holds a control character, such as a tab or a line break")
    return name


def _new_name(value: object) -> str:
    name = _name(value)
    if len(name) > MAX_NAME_LENGTH:
        raise ConfigurationError(
            f"a campaign's name holds up to {MAX_NAME_LENGTH} characters on the server, and this one has {len(name)}"
        )
    return name


def _encoded(text: str) -> str:
    return quote(text, safe="")
