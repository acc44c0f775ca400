"""A rule about the whole account, and the facts that it gets."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import attrs

from .findings import Finding, Severity
from .rule import RuleInfo, Setting, Violation
from .summary import CampaignSummary


@attrs.frozen(kw_only=True)
class AccountFacts:
    """All facts about an account, for the rules: a summary of every campaign.

    Attributes:
        campaigns: ordered by ID, then name; campaigns without an ID come last.
        now: the time that dates are compared with, always with a zone.
    """

    campaigns: tuple[CampaignSummary, ...]
    now: datetime


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
            yield campaign, self.info.finding(campaign, violation)


def account_rule(
    id: str, severity: Severity, *, title: str, why: str, fix: str, settings: Mapping[str, Setting] | None = None
) -> Callable[[AccountCheck], AccountRule]:
    """Return a decorator that turns a function into a rule.

    The function takes `AccountFacts` and yields campaigns with `Violation`s. The arguments are the same as for `rule`.
    """
    info = RuleInfo(id=id, severity=severity, title=title, why=why, fix=fix, account_wide=True)
    return lambda check: AccountRule(info, check, settings or {})
