"""What rules about the whole account are given to judge, and what such a rule is."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import attrs

from .findings import Finding, Severity
from .rule import RuleInfo, Setting, Violation
from .summary import CampaignSummary


@attrs.frozen(kw_only=True)
class AccountFacts:
    """All that is known of an account when each of its campaigns has been judged: every campaign in brief.

    Attributes:
        campaigns: ordered by ID, then name; those without an ID last.
        now: the moment of judgement, always with a zone.
    """

    campaigns: tuple[CampaignSummary, ...]
    now: datetime


AccountCheck = Callable[..., Iterable[tuple[CampaignSummary, Violation]]]


@attrs.frozen
class AccountRule:
    """A rule that compares campaigns: what people are told of it, and the function that judges all of them at once.

    The function is pure. Each of its hits is of one campaign.

    Attributes:
        info: what people are told.
        check: called with `AccountFacts`, and the settings as keywords.
        settings: what users may set, with its default.
    """

    info: RuleInfo
    check: AccountCheck
    settings: Mapping[str, Setting] = attrs.field(factory=dict)

    def apply(self, account: AccountFacts) -> Iterator[tuple[CampaignSummary, Finding]]:
        """What this rule finds, and in which campaigns."""
        for campaign, violation in self.check(account, **self.settings):
            yield campaign, self.info.finding(campaign, violation)


def account_rule(
    id: str, severity: Severity, *, title: str, why: str, fix: str, settings: Mapping[str, Setting] | None = None
) -> Callable[[AccountCheck], AccountRule]:
    """Make a rule of a function from `AccountFacts` to campaigns with `Violation`s; arguments as for `rule`."""
    info = RuleInfo(id=id, severity=severity, title=title, why=why, fix=fix)
    return lambda check: AccountRule(info, check, settings or {})
