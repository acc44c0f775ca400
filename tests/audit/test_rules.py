"""Each rule of the audit, called directly."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dialler_async.audit import RULES, AnyRule, CampaignFacts, Finding, Rule, Severity
from dialler_async.audit.findings import Basis
from dialler_async.audit.rules import language_name
from dialler_async.errors import ConnectError, PayloadError
from dialler_async.models import Campaign, Language, Records, ResultCode, with_wire

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))
BY_ID = {rule.info.id: rule for rule in RULES if isinstance(rule, Rule)}


def code(id: int | None = 1, **given: Any) -> ResultCode:
    """Return a result code without a defect, with the given changes."""
    usual = {"content": f"Text {id}", "short_text": f"DiallerCampaignsResultCodes.{id}", "export_key": f"K{id}"}
    return ResultCode(id=id, **{**usual, "done": True, "aborted": False, "delay": False, "appointment": False, **given})


def facts(
    english: Sequence[ResultCode] | None = (),
    german: Sequence[ResultCode] | None = None,
    *,
    counts: int | None = None,
    wire: dict[str, Any] | None = None,
    failures: dict[Language, Exception] | None = None,
    now: datetime = NOW,
    **campaign: Any,
) -> CampaignFacts:
    """Return facts of a campaign. German codes are the English ones unless given. `counts` is the server's count."""
    lists = {Language.ENGLISH: english, Language.GERMAN: english if german is None else german}
    codes = {
        language: Records(records, total=len(records) if counts is None else counts)
        for language, records in lists.items()
        if records is not None and language not in (failures or {})
    }
    record = with_wire(Campaign(**{"id": 7, "name": "Spring", **campaign}), wire or {})
    return CampaignFacts(campaign=record, codes=codes, failures=failures or {}, now=now)


def found(rule: str, given: CampaignFacts) -> list[tuple[str, str]]:
    return [(finding.subject, finding.message) for finding in BY_ID[rule].apply(given)]


def test_finding_has_its_campaign_and_severity() -> None:
    (finding,) = BY_ID["dangling-result-code"].apply(facts(wire={"IncomingCallResultCodesID": 9}))
    assert finding == Finding(
        rule="dangling-result-code",
        severity=Severity.ERROR,
        campaign_id=7,
        campaign_name="Spring",
        subject="IncomingCallResultCodesID",
        message="IncomingCallResultCodesID is 9, but the campaign has no such result code",
        basis=Basis(languages=(Language.ENGLISH, Language.GERMAN)),
    )


def test_ids_and_severities_of_rules_are_stable() -> None:
    assert {rule.info.id: rule.info.severity.value for rule in RULES} == {
        "invalid-record": "error",
        "unreachable-codes": "error",
        "dangling-result-code": "error",
        "contradictory-type": "error",
        "no-success-code": "error",
        "duplicate-export-key": "error",
        "duplicate-name": "error",
        "inverted-dates": "error",
        "no-abort-code": "warning",
        "delay-without-offset": "warning",
        "missing-translation": "warning",
        "missing-export-key": "warning",
        "conflicting-export-key": "warning",
        "differs-from-template": "warning",
        "expiring-soon": "warning",
        "caller-id-off": "warning",
        "closes-without-code": "warning",
        "duplicate-user-data": "warning",
        "name-within-name": "info",
        "no-line-cap": "info",
        "expired": "info",
        "not-started": "info",
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.info.id)
def test_every_rule_has_title_why_and_fix(rule: AnyRule) -> None:
    assert rule.info.title
    assert rule.info.why.endswith(".")
    assert rule.info.fix.endswith(".")


def test_campaign_without_defects_has_no_findings() -> None:
    sound = facts(
        [code(1), code(2, done=False, delay=True, time_offset=5), code(3, done=False, aborted=True)],
        wire={"IncomingCallResultCodesID": 1, "AbortOnNoTelNumberResultCodesID": None, "MaxResultCodesID": 2},
        dt_from=datetime(2026, 1, 1),  # noqa: DTZ001  # the server's dates have no zone
        dt_to=datetime(2027, 1, 1),  # noqa: DTZ001  # the same
    )
    assert [finding for rule in BY_ID.values() for finding in rule.apply(sound)] == []


def test_codes_without_id_are_matched_by_their_translation_key() -> None:
    assert len(facts([code(None)], [code(None, content="Deutsch")]).by_code) == 1
    nameless = facts([code(None, short_text=None)], [code(None, short_text=None, content="Deutsch")])
    assert len(nameless.by_code) == 2


