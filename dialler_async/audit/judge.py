"""The judge: applies the rules to one campaign after the other, and puts the findings in order. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from dialler_async.codec import Readable
from dialler_async.errors import DiallerError
from dialler_async.models import Campaign, Language, Records, ResultCode

from .account import AccountFacts, AccountRule
from .findings import Finding
from .records import Keeper, KeptRecord
from .report import AuditReport
from .rule import CampaignFacts, Hit, Named, Rule
from .rules import ALWAYS, INCOMPLETE_LIST, STOPPED_EARLY, AnyRule, unreadable_key, unreadable_record
from .summary import CampaignSummary, order, summarise

# What a lookup came to: the codes, or why there are none.
Answer = Records[ResultCode] | Exception


class Judge:
    """Collects the findings of one run.

    Of the campaigns it keeps these, a summary, and what tells the next run what has changed; the codes themselves go.
    """

    def __init__(self, rules: Iterable[AnyRule], languages: tuple[Language, ...], now: datetime) -> None:
        given = {rule.about.id: rule for rule in rules}
        always = {rule.about.id: given.get(rule.about.id, rule) for rule in ALWAYS}
        self._rules = tuple({**always, **given}.values())
        self._unreadable = always[unreadable_record.about.id].about
        self._languages = languages
        self._now = now
        self._template: CampaignFacts | None = None
        self._account: list[Finding] = []
        self._found: list[tuple[tuple[bool, int, str, int], Finding]] = []
        self._summaries: list[CampaignSummary] = []
        self._keeper = Keeper()
        self._records: list[KeptRecord] = []
        self._campaigns = 0
        self._codes = 0
        self._lookups = 0

    def campaign_list(self, campaigns: Readable[Campaign]) -> None:
        """Judge the list of campaigns as a whole, and those in it that are not readable."""
        self._campaigns = len(campaigns.records) + len(campaigns.unreadable)
        if campaigns.count != self._campaigns:
            missing = f"the server counts {campaigns.count} campaigns, but sent {self._campaigns}"
            self._account.append(INCOMPLETE_LIST.finding(None, Hit("", missing)))
        for unreadable in campaigns.unreadable:
            name = unreadable.record.get("Name")
            campaign = Campaign(id=unreadable.error.record_id, name=name if isinstance(name, str) else "")
            hit = Hit(unreadable_key(unreadable.error), str(unreadable.error))
            self._take(campaign, 0, self._unreadable.finding(campaign, hit))

    def template(self, campaign: Campaign, answers: Mapping[Language, Answer]) -> None:
        """What the other campaigns are compared with. To be given before them, and judged like them."""
        self._template = self._facts(campaign, answers)

    def without_id(self, campaign: Campaign) -> None:
        """Judge a campaign that can't be looked up."""
        self._judge(
            CampaignFacts(campaign=campaign, codes={}, failures={}, now=self._now, template=self._template),
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
        hit = Hit("", f"{left:,} lookups of result codes were left, when the server refused one: {error}")
        self._account.append(STOPPED_EARLY.finding(None, hit))

    def _facts(self, campaign: Campaign, answers: Mapping[Language, Answer]) -> CampaignFacts:
        codes: dict[Language, Records[ResultCode]] = {}
        failures: dict[Language, Exception] = {}
        for language in self._languages:
            answer = answers.get(language)
            if answer is None:
                failures[language] = DiallerError("the run stopped before they were asked for")
            elif isinstance(answer, Exception):
                failures[language] = answer
            else:
                codes[language] = answer
        return CampaignFacts(campaign=campaign, codes=codes, failures=failures, now=self._now, template=self._template)

    def _judge(self, facts: CampaignFacts) -> None:
        self._codes += len(facts.by_code)
        self._summaries.append(summarise(facts))
        self._records.append(self._keeper.keep(facts))
        for place, rule in enumerate(self._rules):
            if isinstance(rule, Rule):
                for finding in rule.judge(facts):
                    self._take(facts.campaign, place, finding)

    def _take(self, campaign: Named, place: int, finding: Finding) -> None:
        self._found.append(((*order(campaign), place), finding))

    def report(self, *, seconds: float, started: datetime) -> AuditReport:
        """Compare the campaigns with each other, and say what it all comes to.

        The order does not depend on which answer came first.
        """
        summaries = tuple(sorted(self._summaries, key=order))
        account = AccountFacts(campaigns=summaries, now=self._now)
        for place, rule in enumerate(self._rules):
            if isinstance(rule, AccountRule):
                for campaign, finding in rule.judge(account):
                    self._take(campaign, place, finding)
        self._found.sort(key=lambda found: found[0])
        return AuditReport(
            findings=(*self._account, *(finding for _, finding in self._found)),
            rules=(INCOMPLETE_LIST, STOPPED_EARLY, *(rule.about for rule in self._rules)),
            campaigns=self._campaigns,
            codes=self._codes,
            lookups=self._lookups,
            requests=1 + self._lookups,
            seconds=seconds,
            started=started,
            now=self._now,
            languages=self._languages,
            summaries=summaries,
            records=tuple(sorted(self._records, key=order)),
        )
