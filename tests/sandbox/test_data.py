"""Generated data: it is realistic, reproducible, and has only the listed defects."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import pytest

from dialler_async.sandbox import Sandbox, SeededDefect

NOW = datetime.fromisoformat("2026-03-15T11:00")
ENGLISH, GERMAN = 1, 2
FLAGS = ("bDone", "bAborted", "bDelay", "bAppointment")
RULES = {
    "dangling-result-code",
    "contradictory-type",
    "no-success-code",
    "no-abort-code",
    "delay-without-offset",
    "missing-translation",
    "missing-export-key",
    "duplicate-export-key",
    "conflicting-export-key",
    "duplicate-name",
    "name-within-name",
    "inverted-dates",
    "expired",
    "expiring-soon",
    "not-started",
    "differs-from-template",
    "caller-id-off",
    "closes-without-code",
    "duplicate-user-data",
    "no-line-cap",
}


@cache
def generated_sandbox(campaigns: int = 400, seed: int = 1) -> Sandbox:
    return Sandbox(campaigns, seed, now=NOW)


def seeded_defects(sandbox: Sandbox, rule: str) -> list[SeededDefect]:
    return [defect for defect in sandbox.seeded_defects if defect.rule == rule]


def codes(sandbox: Sandbox, campaign_id: int) -> dict[int, dict[int, dict[str, Any]]]:
    """Return the result codes of a campaign by ID and language."""
    by_id: dict[int, dict[int, dict[str, Any]]] = defaultdict(dict)
    for language in (ENGLISH, GERMAN):
        for record in sandbox.result_codes(campaign_id, language):
            by_id[record["ID"]][language] = record
    return by_id


def flags(record: dict[str, Any]) -> tuple[str, ...]:
    return tuple(flag for flag in FLAGS if record[flag])


def all_data(sandbox: Sandbox) -> bytes:
    return msgspec.json.encode(
        [
            [dict(record), sandbox.result_codes(id, 1), sandbox.result_codes(id, 2)]
            for id, record in sandbox.campaigns.items()
        ]
    )


def findings_in_codes(sandbox: Sandbox) -> set[tuple[Any, ...]]:
    """Return the findings of the rules about one campaign. This is a second implementation of these rules."""
    found: set[tuple[Any, ...]] = set()
    for id, campaign in sandbox.campaigns.items():
        by_id = codes(sandbox, id)
        first = [next(iter(languages.values())) for languages in by_id.values()]
        for key, value in campaign.items():
            if key.endswith("ResultCodesID") and value is not None and value not in by_id:
                found.add(("dangling-result-code", id, key))
        for code in first:
            if len(flags(code)) != 1:
                found.add(("contradictory-type", id, code["ID"]))
            if code["bDelay"] and not (code["TimeOffset"] or 0) > 0:
                found.add(("delay-without-offset", id, code["ID"]))
            if not code["ExportKey"]:
                found.add(("missing-export-key", id, code["ID"]))
        if not any(code["bDone"] for code in first):
            found.add(("no-success-code", id))
        if not any(code["bAborted"] for code in first):
            found.add(("no-abort-code", id))
        keys = Counter(code["ExportKey"] for code in first if code["ExportKey"])
        for key in (key for key, times in keys.items() if times > 1):
            found.add(("duplicate-export-key", id, key))
        for code_id, languages in by_id.items():
            for language in (ENGLISH, GERMAN):
                code = languages.get(language, {"Content": ""})
                if code["Content"] in ("", None, code.get("ShortText")):
                    found.add(("missing-translation", id, code_id, language))
    return found


def as_finding(defect: SeededDefect) -> tuple[Any, ...]:
    details = (defect.key, defect.code_id, defect.export_key, defect.languages_id)
    return (defect.rule, defect.campaign_id, *(detail for detail in details if detail is not None))


CODE_RULES = {
    "dangling-result-code",
    "contradictory-type",
    "delay-without-offset",
    "missing-export-key",
    "no-success-code",
    "no-abort-code",
    "duplicate-export-key",
    "missing-translation",
}


@pytest.mark.parametrize("campaigns", [4, 20, 26, 400, 1500])
def test_rules_about_one_campaign_find_the_seeded_defects_and_no_others(campaigns: int) -> None:
    sandbox = generated_sandbox(campaigns)
    expected = [as_finding(defect) for defect in sandbox.seeded_defects if defect.rule in CODE_RULES]
    assert findings_in_codes(sandbox) == set(expected)
    assert len(expected) == len(set(expected)) > 0


@pytest.mark.parametrize("campaigns", [31, 400])
def test_dates_have_only_seeded_defects_and_are_not_near_any_limit(campaigns: int) -> None:
    sandbox = generated_sandbox(campaigns)
    found = set()
    for id, record in sandbox.campaigns.items():
        begin = record["dtFrom"] and datetime.fromisoformat(record["dtFrom"])
        end = record["dtTo"] and datetime.fromisoformat(record["dtTo"])
        for moment in filter(None, (begin, end)):
            for boundary in (NOW, NOW + timedelta(days=7)):
                assert abs(moment - boundary) > timedelta(days=2)
        if begin and end and begin > end:
            found.add(("inverted-dates", id))
            continue
        if begin and begin > NOW:
            found.add(("not-started", id))
        if end and end < NOW:
            found.add(("expired", id))
        elif end and end < NOW + timedelta(days=7):
            found.add(("expiring-soon", id))
    dates = {"inverted-dates", "not-started", "expired", "expiring-soon"}
    assert found == {as_finding(defect) for defect in sandbox.seeded_defects if defect.rule in dates}


def test_export_keys_have_one_type_except_for_seeded_defects() -> None:
    sandbox = generated_sandbox()
    meanings: dict[str, dict[tuple[str, ...], set[int]]] = defaultdict(lambda: defaultdict(set))
    for id in sandbox.campaigns:
        for record in sandbox.result_codes(id):
            if record["ExportKey"]:
                meanings[record["ExportKey"]][flags(record)].add(id)
    found = {key: types for key, types in meanings.items() if len(types) > 1}
    expected = defaultdict(set)
    for defect in seeded_defects(sandbox, "conflicting-export-key"):
        expected[defect.export_key].add(defect.campaign_id)
        assert {defect.campaign_id, *defect.other_ids} == set.union(*found[defect.export_key].values())
    assert {key: set.union(*types.values()) for key, types in found.items()} == expected


@pytest.mark.parametrize("campaigns", [26, 1500])
def test_names_differ_except_for_seeded_defects(campaigns: int) -> None:
    sandbox = generated_sandbox(campaigns)
    names = {id: record["Name"].casefold() for id, record in sandbox.campaigns.items()}
    within = {
        (id, other) for id, name in names.items() for other, longer in names.items() if id != other and name in longer
    }
    assert within == {(defect.campaign_id, *defect.other_ids) for defect in seeded_defects(sandbox, "name-within-name")}
    squeezed = defaultdict(set)
    for id, name in names.items():
        squeezed["".join(name.split())].add(id)
    same = {id for ids in squeezed.values() if len(ids) > 1 for id in ids}
    assert same == {defect.campaign_id for defect in seeded_defects(sandbox, "duplicate-name")}
    assert all(len(record["Name"]) <= 64 for record in sandbox.campaigns.values())


def settings(record: Any) -> dict[str, Any]:
    return {
        key: value for key, value in record.items() if key not in ("ID", "Name") and not key.endswith("ResultCodesID")
    }


def by_export_key(sandbox: Sandbox, id: int) -> dict[str, Any]:
    own = ("ID", "DiallerCampaignsID", "ShortText")
    return {
        record["ExportKey"]: {key: value for key, value in record.items() if key not in own}
        for record in sandbox.result_codes(id)
    }


def test_copies_of_the_template_have_only_seeded_differences() -> None:
    sandbox = generated_sandbox(1500)
    template = sandbox.template
    assert template is not None
    original = sandbox.campaigns[template.campaign_id]
    assert original["Name"] == template.name
    expected = by_export_key(sandbox, template.campaign_id)
    found = set()
    for id in template.copies:
        copy = by_export_key(sandbox, id)
        found |= {(id, key) for key in copy.keys() | expected if copy.get(key) != expected.get(key)}
        theirs, ours = settings(sandbox.campaigns[id]), settings(original)
        found |= {(id, key) for key in ours if theirs[key] != ours[key]}
    seeded = seeded_defects(sandbox, "differs-from-template")
    assert found == {(defect.campaign_id, defect.export_key or defect.key) for defect in seeded}
    assert len(found) == len(template.copies) - 1 >= 4


@pytest.mark.parametrize("campaigns", [29, 30, 60, 400])
def test_account_of_29_or_more_campaigns_has_every_kind_of_defect(campaigns: int) -> None:
    assert {defect.rule for defect in generated_sandbox(campaigns).seeded_defects} == RULES


def test_less_than_a_tenth_of_a_large_account_has_defects() -> None:
    sandbox = generated_sandbox(1500)
    assert 0.05 < len({defect.campaign_id for defect in sandbox.seeded_defects}) / 1500 < 0.1


def test_same_seed_gives_the_same_data() -> None:
    first, same, other = Sandbox(40, 7, now=NOW), Sandbox(40, 7, now=NOW), Sandbox(40, 8, now=NOW)
    assert all_data(first) == all_data(same) != all_data(other)
    assert (first.seeded_defects, first.template, first.token) == (same.seeded_defects, same.template, same.token)
    assert first.token != other.token


def test_generated_dates_are_relative_to_today_by_default() -> None:
    sandbox = Sandbox(30)
    (expired,) = seeded_defects(sandbox, "expired")
    end = datetime.fromisoformat(sandbox.campaigns[expired.campaign_id]["dtTo"] + "+00:00")
    assert timedelta(days=38) < datetime.now(end.tzinfo) - end < timedelta(days=42)


def test_zulu_dates_are_the_naive_dates_with_a_z() -> None:
    naive, zulu = Sandbox(30, now=NOW), Sandbox(30, now=NOW, dates="zulu")
    for id, record in naive.campaigns.items():
        for key in ("dtFrom", "dtTo"):
            expected = None if record[key] is None else record[key] + "Z"
            assert zulu.campaigns[id][key] == expected


def test_ids_languages_and_numbers_of_codes_are_realistic() -> None:
    sandbox = generated_sandbox()
    assert min(sandbox.campaigns) == 535
    assert {record["ClientsID"] for record in Sandbox(3, clients_id=9).campaigns.values()} == {9}
    all_codes = [record for id in sandbox.campaigns for record in sandbox.result_codes(id)]
    ids = [record["ID"] for record in all_codes]
    assert min(ids) > 1000
    assert len(ids) == len(set(ids))
    assert {1, 2, 3, 4} == {record["DiallerResultCodesTypesID"] for record in all_codes}
    counts = {len(sandbox.result_codes(id)) for id in sandbox.campaigns}
    assert min(counts) >= 4
    assert 25 < max(counts) <= 31
    assert {record["LanguagesID"] for record in sandbox.campaigns.values()} == {1, 2}


def test_filler_keys_are_added_to_each_generated_record() -> None:
    sandbox = Sandbox(100, filler_keys=60)
    records = [dict(record) for record in sandbox.campaigns.values()]
    published = set(Sandbox(1).campaigns[535])
    assert len(published) == 13
    assert {len(record) for record in records} <= {73, 74}
    assert 1000 < len(msgspec.json.encode(records)) / 100 < 1400
    filler = set(records[0]) - published
    assert not any(key.endswith("ResultCodesID") for key in filler - {"MaxAttemptsResultCodesID"})


def test_missing_translation_is_served_as_the_translation_key() -> None:
    sandbox = generated_sandbox()
    shown = [
        code[defect.languages_id or 0].get("Content")
        for defect in seeded_defects(sandbox, "missing-translation")
        for code in (codes(sandbox, defect.campaign_id)[defect.code_id or 0],)
        if defect.languages_id in code
    ]
    ids = [defect.code_id for defect in seeded_defects(sandbox, "missing-translation")]
    assert set(shown) - {""} == {f"DiallerCampaignsResultCodes.{id}" for id in ids[1::3]}
    assert "" in shown


@pytest.mark.parametrize("seed", range(12))
def test_invalid_record_option_makes_one_unaffected_record_invalid(seed: int) -> None:
    sandbox = Sandbox(40, seed, invalid_record=True, now=NOW)
    (defect,) = seeded_defects(sandbox, "invalid-record")
    assert sandbox.campaigns[defect.campaign_id][defect.key or ""] == "many"
    others = [other for other in sandbox.seeded_defects if other is not defect]
    assert others == Sandbox(40, seed, now=NOW).seeded_defects
    affected = {id for other in others for id in (other.campaign_id, *other.other_ids)}
    assert sandbox.template is not None
    affected |= {sandbox.template.campaign_id, *sandbox.template.copies}
    assert defect.campaign_id not in affected
    assert seeded_defects(Sandbox(3, seed, invalid_record=True), "invalid-record")
