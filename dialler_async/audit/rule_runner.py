"""Apply the rules to one campaign after the other, and collect their findings. Pure."""

import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import attrs

from .._api.partial_records import PartialRecords, campaign_of
from ..errors import DiallerError
from ..models import Campaign, Language, Records, ResultCode
from .account import AccountFacts, AccountRule
from .coverage import NotChecked
from .findings import Finding
from .identity import AccountIdentity
from .options import AuditOptions
from .report import AuditReport, SortKey
from .rule import CampaignFacts, Rule, Violation
from .rules import (
    INCOMPLETE_LIST,
    NO_CAMPAIGNS,
    NOT_AUDITED,
    RULE_FAILED,
    STOPPED_EARLY,
    AnyRule,
    differs_from_template,
    invalid_key,
    invalid_record,
)
from .rules.words import cause, join_words, language_name
from .selection import Selection, name_matches
from .snapshots import RecordSnapshot, SnapshotBuilder
from .summary import CampaignSummary, order, summarise

LookupResult = Records[ResultCode] | Exception
"""The result codes of one campaign in one language, or why there are none."""


def _reason(facts: CampaignFacts, languages: Iterable[Language]) -> str:
    names = join_words([language_name(language) for language in languages])
    error = next(iter(facts.failures.values()), None)
    return f"no result codes in {names}: {cause(error)}" if error else f"not all result codes in {names} were sent"


