"""Seeds defects in generated campaigns and lists them. A campaign has one kind of defect at most."""

from collections.abc import Callable, Iterator
from datetime import time

from attrs import evolve, frozen

from .codes import Code
from .generator import Draft, Generator
from .vocabulary import ENGLISH, GERMAN, GlobalCode

_SHARE = 0.07
"""Approximate share of campaigns with a defect. It is larger in a small account, which has each kind once."""


@frozen
class SeededDefect:
    """A defect of a generated campaign. An audit should find it.

    Attributes:
        rule: the ID of the audit rule that finds the defect.
        campaign_id: the ID of the campaign.
        code_id: the ID of the result code with the defect, if any.
        languages_id: the language with the defect, if any.
        key: the wire key with the defect, if any.
        export_key: the export key with the defect, if any.
        other_ids: the IDs of the other campaigns that are part of the defect.
    """

    rule: str
    campaign_id: int
    code_id: int | None = None
    languages_id: int | None = None
    key: str | None = None
    export_key: str | None = None
    other_ids: tuple[int, ...] = ()


@frozen
class Template:
    """The campaign from which some others are cloned.

    The defect `differs-from-template` is seeded in `copies` only. All other campaigns differ from the template anyway.

    Attributes:
        name: the name of the template.
        campaign_id: the ID of the template.
        copies: the IDs of its clones.
    """

    name: str
    campaign_id: int
    copies: tuple[int, ...]


Defects = Iterator[SeededDefect]


