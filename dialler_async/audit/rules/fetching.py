"""Rules about data that could not be checked. Without them, a report would look clean after a failed lookup."""

from collections.abc import Iterator

from ...errors import PayloadError
from ..findings import Severity
from ..rule import CampaignFacts, RuleInfo, Violation, rule
from .words import cause, language_name

# Findings about the whole account. The run itself reports them, because rules see one campaign at a time.
INCOMPLETE_LIST = RuleInfo(
    id="incomplete-list",
    severity=Severity.ERROR,
    title="The list of campaigns is not complete",
    why="Campaigns that the server counts but does not send are not audited.",
    fix="Ask the operator of the server why its list is shortened.",
)
STOPPED_EARLY = RuleInfo(
    id="stopped-early",
    severity=Severity.ERROR,
    title="The run ended before all lookups were done",
    why="Every further lookup would get the same error, so most of the account may not be checked.",
    fix="Correct the token or the base URL, as the error says, and run the audit again.",
)
NOT_AUDITED = RuleInfo(
    id="not-audited",
    severity=Severity.ERROR,
    title="An account could not be audited",
    why="Every attempt failed, so this report lacks their findings.",
    fix="Correct what the error says, and run the audit again.",
)
RULE_FAILED = RuleInfo(
    id="rule-failed",
    severity=Severity.ERROR,
    title="A rule raised an error",
    why="The rule did not check every campaign, so its findings are not complete.",
    fix="Correct the rule at the line that the message names, or ignore the rule.",
)
NO_CAMPAIGNS = RuleInfo(
    id="no-campaigns",
    severity=Severity.WARNING,
    title="There is no campaign to audit",
    why="Nothing was checked, so this report lacks the findings of the account.",
    fix="Check that this is the right account, and that the options choose the right campaigns.",
)
DELETED = "deleted"
"""The kind of `unused-acceptance` that says that the campaign was deleted. It never fails as a new finding."""
UNUSED_ACCEPTANCE = RuleInfo(
    id="unused-acceptance",
    severity=Severity.INFO,
    title="An acceptance in the settings accepts no finding",
    why="Its finding is gone, or its last day has passed, so the settings are out of date.",
    fix="Delete the entry, or correct it. Give it a new last day if the finding is still acceptable.",
)
RUN_RULES = (INCOMPLETE_LIST, STOPPED_EARLY, NOT_AUDITED, RULE_FAILED, NO_CAMPAIGNS, UNUSED_ACCEPTANCE)


@rule(
    "invalid-record",
    Severity.ERROR,
    title="A record that is not as documented",
    why="A value has the wrong type, so the record could not be checked, and other programs may fail.",
    fix="Correct the value in the portal, or ask the operator of the server where it comes from.",
)
def invalid_record(facts: CampaignFacts) -> Iterator[Violation]:
    """Report invalid result codes. `RuleRunner.check_list` reports invalid campaigns."""
    for language, error in facts.failures.items():
        if _is_about_a_record(error):
            record_id = getattr(error, "record_id", None)
            # The subject must not contain the position in the list, which changes from run to run.
            subject = invalid_key(error) if record_id is None else str(record_id)
            yield Violation(subject, f"no result codes in {language_name(language)}: {cause(error)}", language=language)


@rule(
    "unreachable-codes",
    Severity.ERROR,
    title="Result codes that could not be checked",
    why="These codes were not checked, so this report lacks their findings.",
    fix="Run the audit again. If the finding stays, the error says what the server replied.",
)
def unreachable_codes(facts: CampaignFacts) -> Iterator[Violation]:
    """Report codes that could not be fetched, came in part, or came without an ID."""
    if not facts.codes and not facts.failures:
        message = "the server sent no usable ID for this campaign, so its result codes can't be looked up"
        yield Violation("ID", message)
    for language, error in facts.failures.items():
        if not _is_about_a_record(error):
            message = f"no result codes in {language_name(language)}: {cause(error)}"
            yield Violation(language_name(language), message, kind="no codes", language=language)
    for language, records in facts.codes.items():
        name = language_name(language)
        if not records.complete:
            message = f"the server sent {len(records)} of {records.total} result codes in {name}"
            measure = abs(records.total - len(records))
            yield Violation(name, message, kind="not all codes", language=language, measure=measure)
        without_id = 0 if facts.codes_are_complete else sum(code.id is None for code in records)
        if without_id:
            message = f"{without_id} of {len(records)} result codes in {name} came without an ID"
            yield Violation(name, message, kind="codes without ID", language=language, measure=without_id)


def _is_about_a_record(error: Exception) -> bool:
    """Return whether an error says that a single record is not as documented."""
    return isinstance(error, PayloadError) and error.path.startswith("records[")


def invalid_key(error: Exception) -> str:
    """Return the key whose value is invalid; empty if the record is not an object."""
    _, inside, key = getattr(error, "path", "").partition("].")
    return key if inside else ""
