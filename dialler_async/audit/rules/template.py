"""Differences of campaigns from their template.

Source: API reference, "Result codes" (a clone gets copies with new IDs, while the export key stays).
"""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from ...models import Language, ResultCode, wire_keys
from ..findings import Severity
from ..rule import CampaignFacts, Violation, rule
from .words import language_name

# Keys that differ in every clone.
_OWN = frozenset({"ID", "Name", "ClientsID", "UserData", "dtFrom", "dtTo"})
_COMPARED = ("done", "aborted", "delay", "appointment", "agent_bound", "time_offset", "allow_delete")
_values = attrgetter(*_COMPARED)


@rule(
    "differs-from-template",
    Severity.WARNING,
    title="A campaign that differs from its template",
    why="Back ends and agents expect what the template has: its export keys, types, times and settings.",
    fix="Change it to match the template, or clone the template again.",
    settings={"ignore_keys": ()},
)
def differs_from_template(facts: CampaignFacts, *, ignore_keys: Sequence[str]) -> Iterator[Violation]:
    """Report missing, extra or changed codes by export key, and changed settings, if there is a template."""
    template = facts.template
    if template is None or facts.campaign.id == template.campaign.id:
        return
    comparable = facts.codes_are_complete and template.codes_are_complete
    own, expected = facts.wire, template.wire
    for key in {**expected, **own}:
        value, wanted = own.get(key), expected.get(key)
        if value == wanted or key in _OWN or key in ignore_keys:
            continue
        if key.endswith("ResultCodesID"):
            # The codes of a clone have new IDs, so the export keys of the codes are compared.
            value, wanted = _export_key_of(facts, value), _export_key_of(template, wanted)
            if value == wanted or not comparable:
                continue
        message = f"{key} is {_shown(value)}, in the template {_shown(wanted)}"
        yield Violation(key, message, kind="setting", languages=None if key.endswith("ResultCodesID") else ())
    if comparable:
        yield from _codes(facts.by_export_key, template.by_export_key)


_ByKey = Mapping[str, Mapping[Language, ResultCode]]


def _codes(own: _ByKey, expected: _ByKey) -> Iterator[Violation]:
    for key, wanted in expected.items():
        if key not in own:
            yield Violation(key, f"has no code with the template's export key “{key}”", kind="missing code")
        else:
            yield from _differences(key, own[key], wanted)
    for key in own:
        if key not in expected:
            yield Violation(key, f"the template has no code with the export key “{key}”", kind="extra code")


def _differences(
    key: str, own: Mapping[Language, ResultCode], expected: Mapping[Language, ResultCode]
) -> Iterator[Violation]:
    shared = [(language, code, expected[language]) for language, code in own.items() if language in expected]
    for name in _COMPARED if any(_values(code) != _values(other) for _, code, other in shared) else ():
        values = ((getattr(code, name), getattr(other, name)) for _, code, other in shared)
        different = next((pair for pair in values if pair[0] != pair[1]), None)
        if different is not None:
            wire_key = wire_keys(ResultCode)[name]
            yield Violation(key, _difference(key, wire_key, *different), kind=wire_key)
    for language, code, other in shared:
        if _text(code) != _text(other):
            message = _difference(key, f"the text in {language_name(language)}", _text(code), _text(other))
            yield Violation(key, message, kind="text", language=language)


def _difference(key: str, what: str, value: object, wanted: object) -> str:
    values = f"{what} is {_shown(value)}, in the template {_shown(wanted)}"
    return f"the code with the export key “{key}” differs: {values}"


def _text(code: ResultCode) -> str | None:
    """Return the text of a code. None for a translation key, which contains the ID and so differs in a clone."""
    return code.content if code.content != code.short_text else None


def _export_key_of(facts: CampaignFacts, value: object) -> object:
    """Return the export key of the code with this ID, or the ID if there is no such code or it has no key."""
    records = facts.by_code.get(value, {}) if isinstance(value, int) else {}
    return next((code.export_key for code in records.values() if code.export_key), value)


def _shown(value: object) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return str(value).lower()
        case str():
            return f"“{value}”" if len(value) <= _LONG else f"“{value[:_LONG]}…”"
        case _:
            return reprlib.repr(value)


_LONG = 60
