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

`merge_accounts` makes one report of many accounts.

The guide, with the settings and the formats, is `dialler_async/audit/README.md`.

.. include:: README.md
"""

from .acceptance import AcceptanceEntry, accept
from .account import AccountFacts, AccountRule, account_rule
from .baseline import Baseline, compare
from .comparison import Change, Comparison
from .coverage import Coverage, NotChecked
from .findings import Acceptance, Basis, Finding, Severity, State
from .identity import AccountIdentity
from .merge import merge_accounts, not_audited
from .report import AuditReport, SortKey
from .rule import CampaignFacts, Rule, RuleInfo, Violation, rule
from .rules import RULES, AnyRule
from .run import audit
from .selection import Selection
from .settings import AuditSettings, available_rules, load_rules
from .snapshots import RecordSnapshot
from .states import FindingStates, compare_findings, with_states
from .story import FindingGroup, Section, Story, Topic, tell
from .summary import CampaignSummary, CodeType
from .writers import WRITERS, report_as_json

__all__ = [
    "RULES",
    "WRITERS",
    "Acceptance",
    "AcceptanceEntry",
    "AccountFacts",
    "AccountIdentity",
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
    "FindingStates",
    "NotChecked",
    "RecordSnapshot",
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
    "compare_findings",
    "load_rules",
    "merge_accounts",
    "not_audited",
    "report_as_json",
    "rule",
    "tell",
    "with_states",
]