class RuleRunner:
    """Collects the findings of one run.

    It keeps a summary and a snapshot of each campaign. It drops the result codes to save memory.

    Attributes:
        chosen: the campaigns to look up, after `check_list`.
    """

    def __init__(self, options: AuditOptions, selection: Selection | None = None) -> None:
        self._options = options
        self._selection = None if selection == Selection() else selection
        self._rules = tuple(rule for rule in options.rules if isinstance(rule, Rule))
        self._invalid = next(rule.info for rule in options.rules if rule.info.id == invalid_record.info.id)
        self._templates: list[tuple[str, CampaignFacts]] = []
        self._account: list[Finding] = []
        self._failures: dict[str, tuple[AnyRule, Exception, int]] = {}
        self._findings: list[Finding] = []
        self._summaries: list[CampaignSummary] = []
        self._snapshots = SnapshotBuilder()
        self._records: list[RecordSnapshot] = []
        self._not_checked: list[NotChecked] = []
        self._campaigns = 0
        self._total = 0
        self._codes = 0
        self._lookups = 0
        self._lists = 0
        self.chosen: Sequence[Campaign] = ()

    def check_list(self, campaigns: PartialRecords[Campaign]) -> None:
        """Check the list of campaigns as a whole, and its invalid records. Choose the campaigns to look up.

        Raises:
            ConfigurationError: the selection names a campaign that does not exist.
        """
        self._lists += 1
        self._campaigns = len(campaigns.records) + campaigns.invalid_count
        self._total = max(campaigns.total, self._campaigns)
        if campaigns.total != self._campaigns:
            message = f"the server counts {campaigns.total} campaigns, but sent {self._campaigns}"
            violation = Violation("", message, measure=abs(campaigns.total - self._campaigns))
            self._account.append(INCOMPLETE_LIST.finding(None, violation))
            self._not_checked.append(NotChecked(reason=message))
        not_kept = campaigns.invalid_count - len(campaigns.invalid)
        if not_kept:
            message = f"{not_kept} further records of the list are invalid"
            self._account.append(
                INCOMPLETE_LIST.finding(None, Violation("", message, kind="invalid", measure=not_kept))
            )
            self._not_checked.append(NotChecked(reason=message))
        chosen: Sequence[Campaign] = campaigns.records
        invalid = [(campaign_of(one), one.error) for one in campaigns.invalid]
        if (selection := self._selection) is not None:
            if not not_kept:
                selection.require_found([*chosen, *(campaign for campaign, _ in invalid)])
            chosen = selection.choose(chosen, self._options.now)
            # The dates of an invalid record can't be trusted.
            invalid = [(campaign, error) for campaign, error in invalid if selection.matches_name_and_id(campaign)]
        for campaign, error in invalid:
            self._findings.append(self._invalid.finding(campaign, Violation(invalid_key(error), cause(error))))
            # A record with neither an ID nor a name can be any campaign of the account.
            name = campaign.name if campaign.id is not None or campaign.name else None
            self._not_checked.append(NotChecked(reason=cause(error), campaign_id=campaign.id, campaign_name=name))
        if not chosen and not invalid:
            reason = f"none of the account's {self._campaigns:,} campaigns is chosen" if self._campaigns else ""
            self._account.append(NO_CAMPAIGNS.finding(None, Violation("", reason or "the account has no campaigns")))
        self.chosen = chosen

    def add_template(self, pattern: str, campaign: Campaign, results: Mapping[Language, LookupResult]) -> None:
        """Register a template for the campaigns whose names match a pattern. Call this before `check_campaigns`."""
        facts = self._facts(campaign, results)
        self._templates.append((pattern, facts))
        if not facts.codes_are_complete:
            reason = f"not all result codes of the template “{campaign.name}” were sent"
            self._not_checked.append(NotChecked(rule=differs_from_template.info.id, reason=reason))

    def check_without_id(self, campaign: Campaign) -> None:
        """Check a campaign that can't be looked up."""
        self._check(CampaignFacts(campaign=campaign, codes={}, failures={}, now=self._options.now))

    def check_campaigns(self, same_id: Iterable[Campaign], results: Mapping[Language, LookupResult]) -> None:
        """Check all campaigns with the same ID (normally one), with the results of their lookups.

        A language without a result was never requested. It is reported as a failed lookup.
        """
        self._lookups += len(results)
        for campaign in same_id:
            self._check(self._facts(campaign, results))

    def record_stop(self, error: Exception, left: int) -> None:
        """Record that this error ended the run early, and how many lookups were left."""
        message = f"{left:,} lookups of result codes were not made, because the server refused one: {cause(error)}"
        self._account.append(STOPPED_EARLY.finding(None, Violation("", message, measure=left)))

    def record_no_list(self, error: str) -> None:
        """Record why not even the list of campaigns could be fetched, in words, without any secret."""
        self._account.append(NOT_AUDITED.finding(None, Violation("", f"could not be audited: {error}")))
        self._not_checked.append(NotChecked(reason=error))

    def _facts(self, campaign: Campaign, results: Mapping[Language, LookupResult]) -> CampaignFacts:
        codes: dict[Language, Records[ResultCode]] = {}
        failures: dict[Language, Exception] = {}
        for language in self._options.languages:
            result = results.get(language)
            if result is None:
                failures[language] = DiallerError("the run stopped before these result codes were requested")
            elif isinstance(result, Exception):
                failures[language] = result
            else:
                codes[language] = result
        return CampaignFacts(campaign=campaign, codes=codes, failures=failures, now=self._options.now)

    def _check(self, facts: CampaignFacts) -> None:
        for pattern, template in self._templates:
            if name_matches(facts.campaign.name, pattern):
                facts = attrs.evolve(facts, template=template)
                break
        # Without a usable ID, no language could be requested.
        languages = facts.unchecked_languages if facts.codes or facts.failures else self._options.languages
        if languages:
            self._not_checked.append(
                NotChecked(
                    reason=_reason(facts, languages),
                    campaign_id=facts.campaign.id,
                    campaign_name=facts.campaign.name,
                    languages=languages,
                )
            )
        self._codes += len(facts.by_code)
        self._summaries.append(summarise(facts))
        self._records.append(self._snapshots.build(facts))
        for rule in self._rules:
            try:
                self._findings += list(rule.apply(facts))
            except Exception as error:
                # Users write rules, so a rule may raise anything. The first error of each rule is reported.
                _, first, failed = self._failures.get(rule.info.id, (rule, error, 0))
                self._failures[rule.info.id] = rule, first, failed + 1

    def report(self, *, seconds: float, started: datetime, identity: AccountIdentity | None = None) -> AuditReport:
        """Compare the campaigns with each other, and return the report.

        The order of the findings does not depend on the order in which responses came.
        """
        summaries = tuple(sorted(self._summaries, key=order))
        account = AccountFacts(
            campaigns=summaries,
            now=self._options.now,
            languages=self._options.languages,
            missing=max(0, self._total - len(summaries)),
            without_codes=sum(bool(one.languages) for one in self._not_checked),
        )
        findings, not_checked = list(self._findings), list(self._not_checked)
        failures = [_failure(*failure) for failure in self._failures.values()]
        for rule in self._options.rules:
            if isinstance(rule, AccountRule):
                try:
                    findings += [finding for _, finding in list(rule.apply(account))]
                except Exception as error:
                    failures.append(_failure(rule, error))
        for failure in sorted(failures, key=lambda failure: failure.subject):
            findings.append(RULE_FAILED.finding(None, failure))
            not_checked.append(NotChecked(rule=failure.subject, reason=failure.message))
        report = AuditReport(
            findings=(*findings, *self._account),
            rules=self._options.applied((*findings, *self._account)),
            campaign_count=self._campaigns,
            code_count=self._codes,
            lookups=self._lookups,
            requests=self._lists + self._lookups,
            seconds=seconds,
            started=started,
            now=self._options.now,
            languages=self._options.languages,
            summaries=summaries,
            not_checked=tuple(sorted(set(not_checked), key=_place)),
            records=tuple(sorted(self._records, key=order)),
            identity=identity,
            scope=None if self._selection is None else str(self._selection),
        )
        return report.sorted_by(SortKey.RULE).sorted_by(SortKey.SEVERITY)


def _place(part: NotChecked) -> tuple[object, ...]:
    is_campaign = part.campaign_name is not None
    return is_campaign, part.rule or "", part.campaign_id or 0, part.campaign_name or "", part.reason


def _failure(rule: AnyRule, error: Exception, campaigns: int | None = None) -> Violation:
    """Return what is reported about a rule that raised an error; without a number of campaigns, about the account.

    It contains the file and line of the error, but not its text, which may contain secrets.
    """
    package = str(Path(__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(package)]
    code = getattr(rule.check, "__code__", None)
    if frames:
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    else:
        # The rule's function raised nothing, but returned something other than violations.
        where = "unknown place" if code is None else f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    on = "" if campaigns is None else f" on {campaigns:,} campaign{'' if campaigns == 1 else 's'}"
    message = f"the rule “{rule.info.id}” failed{on}: {type(error).__name__} at {where}"
    return Violation(rule.info.id, message, measure=campaigns)
