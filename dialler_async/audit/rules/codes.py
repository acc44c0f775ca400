"""Result codes of one campaign.

Sources: API reference, "Campaign records" and "Result codes".
"""

import reprlib
from collections.abc import Iterator
from typing import Literal

from ...models import ResultCode
from ..findings import Severity
from ..rule import CampaignFacts, Violation, rule
from ..summary import flags, has_text
from .words import code_label, join_words, language_name, subject


@rule(
    "dangling-result-code",
    Severity.ERROR,
    title="A setting names a result code that the campaign does not have",
    why="When the setting applies, the dialler has no result for the contact.",
    fix="Choose one of the campaign's own result codes in that setting. After a clone, check all such settings.",
    identity="If the setting names another missing code, such as 888 instead of 999, the finding is the same. It stays "
    "accepted, and is not new; the changed ID is listed among the changed values.",
)
def dangling_result_code(facts: CampaignFacts) -> Iterator[Violation]:
    """Report each key `…ResultCodesID` whose value is not the ID of a code of the campaign. Unknown keys count, too."""
    if not facts.codes_are_complete:
        return
    for key, value in facts.wire.items():
        if not key.endswith("ResultCodesID") or value is None:
            continue
        # The value of an unknown key can be anything, even unhashable.
        if type(value) is not int or value not in facts.by_code:
            yield Violation(key, f"{key} is {reprlib.repr(value)}, but the campaign has no such result code")


@rule(
    "contradictory-type",
    Severity.ERROR,
    title="A result code with no type, or with several types",
    why="Done, aborted, delay and appointment exclude each other. What happens to the contact is undefined.",
    fix="Give the code one type in the portal.",
)
def contradictory_type(facts: CampaignFacts) -> Iterator[Violation]:
    """Report a code without exactly one of the four flags."""
    for records in facts.by_code.values():
        for code in records.values():
            if flags(code).count(True) != 1:
                yield Violation(subject(code), f"{code_label(code)} is {_types(code)}")
                break


@rule(
    "missing-translation",
    Severity.WARNING,
    title="A result code without a text in one of the languages",
    why="Agents who work in that language see an empty line or a technical key, and choose a wrong code.",
    fix="Enter the missing text in the portal.",
)
def missing_translation(facts: CampaignFacts) -> Iterator[Violation]:
    """Report a code with no text, with only its translation key, or missing in one of the languages."""
    # A code that is missing from a shortened list may exist.
    comparable = facts.codes_are_complete
    for records in facts.by_code.values():
        first = next(iter(records.values()))
        for language in facts.codes:
            code, name = records.get(language), language_name(language)
            if code is None:
                if comparable:
                    message = f"{code_label(first)} does not exist in {name}"
                    languages = tuple(facts.codes)
                    yield Violation(subject(first), message, kind="missing", language=language, languages=languages)
            elif not has_text(code):
                is_empty = not code.content or code.content.isspace()
                kind, lack = ("no text", "has no text") if is_empty else ("key", "shows only its translation key")
                message = f"{code_label(first)} {lack} in {name}"
                yield Violation(subject(first), message, kind=kind, language=language)


@rule(
    "no-success-code",
    Severity.ERROR,
    title="A campaign without a result code for success",
    why="No contact of the campaign can be finished with success.",
    fix="Add a result code of the type done, or copy one from another campaign.",
)
def no_success_code(facts: CampaignFacts) -> Iterator[Violation]:
    """Report a campaign without a code that is done."""
    yield from _none_is("done", facts)


@rule(
    "no-abort-code",
    Severity.WARNING,
    title="A campaign without a result code for failure",
    why="Contacts that are not interested can't be closed, so they are called again.",
    fix="Add a result code of the type aborted, or copy one from another campaign.",
)
def no_abort_code(facts: CampaignFacts) -> Iterator[Violation]:
    """Report a campaign without a code that is aborted."""
    yield from _none_is("aborted", facts)


@rule(
    "delay-without-offset",
    Severity.WARNING,
    title="A result code of the type delay without a time",
    why="It is undefined when the contact is called again.",
    fix="Enter the minutes until the next attempt.",
)
def delay_without_offset(facts: CampaignFacts) -> Iterator[Violation]:
    """Report a delay code with no or non-positive `TimeOffset`."""
    for records in facts.by_code.values():
        for code in records.values():
            if code.delay and (code.time_offset is None or code.time_offset <= 0):
                offset = "no time" if code.time_offset is None else f"a time of {code.time_offset} minutes"
                yield Violation(subject(code), f"{code_label(code)} is a delay with {offset} until the next try")
                break


def _none_is(type: Literal["done", "aborted"], facts: CampaignFacts) -> Iterator[Violation]:
    codes = (code for records in facts.codes.values() for code in records)
    if facts.codes_are_complete and not any(getattr(code, type) for code in codes):
        yield Violation("", f"none of its {len(facts.by_code)} result codes is {type}")


def _types(code: ResultCode) -> str:
    flags = {"done": code.done, "aborted": code.aborted, "delay": code.delay, "appointment": code.appointment}
    return join_words([name for name, flag in flags.items() if flag]) or "of no type"
