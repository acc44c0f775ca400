"""What an audit did not check. The states of findings follow from this: what was not checked is never gone. Pure."""

from collections.abc import Iterable, Iterator, Mapping

import attrs

from ..models import Language
from .findings import CampaignKey, Finding, campaign_key
from .rule import Named, RuleInfo
from .rules import RULE_FAILED, RUN_RULES, UNUSED_ACCEPTANCE
from .rules.words import join_words, language_name
from .selection import name_matches


@attrs.frozen(kw_only=True)
class NotChecked:
    """A part of an account that a run did not check. A run checked everything that no such part covers.

    - With a `rule`: the findings of this rule.
    - With a `campaign_name`: this campaign; with `languages`, only its result codes in these languages.
    - With neither: every campaign that the report does not contain, such as those that a shortened list lacks.

    Attributes:
        reason: the reason, in words.
        rule: ID of the rule that could not be applied to every campaign.
        campaign_id: `ID` of the campaign; None if it is unknown.
        campaign_name: `Name` of the campaign.
        languages: the languages; empty if not even the campaign's record could be checked.
        account: name of the account, in reports of several accounts.
    """

    reason: str
    rule: str | None = None
    campaign_id: int | None = None
    campaign_name: str | None = None
    languages: tuple[Language, ...] = ()
    account: str | None = None


class Coverage:
    """What a run checked of one account, for `with_states`.

    Args:
        rules: the rules that were applied.
        languages: the languages in which result codes were requested.
        campaigns: the campaigns whose records were checked.
        not_checked: the parts of the account that were not checked.
        scope: which campaigns were chosen, in words; None for all.
    """

    def __init__(
        self,
        *,
        rules: Iterable[RuleInfo],
        languages: Iterable[Language],
        campaigns: Iterable[Named],
        not_checked: Iterable[NotChecked],
        scope: str | None = None,
    ) -> None:
        self.rules: Mapping[str, RuleInfo] = {info.id: info for info in (*RUN_RULES, *rules)}
        """The rules that were applied, by ID."""
        self._languages = frozenset(languages)
        self.campaigns: Mapping[CampaignKey, str] = {campaign_key(one.id, one.name): one.name for one in campaigns}
        """The names of the campaigns whose records were checked."""
        self._failed_rules: dict[str, str] = {}
        self._incomplete: dict[CampaignKey, list[NotChecked]] = {}
        self._unidentified: dict[str, str] = {}
        self._rest = None if scope is None else f"only part of the account was checked: {scope}"
        for part in not_checked:
            if part.rule is not None:
                self._failed_rules[part.rule] = part.reason
            elif part.campaign_name is None:
                self._rest = part.reason
            else:
                key = campaign_key(part.campaign_id, part.campaign_name)
                self._incomplete.setdefault(key, []).append(part)
                if (part.campaign_id or 0) < 1:
                    self._unidentified[part.campaign_name] = part.reason

    def why_not_checked(self, finding: Finding) -> str | None:
        """Return why this run could not have found a finding again, in words; None if it could.

        Args:
            finding: a finding of an earlier run.
        """
        info = self.rules.get(finding.rule)
        if info is None:
            return "its rule was not applied"
        if (reason := self._failed_rules.get(finding.rule)) is not None:
            return reason
        if finding.campaign_name is None:
            return self._why_not_account(finding)
        languages = finding.basis.languages
        reason = self.why_campaign_not_checked(finding.campaign, finding.campaign_name, languages)
        if reason is not None or finding.campaign not in self.campaigns:
            return reason
        if finding.basis.campaigns is None:
            return self._rest or self._why_not_all(languages)
        reasons = (self.why_campaign_not_checked(other, None, languages) for other in finding.basis.campaigns)
        return next(filter(None, reasons), None)

    def named_like(self, pattern: str) -> Iterator[tuple[CampaignKey, str]]:
        """Yield the campaigns whose names match a pattern, checked or not: what each is recognised by, and its name."""
        not_checked = {key: parts[0].campaign_name or "" for key, parts in self._incomplete.items()}
        for key, name in {**not_checked, **self.campaigns}.items():
            if name_matches(name, pattern):
                yield key, name

    def why_campaign_not_checked(
        self, key: CampaignKey, name: str | None = None, languages: Iterable[Language] = ()
    ) -> str | None:
        """Return why a campaign was not checked, in words; None if it was, or if it does not exist.

        Args:
            key: what it is recognised by.
            name: its `Name`, if it is known. A campaign that came without its ID may have this name.
            languages: the languages in which its result codes are needed.
        """
        parts = self._incomplete.get(key, ())
        for part in parts:
            if not part.languages or not set(part.languages).isdisjoint(languages):
                return part.reason
        if key in self.campaigns:
            return self._why_not_languages(languages)
        # A campaign that came without its ID may be the one that is looked for.
        unidentified = self._unidentified
        return self._rest or (next(iter(unidentified.values()), None) if name is None else unidentified.get(name))

    def _why_not_account(self, finding: Finding) -> str | None:
        if finding.rule == RULE_FAILED.id and finding.subject not in self.rules:
            return "the rule was not applied"
        if finding.rule in (RULE_FAILED.id, UNUSED_ACCEPTANCE.id):
            return self._rest or self._why_not_all(tuple(self._languages))
        return self._rest

    def _why_not_languages(self, languages: Iterable[Language]) -> str | None:
        lacking = [language_name(language) for language in languages if language not in self._languages]
        return f"no result codes were requested in {join_words(lacking)}" if lacking else None

    def _why_not_all(self, languages: Iterable[Language]) -> str | None:
        """Return why a campaign of the report was not checked; None if all were."""
        wanted = set(languages)
        for parts in self._incomplete.values():
            for part in parts:
                if not part.languages or not wanted.isdisjoint(part.languages):
                    return part.reason
        return self._why_not_languages(languages)
