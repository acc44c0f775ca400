"""How far the result codes have a text, language by language."""

import attrs
from markupsafe import Markup

from ...report import AuditReport
from ...rules import language_name
from .drawing import share_bar


@attrs.frozen(kw_only=True)
class Coverage:
    """One language.

    Attributes:
        language: its name.
        texts: how many codes have a text in it, of those of the campaigns whose codes came in it.
        codes: how many codes these campaigns have.
        whole: campaigns in which every code has a text.
        gaps: campaigns in which some have none.
        unknown: campaigns whose codes did not come in it.
    """

    language: str
    texts: int
    codes: int
    whole: int
    gaps: int
    unknown: int

    @property
    def share(self) -> float:
        """`texts` of `codes`; 1 where there are none."""
        return self.texts / self.codes if self.codes else 1.0

    @property
    def percent(self) -> str:
        """The share in words; 100 % only when it is all of them."""
        return "100 %" if self.texts == self.codes else f"{min(self.share, 0.999):.1%}".replace("%", " %")

    @property
    def bar(self) -> Markup:
        """The share as a drawing."""
        return share_bar(self.share)


def coverage(report: AuditReport) -> list[Coverage]:
    """Every language that was asked for."""
    found = []
    for language in report.languages:
        came = [(campaign.codes, dict(campaign.texts)) for campaign in report.summaries]
        of_it = [(codes, texts[language]) for codes, texts in came if language in texts]
        found.append(
            Coverage(
                language=language_name(language),
                texts=sum(texts for _, texts in of_it),
                codes=sum(codes for codes, _ in of_it),
                whole=sum(texts == codes for codes, texts in of_it),
                gaps=sum(texts != codes for codes, texts in of_it),
                unknown=len(came) - len(of_it),
            )
        )
    return found
