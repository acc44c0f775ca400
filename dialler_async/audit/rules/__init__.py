"""The rules. To add one, write one function in the module of its subject, and list it in `RULES`.

Each is pure. Their IDs are public: users have them in settings and reports.

| ID | severity | finds |
|---|---|---|
| `incomplete-list` | error | fewer campaigns than the server counts |
| `stopped-early` | error | a run that ended early, because every further lookup would have failed |
| `not-audited` | error | an account, or campaigns of it, that an audit of many accounts could not audit |
| `rule-failed` | error | a rule that raised an error, with file and line; the other rules are applied |
| `no-campaigns` | warning | an account without campaigns, or options that choose none |
| `unused-acceptance` | info | an `[[audit.accept]]` entry that accepts nothing |
| `invalid-record` | error | a record that is not as documented; the rest of the account is still audited |
| `unreachable-codes` | error | codes that could not be fetched, with the error |
| `dangling-result-code` | error | a `…ResultCodesID` that is not among the campaign's codes, also under unknown keys |
| `contradictory-type` | error | a code that is not exactly one of done, aborted, delay, appointment |
| `no-success-code` | error | a campaign none of whose codes is done |
| `duplicate-export-key` | error | an export key on several codes of a campaign |
| `duplicate-name` | error | names that differ only in case and spaces |
| `inverted-dates` | error | `dtFrom` after `dtTo` |
| `no-abort-code` | warning | a campaign none of whose codes is aborted |
| `delay-without-offset` | warning | a delay with no or non-positive `TimeOffset` |
| `missing-translation` | warning | no text, only the translation key, or no code at all in one of the languages |
| `missing-export-key` | warning | a code without export key |
| `conflicting-export-key` | warning | an export key that means another type than in most campaigns |
| `differs-from-template` | warning | differences from a template: codes by export key, and settings |
| `expiring-soon` | warning | `dtTo` within the next days |
| `caller-id-off` | warning | no caller ID, where nearly all other campaigns have one |
| `closes-without-code` | warning | closing on incoming calls without a result code for it |
| `duplicate-user-data` | warning | a `UserData` that several campaigns have |
| `name-within-name` | info | a name that is part of another name: a delete by name could hit the wrong campaign |
| `no-line-cap` | info | no cap on parallel lines |
| `expired` | info | `dtTo` before now |
| `not-started` | info | `dtFrom` after now |

Settings, with their defaults: `expiring-soon` has `days` (7); `caller-id-off` has `percent` (90), the share of other
campaigns that have a caller ID; `differs-from-template` has `ignore-keys` (none), keys of campaigns that may differ.
Dates without a zone are taken for local wall time.
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
"""Rules that are always applied: a report must not look clean because a lookup failed."""

__all__ = [
    "ALWAYS",
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
