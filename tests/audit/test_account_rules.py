"""The rules that compare campaigns: with each other, and with a template."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async.audit import RULES, AccountFacts, AccountRule, CampaignSummary, CodeType, Rule
from dialler_async.audit.rule import CampaignFacts
from dialler_async.audit.rules.names import _pairs
from dialler_async.models import Campaign, Language, Records, ResultCode, with_wire

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

BY_ID = {rule.info.id: rule for rule in RULES if isinstance(rule, AccountRule)}
[DIFFERS_FROM_TEMPLATE] = [rule for rule in RULES if isinstance(rule, Rule) and rule.info.id == "differs-from-template"]


def setting(id: int, **values: Any) -> CampaignSummary:
    return attrs.evolve(brief(id), **values)


class TestCallerIdOff:
    def test_campaign_without_caller_id_is_reported_if_90_percent_of_the_others_have_one(self) -> None:
        on = [setting(id, caller_id_active=True) for id in range(1, 19)]
        others = [setting(20, caller_id_active=None), setting(21, caller_id_active=False)]
        assert violations("caller-id-off", *on, *others, setting(30, caller_id_active=False)) == [
            (21, "bCallerIDActive", "transmits no caller ID, while 18 of 19 others do"),
            (30, "bCallerIDActive", "transmits no caller ID, while 18 of 19 others do"),
        ]

    @pytest.mark.parametrize(("on", "off"), [(0, 1), (0, 9), (1, 2), (8, 2), (9, 0)])
    def test_campaign_without_caller_id_is_not_reported_if_fewer_others_have_one(self, on: int, off: int) -> None:
        campaigns = [setting(id, caller_id_active=id < on) for id in range(on + off)]
        assert violations("caller-id-off", *campaigns) == []


class TestDuplicateUserData:
    def test_campaigns_with_the_same_user_data_are_reported(self) -> None:
        campaigns = [setting(id, user_data=data) for id, data in enumerate(("crm-7", None, "", " ", "crm-7", " "), 1)]
        assert violations("duplicate-user-data", *campaigns) == [
            (1, "UserData", "has the UserData “crm-7”, like campaign 5"),
            (5, "UserData", "has the UserData “crm-7”, like campaign 1"),
        ]

    def test_message_counts_many_campaigns_with_the_same_user_data(self) -> None:
        messages = [
            message
            for *_, message in violations("duplicate-user-data", *(setting(id, user_data="x") for id in range(99)))
        ]
        assert messages[0] == "has the UserData “x”, like campaign 1, campaign 2, campaign 3 and 95 more"
        assert messages[-1] == "has the UserData “x”, like campaign 0, campaign 1, campaign 2 and 95 more"


def brief(id: int | None, name: str = "", **export_keys: str) -> CampaignSummary:
    keys = tuple((key, CodeType(type)) for key, type in export_keys.items())
    return CampaignSummary(
        id=id, name=name or f"Campaign #{id}", dt_from=None, dt_to=None, codes=0, export_keys=keys, texts=()
    )


def violations(rule: str, *campaigns: CampaignSummary) -> list[tuple[int | None, str, str]]:
    account = AccountFacts(campaigns=campaigns, now=NOW)
    return [(campaign.id, found.subject, found.message) for campaign, found in BY_ID[rule].apply(account)]


class TestDuplicateName:
    def test_names_that_differ_only_in_case_and_spaces_are_reported(self) -> None:
        campaigns = [brief(1, "Rückruf 7"), brief(2, " RÜCKRUF  7"), brief(3, "Rückruf7"), brief(4, "Rückruf 8")]
        assert violations("duplicate-name", *campaigns) == [
            (1, "Name", "has the same name as campaign 2 and campaign 3, except for case and spaces"),
            (2, "Name", "has the same name as campaign 1 and campaign 3, except for case and spaces"),
            (3, "Name", "has the same name as campaign 1 and campaign 2, except for case and spaces"),
        ]

    def test_message_counts_many_campaigns_with_the_same_name(self) -> None:
        messages = [
            message for *_, message in violations("duplicate-name", *(brief(id, "Same") for id in range(1, 3001)))
        ]
        assert messages[0] == (
            "has the same name as campaign 2, campaign 3, campaign 4 and 2,996 more, except for case and spaces"
        )
        assert messages[-1].startswith("has the same name as campaign 1, campaign 2, campaign 3 and 2,996 more")


class TestNameWithinName:
    def test_name_within_another_name_is_reported_in_any_case(self) -> None:
        campaigns = [brief(1, "Spring"), brief(2, "SPRING sale"), brief(None, "late spring"), brief(4, "Sprin g")]
        assert violations("name-within-name", *campaigns) == [
            (1, "Name", "its name is part of the name of campaign 2 and a campaign without ID")
        ]

    def test_equal_names_are_not_reported_by_name_within_name(self) -> None:
        assert violations("name-within-name", brief(1, "Spring"), brief(2, "spring"), brief(3, "Spring ")) == []

    @given(st.lists(st.text("abAB ß", max_size=8), max_size=12))
    def test_name_pairs_equal_a_comparison_of_every_pair(self, names: list[str]) -> None:
        pairs = permutations(range(len(names)), 2)
        expected = {(short, long) for short, long in pairs if names[short] and names[short] in names[long]}
        listed = list(_pairs(names))
        assert set(listed) == expected
        assert len(listed) == len(expected)


class TestConflictingExportKey:
    def test_both_campaigns_with_a_conflicting_export_key_are_reported(self) -> None:
        assert violations("conflicting-export-key", brief(1, X="done", Y="done"), brief(2, X="aborted", Y="done")) == [
            (1, "X", "the export key “X” is done here, but aborted in campaign 2"),
            (2, "X", "the export key “X” is aborted here, but done in campaign 1"),
        ]

    def test_only_campaigns_whose_key_type_differs_from_the_majority_are_reported(self) -> None:
        campaigns = [brief(id, X="done") for id in range(1, 21)]
        assert violations("conflicting-export-key", *campaigns, brief(21, X="delay")) == [
            (21, "X", "the export key “X” is delay here, but done in campaign 1, campaign 2, campaign 3 and 17 more")
        ]

    def test_unclear_type_conflicts_with_no_other_type(self) -> None:
        assert (
            violations("conflicting-export-key", brief(1, X="done"), brief(2, X="unclear"), brief(3, Z="delay")) == []
        )


def code(id: int, **given: Any) -> ResultCode:
    """Return a result code without a defect, with the given changes."""
    usual = {"content": f"Text {id}", "short_text": f"DiallerCampaignsResultCodes.{id}", "export_key": f"K{id}"}
    return ResultCode(id=id, **{**usual, "done": True, "aborted": False, "delay": False, "appointment": False, **given})


def facts(
    codes: Sequence[ResultCode], *, counts: int | None = None, wire: Any = None, **campaign: Any
) -> CampaignFacts:
    """Return facts of a campaign that has these codes in English and in German."""
    records = Records(codes, total=len(codes) if counts is None else counts)
    record = with_wire(Campaign(**{"id": 7, "name": "Spring", **campaign}), wire or {})
    return CampaignFacts(campaign=record, codes=dict.fromkeys(Language, records), failures={}, now=NOW)


def differences(given: CampaignFacts) -> list[tuple[str, str]]:
    return [(finding.subject, finding.message) for finding in DIFFERS_FROM_TEMPLATE.apply(given)]


def against(template: CampaignFacts, given: CampaignFacts) -> dict[str, str]:
    return dict(differences(attrs.evolve(given, template=template)))


CODES = [code(1, export_key="YES"), code(2, export_key="NO", done=False, aborted=True)]
COPIES = [attrs.evolve(one, id=(one.id or 0) + 10) for one in CODES]
WIRE = {"ID": 7, "Name": "Template", "nMaxParallelLines": 5, "IncomingCallResultCodesID": 1, "bCallerIDActive": False}
TEMPLATE = facts(CODES, wire=WIRE)


def copy(codes: Any = COPIES, **wire: Any) -> CampaignFacts:
    own = {"ID": 8, "Name": "Copy", "UserData": "crm", "IncomingCallResultCodesID": 11, "bCallerIDActive": 0}
    return facts(codes, id=8, name="Copy", wire={**WIRE, **own, **wire})


class TestDiffersFromTemplate:
    def test_exact_copy_and_template_do_not_differ_from_the_template(self) -> None:
        assert against(TEMPLATE, copy()) == {}
        assert against(TEMPLATE, TEMPLATE) == {}
        assert differences(copy()) == []

    def test_settings_that_differ_from_the_template_are_reported(self) -> None:
        assert against(TEMPLATE, copy(nMaxParallelLines=None, Unknown="x")) == {
            "nMaxParallelLines": "nMaxParallelLines is not set, in the template 5",
            "Unknown": "Unknown is “x”, in the template not set",
        }

    def test_setting_with_another_code_than_the_template_is_reported(self) -> None:
        assert against(TEMPLATE, copy(IncomingCallResultCodesID=12)) == {
            "IncomingCallResultCodesID": "IncomingCallResultCodesID is “NO”, in the template “YES”"
        }

    def test_codes_missing_or_added_compared_with_the_template_are_reported(self) -> None:
        assert against(TEMPLATE, copy([COPIES[0], code(13, export_key="MAYBE")])) == {
            "NO": "has no code with the template's export key “NO”",
            "MAYBE": "the template has no code with the export key “MAYBE”",
        }

    def test_codes_that_differ_from_the_template_are_reported(self) -> None:
        changed = attrs.evolve(COPIES[0], time_offset=5, content="Ja")
        given = attrs.evolve(copy([changed, COPIES[1]]), template=TEMPLATE)
        found = {(one.kind, one.language): one.message for one in DIFFERS_FROM_TEMPLATE.apply(given)}
        starts = "the code with the export key “YES” differs: "
        assert found == {
            ("TimeOffset", None): f"{starts}TimeOffset is 5, in the template not set",
            ("text", Language.ENGLISH): f"{starts}the text in English is “Ja”, in the template “Text 1”",
            ("text", Language.GERMAN): f"{starts}the text in German is “Ja”, in the template “Text 1”",
        }

    def test_translation_keys_are_not_compared_with_the_template(self) -> None:
        untranslated = [attrs.evolve(one, content=one.short_text) for one in CODES]
        copies = [attrs.evolve(one, short_text=f"other.{one.id}", content=f"other.{one.id}") for one in COPIES]
        assert against(facts(untranslated, wire=WIRE), copy(copies)) == {}

    def test_incomplete_list_of_codes_is_not_compared_with_the_template(self) -> None:
        short = facts(COPIES[:1], counts=2, id=8, wire={**WIRE, "ID": 8, "IncomingCallResultCodesID": 55})
        assert against(TEMPLATE, short) == {}

    @pytest.mark.parametrize("value", [["x"], {"a": 1}, "text", 9])
    def test_any_value_can_be_compared_with_the_template(self, value: object) -> None:
        assert list(against(TEMPLATE, copy(IncomingCallResultCodesID=value))) == ["IncomingCallResultCodesID"]
