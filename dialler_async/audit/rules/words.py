"""How rules speak of what they found."""

from collections.abc import Iterable
from datetime import datetime

from dialler_async.models import Language, ResultCode

from ..summary import CampaignSummary


def language_name(language: Language) -> str:
    """A language as people call it: `English`; `Language 7` for one that has no published name."""
    return language.name.replace("_", " ").capitalize()


def subject(code: ResultCode) -> str:
    """What tells a code apart: its ID; without one, its translation key."""
    return str(code.id) if code.id is not None else code.short_text or "without ID"


def label(code: ResultCode) -> str:
    """A code as people recognise it."""
    return f"code {subject(code)}" + (f" ({code.export_key})" if code.export_key else "")


def called(campaign: CampaignSummary) -> str:
    """Another campaign, within a sentence."""
    return "a campaign without ID" if campaign.id is None else f"campaign {campaign.id}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def some(words: Iterable[str], most: int = 3) -> str:
    """The same for any number of words: `a, b, c and 17 more`."""
    all_words = list(words)
    rest = len(all_words) - most
    return listed(all_words if rest < 2 else [*all_words[:most], f"{rest:,} more"])


def shown(date: datetime) -> str:
    """A date to the minute; a naive one is marked, as it was taken for local time."""
    return date.isoformat(sep=" ", timespec="minutes") + ("" if date.utcoffset() is not None else " (local time)")
