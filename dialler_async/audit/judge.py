"""The judge: applies the rules to one campaign after the other, and collects what they find. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from dialler_async._api.decoding import PartialRecords
from dialler_async.errors import DiallerError
from dialler_async.models import Campaign, Language, Records, ResultCode

from .findings import Finding
from .merge import put_together
from .part import AuditPart, Gap
from .records import Keeper, KeptRecord
from .report import AuditReport
from .rule import CampaignFacts, Hit, Rule
from .rules import INCOMPLETE_LIST, STOPPED_EARLY, invalid_key, unreadable_record
from .summary import CampaignSummary, order, summarise
from .terms import Terms

# What a lookup came to: the codes, or why there are none.
Answer = Records[ResultCode] | Exception


class Judge:
    """Collects the findings of one run.

    Of the campaigns it keeps these, a summary, and what tells the next run what has changed; the codes themselves go.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._rules = tuple(rule for rule in terms.rules if isinstance(rule, Rule))
        self._unreadable = next(rule.about for rule in terms.rules if rule.about.id == unreadable_record.about.id)
        self._template: CampaignFacts | None = None
        self._account: list[Finding] = []
        self._gaps: list[Gap] = []
        self._findings: list[Finding] = []
        self._summaries: list[CampaignSummary] = []
        self._keeper = Keeper()
        self._records: list[KeptRecord] = []
        self._campaigns = 0
        self._codes = 0
        self._lookups = 0
        self._lists = 0

    def campaign_list(self, campaigns: PartialRecords[Campaign]) -> None:
        """Judge the list of campaigns as a whole, and those in it that are not readable."""
        self._lists += 1
        self._campaigns = len(campaigns.records) + len(campaigns.invalid)
        if campaigns.total != self._campaigns:
            missing = f"the server counts {campaigns.total} campaigns, but sent {self._campaigns}"
            self._account.append(INCOMPLETE_LIST.finding(None, Hit("", missing)))
        for invalid in campaigns.invalid:
            name = invalid.record.get("Name")
            campaign = Campaign(id=invalid.error.record_id, name=name if isinstance(name, str) else "")
            hit = Hit(invalid_key(invalid.error), str(invalid.error))
            self._findings.append(self._unreadable.finding(campaign, hit))

    def template(self, campaign: Campaign, answers: Mapping[Language, Answer]) -> None:
        """What the other campaigns are compared with. To be given before them, and judged like them."""
        self._template = self._facts(campaign, answers)

    def without_id(self, campaign: Campaign) -> None:
        """Judge a campaign that can't be looked up."""
        self._judge(
            CampaignFacts(campaign=campaign, codes={}, failures={}, now=self._terms.now, template=self._template),
        )

    def campaigns(self, same_id: Iterable[Campaign], answers: Mapping[Language, Answer]) -> None:
        """Judge the campaigns of one ID, normally a single one, by what its lookups came to.

        A language that has no answer was never asked for, and is reported like one that failed.
        """
        self._lookups += len(answers)
        for campaign in same_id:
            self._judge(self._facts(campaign, answers))

    def stopped(self, error: Exception, left: int) -> None:
        """The run ended early by this error, with so many lookups left that were not answered."""
        self._gaps.append(Gap(rule=STOPPED_EARLY.id, error=str(error), number=left))

    def _facts(self, campaign: Campaign, answers: Mapping[Language, Answer]) -> CampaignFacts:
        codes: dict[Language, Records[ResultCode]] = {}
        failures: dict[Language, Exception] = {}
        for language in self._terms.languages:
            answer = answers.get(language)
            if answer is None:
                failures[language] = DiallerError("the run stopped before they were asked for")
            elif isinstance(answer, Exception):
                failures[language] = answer
            else:
                codes[language] = answer
        return CampaignFacts(
            campaign=campaign, codes=codes, failures=failures, now=self._terms.now, template=self._template
        )

    def _judge(self, facts: CampaignFacts) -> None:
        self._codes += len(facts.by_code)
        self._summaries.append(summarise(facts))
        self._records.append(self._keeper.keep(facts))
        for rule in self._rules:
            self._findings += rule.judge(facts)

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
        report = put_together([self.part()], self._terms, seconds=seconds, started=started)
        return attrs.evolve(report, records=tuple(sorted(self._records, key=order)))
