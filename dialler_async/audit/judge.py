"""The judge: applies the rules to one campaign after the other, and puts the findings in order. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from dialler_async.errors import DiallerError
from dialler_async.models import Campaign, Language, Records, ResultCode

from .findings import Finding
from .report import AuditReport
from .rule import CampaignFacts, Hit, Rule
from .rules import INCOMPLETE_LIST, unreachable_codes
from .summary import CampaignSummary, order, summarise

# What a lookup came to: the codes, or why there are none.
Answer = Records[ResultCode] | Exception


class Judge:
    """Collects the findings of one run. Of the campaigns it keeps these and a summary, of their codes nothing."""

    def __init__(self, rules: Iterable[Rule], languages: tuple[Language, ...], now: datetime) -> None:
        # A report must not look clean because a lookup failed, so this rule can't be left out.
        self._rules = (unreachable_codes, *(rule for rule in rules if rule is not unreachable_codes))
        self._languages = languages
        self._now = now
        self._account: list[Finding] = []
        self._found: list[tuple[tuple[bool, int, str], list[Finding]]] = []
        self._summaries: list[CampaignSummary] = []
        self._campaigns = 0
        self._codes = 0
        self._lookups = 0

    def campaign_list(self, campaigns: Records[Campaign]) -> None:
        """Judge the list of campaigns as a whole."""
        self._campaigns = len(campaigns)
        if not campaigns.complete:
            missing = f"the server counts {campaigns.count} campaigns, but sent {len(campaigns)}"
            self._account.append(INCOMPLETE_LIST.finding(None, Hit("", missing)))

    def without_id(self, campaign: Campaign) -> None:
        """Judge a campaign that can't be looked up."""
        self._judge(CampaignFacts(campaign=campaign, codes={}, failures={}, now=self._now))

    def campaigns(self, same_id: Iterable[Campaign], answers: Mapping[Language, Answer]) -> None:
        """Judge the campaigns of one ID, normally a single one, by what its lookups came to.

        A language that has no answer was never asked for, and is reported like one that failed.
        """
        self._lookups += len(answers)
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
        for campaign in same_id:
            self._judge(CampaignFacts(campaign=campaign, codes=codes, failures=failures, now=self._now))

    def _judge(self, facts: CampaignFacts) -> None:
        self._codes += len(facts.by_code)
        self._summaries.append(summarise(facts))
        findings = [finding for rule in self._rules for finding in rule.judge(facts)]
        if findings:
            campaign = facts.campaign
            self._found.append(((campaign.id is None, campaign.id or 0, campaign.name), findings))

    def report(self, *, seconds: float, started: datetime) -> AuditReport:
        """What it all comes to, in an order that does not depend on which answer came first."""
        self._found.sort(key=lambda found: found[0])
        return AuditReport(
            findings=(*self._account, *(finding for _, findings in self._found for finding in findings)),
            rules=(INCOMPLETE_LIST, *(rule.about for rule in self._rules)),
            campaigns=self._campaigns,
            codes=self._codes,
            lookups=self._lookups,
            requests=1 + self._lookups,
            seconds=seconds,
            started=started,
            now=self._now,
            languages=self._languages,
            summaries=tuple(sorted(self._summaries, key=order)),
        )
