"""Summaries of campaigns. A report keeps them for overviews, instead of whole records."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import starmap
from operator import attrgetter

import attrs

from ..models import Language, ResultCode
from .rule import CampaignFacts, Named

_TRANSLATION_KEYS = "DiallerCampaignsResultCodes."


class CodeType(StrEnum):
    """The type of a result code by its flags."""

    DONE = "done"
    ABORTED = "aborted"
    DELAY = "delay"
    APPOINTMENT = "appointment"
    UNCLEAR = "unclear"
    """Not exactly one of the four, or several codes of different types under one export key."""


@attrs.frozen(kw_only=True)
class CampaignSummary:
    """One campaign in brief. A plain value: it pickles, compares and hashes.

    Attributes:
        id: `ID` of the campaign; None if the server sent none.
        name: its `Name`.
        dt_from: `dtFrom`; naive where the server named no zone.
        dt_to: `dtTo`; naive where the server named no zone.
        codes: how many result codes it has; a code counts once for all languages.
        export_keys: the export keys of its codes, each with the type of its code, in the server's order.
        texts: how many of the codes have a text, by language. A language that could not be fetched is not in it.
        account: name of the account, in reports of several accounts.
        caller_id_active: `bCallerIDActive`; None if the server did not say.
        user_data: `UserData`; None if the server sent none.
    """

    id: int | None
    name: str
    dt_from: datetime | None
    dt_to: datetime | None
    codes: int
    export_keys: tuple[tuple[str, CodeType], ...]
    texts: tuple[tuple[Language, int], ...]
    account: str | None = None
    caller_id_active: bool | None = None
    user_data: str | None = None


def summarise(facts: CampaignFacts) -> CampaignSummary:
    """Return the summary of a campaign."""
    campaign = facts.campaign
    return CampaignSummary(
        id=campaign.id,
        name=campaign.name,
        dt_from=campaign.dt_from,
        dt_to=campaign.dt_to,
        codes=len(facts.by_code),
        export_keys=_export_keys(facts),
        texts=tuple((language, sum(map(has_text, records))) for language, records in facts.codes.items()),
        caller_id_active=campaign.caller_id_active,
        user_data=campaign.user_data,
    )


def order(campaign: Named) -> tuple[bool, int, str]:
    """Return the sort key of a campaign: ID, then name. Campaigns without an ID come last."""
    return campaign.id is None, campaign.id or 0, campaign.name


def _export_keys(facts: CampaignFacts) -> tuple[tuple[str, CodeType], ...]:
    types: dict[str, CodeType] = {}
    for records in facts.by_code.values():
        code = next(iter(records.values()))
        if code.export_key and code.export_key.strip():
            key, type = code.export_key, _type(code)
            types[key] = type if types.get(key, type) is type else CodeType.UNCLEAR
    return tuple(starmap(shared_pair, types.items()))


@lru_cache(maxsize=4096)
def shared_pair(key: str, type: CodeType) -> tuple[str, CodeType]:
    """Return an export key with its type. Thousands of campaigns share a few dozen pairs, so each is kept once."""
    return key, type


def _type(code: ResultCode) -> CodeType:
    values = flags(code)
    return _FLAGGED[values.index(True)] if values.count(True) == 1 else CodeType.UNCLEAR


_FLAGGED = (CodeType.DONE, CodeType.ABORTED, CodeType.DELAY, CodeType.APPOINTMENT)
flags: Callable[[ResultCode], tuple[bool | None, ...]] = attrgetter(*(type.value for type in _FLAGGED))
"""Return the four flags of a code; exactly one of them should be true."""


def has_text(code: ResultCode) -> bool:
    """Return whether agents see words, and not an empty line or a technical key."""
    content = code.content
    if not content or content == code.short_text or content.isspace():
        return False
    return not (content.startswith(_TRANSLATION_KEYS) and content.removeprefix(_TRANSLATION_KEYS).isdecimal())