class TestDanglingResultCode:
    rule = "dangling-result-code"

    def test_known_and_unknown_result_code_keys_are_checked(self) -> None:
        wire = {"IncomingCallResultCodesID": 1, "NeverHeardOfResultCodesID": 5, "ResultCodesID": 6, "ID": 7}
        assert [subject for subject, _ in found(self.rule, facts([code(1)], wire=wire))] == [
            "NeverHeardOfResultCodesID",
            "ResultCodesID",
        ]

    def test_key_of_the_code_type_is_not_checked_as_a_reference(self) -> None:
        assert found(self.rule, facts(wire={"DiallerResultCodesTypesID": 5, "xResultCodesIDs": 5})) == []

    @pytest.mark.parametrize("value", ["1", True, 1.0, [1], {"ID": 1}, 0])
    def test_reference_that_is_not_an_id_is_reported(self, value: object) -> None:
        assert len(found(self.rule, facts([code(1)], wire={"OwnResultCodesID": value}))) == 1

    def test_message_about_a_huge_reference_is_short(self) -> None:
        ((_, message),) = found(self.rule, facts(wire={"OwnResultCodesID": "x" * 9999}))
        assert len(message) < 120

    def test_reference_to_a_code_in_one_language_is_not_dangling(self) -> None:
        assert found(self.rule, facts([], [code(4)], wire={"OwnResultCodesID": 4})) == []

    @pytest.mark.parametrize(
        "doubtful",
        [
            facts([code(1)], counts=7, wire={"OwnResultCodesID": 5}),
            facts([code(1)], wire={"OwnResultCodesID": 5}, failures={Language.GERMAN: ConnectError("refused")}),
            facts([code(1), code(None)], wire={"OwnResultCodesID": 5}),
            CampaignFacts(
                campaign=with_wire(Campaign(name="x"), {"OwnResultCodesID": 5}), codes={}, failures={}, now=NOW
            ),
        ],
        ids=["shortened", "failed", "code without ID", "never asked"],
    )
    def test_references_are_not_checked_against_an_incomplete_list_of_codes(self, doubtful: CampaignFacts) -> None:
        assert found(self.rule, doubtful) == []
        assert found("unreachable-codes", doubtful) != []


class TestUnreachableCodes:
    rule = "unreachable-codes"

    def test_unreachable_codes_message_contains_the_error(self) -> None:
        given = facts([code(1)], failures={Language.GERMAN: ConnectError("connection refused")})
        assert found(self.rule, given) == [("German", "no result codes in German: connection refused")]

    def test_lookup_error_in_each_language_is_a_finding_of_its_own(self) -> None:
        given = facts(failures={Language.ENGLISH: ConnectError("refused"), Language.GERMAN: ConnectError("refused")})
        assert found(self.rule, given) == [
            ("English", "no result codes in English: refused"),
            ("German", "no result codes in German: refused"),
        ]

    def test_lookup_error_without_text_is_shown_by_its_type(self) -> None:
        given = facts(failures={Language.GERMAN: ConnectError()})
        assert found(self.rule, given) == [("German", "no result codes in German: ConnectError")]

    def test_incomplete_list_of_codes_is_reported(self) -> None:
        assert found(self.rule, facts([code(1), code(2)], counts=7)) == [
            ("English", "the server sent 2 of 7 result codes in English"),
            ("German", "the server sent 2 of 7 result codes in German"),
        ]

    def test_codes_without_id_are_reported(self) -> None:
        assert found(self.rule, facts([code(1)], [code(1), code(None)])) == [
            ("German", "1 of 2 result codes in German came without an ID")
        ]

    def test_campaign_without_id_is_reported(self) -> None:
        given = CampaignFacts(campaign=Campaign(name="Campaign 1000"), codes={}, failures={}, now=NOW)
        assert found(self.rule, given) == [
            ("ID", "the server sent no usable ID for this campaign, so its result codes can't be looked up")
        ]


