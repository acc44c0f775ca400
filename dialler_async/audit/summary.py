"""Summaries of campaigns, which a report keeps for overviews in place of whole records."""

import re
import sys
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from operator import attrgetter

import attrs

from dialler_async.models import Language, ResultCode

from .rule import CampaignFacts, Named

_TRANSLATION_KEY = re.compile(r"DiallerCampaignsResultCodes\.\d+")


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
    """Return the sort key of a campaign: ID, then name; those without an ID last."""
    return campaign.id is None, campaign.id or 0, campaign.name


def _export_keys(facts: CampaignFacts) -> tuple[tuple[str, CodeType], ...]:
    types: dict[str, CodeType] = {}
    for records in facts.by_code.values():
        key, type = _key_and_type(records)
        if key is not None:
            types[key] = type if types.get(key, type) is type else CodeType.UNCLEAR
    return tuple(types.items())


def _key_and_type(records: Mapping[Language, ResultCode]) -> tuple[str | None, CodeType]:
    code = next(iter(records.values()))
    if not code.export_key or not code.export_key.strip():
        return None, CodeType.UNCLEAR
    flags = [type for type, flag in zip(_FLAGGED, _flags(code), strict=True) if flag]
    # Thousands of campaigns share a few dozen keys.
    return sys.intern(code.export_key), flags[0] if len(flags) == 1 else CodeType.UNCLEAR


_FLAGGED = (CodeType.DONE, CodeType.ABORTED, CodeType.DELAY, CodeType.APPOINTMENT)
_flags = attrgetter(*(type.value for type in _FLAGGED))


def has_text(code: ResultCode) -> bool:
    """Return whether agents see words, and not an empty line or a technical key."""
    content = code.content
    return bool(content and content.strip() and content != code.short_text and not _TRANSLATION_KEY.fullmatch(content))