def seed_defects(drafts: list[Draft], generator: Generator) -> tuple[list[SeededDefect], Template | None]:
    """Seed every kind of defect in some of the drafts, and return the defects and the template.

    With fewer than 29 campaigns, only the first kinds are seeded, in a quarter of them, and there is no template.
    """
    unused = generator.random.sample(drafts, len(drafts))
    seeded_defects: list[SeededDefect] = []
    drafts_per_round = len(_DEFECTS_OF_ONE_CAMPAIGN) + 2 * len(_DEFECTS_OF_TWO_CAMPAIGNS) + 1
    if len(drafts) < drafts_per_round + 5:
        for defect, draft in zip(_DEFECTS_OF_ONE_CAMPAIGN[: len(drafts) // 4], unused, strict=False):
            seeded_defects.extend(defect(draft, generator))
        return seeded_defects, None
    rounds = max(1, round(len(drafts) * _SHARE / drafts_per_round))
    original, unchanged, *changed = (unused.pop() for _ in range(2 + rounds))
    original.record |= {"Name": f"Vorlage Outbound {original.number}"} | dict.fromkeys(_INDIVIDUAL_KEYS)
    for copy in (unchanged, *changed):
        _clone(original, copy, generator)
    for index, copy in enumerate(changed):
        seeded_defects.extend(_differ_from_template(copy, index, generator))
    for _ in range(rounds):
        for defect in _DEFECTS_OF_ONE_CAMPAIGN:
            seeded_defects.extend(defect(unused.pop(), generator))
        for pair_defect in _DEFECTS_OF_TWO_CAMPAIGNS:
            seeded_defects.extend(pair_defect(unused.pop(), unused.pop(), generator))
    copies = tuple(copy.id for copy in (unchanged, *changed))
    return seeded_defects, Template(original.record["Name"], original.id, copies)


def make_invalid(draft: Draft) -> SeededDefect:
    """Give a key of the record a value of a wrong type, which strict clients reject, and return the defect."""
    draft.record["nMaxParallelLines"] = "many"
    return SeededDefect("invalid-record", draft.id, key="nMaxParallelLines")


def _dangling_result_code(draft: Draft, generator: Generator) -> Defects:
    # The API reference lists the first key. The second key is recognised only by its suffix.
    for key in ("AbortOnNoTelNumberResultCodesID", "MaxAttemptsResultCodesID"):
        draft.record[key] = next(generator.code_ids)
        yield SeededDefect("dangling-result-code", draft.id, key=key)


def _contradictory_type(draft: Draft, generator: Generator) -> Defects:
    both = generator.code(GlobalCode("UNKLAR", "done", "Unclear", "Unklar"), draft.id)
    none = generator.code(GlobalCode("OFFEN", "done", "Open", "Offen"), draft.id)
    for code in (both.with_keys(bAborted=True), none.with_keys(bDone=False)):
        draft.codes.append(code)
        yield SeededDefect("contradictory-type", draft.id, code_id=code.id)


def _no_success_code(draft: Draft, generator: Generator) -> Defects:
    _remove_codes(draft, "bDone")
    # The removed codes include the code for incoming calls.
    draft.record["bCloseContactsOnIncomingCallsMatchCallerID"] = False
    yield SeededDefect("no-success-code", draft.id)


def _no_abort_code(draft: Draft, generator: Generator) -> Defects:
    _remove_codes(draft, "bAborted")
    yield SeededDefect("no-abort-code", draft.id)


def _delay_without_offset(draft: Draft, generator: Generator) -> Defects:
    for index, minutes in ((2, None), (3, 0)):
        draft.codes[index] = draft.codes[index].with_keys(TimeOffset=minutes)
        yield SeededDefect("delay-without-offset", draft.id, code_id=draft.codes[index].id)


def _missing_translation(draft: Draft, generator: Generator) -> Defects:
    empty, key_as_text, in_english_only = draft.codes[2:5]
    languages = dict(empty.templates)
    languages[GERMAN] = {**languages[GERMAN], "Content": ""}
    draft.codes[2] = evolve(empty, templates=languages)
    yield SeededDefect("missing-translation", draft.id, empty.id, GERMAN)
    languages = dict(key_as_text.templates)
    languages[ENGLISH] = {**languages[ENGLISH], "Content": languages[ENGLISH]["ShortText"]}
    draft.codes[3] = evolve(key_as_text, templates=languages)
    yield SeededDefect("missing-translation", draft.id, key_as_text.id, ENGLISH)
    languages = {ENGLISH: in_english_only.templates[ENGLISH]}
    draft.codes[4] = evolve(in_english_only, templates=languages)
    yield SeededDefect("missing-translation", draft.id, in_english_only.id, GERMAN)


def _missing_export_key(draft: Draft, generator: Generator) -> Defects:
    for empty in (None, ""):
        code = generator.code(GlobalCode("NEU", "aborted", "Line dead", "Leitung tot"), draft.id)
        draft.codes.append(code.with_keys(ExportKey=empty))
        yield SeededDefect("missing-export-key", draft.id, code_id=code.id)


def _duplicate_export_key(draft: Draft, generator: Generator) -> Defects:
    global_code = GlobalCode("KI", "aborted", "Not interested (old)", "Kein Interesse (alt)")
    draft.codes.append(generator.code(global_code, draft.id))
    yield SeededDefect("duplicate-export-key", draft.id, export_key=global_code.export_key)


def _inverted_dates(draft: Draft, generator: Generator) -> Defects:
    draft.record |= {"dtFrom": generator.day(90), "dtTo": generator.day(60)}
    yield SeededDefect("inverted-dates", draft.id)


def _expired(draft: Draft, generator: Generator) -> Defects:
    draft.record |= {"dtFrom": generator.day(-400), "dtTo": generator.day(-40, time(18, 30))}
    yield SeededDefect("expired", draft.id)


def _expiring_soon(draft: Draft, generator: Generator) -> Defects:
    draft.record |= {"dtFrom": generator.day(-100), "dtTo": generator.day(4, time(12))}
    yield SeededDefect("expiring-soon", draft.id)


def _not_started(draft: Draft, generator: Generator) -> Defects:
    draft.record |= {"dtFrom": generator.day(30), "dtTo": generator.day(200)}
    yield SeededDefect("not-started", draft.id)


def _caller_id_off(draft: Draft, generator: Generator) -> Defects:
    draft.record["bCallerIDActive"] = False
    yield SeededDefect("caller-id-off", draft.id, key="bCallerIDActive")


def _closes_without_code(draft: Draft, generator: Generator) -> Defects:
    draft.record |= {"bCloseContactsOnIncomingCallsMatchCallerID": True, "IncomingCallResultCodesID": None}
    yield SeededDefect("closes-without-code", draft.id, key="IncomingCallResultCodesID")


def _no_line_cap(draft: Draft, generator: Generator) -> Defects:
    draft.record["nMaxParallelLines"] = None
    yield SeededDefect("no-line-cap", draft.id, key="nMaxParallelLines")


def _conflicting_export_key(one: Draft, other: Draft, generator: Generator) -> Defects:
    # The key is unique to these two campaigns, so that the finding names no others.
    key = f"SONDER {one.number}"
    one.codes.append(generator.code(GlobalCode(key, "done", "Special", "Sonderfall"), one.id))
    other.codes.append(generator.code(GlobalCode(key, "aborted", "Special", "Sonderfall"), other.id))
    for draft, partner in ((one, other), (other, one)):
        yield SeededDefect("conflicting-export-key", draft.id, export_key=key, other_ids=(partner.id,))


def _duplicate_name(one: Draft, other: Draft, generator: Generator) -> Defects:
    # Because of the double space, neither name contains the other.
    one.record["Name"] = f"Rückholaktion {one.number}"
    other.record["Name"] = f"RÜCKHOLAKTION  {one.number}"
    for draft, partner in ((one, other), (other, one)):
        yield SeededDefect("duplicate-name", draft.id, other_ids=(partner.id,))


def _name_within_name(short: Draft, long: Draft, generator: Generator) -> Defects:
    short.record["Name"] = f"Nachfassen {short.number}"
    long.record["Name"] = f"nachfassen {short.number} (zweite Welle)"
    yield SeededDefect("name-within-name", short.id, other_ids=(long.id,))


def _duplicate_user_data(one: Draft, other: Draft, generator: Generator) -> Defects:
    for draft, partner in ((one, other), (other, one)):
        draft.record["UserData"] = f"crm-{one.number}"
        yield SeededDefect("duplicate-user-data", draft.id, key="UserData", other_ids=(partner.id,))


_DEFECTS_OF_ONE_CAMPAIGN: tuple[Callable[[Draft, Generator], Defects], ...] = (
    _dangling_result_code,
    _missing_translation,
    _duplicate_export_key,
    _contradictory_type,
    _inverted_dates,
    _expired,
    _no_success_code,
    _no_abort_code,
    _delay_without_offset,
    _missing_export_key,
    _expiring_soon,
    _not_started,
    _caller_id_off,
    _closes_without_code,
    _no_line_cap,
)
_DEFECTS_OF_TWO_CAMPAIGNS: tuple[Callable[[Draft, Draft, Generator], Defects], ...] = (
    _conflicting_export_key,
    _duplicate_name,
    _name_within_name,
    _duplicate_user_data,
)

_INDIVIDUAL_KEYS = ("UserData", "dtFrom", "dtTo")


def _clone(original: Draft, copy: Draft, generator: Generator) -> None:
    """Turn `copy` into a clone of `original`, with its own ID and name."""
    codes = {code.id: code.copy_with_ids(next(generator.code_ids), copy.id) for code in original.codes}
    own = {key: copy.record[key] for key in ("ID", "Name")}
    copy.record = {**original.record, **own}
    for key, value in copy.record.items():
        if key.endswith("ResultCodesID") and value is not None:
            copy.record[key] = codes[value].id
    copy.codes = list(codes.values())


def _differ_from_template(copy: Draft, index: int, generator: Generator) -> Defects:
    # The copies get the four kinds of difference in turn.
    export_key: str | None = None
    key: str | None = None
    match index % 4:
        case 0:
            export_key = _export_key(copy.codes.pop(3))
        case 1:
            global_code = GlobalCode("ZUSATZ", "delay", "Second attempt", "Zweiter Versuch", 60)
            copy.codes.append(generator.code(global_code, copy.id))
            export_key = global_code.export_key
        case 2:
            copy.codes[2] = copy.codes[2].with_keys(TimeOffset=45)
            export_key = _export_key(copy.codes[2])
        case _:
            key = "ContactPreviewTime"
            copy.record[key] = 45
    yield SeededDefect("differs-from-template", copy.id, key=key, export_key=export_key)


def _export_key(code: Code) -> str:
    return str(code.templates[ENGLISH]["ExportKey"])


def _remove_codes(draft: Draft, flag: str) -> None:
    removed_ids = {code.id for code in draft.codes if code.templates[ENGLISH][flag]}
    draft.codes = [code for code in draft.codes if code.id not in removed_ids]
    for key, value in draft.record.items():
        if key.endswith("ResultCodesID") and value in removed_ids:
            draft.record[key] = None
