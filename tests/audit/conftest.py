"""Reports for tests of writers: hostile names, a real audit, a fleet, a comparison, and one without findings."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import attrs
import pytest

from dialler_async import Campaign, DiallerClient, Language, Records, ResultCode
from dialler_async._api.partial_records import PartialRecords
from dialler_async.audit import (
    RULES,
    AcceptanceEntry,
    AccountIdentity,
    AuditReport,
    Baseline,
    CampaignFacts,
    FleetReport,
    FleetReportBuilder,
    Report,
    Severity,
    Violation,
    accept,
    audit,
    compare,
    not_audited,
    rule,
)
from dialler_async.audit.options import AuditOptions
from dialler_async.audit.rule_runner import RuleRunner
from dialler_async.audit.writers import write_json
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
    "＝1+1",  # noqa: RUF001  # the character is intended
    "a | b `c` **d** [e](http://evil.example) # @octocat",
    "{{ 7*7 }} {% raw %} ]]> <!-- & &amp;",
    "line\nbreak\x00nul\x1b[31mred\ud800\u202eevil\ufffe",
)


IDENTITY = AccountIdentity("acd.example.com/rest/v1.0", 1)


@rule("own-rule", Severity.WARNING, title="A <b>title</b>", why="A why.", fix="A fix.")
def own_rule(facts: CampaignFacts) -> Iterator[Violation]:
    yield Violation(facts.campaign.name, f"is called {facts.campaign.name}")


def _hostile_report() -> AuditReport:
    """Return a report with a campaign, a warning and an export key for each hostile name."""
    runner = RuleRunner(AuditOptions.of([*RULES, own_rule], (Language.ENGLISH, Language.GERMAN), NOW, template=True))
    campaigns = [Campaign(id=id, name=name) for id, name in enumerate(HOSTILE, 1)]
    runner.check_list(PartialRecords(tuple(campaigns), (), len(campaigns) + 1))
    for campaign in campaigns:
        code = ResultCode(id=1, content=campaign.name, short_text="key", export_key=campaign.name, done=True)
        runner.check_campaigns([campaign], dict.fromkeys(Language, Records([code], total=1)))
    return runner.report(seconds=1.5, started=NOW, identity=IDENTITY)


@cache
def _real_report(campaigns: int = 120) -> AuditReport:
    """Return the report on a sandbox: the same for the same number, apart from its times."""
    return asyncio.run(_audited(campaigns))


async def _audited(campaigns: int) -> AuditReport:
    async with (
        Sandbox(campaigns=campaigns, seed=1) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token) as dialler,
    ):
        return await audit(dialler)


@cache
def _large_report() -> AuditReport:
    """Return five audits of 2,000 campaigns as if they were one: 10,000 campaigns with some 850 findings."""
    report = _real_report(2000)
    copies = [1_000_000 * copy for copy in range(5)]
    return attrs.evolve(
        report,
        campaign_count=5 * report.campaign_count,
        code_count=5 * report.code_count,
        findings=tuple(
            attrs.evolve(found, campaign_id=found.campaign_id and found.campaign_id + copy)
            for copy in copies
            for found in report.findings
        ),
        summaries=tuple(attrs.evolve(one, id=one.id and one.id + copy) for copy in copies for one in report.summaries),
        records=(),
    )


def _fleet_report(names: tuple[str, ...] = HOSTILE) -> FleetReport:
    """Return a report of an account for each name. All have the same two campaigns; one account was not audited."""
    options: dict[str, Any] = {"rules": [*RULES, own_rule], "languages": list(Language), "now": NOW}
    runner = RuleRunner(AuditOptions.of(**options))
    campaigns = (Campaign(id=1, name="Same", dt_to=NOW), Campaign(id=2, name="Other"))
    runner.check_list(PartialRecords(campaigns, (), 2))
    for campaign in campaigns:
        code = ResultCode(id=1, content="Text", short_text="key", export_key="KEY", done=True)
        runner.check_campaigns([campaign], dict.fromkeys(Language, Records([code], total=1)))
    report = runner.report(seconds=1.5, started=NOW)
    accounts = {
        **dict.fromkeys(names, attrs.evolve(report, identity=IDENTITY)),
        "lost": not_audited("401 Unauthorized", **options, seconds=0.5, started=NOW),
        "sound": attrs.evolve(report, findings=()),
    }
    return _fleet_of(accounts)


def _fleet_of(accounts: Mapping[str, AuditReport], **options: Any) -> FleetReport:
    """Return the report of a fleet of these accounts."""
    builder = FleetReportBuilder(now=NOW, languages=Language, **options)
    for name, report in accounts.items():
        builder.add(name, report)
    return builder.build(seconds=9.0, started=NOW)


def _empty_report() -> AuditReport:
    """Return a report on one sound campaign, without findings."""
    runner = RuleRunner(AuditOptions.of(RULES, (Language.ENGLISH,), NOW, template=True))
    campaign = Campaign(id=1, name="Sound")
    runner.check_list(PartialRecords((campaign,), (), 1))
    codes = [
        ResultCode(id=1, content="Yes", short_text="key", export_key="YES", done=True),
        ResultCode(id=2, content="No", short_text="key", export_key="NO", aborted=True),
    ]
    runner.check_campaigns([campaign], {Language.ENGLISH: Records(codes, total=2)})
    return runner.report(seconds=0.0, started=NOW, identity=IDENTITY)


def _compared_report() -> AuditReport:
    """Return a partial report compared with a baseline: new, unchanged, gone, unchecked and accepted findings."""
    before, now = _hostile_report(), _hostile_report()
    gone = attrs.evolve(before.findings[0], campaign_id=1, campaign_name=HOSTILE[0], subject="gone", message="is gone")
    unchecked = attrs.evolve(gone, campaign_id=77, campaign_name=HOSTILE[1])
    before = attrs.evolve(before, findings=(*before.findings[3:], gone, unchecked))
    entry = {"rule": "own-rule", "campaign": 2, "reason": f"known: {HOSTILE[1]}", "owner": "Mia", "until": NOW.date()}
    accepted = accept(now, [AcceptanceEntry.of(entry)])
    part = attrs.evolve(accepted, scope=f"name “{HOSTILE[0]}”")
    return compare(part, Baseline.read("".join(write_json(before)).encode()))


def _report_without_a_rule() -> AuditReport:
    """Return a report compared with a baseline that has findings of a rule that is no longer applied."""
    before = _hostile_report()
    rules = tuple(info for info in before.rules if info.id != "own-rule")
    findings = tuple(finding for finding in before.findings if finding.rule != "own-rule")
    now = attrs.evolve(before, rules=rules, findings=findings)
    return compare(now, Baseline.read("".join(write_json(before)).encode()))


class Reports:
    """The reports by name."""

    names = HOSTILE
    identity = IDENTITY
    hostile = staticmethod(_hostile_report)
    real = staticmethod(_real_report)
    fleet = staticmethod(_fleet_report)
    fleet_of = staticmethod(_fleet_of)
    large = staticmethod(_large_report)
    compared = staticmethod(_compared_report)
    without_a_rule = staticmethod(_report_without_a_rule)
    empty = staticmethod(_empty_report)


@pytest.fixture(scope="session")
def reports() -> Reports:
    """Return functions that make reports; `reports.names` are the hostile names in them."""
    return Reports()


@pytest.fixture(params=["hostile", "real", "fleet", "compared", "empty"])
def report(request: pytest.FixtureRequest, reports: Reports) -> Report:
    """Return each report in turn."""
    make: Callable[[], Report] = getattr(reports, request.param)
    return make()