class TestContradictoryType:
    rule = "contradictory-type"

    def test_code_with_two_types_is_reported(self) -> None:
        assert found(self.rule, facts([code(3, delay=True)])) == [("3", "code 3 (K3) is done and delay")]

    def test_code_with_all_types_and_without_export_key_is_reported(self) -> None:
        given = facts([code(3, aborted=True, delay=True, appointment=True, export_key=None)])
        assert found(self.rule, given) == [("3", "code 3 is done, aborted, delay and appointment")]

    @pytest.mark.parametrize("nothing", [False, None])
    def test_code_without_type_is_reported(self, nothing: bool | None) -> None:
        assert found(self.rule, facts([code(3, done=nothing)])) == [("3", "code 3 (K3) is of no type")]

    def test_contradictory_type_in_one_language_is_reported(self) -> None:
        assert len(found(self.rule, facts([code(3)], [code(3, aborted=True)]))) == 1

    @pytest.mark.parametrize("flag", ["done", "aborted", "delay", "appointment"])
    def test_code_with_exactly_one_flag_is_not_reported(self, flag: str) -> None:
        assert found(self.rule, facts([code(3, **{"done": False, flag: True})])) == []


class TestDuplicateExportKey:
    rule = "duplicate-export-key"

    def test_duplicate_export_key_message_names_each_code_once(self) -> None:
        given = facts([code(1, export_key="OK"), code(2), code(3, export_key="OK"), code(4, export_key="OK")])
        assert found(self.rule, given) == [("OK", "codes 1, 3 and 4 share the export key “OK”")]

    @pytest.mark.parametrize("blank", [None, "", "  "])
    def test_missing_export_keys_are_not_duplicates(self, blank: str | None) -> None:
        assert found(self.rule, facts([code(1, export_key=blank), code(2, export_key=blank)])) == []

    def test_one_code_in_two_languages_is_not_a_duplicate(self) -> None:
        assert found(self.rule, facts([code(1)], [code(1)])) == []

    def test_codes_without_id_are_distinguished_by_their_translation_key(self) -> None:
        given = facts([code(None, export_key="OK"), code(None, export_key="OK", short_text="other")])
        assert [subject for subject, _ in found(self.rule, given)] == ["OK"]


class TestMissingTranslation:
    rule = "missing-translation"

    @pytest.mark.parametrize("nothing", [None, "", " \t"])
    def test_code_without_text_is_reported(self, nothing: str | None) -> None:
        assert found(self.rule, facts([code(1)], [code(1, content=nothing)])) == [
            ("1", "code 1 (K1) has no text in German")
        ]

    @pytest.mark.parametrize("key", ["DiallerCampaignsResultCodes.1", "DiallerCampaignsResultCodes.9999"])
    def test_code_with_only_its_translation_key_is_reported(self, key: str) -> None:
        assert found(self.rule, facts([code(1, content=key)], [code(1)])) == [
            ("1", "code 1 (K1) shows only its translation key in English")
        ]

    def test_text_equal_to_the_short_text_is_a_translation_key(self) -> None:
        assert len(found(self.rule, facts([code(1, content="own.key", short_text="own.key")], [code(1)]))) == 1

    def test_text_that_contains_a_translation_key_is_not_reported(self) -> None:
        assert found(self.rule, facts([code(1, content="see DiallerCampaignsResultCodes.1")])) == []

    def test_code_in_one_language_only_is_reported(self) -> None:
        assert found(self.rule, facts([code(1), code(2)], [code(2)])) == [("1", "code 1 (K1) does not exist in German")]
        assert found(self.rule, facts([code(2)], [code(1), code(2)])) == [
            ("1", "code 1 (K1) does not exist in English")
        ]

    def test_missing_translation_in_each_language_is_a_finding_of_its_own(self) -> None:
        given = facts([code(1, content="")], [code(1, content="DiallerCampaignsResultCodes.1")])
        assert found(self.rule, given) == [
            ("1", "code 1 (K1) has no text in English"),
            ("1", "code 1 (K1) shows only its translation key in German"),
        ]
        assert len({finding.identity for finding in BY_ID[self.rule].apply(given)}) == 2

    def test_code_missing_from_an_incomplete_list_is_not_reported(self) -> None:
        assert found(self.rule, facts([code(1)], [code(2)], counts=2)) == []

    def test_failed_language_has_no_missing_translations(self) -> None:
        assert found(self.rule, facts([code(1)], failures={Language.GERMAN: ConnectError()})) == []


