"""The rules. To add one, write one function in the module of its subject, and list it in `RULES`.

Each rule is a pure function. The IDs are public, because settings and reports contain them. `dialler audit
--list-rules` prints all rules, and `dialler audit explain RULE` prints one with an example and its settings.

Dates without a zone are treated as local wall time.
"""

from typing import TypeAlias

from ..account import AccountRule
from ..rule import Rule
from .campaign import caller_id_off, closes_without_code, duplicate_user_data, no_line_cap
from .codes import (
    contradictory_type,
    dangling_result_code,
    delay_without_offset,
    missing_translation,
    no_abort_code,
    no_success_code,
)
from .dates import expired, expiring_soon, inverted_dates, not_started
from .export_keys import conflicting_export_key, duplicate_export_key, missing_export_key
from .fetching import (
    DELETED,
    INCOMPLETE_LIST,
    NO_CAMPAIGNS,
    NOT_AUDITED,
    RULE_FAILED,
    RUN_RULES,
    STOPPED_EARLY,
    UNUSED_ACCEPTANCE,
    invalid_key,
    invalid_record,
    unreachable_codes,
)
from .names import duplicate_name, name_within_name
from .template import differs_from_template
from .words import language_name

AnyRule: TypeAlias = Rule | AccountRule

# In the order in which a campaign's findings are reported: worst first.
RULES: tuple[AnyRule, ...] = (
    invalid_record,
    unreachable_codes,
    dangling_result_code,
    contradictory_type,
    no_success_code,
    duplicate_export_key,
    duplicate_name,
    inverted_dates,
    no_abort_code,
    delay_without_offset,
    missing_translation,
    missing_export_key,
    conflicting_export_key,
    differs_from_template,
    expiring_soon,
    caller_id_off,
    closes_without_code,
    duplicate_user_data,
    name_within_name,
    no_line_cap,
    expired,
    not_started,
)

ALWAYS = (invalid_record, unreachable_codes)
"""Rules that are always applied. Without them, a report would look clean after a failed lookup."""

__all__ = [
    "ALWAYS",
    "DELETED",
    "INCOMPLETE_LIST",
    "NOT_AUDITED",
    "NO_CAMPAIGNS",
    "RULES",
    "RULE_FAILED",
    "RUN_RULES",
    "STOPPED_EARLY",
    "UNUSED_ACCEPTANCE",
    "AnyRule",
    "differs_from_template",
    "invalid_key",
    "invalid_record",
    "language_name",
]
