"""A campaign's result code, kept once and served in any language (API reference, "Result codes").

Ten thousand campaigns with a dozen codes in two languages would be hundreds of thousands of dicts.
So campaigns share the templates that say what a code is, and only the key is a campaign's own.
"""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

WireRecord = Mapping[str, Any]
"""A record as it stands in a JSON body: wire names, JSON values."""


@frozen
class Code:
    """One result code of one campaign.

    `templates` holds the record for each language (by LanguagesID) in which there is one.
    With a `campaign_id`, the keys that are the campaign's own are put in when it is served; without
    one the record was given from outside and is served as it stands.
    """

    id: int
    templates: Mapping[int, WireRecord] = field(repr=False)
    campaign_id: int | None = None

    def record(self, languages_id: int) -> dict[str, Any] | None:
        """The wire record in a language; None where it exists, but not in that language."""
        template = self.templates.get(languages_id)
        if template is None:
            return None
        record = dict(template)
        if self.campaign_id is None:
            return record
        if record.get("Content") == record.get("ShortText"):
            # Nobody translated it: the server then shows the translation key as the text.
            record["Content"] = self.short_text
        own = {"ID": self.id, "DiallerCampaignsID": self.campaign_id, "ShortText": self.short_text}
        record.update((key, value) for key, value in own.items() if key in record)
        return record

    def untranslated(self) -> dict[str, Any]:
        """The wire record in a language that the installation has no texts for."""
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
        """The translation key of the text that agents pick."""
        return f"DiallerCampaignsResultCodes.{self.id}"

    def copied(self, id: int, campaign_id: int) -> "Code":
        """The copy that a clone gets: another ID, everything else alike, the export key too."""
        return evolve(self, id=id, campaign_id=campaign_id)

    def changed(self, **keys: Any) -> "Code":
        """The code with wire keys set to other values in every language."""
        return evolve(self, templates={key: {**record, **keys} for key, record in self.templates.items()})


def records_in(codes: list[Code], languages_id: int) -> list[dict[str, Any]]:
    """The codes as they are served for `languages_id`.

    In a language that none of them knows, all come with their translation keys for texts; in one
    that only some know, the others are missing.
    """
    if not any(languages_id in code.templates for code in codes):
        return [code.untranslated() for code in codes]
    served = (code.record(languages_id) for code in codes)
    return [record for record in served if record is not None]
