"""What was not checked is never called gone, new or clean: the states of findings from one night to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import Campaign, ConnectError, Language, Records, ResultCode
from dialler_async._api.partial_records import InvalidRecord, PartialRecords
from dialler_async.audit import (
    RULES,
    AuditReport,
    Baseline,
    CampaignFacts,
    Finding,
    Severity,
    State,
    Violation,
    compare,
    rule,
)
from dialler_async.audit.options import AuditOptions
from dialler_async.audit.rule_runner import RuleRunner
from dialler_async.audit.writers import write_json
from dialler_async.errors import PayloadError
from dialler_async.models import with_wire

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EN, DE = Language.ENGLISH, Language.GERMAN

DONE = ResultCode(id=1, content="Yes", short_text="k", export_key="YES", done=True)
NO = ResultCode(id=2, content="No", short_text="k", export_key="NO", aborted=True)
UNTRANSLATED = attrs.evolve(NO, content="")
SOUND = {EN: (DONE, NO), DE: (DONE, NO)}


def night(campaigns: dict[int, Any], **options: Any) -> AuditReport:
    """Return the report of a night.

    Args:
        campaigns: the codes by language of each campaign, or its record with the key `codes`.
        options: `failing` are IDs whose lookups fail, `failing_in` is their languages, `invalid` are IDs whose records
            are invalid, `missing` is the number of campaigns that a shortened list lacks.
    """
    languages = options.get("languages", (EN, DE))
    runner = RuleRunner(AuditOptions.of(options.get("rules", RULES), languages, NOW))
    records, codes = [], {}
    for id, described in campaigns.items():
        wire = dict(described) if "codes" in described else {"codes": described}
        codes[id] = wire.pop("codes")
        records.append(with_wire(Campaign(id=id, name=wire.get("Name", f"Campaign #{id}")), {"ID": id, **wire}))
    odd = options.get("invalid", ())
    invalid = [
        InvalidRecord({"Name": one.name}, PayloadError("is odd", path="records[0].x", record_id=one.id))
        for one in records
        if one.id in odd
    ]
    valid = [one for one in records if one.id not in odd]
    runner.check_list(PartialRecords(tuple(valid), tuple(invalid), len(records) + options.get("missing", 0)))
    for one in valid:
        assert one.id is not None
        failing = options.get("failing_in", languages) if one.id in options.get("failing", ()) else ()
        runner.check_campaigns(
            [one],
            {
                language: ConnectError("500")
                if language in failing
                else Records(codes[one.id][language], total=len(codes[one.id][language]))
                for language in languages
            },
        )
    return runner.report(seconds=1.0, started=NOW)


def after(then: AuditReport, now: AuditReport) -> AuditReport:
    """Return the report compared with the JSON of an earlier one."""
    return compare(now, Baseline.read("".join(write_json(then)).encode()))


def states(report: AuditReport, *rules: str) -> dict[State, set[tuple[Any, ...]]]:
    """Return the campaigns, subjects and languages of the findings of these rules, by state."""
    assert report.comparison
    everything = (*report.findings, *report.accepted, *report.comparison.gone, *report.comparison.unchecked)
    by_state: dict[State, set[tuple[Any, ...]]] = {}
    for one in everything:
        if one.rule in rules:
            assert one.state
            by_state.setdefault(one.state, set()).add((one.campaign_id, one.subject, one.language))
    return by_state


class TestLanguages:
    THEN = night({1: {EN: (DONE, NO), DE: (DONE, UNTRANSLATED)}})
    FINDING = (1, "2", DE)

    def test_finding_of_a_language_that_was_not_requested_is_not_checked(self) -> None:
        english = after(self.THEN, night({1: SOUND}, languages=(EN,)))
        assert states(english, "missing-translation") == {State.UNCHECKED: {self.FINDING}}

    def test_finding_is_unchanged_after_a_night_without_its_language(self) -> None:
        english = after(self.THEN, night({1: SOUND}, languages=(EN,)))
        assert states(after(english, self.THEN), "missing-translation") == {State.UNCHANGED: {self.FINDING}}

    def test_finding_is_gone_when_its_language_alone_was_checked(self) -> None:
        german = after(self.THEN, night({1: SOUND}, languages=(DE,)))
        assert states(german, "missing-translation") == {State.GONE: {self.FINDING}}

    def test_code_that_does_not_exist_in_a_language_is_checked_in_both_languages_only(self) -> None:
        then = night({1: {EN: (DONE, NO), DE: (DONE,)}})
        for language in (EN, DE):
            alone = after(then, night({1: {EN: (DONE, NO), DE: (DONE,)}}, languages=(language,)))
            assert states(alone, "missing-translation") == {State.UNCHECKED: {self.FINDING}}

    def test_code_that_exists_in_a_language_that_was_not_requested_is_not_checked(self) -> None:
        typeless = ResultCode(id=3, content="?", short_text="k", export_key="X")
        then = night({1: {EN: (DONE, NO), DE: (DONE, NO, typeless)}})
        english = after(then, night({1: {EN: (DONE, NO)}}, languages=(EN,)))
        assert states(english, "contradictory-type") == {State.UNCHECKED: {(1, "3", None)}}

    def test_finding_about_the_record_alone_is_checked_without_codes(self) -> None:
        uncapped = {"codes": SOUND, "nMaxParallelLines": None}
        then = night({1: uncapped, 2: uncapped})
        now = after(then, night({1: uncapped, 2: SOUND}, failing=[1, 2]))
        assert states(now, "no-line-cap") == {
            State.UNCHANGED: {(1, "nMaxParallelLines", None)},
            State.GONE: {(2, "nMaxParallelLines", None)},
        }


class TestIdentity:
    def test_text_missing_in_another_language_is_new(self) -> None:
        then = night({1: {EN: (DONE, NO), DE: (DONE, UNTRANSLATED)}})
        now = after(then, night({1: {EN: (DONE, UNTRANSLATED), DE: (DONE, UNTRANSLATED)}}))
        assert states(now, "missing-translation") == {State.NEW: {(1, "2", EN)}, State.UNCHANGED: {(1, "2", DE)}}

    def test_another_kind_of_problem_with_the_same_subject_is_new(self) -> None:
        then = night({1: {EN: (DONE, NO), DE: (DONE, UNTRANSLATED)}})
        now = after(then, night({1: {EN: (DONE, NO), DE: (DONE,)}}))
        finding = {(1, "2", DE)}
        assert states(now, "missing-translation") == {State.NEW: finding, State.GONE: finding}

    def test_setting_that_names_another_missing_code_is_the_same_finding(self) -> None:
        then, now = (night({1: {"codes": SOUND, "OwnResultCodesID": id}}) for id in (999, 888))
        compared = after(then, now)
        assert states(compared, "dangling-result-code") == {State.UNCHANGED: {(1, "OwnResultCodesID", None)}}
        assert compared.comparison
        assert [(change.before, change.after) for change in compared.comparison.changes] == [(999, 888)]

    def test_identity_does_not_depend_on_account_message_and_state(self) -> None:
        [finding] = night({1: {"codes": SOUND, "OwnResultCodesID": 9}}).findings
        other = attrs.evolve(finding, account="north", message="x", state=State.NEW, severity=Severity.INFO)
        assert other.identity == finding.identity
        for changed in ({"campaign_id": None}, {"kind": "x"}, {"language": DE}, {"subject": ""}, {"rule": "x"}):
            assert attrs.evolve(finding, **changed).identity != finding.identity


class TestSharedName:
    THEN = night({1: {"codes": SOUND, "Name": "Twin"}, 2: {"codes": SOUND, "Name": "twin"}})
    TWINS: Final = {(1, "Name", None), (2, "Name", None)}

    @pytest.mark.parametrize(
        "now",
        [
            night({1: {"codes": SOUND, "Name": "Twin"}, 2: SOUND}, invalid=[2]),
            night({1: {"codes": SOUND, "Name": "Twin"}}, missing=1),
            attrs.evolve(night({1: {"codes": SOUND, "Name": "Twin"}}), scope="ID 1"),
        ],
        ids=["invalid record", "short list", "part of the account"],
    )
    def test_finding_is_not_checked_if_the_other_campaign_was_not(self, now: AuditReport) -> None:
        assert states(after(self.THEN, now), "duplicate-name") == {State.UNCHECKED: self.TWINS}

    def test_finding_is_gone_if_the_other_campaign_was_deleted_or_renamed(self) -> None:
        for now in (night({1: {"codes": SOUND, "Name": "Twin"}}), night({1: SOUND, 2: SOUND})):
            assert states(after(self.THEN, now), "duplicate-name") == {State.GONE: self.TWINS}

    def test_finding_is_checked_if_only_other_campaigns_were_not(self) -> None:
        now = night({1: SOUND, 2: SOUND, 3: SOUND}, invalid=[3])
        assert states(after(self.THEN, now), "duplicate-name") == {State.GONE: self.TWINS}


class TestSharedExportKey:
    ABORTED = (attrs.evolve(DONE, done=None, aborted=True), NO)
    CONFLICT: Final = {EN: ABORTED, DE: ABORTED}
    THEN = night({1: SOUND, 2: SOUND, 3: SOUND, 4: CONFLICT})
    FINDING: Final = {(4, "YES", None)}

    def test_conflict_is_found_in_the_smaller_group(self) -> None:
        assert states(after(self.THEN, self.THEN), "conflicting-export-key") == {State.UNCHANGED: self.FINDING}

    @pytest.mark.parametrize("failing", [[2, 3], [1, 2, 3]])
    def test_sound_campaign_is_not_accused_if_the_others_could_not_be_fetched(self, failing: list[int]) -> None:
        now = after(self.THEN, night({1: SOUND, 2: SOUND, 3: SOUND, 4: self.CONFLICT}, failing=failing))
        found = states(now, "conflicting-export-key")
        assert State.NEW not in found
        assert State.GONE not in found

    def test_conflict_is_not_gone_if_its_partners_could_not_be_fetched(self) -> None:
        now = after(self.THEN, night({1: SOUND, 2: SOUND, 3: SOUND, 4: self.CONFLICT}, failing=[1, 2, 3]))
        assert states(now, "conflicting-export-key") == {State.UNCHECKED: self.FINDING}
        assert states(after(now, self.THEN), "conflicting-export-key") == {State.UNCHANGED: self.FINDING}

    def test_conflict_is_gone_if_its_partners_were_fetched_and_another_campaign_was_not(self) -> None:
        now = night({1: SOUND, 2: SOUND, 3: SOUND, 4: SOUND, 5: SOUND}, failing=[5])
        assert states(after(self.THEN, now), "conflicting-export-key") == {State.GONE: self.FINDING}

    def test_conflict_is_not_gone_if_campaigns_that_were_not_checked_could_turn_the_majority(self) -> None:
        then = night({1: SOUND, 4: self.CONFLICT})
        now = after(then, night({1: SOUND, 4: self.CONFLICT, 6: self.CONFLICT, 7: SOUND, 8: SOUND}, failing=[7, 8]))
        # Campaign 6 is new, and makes the majority for 4. Campaigns 7 and 8 would turn it again.
        assert states(now, "conflicting-export-key") == {
            State.UNCHANGED: {(1, "YES", None)},
            State.UNCHECKED: {(4, "YES", None)},
        }

    def test_new_conflict_is_new_although_another_campaign_could_not_be_fetched(self) -> None:
        then = night({1: SOUND, 2: SOUND, 9: SOUND}, failing=[9])
        now = after(then, night({1: SOUND, 2: self.CONFLICT, 9: SOUND}, failing=[9]))
        assert states(now, "conflicting-export-key") == {State.NEW: {(1, "YES", None), (2, "YES", None)}}


@pytest.mark.parametrize("nights", [1, 2, 5])
def test_finding_is_unchanged_after_nights_in_which_its_campaign_could_not_be_fetched(nights: int) -> None:
    campaigns = {1: SOUND, 2: {EN: (DONE,), DE: (DONE,)}}
    report = night(campaigns)
    for _ in range(nights):
        report = after(report, night(campaigns, failing=[2]))
        assert states(report, "no-abort-code") == {State.UNCHECKED: {(2, "", None)}}
    report = after(report, night(campaigns))
    assert states(report, "no-abort-code") == {State.UNCHANGED: {(2, "", None)}}
    assert states(after(report, night({1: SOUND, 2: SOUND})), "no-abort-code") == {State.GONE: {(2, "", None)}}


class TestMeasure:
    def test_list_that_is_shorter_than_before_is_new(self) -> None:
        then = night(dict.fromkeys(range(1, 100), SOUND), missing=1)
        now = after(then, night({1: SOUND}, missing=99))
        assert states(now, "incomplete-list") == {State.NEW: {(None, "", None)}}
        assert any(now.fails(finding) for finding in attrs.evolve(now, fails_on_new=True).findings)

    def test_list_that_is_as_short_as_before_is_unchanged(self) -> None:
        then = night({1: SOUND}, missing=2)
        for missing in (1, 2):
            assert State.NEW not in states(after(then, night({1: SOUND}, missing=missing)), "incomplete-list")

    def test_more_codes_with_the_same_export_key_are_new(self) -> None:
        twins = [attrs.evolve(DONE, id=id) for id in (1, 3, 4)]
        then, now = (night({1: {EN: (*twins[:many], NO), DE: (*twins[:many], NO)}}) for many in (2, 3))
        assert states(after(then, now), "duplicate-export-key") == {State.NEW: {(1, "YES", None)}}
        assert states(after(now, then), "duplicate-export-key") == {State.UNCHANGED: {(1, "YES", None)}}


class TestUnidentifiedRecords:
    THEN = night({1: SOUND, 2: {EN: (DONE,), DE: (DONE,)}})

    def compared(self, name: object, invalid: bool) -> AuditReport:
        runner = RuleRunner(AuditOptions.of(RULES, (EN, DE), NOW))
        one, without_id = Campaign(id=1, name="Campaign #1"), Campaign(name=str(name))
        error = PayloadError("is odd", path="records[1].ID")
        broken = (InvalidRecord({"Name": name}, error),) if invalid else ()
        runner.check_list(PartialRecords((one,) if invalid else (one, without_id), broken, 2))
        runner.check_campaigns([one], {EN: Records((DONE, NO), total=2), DE: Records((DONE, NO), total=2)})
        if not invalid:
            runner.check_without_id(without_id)
        return after(self.THEN, runner.report(seconds=1.0, started=NOW))

    @pytest.mark.parametrize(("name", "invalid"), [("Campaign #2", True), (7, True), ("Campaign #2", False)])
    def test_campaign_that_came_without_its_id_is_not_gone(self, name: object, invalid: bool) -> None:
        compared = self.compared(name, invalid)
        assert states(compared, "no-abort-code") == {State.UNCHECKED: {(2, "", None)}}
        assert compared.comparison
        removed = [
            change for change in compared.comparison.changes if (change.what, change.after) == ("campaign", None)
        ]
        assert removed == []

    def test_campaign_is_gone_if_another_one_came_without_its_id(self) -> None:
        assert states(self.compared("Other", False), "no-abort-code") == {State.GONE: {(2, "", None)}}


class TestRules:
    @staticmethod
    def named(fails: bool) -> Any:
        @rule("named", Severity.INFO, title="t", why="w", fix="f")
        def named(facts: CampaignFacts) -> Any:
            if fails and facts.campaign.id == 1:
                raise KeyError
            if facts.campaign.name.startswith("x"):
                yield Violation("Name", "is bad")

        return named

    def test_finding_of_a_rule_that_failed_or_was_not_applied_is_not_checked(self) -> None:
        bad = {"codes": SOUND, "Name": "x"}
        then = night({1: SOUND, 2: bad}, rules=[self.named(False)])
        for rules in ([self.named(True)], []):
            now = after(then, night({1: SOUND, 2: SOUND}, rules=rules))
            assert states(now, "named") == {State.UNCHECKED: {(2, "Name", None)}}
        now = after(then, night({1: SOUND, 2: SOUND}, rules=[self.named(False)]))
        assert states(now, "named") == {State.GONE: {(2, "Name", None)}}

    def test_failure_of_a_rule_is_not_gone_if_campaigns_were_not_checked(self) -> None:
        then = night({1: SOUND, 2: SOUND}, rules=[self.named(True)])
        now = after(then, night({1: SOUND, 2: SOUND}, rules=[self.named(False)], failing=[1]))
        assert states(now, "rule-failed") == {State.UNCHECKED: {(None, "named", None)}}
        now = after(then, night({1: SOUND, 2: SOUND}, rules=[self.named(False)]))
        assert states(now, "rule-failed") == {State.GONE: {(None, "named", None)}}


def test_unchecked_finding_says_why_it_was_not_checked() -> None:
    then = night({1: SOUND, 2: {EN: (DONE,), DE: (DONE,)}})
    now = after(then, night({1: SOUND, 2: SOUND}, failing=[2], failing_in=(DE,)))
    assert now.comparison
    [unchecked] = now.comparison.unchecked
    assert unchecked.unchecked_reason == "no result codes in German: 500"
    assert now.coverage().why_not_checked(unchecked) == unchecked.unchecked_reason


# Each campaign has defects out of these; the sound codes and records are replaced.
DEFECTS = (
    "no-abort-code",
    "missing-translation",
    "dangling-result-code",
    "no-line-cap",
    "duplicate-name",
    "conflicting-export-key",
)


@st.composite
def nights(draw: st.DrawFn) -> tuple[dict[int, Any], dict[str, Any]]:
    """Draw the account of a night, and what goes wrong in its audit."""
    campaigns: dict[int, Any] = {}
    for id in draw(st.sets(st.integers(1, 4), min_size=1)):
        defects = draw(st.sets(st.sampled_from(DEFECTS), max_size=2))
        english = (DONE,) if "no-abort-code" in defects else (DONE, NO)
        if "conflicting-export-key" in defects:
            english = tuple(attrs.evolve(one, done=None, aborted=True) for one in english)
        german = (
            tuple(attrs.evolve(one, content="") for one in english) if "missing-translation" in defects else english
        )
        record: dict[str, Any] = {"codes": {EN: english, DE: german}}
        record |= {"OwnResultCodesID": 99} if "dangling-result-code" in defects else {}
        record |= {"nMaxParallelLines": None} if "no-line-cap" in defects else {}
        record |= {"Name": "Twin"} if "duplicate-name" in defects else {}
        campaigns[id] = record
    ids = st.sets(st.sampled_from(sorted(campaigns)))
    trouble = {
        "failing": draw(ids),
        "failing_in": draw(st.sampled_from([(EN,), (DE,), (EN, DE)])),
        "invalid": draw(ids),
        "unlisted": draw(ids),
        "languages": draw(st.sampled_from([(EN,), (DE,), (EN, DE)])),
    }
    return campaigns, trouble if draw(st.booleans()) else {}


RANDOM_RULES: Final = [one for one in RULES if one.info.id in DEFECTS]


def about_the_account(report: AuditReport) -> dict[str, Finding]:
    """Return the findings that are not about the run, by identity."""
    return {one.identity: one for one in report.findings if one.rule in DEFECTS}


def partners(finding: Finding) -> set[Any]:
    return set(finding.basis.campaigns or ())


@given(st.lists(nights(), min_size=2, max_size=6))
def test_states_of_random_nights_agree_with_what_is_there(drawn: list[tuple[dict[int, Any], dict[str, Any]]]) -> None:
    report: AuditReport | None = None
    known: dict[str, Finding] = {}
    for campaigns, trouble in drawn:
        unlisted = trouble.get("unlisted", set())
        listed = {id: described for id, described in campaigns.items() if id not in unlisted}
        options = {key: value for key, value in trouble.items() if key != "unlisted"}
        seen = night(listed, missing=len(unlisted), rules=RANDOM_RULES, **options)
        if report is None:
            report, known = seen, about_the_account(seen)
            continue
        # What a night without any trouble would have found.
        there = about_the_account(night(campaigns, rules=RANDOM_RULES))
        report = after(report, seen)
        assert report.comparison
        found = about_the_account(report)
        new = {identity for identity, one in found.items() if one.state is State.NEW}
        gone = {one.identity for one in report.comparison.gone if one.rule in DEFECTS}
        unchecked = {one.identity: one for one in report.comparison.unchecked if one.rule in DEFECTS}
        for identity in gone & there.keys():
            # The campaigns that it rested on are sound. Another one, which was not checked, has the same problem.
            assert not partners(there[identity]) <= partners(known[identity]), "what is there is not gone"
        for identity in new | (found.keys() - known.keys()):
            assert identity not in known, "what was known and was not gone is not new"
            assert identity in there or not found[identity].basis.certain, "what is not there is not new"
        assert known.keys() == (found.keys() - new) | gone | unchecked.keys(), "every known finding has one state"
        assert all(one.unchecked_reason for one in unchecked.values())
        known = {**unchecked, **found}


@given(nights())
def test_comparison_of_a_run_with_itself_is_empty(drawn: tuple[dict[int, Any], dict[str, Any]]) -> None:
    campaigns, trouble = drawn
    options = {key: value for key, value in trouble.items() if key != "unlisted"}
    report = night(campaigns, rules=RANDOM_RULES, **options)
    comparison = after(report, report).comparison
    assert comparison
    assert (comparison.new, comparison.gone, comparison.unchecked, comparison.changes) == ((), (), (), ())
