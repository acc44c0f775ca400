"""The rules. To add one, write one function and name it in `RULES`.

Each is pure. Their IDs are public: settings and reports of other people hold them.
Sources: API reference, "Campaign records", "Result codes" and "Dates".
"""

import re
import reprlib
from collections.abc import Iterator
from datetime import datetime

from dialler_async.models import Language, ResultCode

from .findings import Severity
from .rule import About, CampaignFacts, Hit, rule

_TRANSLATION_KEY = re.compile(r"DiallerCampaignsResultCodes\.\d+")

# About the whole account, so it is no function of one campaign: the run itself reports it.
INCOMPLETE_LIST = About(
    id="incomplete-list",
    severity=Severity.ERROR,
    title="The list of campaigns is not whole",
    why="Campaigns that the server counts, but does not send, are not audited.",
    fix="Ask the operator of the server why its list is shortened.",
)


@rule(
    "unreachable-codes",
    Severity.ERROR,
    title="Result codes that could not be judged",
    why="Codes that did not come were not checked, so the campaign may have faults that this report does not show.",
    fix="Repeat the audit. If it stays, look at the error: it names what the server said.",
)
def unreachable_codes(facts: CampaignFacts) -> Iterator[Hit]:
    """Codes that could not be fetched, came in part, or came without what tells them apart."""
    if not facts.codes and not facts.failures:
        yield Hit("ID", "the server sent no usable ID for this campaign, so its result codes can't be looked up")
    failed: dict[str, list[str]] = {}
    for language, error in facts.failures.items():
        failed.setdefault(str(error) or type(error).__name__, []).append(language_name(language))
    for reason, names in failed.items():
        yield Hit(_listed(names), f"no result codes in {_listed(names)}: {reason}")
    for language, records in facts.codes.items():
        name = language_name(language)
        if not records.complete:
            yield Hit(name, f"the server sent {len(records)} of {records.count} result codes in {name}")
        nameless = sum(code.id is None for code in records)
        if nameless:
            yield Hit(name, f"{nameless} of {len(records)} result codes in {name} came without an ID")


@rule(
    "dangling-result-code",
    Severity.ERROR,
    title="A setting names a result code that the campaign does not have",
    why="When the case comes up, the dialler has no result to give the contact.",
    fix="Choose one of the campaign's own result codes in that setting. After a clone, check all of them.",
)
def dangling_result_code(facts: CampaignFacts) -> Iterator[Hit]:
    """A `…ResultCodesID` that is not among the campaign's codes: every such key, also unknown ones."""
    if not facts.codes_are_whole:
        return
    for key, value in facts.campaign.wire.items():
        if not key.endswith("ResultCodesID") or value is None:
            continue
        # The value of an unknown key can be anything, also what is no ID or can't be looked up at all.
        if type(value) is not int or value not in facts.by_code:
            yield Hit(key, f"{key} is {reprlib.repr(value)}, but the campaign has no such result code")


@rule(
    "contradictory-type",
    Severity.ERROR,
    title="A result code that is not of exactly one type",
    why="Done, aborted, delay and appointment exclude each other: nobody can say what happens to the contact.",
    fix="Give the code one type in the portal.",
)
def contradictory_type(facts: CampaignFacts) -> Iterator[Hit]:
    """Not exactly one of the four flags."""
    for records in facts.by_code.values():
        for code in records.values():
            if (code.done is True) + (code.aborted is True) + (code.delay is True) + (code.appointment is True) != 1:
                yield Hit(_subject(code), f"{_label(code)} is {_types(code)}")
                break


@rule(
    "duplicate-export-key",
    Severity.ERROR,
    title="Result codes of one campaign that share an export key",
    why="Back ends match on the export key, so they can't tell these results apart.",
    fix="Give each code of the campaign an export key of its own.",
)
def duplicate_export_key(facts: CampaignFacts) -> Iterator[Hit]:
    """The same export key on several codes of a campaign."""
    owners: dict[str, dict[str, None]] = {}
    for records in facts.by_code.values():
        for code in records.values():
            if code.export_key and code.export_key.strip():
                owners.setdefault(code.export_key, {})[_subject(code)] = None
    for key, codes in owners.items():
        if len(codes) > 1:
            yield Hit(key, f"codes {_listed(list(codes))} share the export key “{key}”")


@rule(
    "inverted-dates",
    Severity.ERROR,
    title="A campaign that ends before it begins",
    why="It is valid at no time, so it dials nobody.",
    fix="Correct the campaign's first or last day.",
)
def inverted_dates(facts: CampaignFacts) -> Iterator[Hit]:
    """`dtFrom` after `dtTo`."""
    begins, ends = facts.campaign.dt_from, facts.campaign.dt_to
    if begins is not None and ends is not None and facts.moment(begins) > facts.moment(ends):
        yield Hit("dtFrom", f"begins {_shown(begins)}, after it ends {_shown(ends)}")


@rule(
    "missing-translation",
    Severity.WARNING,
    title="A result code without a text in one of the languages",
    why="Agents who work in that language see an empty line or a technical key, and choose wrongly.",
    fix="Enter the missing text in the portal.",
)
def missing_translation(facts: CampaignFacts) -> Iterator[Hit]:
    """No text, only the translation key for a text, or no such code, in one of the languages."""
    # A code that is missing from a shortened list may well exist.
    comparable = facts.codes_are_whole
    for records in facts.by_code.values():
        lacks = []
        for language in facts.codes:
            code = records.get(language)
            if code is None:
                if comparable:
                    lacks.append(f"does not exist in {language_name(language)}")
            elif not code.content or not code.content.strip():
                lacks.append(f"has no text in {language_name(language)}")
            elif code.content == code.short_text or _TRANSLATION_KEY.fullmatch(code.content):
                lacks.append(f"shows only its translation key in {language_name(language)}")
        if lacks:
            code = next(iter(records.values()))
            yield Hit(_subject(code), f"{_label(code)} {_listed(lacks)}")


@rule(
    "expired",
    Severity.INFO,
    title="A campaign that is over",
    why="It dials nobody any more, and every list and report still carries it.",
    fix="Delete it if its data is no longer needed, or give it a new last day.",
)
def expired(facts: CampaignFacts) -> Iterator[Hit]:
    """`dtTo` before now."""
    ends = facts.campaign.dt_to
    if ends is not None and facts.moment(ends) < facts.now:
        yield Hit("dtTo", f"ended {_shown(ends)}")


# In the order in which a campaign's findings are reported: worst first.
RULES = (
    unreachable_codes,
    dangling_result_code,
    contradictory_type,
    duplicate_export_key,
    inverted_dates,
    missing_translation,
    expired,
)


def language_name(language: Language) -> str:
    """A language as people call it: `English`; `Language 7` for one that has no published name."""
    return language.name.replace("_", " ").capitalize()


def _subject(code: ResultCode) -> str:
    return str(code.id) if code.id is not None else code.short_text or "without ID"


def _label(code: ResultCode) -> str:
    return f"code {_subject(code)}" + (f" ({code.export_key})" if code.export_key else "")


def _types(code: ResultCode) -> str:
    flags = {"done": code.done, "aborted": code.aborted, "delay": code.delay, "appointment": code.appointment}
    return _listed([name for name, flag in flags.items() if flag]) or "of no type"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _shown(date: datetime) -> str:
    """A date to the minute; a naive one is marked, as it was taken for local time."""
    return date.isoformat(sep=" ", timespec="minutes") + ("" if date.utcoffset() is not None else " (local time)")
