"""A rule about the whole account, and the facts that it gets."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import attrs

from ..models import Language
from .findings import Finding, Severity
from .rule import RuleInfo, Setting, Violation
from .summary import CampaignSummary


@attrs.frozen(kw_only=True)
class AccountFacts:
    """All facts about an account, for the rules: a summary of every campaign.

    Attributes:
        campaigns: ordered by ID, then name; campaigns without an ID come last.
        now: the time that dates are compared with, always with a zone.
        languages: the languages in which result codes were requested.
        missing: how many campaigns of the account are not in `campaigns`, because they were not sent, not as documented
            or not chosen. A rule that goes by a majority must count them for the other side.
        without_codes: how many of `campaigns` have result codes that could not be checked.
    """

    campaigns: tuple[CampaignSummary, ...]
    now: datetime
    languages: tuple[Language, ...] = ()
    missing: int = 0
    without_codes: int = 0


AccountCheck = Callable[..., Iterable[tuple[CampaignSummary, Violation]]]


@attrs.frozen
class AccountRule:
    """A rule that compares campaigns: its description, and the function that checks all of them at once.

    The function is pure. Each violation that it yields belongs to one campaign.

    Attributes:
        info: the description.
        check: called with `AccountFacts`, and the settings as keywords.
        settings: the settings that users may change, with their defaults.
    """

    info: RuleInfo
    check: AccountCheck
    settings: Mapping[str, Setting] = attrs.field(factory=dict)

    def apply(self, account: AccountFacts) -> Iterator[tuple[CampaignSummary, Finding]]:
        """Yield the findings of this rule, each with its campaign."""
        for campaign, violation in self.check(account, **self.settings):
            yield campaign, self.info.finding(campaign, violation, account.languages)


def account_rule(
    id: str,
    severity: Severity,
    *,
    title: str,
    why: str,
    fix: str,
    settings: Mapping[str, Setting] | None = None,
    codes: bool = True,
) -> Callable[[AccountCheck], AccountRule]:
    """Return a decorator that turns a function into a rule.

    The function takes `AccountFacts` and yields campaigns with `Violation`s. The arguments are the same as for `rule`.
    """
    info = RuleInfo(id=id, severity=severity, title=title, why=why, fix=fix, account_wide=True, codes=codes)
    return lambda check: AccountRule(info, check, settings or {})