class TestTypesThatAreThere:
    def test_campaign_without_success_or_abort_code_is_reported(self) -> None:
        delay = code(1, done=False, delay=True, time_offset=5)
        assert found("no-success-code", facts([delay])) == [("", "none of its 1 result codes is done")]
        assert found("no-abort-code", facts([delay])) == [("", "none of its 1 result codes is aborted")]
        assert found("no-success-code", facts([delay, code(2)])) == []
        assert found("no-abort-code", facts([delay, code(2, aborted=True)])) == []

    def test_success_and_abort_codes_are_not_checked_in_an_incomplete_list(self) -> None:
        for rule in ("no-success-code", "no-abort-code"):
            assert found(rule, facts([], counts=1)) == []
            assert found(rule, facts([], failures={Language.GERMAN: ConnectError()})) == []


class TestDelayWithoutOffset:
    @pytest.mark.parametrize(("offset", "words"), [(None, "no time"), (0, "a time of 0"), (-5, "a time of -5 minutes")])
    def test_delay_without_a_positive_time_is_reported(self, offset: int | None, words: str) -> None:
        ((subject, message),) = found("delay-without-offset", facts([code(3, delay=True, time_offset=offset)]))
        assert subject == "3"
        assert words in message

    def test_other_types_than_delay_need_no_offset(self) -> None:
        assert found("delay-without-offset", facts([code(1), code(2, delay=True, time_offset=1)])) == []


class TestMissingExportKey:
    @pytest.mark.parametrize("blank", [None, "", "  "])
    def test_missing_or_blank_export_key_is_reported(self, blank: str | None) -> None:
        assert found("missing-export-key", facts([code(1), code(2, export_key=blank)])) == [
            ("2", "code 2 (“Text 2”) has no export key")
        ]


class TestInvalidRecord:
    def test_invalid_code_is_identified_by_its_id(self) -> None:
        odd = PayloadError("in records[3] (ID 77) bDone is 'x'", path="records[3].bDone", record_id=77)
        given = facts(failures={Language.ENGLISH: odd, Language.GERMAN: odd})
        assert found("invalid-record", given) == [
            ("77", "no result codes in English: in records[3] (ID 77) bDone is 'x'"),
            ("77", "no result codes in German: in records[3] (ID 77) bDone is 'x'"),
        ]
        assert found("unreachable-codes", given) == []

    def test_invalid_code_without_id_is_identified_by_the_invalid_key(self) -> None:
        odd = PayloadError("odd", path="records[3].bDone")
        assert [subject for subject, _ in found("invalid-record", facts(failures={Language.GERMAN: odd}))] == ["bDone"]

    def test_invalid_body_is_reported_as_unreachable_codes(self) -> None:
        given = facts(failures={Language.GERMAN: PayloadError("an empty body")})
        assert found("invalid-record", given) == []
        assert len(found("unreachable-codes", given)) == 1


class TestClosesWithoutCode:
    rule = "closes-without-code"

    def test_campaign_that_closes_contacts_without_a_code_is_reported(self) -> None:
        given = facts(wire={"IncomingCallResultCodesID": None}, close_contacts_on_incoming_calls_match_caller_id=True)
        assert found(self.rule, given) == [
            ("IncomingCallResultCodesID", "closes contacts on incoming calls, but IncomingCallResultCodesID is not set")
        ]

    @pytest.mark.parametrize("closes", [False, None])
    def test_campaign_that_does_not_close_contacts_needs_no_code(self, closes: bool | None) -> None:
        given = facts(wire={"IncomingCallResultCodesID": None}, close_contacts_on_incoming_calls_match_caller_id=closes)
        assert found(self.rule, given) == []

    @pytest.mark.parametrize("wire", [{}, {"IncomingCallResultCodesID": 5}])
    def test_missing_key_of_the_closing_code_is_not_reported(self, wire: dict[str, Any]) -> None:
        given = facts(wire=wire, close_contacts_on_incoming_calls_match_caller_id=True)
        assert found(self.rule, given) == []


class TestNoLineCap:
    @pytest.mark.parametrize(
        ("wire", "number"), [({"nMaxParallelLines": None}, 1), ({}, 0), ({"nMaxParallelLines": 0}, 0)]
    )
    def test_missing_line_cap_is_reported_only_if_sent_as_null(self, wire: dict[str, Any], number: int) -> None:
        assert len(found("no-line-cap", facts(wire=wire))) == number


def test_known_and_unknown_languages_have_names() -> None:
    assert [language_name(Language(number)) for number in (1, 2, 7)] == ["English", "German", "Language 7"]
