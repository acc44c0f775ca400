"""The result codes of campaigns, in every language (API reference, "Result codes").

Campaigns share the records of equal codes, and each code stores only its own IDs. Otherwise 10,000 campaigns would need
hundreds of thousands of dicts.
"""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

WireRecord = Mapping[str, Any]
"""A record of a JSON body, with wire names and JSON values."""


@frozen
class Code:
    """A result code of a campaign.

    Attributes:
        id: the ID of the code.
        templates: the record in each language, by LanguagesID.
        campaign_id: the ID of the campaign, which `record` fills in. None for a loaded code, whose records are served
            unchanged.
    """

    id: int
    templates: Mapping[int, WireRecord] = field(repr=False)
    campaign_id: int | None = None

    def record(self, languages_id: int) -> dict[str, Any] | None:
        """Return the wire record in a language, or None if the code doesn't have that language."""
        template = self.templates.get(languages_id)
        if template is None:
            return None
        record = dict(template)
        if self.campaign_id is None:
            return record
        if record.get("Content") == record.get("ShortText"):
            # The real server returns the translation key for a text without a translation.
            record["Content"] = self.short_text
        own = {"ID": self.id, "DiallerCampaignsID": self.campaign_id, "ShortText": self.short_text}
        record.update((key, value) for key, value in own.items() if key in record)
        return record

    def untranslated(self) -> dict[str, Any]:
        """Return the wire record in a language for which the server has no texts."""
        languages_id = min(self.templates)
        record = self.record(languages_id) or {}
        shown = {
            "Content": "ShortText",
            "DiallerResultCodesTypesContent": "DiallerResultCodesTypesShortText",
        }
        record.update((text, record.get(key)) for text, key in shown.items() if text in record)
        return record

    @property
    def short_text(self) -> str:
        """The translation key of the text."""
        return f"DiallerCampaignsResultCodes.{self.id}"

    def copy_with_ids(self, id: int, campaign_id: int) -> "Code":
        """Return a copy with other IDs, as a clone of the campaign gets it."""
        return evolve(self, id=id, campaign_id=campaign_id)

    def with_keys(self, **keys: Any) -> "Code":
        """Return a copy with other values for wire keys, in every language."""
        return evolve(self, templates={key: {**record, **keys} for key, record in self.templates.items()})


def records_in_language(codes: list[Code], languages_id: int) -> list[dict[str, Any]]:
    """Return the records of the codes in a language.

    If only some codes have the language, the others are left out. If none has it, all have translation keys as texts.
    """
    if not any(languages_id in code.templates for code in codes):
        return [code.untranslated() for code in codes]
    records = (code.record(languages_id) for code in codes)
    return [record for record in records if record is not None]
