"""The audit: every campaign of an account, checked against rules.

    from dialler_async.audit import audit

    async with DiallerClient.from_env() as dialler:
        report = await audit(dialler)
    for finding in report.findings:
        print(finding.severity, finding.campaign_name, finding.message)

A rule of one's own is a function from `CampaignFacts` to `Violation`s, made a rule by `rule(...)`, and passed with
`rules=[*RULES, my_rule]`. One that compares campaigns is a function from `AccountFacts`, made a rule by
`account_rule(...)`. All rules are listed in `dialler_async.audit.rules`.

An account can also be audited in parts, by several processes: `survey` and `audit_slice` make the parts, `merge` puts
them together, and `merge_accounts` the reports of many accounts.
"""

from .account import AccountFacts, AccountRule, account_rule
from .accounts import merge_accounts
from .baseline import Baseline, compare
from .comparison import Change, Comparison
from .findings import Finding, Severity
from .merge import merge
from .part import AuditPart, not_audited
from .report import AuditReport
from .rule import CampaignFacts, Rule, RuleInfo, Violation, rule
from .rules import RULES, AnyRule
from .run import Survey, audit, audit_slice, survey
from .settings import AuditSettings, available_rules, load_rules
from .snapshots import RecordSnapshot
from .summary import CampaignSummary, CodeType
from .writers import WRITERS, report_as_json

__all__ = [
    "RULES",
    "WRITERS",
    "AccountFacts",
    "AccountRule",
    "AnyRule",
    "AuditPart",
    "AuditReport",
    "AuditSettings",
    "Baseline",
    "CampaignFacts",
    "CampaignSummary",
    "Change",
    "CodeType",
    "Comparison",
    "Finding",
    "RecordSnapshot",
    "Rule",
    "RuleInfo",
    "Severity",
    "Survey",
    "Violation",
    "account_rule",
    "audit",
    "audit_slice",
    "available_rules",
    "compare",
    "load_rules",
    "merge",
    "merge_accounts",
    "not_audited",
    "report_as_json",
    "rule",
    "survey",
]
