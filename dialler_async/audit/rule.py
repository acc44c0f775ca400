"""A rule about one campaign, and the facts that it gets."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Protocol, TypeAlias

import attrs

from ..errors import require
from ..models import Campaign, Language, Records, ResultCode
from .findings import Basis, CampaignKey, Finding, Severity


@attrs.frozen(kw_only=True)
class CampaignFacts:
    """All facts about one campaign, for the rules.

    Attributes:
        campaign: its record.
        codes: its result codes by language. A language that could not be fetched is not in it.
        failures: why a language could not be fetched. Empty when all were fetched.
        now: the time that dates are compared with, always with a zone.
        template: the campaign that this one is compared with, if any.
    """

    campaign: Campaign
    codes: Mapping[Language, Records[ResultCode]]
    failures: Mapping[Language, Exception]
    now: datetime
    template: "CampaignFacts | None" = None

    @cached_property
    def wire(self) -> Mapping[str, object]:
        """The campaign's record as the server sent it. Cached, because `Campaign.wire` decodes the record each time."""
        return self.campaign.wire

    @cached_property
    def codes_are_complete(self) -> bool:
        """Whether every code of the campaign was fetched in every language, with its ID.

        Only then does a missing code mean that the campaign does not have it.
        """
        return bool(self.codes) and not self.unchecked_languages

    @cached_property
    def unchecked_languages(self) -> tuple[Language, ...]:
        """The requested languages in which not every code was fetched with its ID."""
        incomplete = (
            language for language, records in self.codes.items() if not records.complete or None in map(_id, records)
        )
        return (*self.failures, *incomplete)

    @cached_property
    def by_code(self) -> Mapping[object, Mapping[Language, ResultCode]]:
        """The records of the codes in all languages, by the identity of the code and by language."""
        together: dict[object, dict[Language, ResultCode]] = {}
        for language, records in self.codes.items():
            for code in records:
                identity = _identity(code) if code.id is None else code.id
                if identity not in together:
                    together[identity] = {}
                together[identity][language] = code
        return together

    @cached_property
    def by_export_key(self) -> Mapping[str, Mapping[Language, ResultCode]]:
        """The codes by export key and by language. If several codes share a key, the first code is kept."""
        by_key: dict[str, Mapping[Language, ResultCode]] = {}
        for records in self.by_code.values():
            key = next((code.export_key for code in records.values() if code.export_key), "")
            if key.strip():
                by_key.setdefault(key, records)
        return by_key

    def moment(self, date: datetime) -> datetime:
        """Return a date of the campaign with a zone; see `with_zone`."""
        return with_zone(date, self.now)

    @cached_property
    def dates_are_inverted(self) -> bool:
        """Whether the campaign ends before it begins."""
        begins, ends = self.campaign.dt_from, self.campaign.dt_to
        return begins is not None and ends is not None and self.moment(begins) > self.moment(ends)


def with_zone(date: datetime, now: datetime) -> datetime:
    """Return a date with a zone. A naive date gets the zone of `now`, because the reference states none."""
    return date if date.utcoffset() is not None else date.replace(tzinfo=now.tzinfo)


_id = attrgetter("id")


def _identity(code: ResultCode) -> object:
    """Return the identity of a code without an ID: its translation key, or the record if it has no key, either."""
    return code.short_text or code


_MOST_CAMPAIGNS = 20
"""A finding about more campaigns than this rests on the whole account. Otherwise reports grow quadratically."""


@attrs.frozen
class Violation:
    """What a rule reports about one campaign.

    Attributes:
        subject: see `Finding.subject`.
        message: see `Finding.message`.
        kind: see `Finding.kind`.
        language: see `Finding.language`.
        languages: the languages whose codes it rests on. By default, its language, or all languages of the run.
        campaigns: in a rule about the account, the campaigns that it rests on. By default, all.
        certain: see `Basis.certain`.
        measure: see `Finding.measure`.
    """

    subject: str
    message: str
    kind: str = attrs.field(default="", kw_only=True)
    language: Language | None = attrs.field(default=None, kw_only=True)
    languages: tuple[Language, ...] | None = attrs.field(default=None, kw_only=True)
    campaigns: tuple[CampaignKey, ...] | None = attrs.field(default=None, kw_only=True)
    certain: bool = attrs.field(default=True, kw_only=True)
    measure: int | None = attrs.field(default=None, kw_only=True)


