"""Words that the messages of rules share."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from ..._text.moments import to_minute
from ...models import Language, ResultCode
from ..findings import CampaignKey, campaign_key
from ..summary import CampaignSummary


def language_name(language: Language) -> str:
    """Return the name of a language: `English`; `Language 7` for a language without a published name."""
    return language.name.replace("_", " ").capitalize()


def subject(code: ResultCode) -> str:
    """Return the ID of a code, or its translation key if it has no ID."""
    return str(code.id) if code.id is not None else code.short_text or "without ID"


def code_label(code: ResultCode) -> str:
    """Return a code in words, such as `code 2490 (ABG)`."""
    return f"code {subject(code)}" + (f" ({code.export_key})" if code.export_key else "")


def campaign_label(campaign: CampaignSummary) -> str:
    """Return another campaign in words, such as `campaign 535`."""
    return "a campaign without ID" if campaign.id is None else f"campaign {campaign.id}"


def cause(error: Exception) -> str:
    """Return an error in words, without the path of its request: the finding names the campaign."""
    return str(error).removeprefix(f"{getattr(error, 'request', None)}: ") or type(error).__name__


def keys_of(campaigns: Iterable[CampaignSummary]) -> tuple[CampaignKey, ...]:
    """Return what the campaigns are recognised by."""
    return tuple(campaign_key(campaign.id, campaign.name) for campaign in campaigns)


def join_words(words: list[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def shorten_list(words: Iterable[str], most: int = 3) -> str:
    """Return a list of any length in words, shortened if it is long: `a, b, c and 17 more`."""
    all_words = list(words)
    rest = len(all_words) - most
    return join_words(all_words if rest < 2 else [*all_words[:most], f"{rest:,} more"])


def name_equal_campaigns(campaign: CampaignSummary, same: Sequence[CampaignSummary]) -> str:
    """Return the other campaigns that share something with a campaign, in words. Many campaigns are counted."""
    # The first four are enough to name three, so that thousands of equal campaigns don't take quadratic time.
    named = [other for other in same[:4] if other is not campaign][:3]
    rest = len(same) - 1 - len(named)
    return join_words([*map(campaign_label, named), *([f"{rest:,} more"] if rest else [])])


def format_minute(date: datetime) -> str:
    """Return a date to the minute. A naive date is marked, because it is treated as local time."""
    return to_minute(date) + ("" if date.utcoffset() is not None else " (local time)")
