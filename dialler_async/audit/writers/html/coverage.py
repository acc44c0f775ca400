"""How many result codes have a text, by language."""

from collections.abc import Iterable

import attrs
from markupsafe import Markup

from ....models import Language
from ...rules import language_name
from ...summary import CampaignSummary
from .drawing import share_bar


@attrs.frozen(kw_only=True)
class Coverage:
    """One language.

    Attributes:
        language: its name.
        texts: number of codes that have a text in it.
        codes: number of codes of all campaigns whose codes were fetched in it.
        whole: number of campaigns in which every code has a text.
        gaps: number of campaigns in which some codes have no text.
        unknown: number of campaigns whose codes were not fetched in it.
    """

    language: str
    texts: int
    codes: int
    whole: int
    gaps: int
    unknown: int

    @property
    def share(self) -> float:
        """`texts` divided by `codes`; 0 if there are no codes."""
        return self.texts / self.codes if self.codes else 0.0

    @property
    def percent(self) -> str:
        """The share in words; 100 % only if all codes have a text, and there are any."""
        if not self.codes:
            return "no codes"
        return "100 %" if self.texts == self.codes else f"{min(self.share, 0.999):.1%}".replace("%", " %")

    @property
    def bar(self) -> Markup:
        """The share as a drawing."""
        return share_bar(self.share)


def coverage(languages: Iterable[Language], campaigns: Iterable[CampaignSummary]) -> list[Coverage]:
    """Return the coverage of every requested language."""
    found = []
    fetched = [(campaign.codes, dict(campaign.texts)) for campaign in campaigns]
    for language in languages:
        in_language = [(codes, texts[language]) for codes, texts in fetched if language in texts]
        found.append(
            Coverage(
                language=language_name(language),
                texts=sum(texts for _, texts in in_language),
                codes=sum(codes for codes, _ in in_language),
                whole=sum(texts == codes for codes, texts in in_language),
                gaps=sum(texts != codes for codes, texts in in_language),
                unknown=len(fetched) - len(in_language),
            )
        )
    return found
