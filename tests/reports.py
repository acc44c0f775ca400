"""Reports for the tests of what writes them: one with hostile names, made by hand, and one of a real audit."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import attrs

from dialler_async import Campaign, DiallerClient, Language, Records, ResultCode
from dialler_async._api.decoding import PartialRecords
from dialler_async.audit import (
    RULES,
    AuditReport,
    CampaignFacts,
    Hit,
    Severity,
    audit,
    merge,
    merge_accounts,
    not_audited,
    rule,
)
from dialler_async.audit.judge import Judge
from dialler_async.audit.terms import Terms
from dialler_async.sandbox import Sandbox

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    '=HYPERLINK("http://evil.example")',
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "  =1+1",
    "＝1+1",  # noqa: RUF001  # that is what is meant
    "a | b `c` **d** [e](http://evil.example) # @octocat",
    "{{ 7*7 }} {% raw %} ]]> <!-- & &amp;",
    "line\nbreak\x00nul\x1b[31mred\ud800\u202eevil\ufffe",
)


@rule("own-rule", Severity.WARNING, title="A <b>title</b>", why="A why.", fix="A fix.")
def told(facts: CampaignFacts) -> Iterator[Hit]:
    yield Hit(facts.campaign.name, f"is called {facts.campaign.name}")


def hostile_report() -> AuditReport:
    """A campaign for each hostile name, with a warning that repeats it, and with an export key of that name."""
    judge = Judge(Terms.of([*RULES, told], (Language.ENGLISH, Language.GERMAN), NOW, template=True))
    campaigns = [Campaign(id=id, name=name) for id, name in enumerate(HOSTILE, 1)]
    judge.campaign_list(PartialRecords(tuple(campaigns), (), len(campaigns) + 1))
    for campaign in campaigns:
        code = ResultCode(id=1, content=campaign.name, short_text="key", export_key=campaign.name, done=True)
        judge.campaigns([campaign], dict.fromkeys(Language, Records([code], total=1)))
    return judge.report(seconds=1.5, started=NOW)


@cache
def real_report(campaigns: int = 120) -> AuditReport:
    """What an audit of a sandbox comes to; the same for the same number, but for when it was."""
    return asyncio.run(_audited(campaigns))


async def _audited(campaigns: int) -> AuditReport:
    async with (
        Sandbox(campaigns=campaigns, seed=1) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token) as dialler,
    ):
        return await audit(dialler)


@cache
def large_report() -> AuditReport:
    """Five audits of 2,000 campaigns as if they were one: 10,000 campaigns with some 850 findings."""
    report = real_report(2000)
    copies = [1_000_000 * copy for copy in range(5)]
    return attrs.evolve(
        report,
        campaigns=5 * report.campaigns,
        codes=5 * report.codes,
        findings=tuple(
            attrs.evolve(found, campaign_id=found.campaign_id and found.campaign_id + copy)
            for copy in copies
            for found in report.findings
        ),
        summaries=tuple(attrs.evolve(one, id=one.id and one.id + copy) for copy in copies for one in report.summaries),
        records=(),
    )


def fleet_report(names: tuple[str, ...] = HOSTILE) -> AuditReport:
    """An account of each name with the same two campaigns; one in order, and one that was not audited."""
    terms: dict[str, Any] = {"rules": [*RULES, told], "languages": list(Language), "now": NOW}
    judge = Judge(Terms.of(**terms))
    campaigns = (Campaign(id=1, name="Same", dt_to=NOW), Campaign(id=2, name="Other"))
    judge.campaign_list(PartialRecords(campaigns, (), 2))
    for campaign in campaigns:
        code = ResultCode(id=1, content="Text", short_text="key", export_key="KEY", done=True)
        judge.campaigns([campaign], dict.fromkeys(Language, Records([code], total=1)))
    report = judge.report(seconds=1.5, started=NOW)
    accounts = {
        **dict.fromkeys(names, report),
        "lost": merge([not_audited("401 Unauthorized")], **terms, seconds=0.5, started=NOW),
        "sound": attrs.evolve(report, findings=()),
    }
    return merge_accounts(accounts, **terms, seconds=9.0, started=NOW)


def empty_report() -> AuditReport:
    """An account in order, in which nothing was found."""
    judge = Judge(Terms.of(RULES, (Language.ENGLISH,), NOW, template=True))
    judge.campaign_list(PartialRecords((), (), 0))
    return judge.report(seconds=0.0, started=NOW)
