"""The seven calls of the sandbox, compared with the API reference. The client is plain aiohttp."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Caller

    CallerOf = Callable[[Sandbox], Caller]

CAMPAIGN = {
    "ContactPreviewTime": 5,
    "nMaxParallelLines": None,
    "bCloseContactsOnIncomingCallsMatchCallerID": True,
    "dtTo": None,
    "LanguagesID": 2,
    "bCallerIDActive": False,
    "Name": "Campaign 1000",
    "ClientsID": 1,
    "AbortOnNoTelNumberResultCodesID": 2698,
    "IncomingCallResultCodesID": 2695,
}


def code(id: int, export_key: str) -> dict[str, Any]:
    return {
        "bDone": True,
        "DiallerCampaignsID": 535,
        "ExportKey": export_key,
        "Content": "Abgeschlossen",
        "ShortText": f"DiallerCampaignsResultCodes.{id}",
        "DiallerResultCodesTypesContent": "Abschluss",
        "DiallerResultCodesTypesShortText": "DiallerResultCodesTypes.1",
        "ID": id,
    }


CODES = {"records": [code(2695, "ABG"), code(2698, "Aufleger")], "count": 7, "status": 200}
NOT_FOUND = (404, {"status": 404, "error": "Dialler campaign not found"})


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox([{"ID": 7, "Name": "Sommer / Köln 50% & mehr"}]) as sandbox:
        sandbox.load(CAMPAIGN, campaign_id=535, codes={2: CODES})
        yield sandbox


async def test_list_returns_every_record_unchanged_in_the_documented_envelope(call: Caller) -> None:
    assert await call("GET", "") == (
        200,
        {
            "filter": "",
            "limitStart": 0,
            "limitPageSize": -1,
            "records": [CAMPAIGN, {"ID": 7, "Name": "Sommer / Köln 50% & mehr"}],
            "count": 2,
            "orderBy": "Name",
            "ascending": True,
            "status": 200,
        },
    )


async def test_list_changes_after_a_write(call: Caller) -> None:
    before = await call("GET", "")
    assert await call("GET", "") == before
    call.sandbox.load({"Name": "Zuletzt"})
    assert (await call("GET", ""))[1]["records"][-1] == {"Name": "Zuletzt"}


async def test_list_of_an_empty_account_has_no_records(caller_of: CallerOf) -> None:
    async with Sandbox([]) as empty:
        status, body = await caller_of(empty)("GET", "")
    assert (status, body["records"], body["count"]) == (200, [], 0)


async def test_list_is_ordered_by_name_and_ignores_case(caller_of: CallerOf) -> None:
    names = ["b", "C", "A"]
    async with Sandbox([{"Name": name} for name in names]) as sandbox:
        _, body = await caller_of(sandbox)("GET", "")
    assert [record["Name"] for record in body["records"]] == ["A", "b", "C"]


async def test_get_returns_one_record_or_404(call: Caller) -> None:
    assert await call("GET", "/535") == (200, {"records": [CAMPAIGN], "count": 1, "status": 200})
    assert await call("GET", "/536") == NOT_FOUND
    assert await call("GET", "/-535") == NOT_FOUND


@pytest.mark.parametrize("text", ["campaign 1", "CAMPAIGN 1000", "Campaign 1000", "n 10"])
async def test_find_matches_parts_of_names_and_ignores_case(call: Caller, text: str) -> None:
    found = await call("GET", "/campaign", params={"name": text})
    assert found == (200, {"records": [CAMPAIGN], "count": 1, "status": 200})


async def test_find_treats_wildcards_as_plain_text(call: Caller) -> None:
    assert (await call("GET", "/campaign", params={"name": "50% &"}))[0] == 200
    assert await call("GET", "/campaign", params={"name": "Campaign_1%"}) == NOT_FOUND


async def test_find_without_match_returns_no_records_with_the_option_empty(caller_of: CallerOf) -> None:
    async with Sandbox([], find_without_match="empty") as sandbox:
        found = await caller_of(sandbox)("GET", "/campaign", params={"name": "x"})
    assert found == (200, {"records": [], "count": 0, "status": 200})


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("query", ["", "?name=", "?Name=Campaign"])
async def test_find_and_delete_without_a_name_return_400(call: Caller, method: str, query: str) -> None:
    status, body = await call(method, f"/campaign{query}")
    assert (status, body) == (400, {"status": 400, "error": "Parameter name is missing"})
    assert len(call.sandbox.campaigns) == 2


async def test_result_codes_are_in_the_requested_language(call: Caller) -> None:
    await call("GET", "/campaign/535/resultCodes?languagesID=2")
    status, body = await call("GET", "/campaign/535/resultCodes?languagesID=2")
    assert (status, body) == (200, {"records": CODES["records"], "count": 2, "status": 200})
    assert call.sandbox.result_codes(535, 2) == CODES["records"]


async def test_result_codes_in_an_unknown_language_have_translation_keys_as_texts(
    call: Caller,
) -> None:
    _, body = await call("GET", "/campaign/535/resultCodes?languagesID=9")
    assert [record["Content"] for record in body["records"]] == [
        "DiallerCampaignsResultCodes.2695",
        "DiallerCampaignsResultCodes.2698",
    ]
    assert body["records"][0]["DiallerResultCodesTypesContent"] == "DiallerResultCodesTypes.1"


@pytest.mark.parametrize("query", ["", "?languagesID=", "?languagesid=1", "?languagesID=de"])
async def test_result_codes_without_a_language_return_400(call: Caller, query: str) -> None:
    status, body = await call("GET", f"/campaign/535/resultCodes{query}")
    assert (status, body["status"]) == (400, 400)


async def test_result_codes_of_a_missing_campaign_return_404(call: Caller) -> None:
    assert await call("GET", "/campaign/1/resultCodes?languagesID=1") == NOT_FOUND


async def test_delete_removes_the_campaign_and_its_result_codes(call: Caller) -> None:
    assert (await call("GET", "/campaign/535/resultCodes?languagesID=2"))[0] == 200
    assert (await call("GET", ""))[1]["count"] == 2
    assert await call("DELETE", "/campaign/535") == (200, {"status": 200})
    assert await call("DELETE", "/campaign/535") == NOT_FOUND
    assert await call("GET", "/campaign/535/resultCodes?languagesID=2") == NOT_FOUND
    assert (await call("GET", ""))[1]["count"] == 1


async def test_campaign_that_reuses_a_deleted_id_has_its_own_result_codes(call: Caller) -> None:
    path = "/campaign/535/resultCodes?languagesID=2"
    await call("GET", path)
    call.sandbox.remove(535)
    call.sandbox.load({"Name": "Other"}, campaign_id=535, codes={2: [code(9, "X")]})
    assert (await call("GET", path))[1]["records"] == [code(9, "X")]


async def test_delete_by_name_deletes_the_first_partial_match(call: Caller) -> None:
    call.sandbox.load({"Name": "Campaign"})
    assert await call("DELETE", "/campaign", params={"name": "Campaign"}) == (200, {"status": 200})
    assert [record["Name"] for record in call.sandbox.campaigns.values()] == [
        "Sommer / Köln 50% & mehr",
        "Campaign",
    ]
    assert await call("DELETE", "/campaign", params={"name": "gone"}) == NOT_FOUND


async def test_delete_by_name_with_the_option_exact_needs_the_full_name(caller_of: CallerOf) -> None:
    records = [{"Name": "Campaign 1"}, {"Name": "Campaign"}]
    async with Sandbox(records, delete_by_name="exact") as sandbox:
        call = caller_of(sandbox)
        assert await call("DELETE", "/campaign", params={"name": "Camp"}) == NOT_FOUND
        assert (await call("DELETE", "/campaign", params={"name": "Campaign"}))[0] == 200
        assert [record["Name"] for record in sandbox.campaigns.values()] == ["Campaign 1"]


async def clone(call: Caller, **body: Any) -> tuple[int, Any]:
    return await call("POST", "/clone", json=body)


async def test_clone_copies_the_campaign_and_its_codes_with_new_ids(caller_of: CallerOf) -> None:
    async with Sandbox(30) as sandbox:
        call = caller_of(sandbox)
        source_id, source = next(
            (id, record)
            for id, record in sandbox.campaigns.items()
            if record["AbortOnNoTelNumberResultCodesID"] and record["IncomingCallResultCodesID"]
        )
        before = sandbox.result_codes(source_id, 2)
        status, body = await clone(call, source=source["Name"], destination="Monday", userData="crm-7")
        (copy,) = body["records"]
        codes = sandbox.result_codes(copy["ID"], 2)
        assert status == 200
        assert (copy["Name"], copy["UserData"]) == ("Monday", "crm-7")
        assert copy["ID"] not in (source_id, *[record["ID"] for record in before])
        same = set(source) - {"ID", "Name", "UserData"}
        assert all(copy[key] == source[key] for key in same if not key.endswith("ResultCodesID"))
        assert [code["ExportKey"] for code in codes] == [code["ExportKey"] for code in before]
        assert not {code["ID"] for code in codes} & {code["ID"] for code in before}
        assert {code["DiallerCampaignsID"] for code in codes} == {copy["ID"]}
        assert codes[0]["ShortText"] == f"DiallerCampaignsResultCodes.{codes[0]['ID']}"
        by_id = {code["ID"]: code["ExportKey"] for code in codes}
        before_by_id = {code["ID"]: code["ExportKey"] for code in before}
        for key in ("AbortOnNoTelNumberResultCodesID", "IncomingCallResultCodesID"):
            assert by_id[copy[key]] == before_by_id[source[key]]
        assert sandbox.result_codes(source_id, 2) == before
        assert (await call("GET", f"/{copy['ID']}"))[1]["records"] == [copy]
        assert (await call("GET", ""))[1]["count"] == 31


async def test_clone_without_user_data_and_dates_keeps_the_values_of_the_source(call: Caller) -> None:
    call.sandbox.load({"Name": "S", "UserData": "u", "dtFrom": "2026-01-01T00:00:00", "dtTo": None})
    _, body = await clone(call, source="S", destination="D", userData=None)
    assert body["records"] == [{"Name": "D", "UserData": "u", "dtFrom": "2026-01-01T00:00:00", "dtTo": None}]


@pytest.mark.parametrize(
    ("dates", "sent", "served"),
    [
        ("naive", "2026-08-01T08:30:00", "2026-08-01T08:30:00"),
        ("naive", "2026-08-01 08:30", "2026-08-01T08:30:00"),
        ("naive", "2026-08-01T08:30:00.5+02:00", "2026-08-01T06:30:00.500"),
        ("zulu", "2026-08-01T08:30:00", "2026-08-01T08:30:00Z"),
        ("zulu", "2026-08-01T08:30:00.123456Z", "2026-08-01T08:30:00.123Z"),
    ],
)
async def test_clone_converts_dates_to_the_format_of_the_sandbox(
    caller_of: CallerOf, dates: Any, sent: str, served: str
) -> None:
    async with Sandbox([{"Name": "S"}], dates=dates) as sandbox:
        call = caller_of(sandbox)
        _, body = await clone(call, source="S", destination="D", dtFrom=sent, dtTo=sent)
    assert body["records"] == [{"Name": "D", "dtFrom": served, "dtTo": served}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"source": "Campaign 1000"},
        {"destination": "new"},
        {"source": "", "destination": "new"},
        {"source": "Campaign 1000", "destination": ""},
        {"source": "Campaign 1000", "destination": None},
        {"source": 1000, "destination": "new"},
        {"source": "Campaign 1000", "destination": ["new"]},
        {"source": "Campaign 1000", "destination": "n" * 65},
        {"source": "Campaign 1000", "destination": "new", "userData": 7},
        {"source": "Campaign 1000", "destination": "new", "dtFrom": "tomorrow"},
        {"source": "Campaign 1000", "destination": "new", "dtTo": "2026-02-30T00:00:00"},
        {"source": "Campaign 1000", "destination": "new", "dtTo": 1},
        ["Campaign 1000", "new"],
        None,
    ],
)
async def test_clone_with_wrong_parameters_returns_400(call: Caller, body: Any) -> None:
    status, error = await call("POST", "/clone", json=body)
    assert (status, error["status"], type(error["error"])) == (400, 400, str)
    assert len(call.sandbox.campaigns) == 2


@pytest.mark.parametrize("body", [b"", b"{", b'{"source": "\xff"}', b"[" * 100_000])
async def test_clone_with_a_body_that_is_not_json_returns_400(call: Caller, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await call("POST", "/clone", data=body, headers=headers))[0] == 400


async def test_clone_with_another_content_type_returns_400(call: Caller) -> None:
    data = json.dumps({"source": "Campaign 1000", "destination": "new"})
    headers = {"Content-Type": "text/plain"}
    assert (await call("POST", "/clone", data=data, headers=headers))[0] == 400
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await call("POST", "/clone", data=data, headers=headers))[0] == 200


async def test_clone_returns_404_without_source_and_409_with_existing_destination(call: Caller) -> None:
    assert await clone(call, source="Campaign", destination="new") == NOT_FOUND
    status, body = await clone(call, source="campaign 1000 ", destination="CAMPAIGN 1000  ")
    assert (status, body["status"]) == (409, 409)
    assert (await clone(call, source="campaign 1000", destination="a"))[0] == 200
    assert (await clone(call, source="campaign 1000", destination="a"))[0] == 409


async def test_too_large_body_returns_413(call: Caller) -> None:
    headers = {"Content-Type": "application/json"}
    data = io.BytesIO(b" " * (2**20 + 1))
    status, _ = await call.raw("POST", "/dialler/campaigns/clone", data=data, headers=headers)
    assert status == 413
    assert call.sandbox.journal[-1].status == 413


async def test_responses_contain_changes_of_campaigns(call: Caller) -> None:
    assert (await call("GET", "/7"))[1]["records"][0]["Name"] == "Sommer / Köln 50% & mehr"
    call.sandbox.change(7, Name="Herbst", UserData="x")
    assert (await call("GET", "/7"))[1]["records"] == [{"ID": 7, "Name": "Herbst", "UserData": "x"}]
    assert (await call("GET", ""))[1]["records"][1]["Name"] == "Herbst"
    call.sandbox.remove(7)
    assert await call("GET", "/7") == NOT_FOUND
    with pytest.raises(KeyError):
        call.sandbox.remove(7)


def test_campaigns_are_read_only() -> None:
    sandbox = Sandbox([{"ID": 7, "Name": "x"}])
    with pytest.raises(TypeError):
        sandbox.campaigns[7]["Name"] = "y"  # type: ignore[index]  # the test does what the type forbids
    with pytest.raises(TypeError):
        del sandbox.campaigns[7]  # type: ignore[attr-defined]  # the test does what the type forbids


def test_load_adds_records_with_result_codes() -> None:
    sandbox = Sandbox([])
    assert sandbox.load({"records": [{"ID": 9, "Name": "a"}, {"Name": "b"}]}) == [9, 10]
    assert sandbox.load({"ID": "odd", "Name": "c"}) == [11]
    with pytest.raises(ValueError, match="9 exists already"):
        sandbox.load({"ID": 9, "Name": "d"})
    with pytest.raises(ValueError, match="single"):
        sandbox.load({"records": []}, campaign_id=4)
    (id,) = sandbox.load({"Name": "e"}, codes={1: [{"Content": "text"}], 2: [code(5, "X")]})
    assert sandbox.result_codes(id, 1) == [{"Content": "text"}]
    assert sandbox.result_codes(id, 2) == [code(5, "X")]
    assert sandbox.result_codes(id, 3)[0] == {"Content": None}
    assert sandbox.seeded_defects == []
    assert sandbox.template is None