@attrs.frozen(kw_only=True)
class RuleInfo:
    """The description of a rule, for people.

    Attributes:
        id: its name in reports and settings.
        severity: how bad its findings are.
        title: what it finds, in a few words.
        why: which problems it causes.
        fix: what to do.
        account_wide: whether it compares campaigns with each other. An audit of a few campaigns can't show that such
            a finding is gone.
        codes: whether it reads result codes. If not, it also checks a campaign whose codes could not be fetched.
        identity: which of its findings are the same from one report to the next, if that is not obvious.
    """

    id: str
    severity: Severity
    title: str
    why: str
    fix: str
    account_wide: bool = False
    codes: bool = True
    identity: str = ""

    def __attrs_post_init__(self) -> None:
        for name in ("id", "title", "why", "fix"):
            value = getattr(self, name)
            is_text = isinstance(value, str) and bool(value.strip())
            require(is_text, f"the rule “{self.id}” needs a text as its {name}, not {value!r}")

    def finding(self, campaign: "Named | None", violation: Violation, languages: tuple[Language, ...] = ()) -> Finding:
        """Return a finding for a violation of this rule.

        Args:
            campaign: the campaign; None for the whole account.
            violation: what the rule reports.
            languages: the languages in which result codes were requested.
        """
        if violation.languages is not None:
            languages = violation.languages
        elif violation.language is not None:
            languages = (violation.language,)
        campaigns = violation.campaigns if self.account_wide else ()
        if campaigns is not None and len(campaigns) > _MOST_CAMPAIGNS:
            campaigns = None
        return Finding(
            rule=self.id,
            severity=self.severity,
            campaign_id=None if campaign is None else campaign.id,
            campaign_name=None if campaign is None else campaign.name,
            subject=violation.subject,
            message=violation.message,
            kind=violation.kind,
            language=violation.language,
            basis=Basis(languages=languages if self.codes else (), campaigns=campaigns, certain=violation.certain),
            measure=violation.measure,
        )


class Named(Protocol):
    """A campaign, as a record or as a summary."""

    @property
    def id(self) -> int | None:
        """`ID`, if the server sent one."""

    @property
    def name(self) -> str:
        """`Name`."""


Setting: TypeAlias = int | str | Sequence[str]
"""The value of a rule's setting: a number (0 or more), a text, or a list of texts."""

Check = Callable[..., Iterable[Violation]]


@attrs.frozen
class Rule:
    """A rule: its description, and the function that checks one campaign.

    The function is pure: it reads only the facts and its settings, not even a clock.

    Attributes:
        info: the description.
        check: called with `CampaignFacts`, and the settings as keywords.
        settings: the settings that users may change, with their defaults.
    """

    info: RuleInfo
    check: Check
    settings: Mapping[str, Setting] = attrs.field(factory=dict)

    def apply(self, facts: CampaignFacts) -> Iterator[Finding]:
        """Yield the findings of this rule in one campaign."""
        languages = (*facts.codes, *facts.failures)
        for violation in self.check(facts, **self.settings):
            yield self.info.finding(facts.campaign, violation, languages)


def rule(
    id: str,
    severity: Severity,
    *,
    title: str,
    why: str,
    fix: str,
    settings: Mapping[str, Setting] | None = None,
    codes: bool = True,
    identity: str = "",
) -> Callable[[Check], Rule]:
    """Return a decorator that turns a function into a rule. The function takes `CampaignFacts` and yields `Violation`s.

    Args:
        id: its name in reports and settings.
        severity: how bad its findings are.
        title: what it finds, in a few words.
        why: which problems it causes.
        fix: what to do.
        settings: the settings that users may change, with their defaults; the function gets them as keywords.
        codes: see `RuleInfo.codes`.
        identity: see `RuleInfo.identity`.
    """
    info = RuleInfo(id=id, severity=severity, title=title, why=why, fix=fix, codes=codes, identity=identity)
    return lambda check: Rule(info, check, settings or {})
