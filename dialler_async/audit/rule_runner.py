"""The judge: applies the rules to one campaign after the other, and collects what they find. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from dialler_async._api.decoding import PartialRecords
from dialler_async.errors import DiallerError
from dialler_async.models import Campaign, Language, Records, ResultCode

from .findings import Finding
from .merge import put_together
from .options import AuditOptions
from .part import AuditPart, Gap
from .report import AuditReport
from .rule import CampaignFacts, Rule, Violation
from .rules import INCOMPLETE_LIST, STOPPED_EARLY, invalid_key, invalid_record
from .snapshots import RecordSnapshot, SnapshotBuilder
from .summary import CampaignSummary, order, summarise

# What a lookup came to: the codes, or why there are none.
LookupResult = Records[ResultCode] | Exception


class RuleRunner:
    """Collects the findings of one run.

    Of the campaigns it keeps these, a summary, and what tells the next run what has changed; the codes themselves go.
    """

    def __init__(self, options: AuditOptions) -> None:
        self._options = options
        self._rules = tuple(rule for rule in options.rules if isinstance(rule, Rule))
        self._unreadable = next(rule.info for rule in options.rules if rule.info.id == invalid_record.info.id)
        self._template: CampaignFacts | None = None
        self._account: list[Finding] = []
        self._gaps: list[Gap] = []
        self._findings: list[Finding] = []
        self._summaries: list[CampaignSummary] = []
        self._snapshots = SnapshotBuilder()
        self._records: list[RecordSnapshot] = []
        self._campaigns = 0
        self._codes = 0
        self._lookups = 0
        self._lists = 0

    def check_list(self, campaigns: PartialRecords[Campaign]) -> None:
        """RuleRunner the list of campaigns as a whole, and those in it that are not readable."""
        self._lists += 1
        self._campaigns = len(campaigns.records) + len(campaigns.invalid)
        if campaigns.total != self._campaigns:
            missing = f"the server counts {campaigns.total} campaigns, but sent {self._campaigns}"
            self._account.append(INCOMPLETE_LIST.finding(None, Violation("", missing)))
        for invalid in campaigns.invalid:
            name = invalid.record.get("Name")
            campaign = Campaign(id=invalid.error.record_id, name=name if isinstance(name, str) else "")
            violation = Violation(invalid_key(invalid.error), str(invalid.error))
            self._findings.append(self._unreadable.finding(campaign, violation))

    def set_template(self, campaign: Campaign, answers: Mapping[Language, LookupResult]) -> None:
        """What the other campaigns are compared with. To be given before them, and judged like them."""
        self._template = self._facts(campaign, answers)

    def check_without_id(self, campaign: Campaign) -> None:
        """RuleRunner a campaign that can't be looked up."""
        self._check(
            CampaignFacts(campaign=campaign, codes={}, failures={}, now=self._options.now, template=self._template),
        )

    def check_campaigns(self, same_id: Iterable[Campaign], answers: Mapping[Language, LookupResult]) -> None:
        """RuleRunner the campaigns of one ID, normally a single one, by what its lookups came to.

        A language that has no answer was never asked for, and is reported like one that failed.
        """
        self._lookups += len(answers)
        for campaign in same_id:
            self._check(self._facts(campaign, answers))

    def record_stop(self, error: Exception, left: int) -> None:
        """The run ended early by this error, with so many lookups left that were not answered."""
        self._gaps.append(Gap(rule=STOPPED_EARLY.id, error=str(error), number=left))

    def _facts(self, campaign: Campaign, answers: Mapping[Language, LookupResult]) -> CampaignFacts:
        codes: dict[Language, Records[ResultCode]] = {}
        failures: dict[Language, Exception] = {}
        for language in self._options.languages:
            answer = answers.get(language)
            if answer is None:
                failures[language] = DiallerError("the run stopped before they were asked for")
            elif isinstance(answer, Exception):
                failures[language] = answer
            else:
                codes[language] = answer
        return CampaignFacts(
            campaign=campaign, codes=codes, failures=failures, now=self._options.now, template=self._template
        )

    def _check(self, facts: CampaignFacts) -> None:
        self._codes += len(facts.by_code)
        self._summaries.append(summarise(facts))
        self._records.append(self._snapshots.build(facts))
        for rule in self._rules:
            self._findings += rule.apply(facts)

    def part(self) -> AuditPart:
        """What was found out so far, but for the records, which don't travel."""
        return AuditPart(
            account=tuple(self._account),
            gaps=tuple(self._gaps),
            findings=tuple(self._findings),
            summaries=tuple(self._summaries),
            campaigns=self._campaigns,
            codes=self._codes,
            lookups=self._lookups,
            requests=self._lists + self._lookups,
        )

    def report(self, *, seconds: float, started: datetime) -> AuditReport:
        """Compare the campaigns with each other, and say what it all comes to.

        The order does not depend on which answer came first.
        """
        report = put_together([self.part()], self._options, seconds=seconds, started=started)
        return attrs.evolve(report, records=tuple(sorted(self._records, key=order)))
