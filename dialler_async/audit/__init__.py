"""Audit an account: check every campaign and its result codes against rules.

    from dialler_async.audit import audit

    async with DiallerClient.from_env() as dialler:
        report = await audit(dialler)
    for finding in report.findings:
        print(finding.severity, finding.campaign_name, finding.message)

The decorator `rule(...)` turns a function into a rule. The function takes `CampaignFacts` and yields `Violation`s. Pass
the rule with `rules=[*RULES, my_rule]`. `account_rule(...)` makes a rule that compares campaigns; its function takes
`AccountFacts`. `dialler_async.audit.rules` lists all rules.

`accept` moves accepted findings to `AuditReport.accepted`, and `compare` compares a report with an earlier one. What a
run did not check is in `AuditReport.not_checked`, and a finding that was not checked is never gone.

`FleetReportBuilder` makes one report of many accounts, which are added one by one.

The guide, with the settings and the formats, is `dialler_async/audit/README.md`.

.. include:: README.md
"""

from .acceptance import AcceptanceEntry, accept
from .account import AccountFacts, AccountRule, account_rule
from .baseline import Baseline, compare
from .comparison import Change, Comparison
from .coverage import Coverage, NotChecked
from .findings import Acceptance, Basis, Finding, Severity, State
from .fleet_report import FleetReport, FleetReportBuilder
from .identity import AccountIdentity
from .report import AccountNumbers, AuditReport, Report, SortKey
from .rule import CampaignFacts, Rule, RuleInfo, Violation, rule
from .rules import RULES, AnyRule
from .run import audit, not_audited
from .selection import Selection
from .settings import AuditSettings, available_rules, load_rules
from .snapshots import RecordSnapshot
from .states import with_states
from .story import FindingGroup, Section, Story, tell
from .summary import CampaignSummary, CodeType
from .topics import Numbers, Topic
from .writers import WRITERS, report_as_json

__all__ = [
    "RULES",
    "WRITERS",
    "Acceptance",
    "AcceptanceEntry",
    "AccountFacts",
    "AccountIdentity",
    "AccountNumbers",
    "AccountRule",
    "AnyRule",
    "AuditReport",
    "AuditSettings",
    "Baseline",
    "Basis",
    "CampaignFacts",
    "CampaignSummary",
    "Change",
    "CodeType",
    "Comparison",
    "Coverage",
    "Finding",
    "FindingGroup",
    "FleetReport",
    "FleetReportBuilder",
    "NotChecked",
    "Numbers",
    "RecordSnapshot",
    "Report",
    "Rule",
    "RuleInfo",
    "Section",
    "Selection",
    "Severity",
    "SortKey",
    "State",
    "Story",
    "Topic",
    "Violation",
    "accept",
    "account_rule",
    "audit",
    "available_rules",
    "compare",
    "load_rules",
    "not_audited",
    "report_as_json",
    "rule",
    "tell",
    "with_states",
]
