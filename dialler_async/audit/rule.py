"""What a rule is, and what it is given to judge."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Protocol, TypeAlias

import attrs

from dialler_async.models import Campaign, Language, Records, ResultCode

from .findings import Finding, Severity


@attrs.frozen(kw_only=True)
class CampaignFacts:
    """All that is known of one campaign when the rules judge it.

    Attributes:
        campaign: its record.
        codes: its result codes by language. A language that could not be fetched is not in it.
        failures: why a language could not be fetched. Empty when all came.
        now: the moment of judgement, always with a zone.
        template: the campaign that this one is to be compared with, if any.
    """

    campaign: Campaign
    codes: Mapping[Language, Records[ResultCode]]
    failures: Mapping[Language, Exception]
    now: datetime
    template: "CampaignFacts | None" = None

    @cached_property
    def codes_are_whole(self) -> bool:
        """Whether every code of the campaign is here, in every language, and can be told by its ID.

        Only then does "it is not among them" mean that the campaign does not have it.
        """
        return (
            bool(self.codes)
            and not self.failures
            and all(records.complete for records in self.codes.values())
            and all(code.id is not None for records in self.codes.values() for code in records)
        )

    @cached_property
    def by_code(self) -> Mapping[object, Mapping[Language, ResultCode]]:
        """The codes of all languages, brought together: what tells a code apart -> language -> its record there."""
        together: dict[object, dict[Language, ResultCode]] = {}
        for language, records in self.codes.items():
            for code in records:
                together.setdefault(_identity(code), {})[language] = code
        return together

    @cached_property
    def by_export_key(self) -> Mapping[str, Mapping[Language, ResultCode]]:
        """The codes that have an export key: the key -> language -> its record there. Of several, the first."""
        by_key: dict[str, Mapping[Language, ResultCode]] = {}
        for records in self.by_code.values():
            key = next((code.export_key for code in records.values() if code.export_key), "")
            if key.strip():
                by_key.setdefault(key, records)
        return by_key

    def moment(self, date: datetime) -> datetime:
        """A date of the campaign in a form that compares with any other.

        A naive one is taken as local wall time, in the zone of `now`. No page of the reference states the zone.
        """
        return date if date.utcoffset() is not None else date.replace(tzinfo=self.now.tzinfo)


def _identity(code: ResultCode) -> object:
    """The ID; without one, the translation key, which is the same in every language; without both, the record."""
    return code.id if code.id is not None else code.short_text or code


@attrs.frozen
class Violation:
    """What a rule says of one campaign.

    Attributes:
        subject: see `Finding.subject`.
        message: see `Finding.message`.
    """

    subject: str
    message: str


@attrs.frozen(kw_only=True)
class RuleInfo:
    """What people are told of a rule.

    Attributes:
        id: its name in reports and settings.
        severity: how bad its findings are.
        title: what it finds, in a few words.
        why: what goes wrong if nobody mends it.
        fix: what to do.
    """

    id: str
    severity: Severity
    title: str
    why: str
    fix: str

    def finding(self, campaign: "Named | None", violation: Violation) -> Finding:
        """A violation of this rule as a finding; without a campaign, it is about the whole account."""
        return Finding(
            rule=self.id,
            severity=self.severity,
            campaign_id=None if campaign is None else campaign.id,
            campaign_name=None if campaign is None else campaign.name,
            subject=violation.subject,
            message=violation.message,
        )


class Named(Protocol):
    """A campaign, whole or in brief."""

    @property
    def id(self) -> int | None:
        """`ID`, if the server sent one."""

    @property
    def name(self) -> str:
        """`Name`."""


Setting: TypeAlias = int | str | Sequence[str]
"""What the setting of a rule can be: a number (0 or more), a text, or a list of texts."""

Check = Callable[..., Iterable[Violation]]


@attrs.frozen
class Rule:
    """A rule: what people are told of it, and the function that judges one campaign.

    The function is pure: it reads nothing but the facts and its settings, not even a clock.

    Attributes:
        info: what people are told.
        check: called with `CampaignFacts`, and the settings as keywords.
        settings: what users may set, with its default.
    """

    info: RuleInfo
    check: Check
    settings: Mapping[str, Setting] = attrs.field(factory=dict)

    def apply(self, facts: CampaignFacts) -> Iterator[Finding]:
        """What this rule finds in one campaign."""
        for violation in self.check(facts, **self.settings):
            yield self.info.finding(facts.campaign, violation)


def rule(
    id: str, severity: Severity, *, title: str, why: str, fix: str, settings: Mapping[str, Setting] | None = None
) -> Callable[[Check], Rule]:
    """Make a rule of a function from `CampaignFacts` to `Violation`s.

    Args:
        id: its name in reports and settings.
        severity: how bad its findings are.
        title: what it finds, in a few words.
        why: what goes wrong if nobody mends it.
        fix: what to do.
        settings: what users may set, with its default; the function gets them as keywords.
    """
    info = RuleInfo(id=id, severity=severity, title=title, why=why, fix=fix)
    return lambda check: Rule(info, check, settings or {})
