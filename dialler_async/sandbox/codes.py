"""The result codes of a campaign, in every language (API reference, "Result codes").

Ten thousand campaigns with a dozen codes in two languages would be hundreds of thousands of dicts. So campaigns share
templates, and each code stores only its own IDs.
"""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

WireRecord = Mapping[str, Any]
"""A record as in a JSON body: wire names and JSON values."""


@frozen
class Code:
    """One result code of one campaign.

    Attributes:
        id: ID of the code.
        templates: the record in each language, by LanguagesID.
        campaign_id: ID of the campaign; `record` fills in the keys that depend on it. None for a code that was loaded:
            its records are served as they are.
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
            # Without a translation, the server shows the translation key as the text.
            record["Content"] = self.short_text
        own = {"ID": self.id, "DiallerCampaignsID": self.campaign_id, "ShortText": self.short_text}
        record.update((key, value) for key, value in own.items() if key in record)
        return record

    def untranslated(self) -> dict[str, Any]:
        """Return the wire record in a language that the installation has no texts for."""
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
        """The translation key of the text that agents choose."""
        return f"DiallerCampaignsResultCodes.{self.id}"

    def copied(self, id: int, campaign_id: int) -> "Code":
        """Return the copy for a clone: the IDs are new, everything else stays, also the export key."""
        return evolve(self, id=id, campaign_id=campaign_id)

    def changed(self, **keys: Any) -> "Code":
        """Return the code with other values for wire keys, in every language."""
        return evolve(self, templates={key: {**record, **keys} for key, record in self.templates.items()})


def records_in(codes: list[Code], languages_id: int) -> list[dict[str, Any]]:
    """Return the records of the codes as they are served in a language.

    If no code has the language, all are served with their translation keys as texts. If only some have it, the others
    are missing.
    """
    if not any(languages_id in code.templates for code in codes):
        return [code.untranslated() for code in codes]
    served = (code.record(languages_id) for code in codes)
    return [record for record in served if record is not None]
