"""What could not be judged: a report must not look clean because something did not come."""

from collections.abc import Iterator, Mapping

from dialler_async.errors import PayloadError
from dialler_async.models import Language

from ..findings import Severity
from ..rule import CampaignFacts, RuleInfo, Violation, rule
from .words import language_name, listed

# About the whole account, so they are no function of one campaign: the run itself reports them.
INCOMPLETE_LIST = RuleInfo(
    id="incomplete-list",
    severity=Severity.ERROR,
    title="The list of campaigns is not whole",
    why="Campaigns that the server counts, but does not send, are not audited.",
    fix="Ask the operator of the server why its list is shortened.",
)
STOPPED_EARLY = RuleInfo(
    id="stopped-early",
    severity=Severity.ERROR,
    title="The run ended before everything was looked up",
    why="The server refused what every further lookup would need too, so most of the account may not be checked.",
    fix="See to the token and the base URL, as the error says, and repeat the audit.",
)
NOT_AUDITED = RuleInfo(
    id="not-audited",
    severity=Severity.ERROR,
    title="Nothing is known of an account, or of some of its campaigns",
    why="The work failed as often as it was tried, so this report does not show what may be wrong there.",
    fix="See to what the error says, and repeat the audit.",
)


@rule(
    "invalid-record",
    Severity.ERROR,
    title="A record that is not as documented",
    why="A value has another type than its key, so the record could not be checked, and programs may stumble over it.",
    fix="Correct the value in the portal, or ask the operator of the server how it came there.",
)
def invalid_record(facts: CampaignFacts) -> Iterator[Violation]:
    """A result code that could not be structured; a campaign that could not is reported by the run."""
    for error, names in _together(facts.failures):
        if _is_about_a_record(error):
            record_id = getattr(error, "record_id", None)
            # Never its place in the list, which changes from run to run.
            subject = invalid_key(error) if record_id is None else str(record_id)
            yield Violation(subject, f"no result codes in {listed(names)}: {error}")


@rule(
    "unreachable-codes",
    Severity.ERROR,
    title="Result codes that could not be judged",
    why="Codes that did not come were not checked, so the campaign may have faults that this report does not show.",
    fix="Repeat the audit. If it stays, look at the error: it names what the server said.",
)
def unreachable_codes(facts: CampaignFacts) -> Iterator[Violation]:
    """Codes that could not be fetched, came in part, or came without what tells them apart."""
    if not facts.codes and not facts.failures:
        yield Violation("ID", "the server sent no usable ID for this campaign, so its result codes can't be looked up")
    for error, names in _together(facts.failures):
        if not _is_about_a_record(error):
            yield Violation(listed(names), f"no result codes in {listed(names)}: {str(error) or type(error).__name__}")
    for language, records in facts.codes.items():
        name = language_name(language)
        if not records.complete:
            yield Violation(name, f"the server sent {len(records)} of {records.total} result codes in {name}")
        nameless = sum(code.id is None for code in records)
        if nameless:
            yield Violation(name, f"{nameless} of {len(records)} result codes in {name} came without an ID")


def _is_about_a_record(error: Exception) -> bool:
    """Whether it says that a single record is not as documented."""
    return isinstance(error, PayloadError) and error.path.startswith("records[")


def invalid_key(error: Exception) -> str:
    """The key whose value is not as documented; empty where the record is none at all."""
    _, inside, key = getattr(error, "path", "").partition("].")
    return key if inside else ""


def _together(failures: Mapping[Language, Exception]) -> list[tuple[Exception, list[str]]]:
    """Each error once, with the languages that it concerns."""
    together: dict[tuple[type[Exception], str], tuple[Exception, list[str]]] = {}
    for language, error in failures.items():
        together.setdefault((type(error), str(error)), (error, []))[1].append(language_name(language))
    return list(together.values())
