"""Decoding of JSON to records: lossless, strict about published types, and in slices. Also dates."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialler_async import (
    Campaign,
    ConfigurationError,
    DiallerError,
    NotFoundError,
    PayloadError,
    Records,
    ResultCode,
    ServerError,
)
from dialler_async._api import decoding as decoding_module
from dialler_async._api import record_list
from dialler_async._api.charsets import recoding
from dialler_async._api.dates import format_date, parse_date
from dialler_async._api.decoding import (
    CAMPAIGN,
    CAMPAIGN_SLICES,
    CAMPAIGNS,
    DONE,
    PARTIAL_CAMPAIGNS,
    RESULT_CODES,
    ResponseDecoder,
)
from dialler_async._api.envelope import decode_envelope
from dialler_async._http.response import finish
from dialler_async.errors import Body
from dialler_async.models import wire_keys

EXAMPLES = Path(__file__).parents[1] / "examples"

T = TypeVar("T")
ANSWERS = [CAMPAIGN, CAMPAIGNS, CAMPAIGN_SLICES, RESULT_CODES, DONE]
WITH_RECORDS = [CAMPAIGN, CAMPAIGNS, CAMPAIGN_SLICES, RESULT_CODES]


def decode(answer: ResponseDecoder[T], body: bytes | object) -> T:
    """Return the result of decoding a body, without pauses. A value that is not bytes is encoded as JSON first.

    A bytearray must give the same result as bytes.
    """
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    in_one, in_several = came_to(answer, sent), came_to(answer, bytearray(sent))
    if isinstance(in_one, DiallerError):
        assert (type(in_several), str(in_several)) == (type(in_one), str(in_one))
        raise in_one
    assert isinstance(in_one, Iterator) or in_one == in_several
    return in_one


def came_to(answer: ResponseDecoder[T], body: Body) -> T | DiallerError:
    try:
        return finish(answer(body))
    except DiallerError as error:
        return error


@contextmanager
def slices_of(size: int) -> Iterator[None]:
    """Set the number of bytes of a slice."""
    with patch.object(record_list, "BYTES_PER_SLICE", size), patch.object(decoding_module, "BYTES_PER_SLICE", size):
        yield


def recoded(body: Body, content_type: str) -> Body:
    work = recoding(body, content_type)
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: Body = done.value
            return result


def envelope(*records: object, **rest: object) -> dict[str, object]:
    return {"records": list(records), "count": len(records), "status": 200} | rest


def campaign(**keys: object) -> Campaign:
    return decode(CAMPAIGN, envelope({"Name": "any"} | keys))


def result_code(**keys: object) -> ResultCode:
    return decode(RESULT_CODES, envelope(keys))[0]


def misfit(answer: ResponseDecoder[Any], *records: object) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        decode(answer, envelope(*records))
    return caught.value


class TestPublishedExamples:
    """Each published example is decoded unchanged and without loss."""

    def test_published_list_of_campaigns_is_decoded(self) -> None:
        body = (EXAMPLES / "campaigns_list.json").read_bytes()
        campaigns = decode(CAMPAIGNS, body)
        assert campaigns == [
            Campaign(
                name="Campaign 1000",
                clients_id=1,
                languages_id=2,
                contact_preview_time=5,
                max_parallel_lines=None,
                close_contacts_on_incoming_calls_match_caller_id=True,
                incoming_call_result_codes_id=2494,
                abort_on_no_tel_number_result_codes_id=2492,
                caller_id_active=False,
            )
        ]
        assert [made.wire for made in campaigns] == json.loads(body)["records"]
        around = (campaigns.total, campaigns.filter, campaigns.limit_start, campaigns.limit_page_size)
        assert around == (1, "", 0, -1)
        assert (campaigns.order_by, campaigns.ascending) == ("Name", True)

    def test_published_list_of_campaigns_is_decoded_in_slices(self) -> None:
        body = (EXAMPLES / "campaigns_list.json").read_bytes()
        assert [list(records) for records in decode(CAMPAIGN_SLICES, body)] == [list(decode(CAMPAIGNS, body))]

    def test_published_campaign_is_decoded(self) -> None:
        body = (EXAMPLES / "campaign_get.json").read_bytes()
        one = decode(CAMPAIGN, body)
        assert (one.name, one.id, one.caller_id_active, one.dt_to) == ("Campaign 1000", None, False, None)
        assert list(one.wire.items()) == list(json.loads(body)["records"][0].items())

    def test_published_result_codes_are_decoded(self) -> None:
        body = (EXAMPLES / "result_codes_535_de.json").read_bytes()
        codes = decode(RESULT_CODES, body)
        assert codes[0] == ResultCode(
            id=2695,
            dialler_campaigns_id=535,
            dialler_result_codes_types_id=1,
            dialler_result_codes_types_content="Abschluss",
            dialler_result_codes_types_short_text="DiallerResultCodesTypes.1",
            content="Abgeschlossen",
            short_text="DiallerCampaignsResultCodes.2695",
            export_key="ABG",
            done=True,
            aborted=False,
            delay=False,
            appointment=False,
            agent_bound=None,
            time_offset=None,
            allow_delete=True,
        )
        assert (codes[1].id, codes[1].export_key, codes[1].aborted) == (2698, "Aufleger", True)
        assert (len(codes), codes.total, codes.complete) == (2, 7, False)
        assert [code.wire for code in codes] == json.loads(body)["records"]
        assert (codes.filter, codes.limit_start, codes.limit_page_size) == (None, None, None)
        assert (codes.order_by, codes.ascending) == (None, None)

    def test_published_delete_response_is_decoded(self) -> None:
        assert decode(DONE, (EXAMPLES / "delete.json").read_bytes()) is None

    @pytest.mark.parametrize("answer", ANSWERS)
    def test_published_error_in_a_200_raises_the_error_of_its_status(self, answer: ResponseDecoder[Any]) -> None:
        with pytest.raises(NotFoundError) as caught:
            decode(answer, (EXAMPLES / "error_404.json").read_bytes())
        assert (caught.value.status, caught.value.message) == (404, "Dialler campaign not found")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)
KNOWN = {
    "ID": st.none() | st.integers(),
    "ClientsID": st.none() | st.integers(),
    "nMaxParallelLines": st.none() | st.integers(),
    "bCallerIDActive": st.none() | st.booleans() | st.sampled_from([0, 1]),
    "dtFrom": st.none() | st.sampled_from(["2020-08-09T02:33:50.347", "2022-07-08 11:33:18Z"]),
    "UserData": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
}


@st.composite
def wire_records(draw: st.DrawFn) -> dict[str, Any]:
    """Return JSON objects with a name, with known keys of the right types and unknown keys, in any order."""
    unknown = draw(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=6))
    published = set(wire_keys(Campaign).values())
    record = {key: value for key, value in unknown.items() if key not in published}
    record |= {key: draw(KNOWN[key]) for key in draw(st.sets(st.sampled_from(sorted(KNOWN))))}
    record["Name"] = draw(st.text(st.characters(exclude_categories=["Cs"])))
    return {key: record[key] for key in draw(st.permutations(sorted(record)))}


def same(left: object, right: object) -> bool:
    """Return whether two values are equal, also in type and order, at every depth. With `==`, True equals 1 and 1.0."""
    return repr(left) == repr(right)


@given(record=wire_records(), ascii_only=st.booleans())
def test_wire_of_any_json_object_equals_the_object_in_order(record: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps(envelope(record), ensure_ascii=ascii_only).encode()
    one = decode(CAMPAIGN, body)
    assert same(one.wire, record)
    known = set(wire_keys(Campaign).values())
    assert same(one.extra, {key: value for key, value in record.items() if key not in known})
    assert one.name == record["Name"]


@given(record=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=6))
def test_any_json_object_without_published_keys_is_a_result_code(record: dict[str, Any]) -> None:
    record = {key: value for key, value in record.items() if key not in wire_keys(ResultCode).values()}
    code = result_code(**record)
    assert same(code.wire, record)
    assert same(code.extra, record)
    assert code == ResultCode()


def test_integers_beyond_64_bits_are_not_rounded() -> None:
    assert campaign(big=2**200).wire["big"] == 2**200
    assert campaign(ID=2**70).id == 2**70


def test_null_and_missing_key_differ_only_in_wire() -> None:
    with_null, without = campaign(UserData=None), campaign()
    assert with_null == without
    assert "UserData" in with_null.wire
    assert "UserData" not in without.wire


CAMPAIGN_KEYS = {
    "ID": "integer",
    "Name": "name",
    "ClientsID": "integer",
    "LanguagesID": "integer",
    "ContactPreviewTime": "integer",
    "nMaxParallelLines": "integer",
    "bCloseContactsOnIncomingCallsMatchCallerID": "boolean",
    "IncomingCallResultCodesID": "integer",
    "AbortOnNoTelNumberResultCodesID": "integer",
    "bCallerIDActive": "boolean",
    "dtFrom": "date",
    "dtTo": "date",
    "UserData": "text",
}
RESULT_CODE_KEYS = {
    "ID": "integer",
    "DiallerCampaignsID": "integer",
    "DiallerResultCodesTypesID": "integer",
    "DiallerResultCodesTypesContent": "text",
    "DiallerResultCodesTypesShortText": "text",
    "Content": "text",
    "ShortText": "text",
    "ExportKey": "text",
    "bDone": "boolean",
    "bAborted": "boolean",
    "bDelay": "boolean",
    "bAppointment": "boolean",
    "bAgentBound": "boolean",
    "TimeOffset": "integer",
    "bAllowDelete": "boolean",
}
ALL_KEYS = [
    *((CAMPAIGNS, key, type_) for key, type_ in CAMPAIGN_KEYS.items()),
    *((RESULT_CODES, key, type_) for key, type_ in RESULT_CODE_KEYS.items()),
]
WRONG = {
    "integer": [True, False, 3.0, 3.9, "3", "", [], {}],
    "boolean": [2, -1, 0.0, 1.0, "false", "true", "0", "", [], {}],
    "text": [0, 1.5, True, [], {}],
    "name": [None, 0, 1.5, True, [], {}],
    "date": [0, 1594207998, True, "", "tomorrow", "2020-08-09", "2020-08-09T02:33", "0000-00-00T00:00:00", [], {}],
}
SHOULD_BE = {
    "integer": "an integer or null",
    "boolean": "a boolean, 0, 1 or null",
    "text": "text or null",
    "name": "text",
    "date": "a date and time or null",
}


@pytest.mark.parametrize(
    ("answer", "key", "type_", "value"),
    [(answer, key, type_, value) for answer, key, type_ in ALL_KEYS for value in WRONG[type_]],
)
def test_value_of_a_wrong_type_raises_an_error_with_key_and_id(
    answer: ResponseDecoder[Any], key: str, type_: str, value: object
) -> None:
    good = {"ID": 7, "Name": "any"}
    bad = {"ID": 4711, "Name": "any"} | {key: value}
    error = misfit(answer, good, bad)
    known_id = None if key == "ID" else 4711
    assert error.path == f"records[1].{key}"
    assert error.record_id == known_id
    assert f"{key} is {value!r}, not {SHOULD_BE[type_]}" in str(error)
    assert "records[1]" in str(error)
    assert ("(ID 4711)" in str(error)) is (known_id is not None)
    assert error.excerpt == json.dumps(bad)


@pytest.mark.parametrize(("wire", "value"), [(True, True), (False, False), (1, True), (0, False), (None, None)])
def test_boolean_sent_as_0_or_1_becomes_a_bool_and_is_unchanged_in_wire(wire: object, value: object) -> None:
    for key in (key for key, type_ in RESULT_CODE_KEYS.items() if type_ == "boolean"):
        code = result_code(**{key: wire})
        name = next(name for name, known in wire_keys(ResultCode).items() if known == key)
        assert getattr(code, name) is value
        assert same(code.wire, {key: wire})


def test_error_of_several_wrong_values_lists_all_and_has_the_path_of_the_first() -> None:
    error = misfit(CAMPAIGNS, {"ID": 535, "Name": 12, "bCallerIDActive": "false", "UserData": 3})
    assert error.path == "records[0].Name"
    assert "Name is 12" in str(error)
    assert "bCallerIDActive is 'false'" in str(error)
    assert "UserData is 3" in str(error)


def test_campaign_without_a_name_is_refused() -> None:
    error = misfit(CAMPAIGNS, {"ID": 535})
    assert (error.path, error.record_id) == ("records[0].Name", 535)
    assert "(ID 535) Name is missing" in str(error)


def test_result_code_without_any_key_is_accepted() -> None:
    assert result_code() == ResultCode()


def test_error_shows_a_long_wrong_value_shortened() -> None:
    error = misfit(CAMPAIGNS, {"ID": 535, "Name": ["x" * 1000]})
    assert len(str(error)) < 200
    assert len(error.excerpt) == 200


@pytest.mark.parametrize("record", [None, 1, "text", [], [1], True])
@pytest.mark.parametrize("answer", [CAMPAIGNS, RESULT_CODES])
def test_record_that_is_not_an_object_is_refused(answer: ResponseDecoder[Any], record: object) -> None:
    error = misfit(answer, {"Name": "good"}, record)
    assert (error.path, error.record_id) == ("records[1]", None)
    assert "records[1] is not a JSON object" in str(error)
    assert error.excerpt == json.dumps(record)


def test_payload_error_has_neither_cause_nor_context() -> None:
    for error in (misfit(CAMPAIGNS, {"Name": 1}), misfit(CAMPAIGNS, 1)):
        assert error.__cause__ is None
        assert error.__suppress_context__


class TestEnvelope:
    """The envelope around the records is as documented, or decoding raises a typed error."""

    @pytest.mark.parametrize("answer", ANSWERS)
    @pytest.mark.parametrize("body", [b"", b" ", b"\r\n"])
    def test_empty_body_is_refused(self, answer: ResponseDecoder[Any], body: bytes) -> None:
        with pytest.raises(PayloadError, match="body is empty") as caught:
            decode(answer, body)
        assert (caught.value.path, caught.value.excerpt) == ("", "")

    @pytest.mark.parametrize("answer", ANSWERS)
    @pytest.mark.parametrize(
        "body",
        [
            b"null",
            b"[]",
            b'[{"Name": "any"}]',
            b"200",
            b'"status"',
            b"true",
            b"NaN",
            b"<html><body>Please log in</body></html>",
            b'{"records": [{"Name": "any"}], "count": 1, "sta',
            b'{"records": [{"Name": "a',
            b'{"status": 200} {"status": 200}',
            b'{"status": "200"}',
            b'{"status": 200.5}',
            b'{"status": true}',
            b"{'status': 200}",
            b"\xff\xfe\x00",
        ],
    )
    def test_body_that_is_not_an_envelope_is_refused_with_an_excerpt(
        self, answer: ResponseDecoder[Any], body: bytes
    ) -> None:
        with pytest.raises(PayloadError, match="not the documented JSON") as caught:
            decode(answer, body)
        assert caught.value.path == ""
        assert caught.value.excerpt[:5] == body[:5].decode(errors="replace").replace("\x00", "�")
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("answer", ANSWERS)
    def test_excerpt_has_at_most_200_characters(self, answer: ResponseDecoder[Any]) -> None:
        with pytest.raises(PayloadError) as caught:
            decode(answer, b"<html>" + b"x" * 10_000)
        assert len(caught.value.excerpt) == 200
        assert caught.value.excerpt.endswith("…")

    @pytest.mark.parametrize("answer", ANSWERS)
    def test_endless_nesting_is_refused(self, answer: ResponseDecoder[Any]) -> None:
        with pytest.raises(PayloadError):
            decode(answer, b'{"records": ' + b"[" * 200_000 + b"]" * 200_000 + b', "status": 200}')
        with pytest.raises(PayloadError):
            decode(answer, b'{"status": 200, "other": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"}")

    @pytest.mark.parametrize("answer", WITH_RECORDS)
    @pytest.mark.parametrize("records", ["", "{}", '"none"', "7", '{"0": {"Name": "any"}}'])
    def test_records_that_are_not_a_list_are_refused(self, answer: ResponseDecoder[Any], records: str) -> None:
        key = f'"records": {records}, ' if records else ""
        with pytest.raises(PayloadError, match=r"no list of records|not the documented JSON") as caught:
            decode(answer, f'{{{key}"count": 1, "status": 200}}'.encode())
        assert '"status": 200' in caught.value.excerpt

    @pytest.mark.parametrize("answer", WITH_RECORDS)
    @pytest.mark.parametrize("body", [{"status": 200}, {"records": None, "count": 0, "status": 200}, {}])
    def test_missing_records_are_refused(self, answer: ResponseDecoder[Any], body: object) -> None:
        with pytest.raises(PayloadError, match="no list of records") as caught:
            decode(answer, body)
        assert caught.value.path == "records"

    @pytest.mark.parametrize("answer", [CAMPAIGN, CAMPAIGNS, CAMPAIGN_SLICES])
    @pytest.mark.parametrize("count", [0, 2, -1, 7])
    def test_count_that_differs_from_the_number_of_records_is_refused(
        self, answer: ResponseDecoder[Any], count: int
    ) -> None:
        with pytest.raises(PayloadError, match=f"counts {count} records, but sent 1") as caught:
            decode(answer, envelope({"Name": "any"}, count=count))
        assert caught.value.path == "count"

    @pytest.mark.parametrize(
        ("sent", "count", "taken"),
        [(2, 7, True), (2, 2, True), (2, None, True), (0, 0, True), (2, 1, False), (2, 0, False), (0, 7, False)],
    )
    def test_only_result_codes_may_be_fewer_than_their_count(self, sent: int, count: int | None, taken: bool) -> None:
        body = envelope(*[{"ID": number} for number in range(sent)], count=count)
        if taken:
            codes = decode(RESULT_CODES, body)
            assert (len(codes), codes.total) == (sent, sent if count is None else count)
            assert codes.complete is (count in (sent, None))
        else:
            with pytest.raises(PayloadError, match=f"counts {count} records, but sent {sent}"):
                decode(RESULT_CODES, body)

    def test_missing_count_is_the_number_of_records(self) -> None:
        campaigns = decode(CAMPAIGNS, {"records": [{"Name": "a"}, {"Name": "b"}]})
        assert (campaigns.total, campaigns.complete) == (2, True)

    @pytest.mark.parametrize(
        ("key", "value"),
        [("count", "1"), ("count", 1.5), ("count", True), ("filter", 1), ("limitStart", "0"), ("limitPageSize", None)],
    )
    def test_values_of_the_envelope_are_not_coerced(self, key: str, value: object) -> None:
        body = envelope({"Name": "any"}, **{key: value})
        if value is None:
            assert decode(CAMPAIGNS, body).limit_page_size is None
        else:
            with pytest.raises(PayloadError, match="not the documented JSON"):
                decode(CAMPAIGNS, body)

    @pytest.mark.parametrize(("wire", "value"), [(True, True), (False, False), (1, True), (0, False), (None, None)])
    def test_ascending_sent_as_0_or_1_is_accepted(self, wire: object, value: object) -> None:
        assert decode(CAMPAIGNS, envelope(ascending=wire)).ascending is value

    @pytest.mark.parametrize("wire", [2, "true", 1.0])
    def test_ascending_of_another_value_is_refused(self, wire: object) -> None:
        with pytest.raises(PayloadError):
            decode(CAMPAIGNS, envelope(ascending=wire))

    def test_unknown_keys_of_the_envelope_are_ignored(self) -> None:
        assert decode(CAMPAIGNS, envelope({"Name": "any"}, total=1, links=[])) == [Campaign(name="any")]

    @pytest.mark.parametrize("answer", ANSWERS)
    def test_error_status_in_the_body_overrides_http_status_200(self, answer: ResponseDecoder[Any]) -> None:
        with pytest.raises(ServerError) as caught:
            decode(answer, envelope({"Name": "any"}, status=500, error="Database gone"))
        assert (caught.value.status, caught.value.message) == (500, "Database gone")
        assert "the body has status 500" in str(caught.value)

    @pytest.mark.parametrize("answer", ANSWERS)
    @pytest.mark.parametrize("status", [0, -1, 100, 201, 204, 299, 600, 1000])
    def test_status_in_the_body_that_is_not_an_error_is_refused(
        self, answer: ResponseDecoder[Any], status: int
    ) -> None:
        with pytest.raises(PayloadError, match=f"the body has status {status}") as caught:
            decode(answer, envelope({"Name": "any"}, status=status))
        assert caught.value.path == "status"
        assert f'"status": {status}' in caught.value.excerpt

    @pytest.mark.parametrize("sent", [0, 2])
    def test_response_for_one_campaign_must_have_exactly_one_record(self, sent: int) -> None:
        with pytest.raises(PayloadError, match=f"sent {sent} records where one is documented") as caught:
            decode(CAMPAIGN, envelope(*[{"Name": "any"}] * sent))
        assert caught.value.path == "records"

    def test_delete_response_needs_status_200_in_the_body(self) -> None:
        assert decode(DONE, {"status": 200, "more": "than expected"}) is None
        with pytest.raises(PayloadError) as caught:
            decode(DONE, {})
        assert (caught.value.path, caught.value.excerpt) == ("status", "{}")


class TestRecordsThatAreNotJson:
    """Records are decoded after the envelope. msgspec does not validate them with the envelope."""

    @pytest.mark.parametrize(
        "piece", [b'{"Name": "\xff"}', b'{"Name": "any", "x": 1e400}', b'{"Name": "\\ud8"}', b'{1: "Name"}']
    )
    def test_record_that_is_not_json_is_a_payload_error(self, piece: bytes) -> None:
        with pytest.raises(PayloadError):
            decode(CAMPAIGNS, b'{"records": [' + piece + b'], "status": 200}')

    def test_last_of_duplicate_keys_is_used(self) -> None:
        body = b'{"records": [{"Name": "first", "Name": "second"}], "status": 200}'
        assert decode(CAMPAIGN, body).wire == {"Name": "second"}


class TestInvalidRecords:
    """`list_partial` keeps the first 1,000 invalid records, and counts all."""

    @pytest.mark.parametrize("record", [{}, {"Name": "a", "ID": "x"}, 1])
    @pytest.mark.parametrize("number", [999, 1_000, 1_001, 3_000])
    def test_first_thousand_invalid_records_are_kept(self, record: object, number: int) -> None:
        partial = decode(PARTIAL_CAMPAIGNS, envelope(*[record] * number, {"Name": "good"}, record))
        assert [campaign.name for campaign in partial.records] == ["good"]
        assert partial.invalid_count == number + 1
        assert partial.total == number + 2
        paths = [one.error.path.split(".")[0] for one in partial.invalid]
        expected = [index for index in range(number + 2) if index != number][:1_000]
        assert paths == [f"records[{index}]" for index in expected]

    def test_valid_records_after_a_thousand_invalid_ones_are_decoded_without_loss(self) -> None:
        good = [{"Name": "cut \ud83c"}, {"Name": "b", "odd": [{}]}, {"Name": "c", "bCallerIDActive": 1}]
        partial = decode(PARTIAL_CAMPAIGNS, envelope(*[{}] * 2_000, *good))
        assert [campaign.wire for campaign in partial.records] == good

    def test_too_deep_record_is_set_aside_at_any_depth(self) -> None:
        for depth in (200, 900, 995, 5_000):
            deep = f'{{"Name":"x","Column":{"[" * depth}{"]" * depth}}}'
            body = f'{{"records":[{{"Name":"a"}},{deep},{{"Name":"b"}}],"count":3,"status":200}}'
            partial = decode(PARTIAL_CAMPAIGNS, body.encode())
            assert [campaign.name for campaign in partial.records] == ["a", "b"]
            assert "records[1] is nested more than 200 levels deep" in str(partial.invalid[0].error)


class TestLoneSurrogates:
    """Servers cut texts after a number of UTF-16 units, sometimes in the middle of an emoji."""

    RECORDS: ClassVar = [
        {"ID": 1, "Name": "cut \ud83c"},
        {"ID": 2, "Name": "whole \U0001f3c6 \\ud83c"},
        {"ID": 3, "Name": "x", "\udc00": ["\udc00\ud83c", 2**80, 1.5]},
    ]

    @pytest.mark.parametrize("times", [1, 1_000], ids=["small", "large"])
    @pytest.mark.parametrize(
        "first", [b"", b'{"other":"\\ud83c",'], ids=["usual envelope", "surrogate in the envelope"]
    )
    def test_records_with_a_lone_surrogate_are_decoded_without_loss(self, times: int, first: bytes) -> None:
        records = self.RECORDS * times
        body = json.dumps(envelope(*records)).encode()
        body = first + body[1:] if first else body
        assert [one.wire for one in decode(CAMPAIGNS, body)] == records
        assert [one.wire for part in decode(CAMPAIGN_SLICES, body) for one in part] == records
        readable = decode(PARTIAL_CAMPAIGNS, body)
        assert [one.wire for one in readable.records] == records
        assert readable.invalid == ()

    @pytest.mark.parametrize("value", ["NaN", "1e400", "Infinity", '"\\x"', '"\\ud8"', "01", '"\t"', "9" * 5000, "["])
    def test_lone_surrogate_does_not_make_an_invalid_body_valid(self, value: str) -> None:
        with pytest.raises(PayloadError):
            decode(CAMPAIGNS, f'{{"records":[{{"Name":"\\ud83c","x":{value}}}],"count":1,"status":200}}'.encode())

    def test_bytes_that_are_not_utf_8_are_refused_next_to_a_lone_surrogate(self) -> None:
        with pytest.raises(PayloadError):
            decode(CAMPAIGNS, b'{"records":[{"Name":"\\ud83c\xff"}],"count":1,"status":200}')

    def test_last_of_duplicate_keys_is_used_next_to_a_lone_surrogate(self) -> None:
        body = b'{"records":[{"Name":"a","Name":"\\ud83c"}],"count":1,"status":200}'
        assert decode(CAMPAIGN, body).wire == {"Name": "\ud83c"}

    def test_error_text_with_a_lone_surrogate_is_shown(self) -> None:
        with pytest.raises(ServerError) as caught:
            decode(CAMPAIGNS, b'{"status":500,"error":"cut \\ud83c"}')
        assert caught.value.message == "cut �"


def spelled(draw: st.DrawFn, text: str) -> str:
    """Return JSON of a text with some unnecessary escapes."""
    return '"' + "".join(f"\\u{ord(one):04x}" if draw(st.booleans()) else json.dumps(one)[1:-1] for one in text) + '"'


@st.composite
def odd_bodies(draw: st.DrawFn) -> bytes:
    """Return envelopes with escaped keys, duplicate keys, lone surrogates, nesting, and inner lists named `records`."""
    names = st.sampled_from(["a", "\ud83c", "\udc00 x", "\U0001f3c6", "},{", '"records":[', "]", "\\ud83c"])
    number = draw(st.integers(0, 4))
    records = []
    for _ in range(number):
        members = [f"{spelled(draw, 'Name')}:{json.dumps(draw(names))}"]
        if draw(st.booleans()):
            members.append(f"{spelled(draw, 'ID')}:{draw(st.sampled_from(['1', '2', 'null', '1.5', '1e400', 'NaN']))}")
        if draw(st.booleans()):
            depth = draw(st.sampled_from([1, 3, 40]))
            members.append(f'"x":{"[" * depth}{{"records":[{{"Name":"b"}},{{"Name":"c"}}]}}{"]" * depth}')
        records.append("{" + ",".join(members) + "}")
    count = draw(st.sampled_from([number, number, number, number + 1]))
    members = [f"{spelled(draw, 'records')}:[{','.join(records)}]", f"{spelled(draw, 'count')}:{count}"]
    members.append(f"{spelled(draw, 'status')}:{draw(st.sampled_from([200, 200, 200, 404]))}")
    odd = ['"x":{"records":[]}', '"records":null', '"records":[]', '"x":"\\ud83c"', '"x":"records"', '"x":[[{}],"]"]']
    members += draw(st.lists(st.sampled_from(odd), max_size=2))
    body = "{" + ",".join(draw(st.permutations(members))) + "}"
    return body[: draw(st.sampled_from([None, None, None, -1, -2, 20]))].encode()


@settings(max_examples=300)
@given(body=odd_bodies(), slice_=st.sampled_from([0, 30, 100]))
def test_unusual_bodies_are_decoded_equally_for_any_slice_size(body: bytes, slice_: int) -> None:
    outcomes: list[list[Any]] = []
    for size in (64 * 1024, slice_):
        with slices_of(size):
            outcomes.append([])
            for answer in (CAMPAIGNS, PARTIAL_CAMPAIGNS, DONE):
                outcome = came_to(answer, body)
                if isinstance(outcome, DiallerError):
                    outcomes[-1].append((type(outcome), getattr(outcome, "path", None)))
                else:
                    outcomes[-1].append(outcome)
                    if answer is CAMPAIGNS:
                        assert isinstance(outcome, Records)
                        assert [one.wire for one in outcome] == json.loads(body)["records"]
    assert outcomes[0] == outcomes[1]


MIB = 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b'{"records":[' + b"{}," * (21 * MIB) + b'{}],"count":1,"status":200}',
        b"{}," * (21 * MIB),
        b'{"x":[' + b"{}," * (21 * MIB) + b'{}],"records":[],"count":0,"status":200}',
        b'{"records":[{"Name":"x","a":[' + b"{}," * (21 * MIB) + b'{}]}],"count":1,"status":200}',
        b'{"records":[{"Name":"' + b'\\"' * (8 * MIB) + b'"}],"count":1,"status":200}',
        b'{"records":[{"Name":"' + b'\\"' * (8 * MIB),
        b'{"records":' + b"[" * (16 * MIB),
        b'{"records":[' + b",".join([b'{"Name":"%b"}' % (b"}" * 60_000)] * 200) + b'],"count":1,"status":200}',
        b'{"records":[' + b",".join([b'{"Name":"},{"}'] * 10_000) + b'],"count":1,"status":200}',
    ],
    ids=["records", "no envelope", "unknown list", "one record", "quotes", "open quote", "brackets", "braces", "ends"],
)
def test_hostile_body_is_refused_in_short_steps(body: bytes) -> None:
    decoding = CAMPAIGNS(body)
    steps = []
    error = None
    while error is None:
        begun = time.process_time()
        try:
            next(decoding)
        except PayloadError as refused:
            error = refused
        steps.append(time.process_time() - begun)
    assert len(error.excerpt) <= 200
    # A step takes about 5 ms on an idle machine. Without slices, it took 5 s. The limit allows a garbage collection.
    assert max(steps) < 0.2


class TestSlices:
    """Large bodies are decoded in slices, so that other tasks can run between them."""

    def records(self, count: int, size: int) -> list[dict[str, object]]:
        return [{"Name": f"campaign {number}", "filler": "x" * size} for number in range(count)]

    def test_body_of_one_slice_is_decoded_without_a_pause(self) -> None:
        empty = len(json.dumps(envelope(*self.records(1, 0))))
        for excess in (0, 1):
            size = decoding_module.BYTES_PER_SLICE - empty + excess
            body = json.dumps(envelope(*self.records(1, size))).encode()
            # The first time, the unknown key is learned.
            finish(CAMPAIGNS(body))
            assert bool(list(CAMPAIGNS(body))) is bool(excess)

    def test_large_body_is_decoded_with_regular_pauses_and_without_loss(self) -> None:
        records = self.records(100, 10_000)
        body = json.dumps(envelope(*records)).encode()
        pauses = sum(1 for _ in CAMPAIGNS(body))
        records_per_slice = decoding_module.BYTES_PER_SLICE // 10_000
        assert len(records) // records_per_slice <= pauses <= len(records) // records_per_slice + 5
        assert [one.wire for one in decode(CAMPAIGNS, body)] == records

    @given(sizes=st.lists(st.integers(0, 40_000), max_size=20))
    def test_concatenated_slices_equal_the_list(self, sizes: list[int]) -> None:
        records = [{"Name": str(number), "filler": "x" * size} for number, size in enumerate(sizes)]
        body = json.dumps(envelope(*records)).encode()
        slices: Iterator[list[Campaign]] = decode(CAMPAIGN_SLICES, body)
        got = list(slices)
        assert [one for structured in got for one in structured] == list(decode(CAMPAIGNS, body))
        for structured in got:
            filler = sum(len(one.wire["filler"]) for one in structured[:-1])
            assert filler < decoding_module.BYTES_PER_SLICE, "a slice ends with the record that fills it"

    @given(
        records=st.lists(
            st.fixed_dictionaries(
                {"Name": st.sampled_from(["a", "},{", '"},{"Name":"b"},{"', "]", '"records":[', "ü" * 9])},
                optional={
                    "ID": st.integers(1, 9) | st.sampled_from(["seven", None]),
                    "list": st.just([{"Name": "b"}, {"Name": "c"}]),
                },
            ),
            max_size=12,
        ),
        separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", ":")]),
        count=st.sampled_from([0, 0, 0, 1]),
        slice_=st.sampled_from([60, 100, 200]),
        claimed=st.sampled_from(
            [
                {"status": 200},
                {"status": 200, "records": [{"Name": "z"}]},
                {"status": 200, "others": [{"Name": "y"}, {"Name": "z"}]},
                {},
                {"status": 404},
            ]
        ),
    )
    def test_guessed_and_searched_ends_of_records_give_the_same_records(
        self,
        records: list[dict[str, Any]],
        separators: tuple[str, str],
        count: int,
        slice_: int,
        claimed: dict[str, Any],
    ) -> None:
        envelope = {"filter": '"records":[', "records": records, "count": len(records) + count}
        # JSON text, because a dict can't have a key twice.
        body = (json.dumps(envelope, separators=separators)[:-1] + "," + json.dumps(claimed)[1:]).replace(",}", "}")
        outcomes: list[Any] = []
        for size in (slice_, 0, 64 * 1024):
            with slices_of(size):
                try:
                    outcomes.append([one.wire for one in decode(CAMPAIGNS, body.encode())])
                except (PayloadError, NotFoundError) as error:
                    outcomes.append(error)
        assert outcomes[0] == outcomes[1] == outcomes[2]

    @pytest.mark.parametrize("count", [99, 101])
    def test_count_that_differs_from_the_records_of_a_large_body_is_refused(self, count: int) -> None:
        body = envelope(*self.records(100, 10_000), count=count)
        with pytest.raises(PayloadError, match=f"counts {count} records, but sent 100"):
            decode(CAMPAIGNS, body)

    def test_large_body_is_never_decoded_as_a_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        body = json.dumps(envelope(*self.records(100, 10_000))).encode()
        sizes = []

        def measuring(part: bytes) -> Any:
            sizes.append(len(part))
            return decode_envelope(part)

        monkeypatch.setattr(decoding_module, "decode_envelope", measuring)
        assert len(decode(CAMPAIGNS, body)) == 100
        assert max(sizes) < decoding_module.BYTES_PER_SLICE + 200

    def test_many_tiny_records_are_decoded_in_slices(self) -> None:
        body = json.dumps(envelope(*[{"Name": ""}] * 5_000)).encode()
        assert sum(1 for _ in CAMPAIGNS(body)) > len(body) // decoding_module.BYTES_PER_SLICE

    def test_wrong_record_raises_at_its_slice_with_its_position_in_the_list(self) -> None:
        records: list[dict[str, object]] = [*self.records(9, 10_000), {"Name": 7, "ID": 5}]
        slices = decode(CAMPAIGN_SLICES, envelope(*records))
        names: list[str] = []
        with pytest.raises(PayloadError) as caught:
            names.extend(one.name for structured in slices for one in structured)
        assert names == [f"campaign {number}" for number in range(9)]
        assert (caught.value.path, caught.value.record_id) == ("records[9].Name", 5)

    def test_empty_list_has_no_slices(self) -> None:
        assert list(decode(CAMPAIGN_SLICES, envelope())) == []
        assert decode(CAMPAIGNS, envelope()) == Records(items=(), total=0)

    def test_body_that_is_not_utf_8_raises_before_the_first_slice(self) -> None:
        # The position is in the second step of the check.
        records = self.records(120, 10_000)
        body = json.dumps(envelope(*records)).encode().replace(b'"campaign 119"', b'"campaign \xfc"')
        with pytest.raises(PayloadError, match="not the documented JSON"):
            decode(CAMPAIGN_SLICES, body)

    def test_character_across_two_steps_of_the_utf_8_check_is_accepted(self) -> None:
        for shift in range(4):
            body = b" " * shift + json.dumps(envelope({"Name": "€" * 150_000}), ensure_ascii=False).encode()
            [one] = (record for part in decode(CAMPAIGN_SLICES, body) for record in part)
            assert one.name == "€" * 150_000


class TestRecoded:
    """A body that could not be decoded is recoded to UTF-8 from its charset."""

    GOOD = '{"Name": "Käßespätzle €"}'

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (GOOD.encode(), "application/json"),
            (GOOD.encode("utf-8-sig"), "application/json"),
            (GOOD.encode("utf-8-sig"), "application/json; charset=utf-8"),
            (GOOD.encode("cp1252"), "application/json;charset=windows-1252"),
            (GOOD.encode("cp1252"), 'application/json; charset="windows-1252"'),
            (GOOD.encode("iso8859-15"), "application/json; Charset = ISO-8859-15; boundary=x"),
            (GOOD.encode("utf-16"), "application/json; charset=utf-16"),
            (GOOD.encode("utf-16-le"), "application/json; charset=utf-16le"),
            (GOOD.encode(), "application/json; charset=iso-8859-1"),
        ],
    )
    def test_body_in_a_known_charset_is_recoded_to_utf_8(self, body: bytes, content_type: str) -> None:
        assert recoded(body, content_type) == self.GOOD.encode()

    @pytest.mark.parametrize(
        "content_type",
        ["", "application/json", "text/html; charset=", "x; charset=klingon", "x; charset=hex", "x; charset=ascii"]
        + [
            f"x; charset={name}" for name in ("punycode", "idna", "raw_unicode_escape", "rot13", "zip", "utf-7", "big5")
        ],
    )
    def test_body_without_a_helpful_charset_is_not_changed(self, content_type: str) -> None:
        body = self.GOOD.encode("cp1252")
        assert recoded(body, content_type) == body

    @pytest.mark.parametrize("charset", ["utf-16", "UTF-16LE", "utf_32_be", "windows-1252", "iso8859-15", "latin-1"])
    def test_large_body_is_recoded_with_pauses(self, charset: str) -> None:
        text = '{"Name": "' + "ü€"[: 1 + (charset != "latin-1")] * 400_000 + '"}'
        body = text.encode(charset)
        assert recoded(body, f"x; charset={charset}") == text.encode()
        assert sum(1 for _ in recoding(body, f"x; charset={charset}")) >= len(body) // 262_144

    def test_body_over_16_mib_is_not_recoded(self) -> None:
        body = b"\xfc" * (16 * 1024 * 1024 + 1)
        assert recoded(body, "x; charset=latin-1") == body

    def test_body_cut_within_a_character_is_recoded_from_its_charset(self) -> None:
        assert recoded(b"\xc3", "x; charset=latin-1") == "Ã".encode()

    @given(body=st.binary(max_size=40), content_type=st.text(max_size=20) | st.from_regex(r"x; charset=[\w.:-]+"))
    def test_recoding_never_raises(self, body: bytes, content_type: str) -> None:
        assert isinstance(recoded(body, content_type), bytes)


ZONES = st.none() | st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DATES = st.builds(lambda date, zone: date.replace(tzinfo=zone), st.datetimes(), ZONES)


class TestDates:
    """Exactly the documented date formats are accepted."""

    @pytest.mark.parametrize(
        ("text", "date"),
        [
            ("2020-08-09T02:33:50.347", datetime(2020, 8, 9, 2, 33, 50, 347_000)),  # noqa: DTZ001  a naive date is tested
            ("2022-07-08T11:33:18.900977Z", datetime(2022, 7, 8, 11, 33, 18, 900_977, tzinfo=UTC)),
            ("2022-07-08T11:33:18", datetime(2022, 7, 8, 11, 33, 18)),  # noqa: DTZ001  a naive date is tested
            ("2022-07-08 11:33:18", datetime(2022, 7, 8, 11, 33, 18)),  # noqa: DTZ001  a naive date is tested
            ("2022-07-08 11:33:18.5Z", datetime(2022, 7, 8, 11, 33, 18, 500_000, tzinfo=UTC)),
            ("2022-07-08T11:33:18+02:00", datetime(2022, 7, 8, 11, 33, 18, tzinfo=timezone(timedelta(hours=2)))),
            ("2022-07-08T11:33:18-0330", datetime(2022, 7, 8, 11, 33, 18, tzinfo=timezone(-timedelta(minutes=210)))),
        ],
    )
    def test_every_documented_date_format_is_parsed(self, text: str, date: datetime) -> None:
        for read in (parse_date(text), campaign(dtFrom=text).dt_from, campaign(dtTo=text).dt_to):
            assert read == date
            assert read.utcoffset() == date.utcoffset()
        assert campaign(dtFrom=text).wire["dtFrom"] == text

    @given(date=DATES, separator=st.sampled_from("T "), digits=st.integers(0, 6))
    def test_date_with_up_to_six_fraction_digits_is_parsed(self, date: datetime, separator: str, digits: int) -> None:
        step = 10 ** (6 - digits)
        date = date.replace(microsecond=date.microsecond // step * step)
        fraction = f".{date.microsecond:06}"[: digits + 1] if digits else ""
        zone = "" if date.tzinfo is None else date.isoformat()[-6:]
        text = date.replace(microsecond=0, tzinfo=None).isoformat(separator) + fraction + zone
        assert parse_date(text) == date
        assert parse_date(text).utcoffset() == date.utcoffset()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2020-08-09",
            "2020-08-09T02:33",
            "2020-08-09T02:33:50.",
            "2020-08-09T02:33:50.1234567",
            "2020-08-09T02:33:50,347",
            "2020-08-09t02:33:50",
            "2020-08-09T02:33:50z",
            "2020-08-09T02:33:50 Z",
            "2020-08-09T02:33:50+2",
            "2020-08-09T02:33:50+99:00",
            "2020-02-30T00:00:00",
            "2020-08-09T24:30:00",
            "2020-08-09T02:33:61",
            "20200809T023350",
            "2020-W32-7T02:33:50",
            " 2020-08-09T02:33:50",
            "2020-08-09T02:33:50\n",
            "\N{ARABIC-INDIC DIGIT TWO}020-08-09T02:33:50",
        ],
    )
    def test_date_in_another_format_is_refused(self, text: str) -> None:
        error = misfit(CAMPAIGNS, {"Name": "any", "dtFrom": text})
        assert f"dtFrom is {text!r}, not a date and time or null" in str(error)

    @given(text=st.text(max_size=30) | st.from_regex(r"\A\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,7})?Z?\Z"))
    def test_any_text_is_parsed_as_a_date_or_raises_value_error(self, text: str) -> None:
        try:
            assert isinstance(parse_date(text), datetime)
        except ValueError:
            error = misfit(CAMPAIGNS, {"Name": "any", "dtFrom": text})
            assert error.path == "records[0].dtFrom"

    @pytest.mark.parametrize(
        ("date", "text"),
        [
            (datetime(2026, 7, 1, 8, 30), "2026-07-01T08:30:00"),  # noqa: DTZ001  a naive date is tested
            (datetime(2026, 7, 1, 8, 30, 15, 347_999), "2026-07-01T08:30:15.347"),  # noqa: DTZ001  a naive date is tested
            (datetime(2026, 7, 1, 8, 30, 15, 1_000, tzinfo=UTC), "2026-07-01T08:30:15.001+00:00"),
            (datetime(2026, 7, 1, 8, 30, 15, 999, tzinfo=UTC), "2026-07-01T08:30:15+00:00"),
            (datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))), "2026-07-01T00:00:00-03:30"),
            (datetime(7, 1, 1), "0007-01-01T00:00:00"),  # noqa: DTZ001  a naive date is tested
        ],
    )
    def test_date_is_formatted_in_seconds_or_milliseconds_without_an_added_zone(
        self, date: datetime, text: str
    ) -> None:
        assert format_date(date) == text

    @given(date=DATES)
    def test_formatted_date_is_parsed_to_the_same_millisecond(self, date: datetime) -> None:
        back = parse_date(format_date(date))
        assert back == date.replace(microsecond=date.microsecond // 1000 * 1000)
        assert back.utcoffset() == date.utcoffset()

    def test_utc_offset_with_seconds_is_refused(self) -> None:
        for odd in (timedelta(minutes=53, seconds=28), timedelta(microseconds=1)):
            with pytest.raises(ConfigurationError, match="not in whole minutes"):
                format_date(datetime(1890, 1, 1, tzinfo=timezone(odd)))

    def test_date_with_a_zone_without_offset_is_formatted_as_naive(self) -> None:
        class Nowhere(tzinfo):
            def utcoffset(self, date: datetime | None) -> None:
                return None

        assert format_date(datetime(2026, 7, 1, tzinfo=Nowhere())) == "2026-07-01T00:00:00"

    @pytest.mark.parametrize("date", ["2026-07-01T00:00:00", None, 0, datetime(2026, 7, 1, tzinfo=UTC).date()])
    def test_value_that_is_not_a_datetime_is_refused(self, date: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"a datetime, not {type(date).__name__}"):
            format_date(date)


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_decoded_without_rounding(number: float) -> None:
    back = campaign(x=number).wire["x"]
    assert back == number
    assert math.copysign(1, back) == math.copysign(1, number)
