"""`campaigns.list_partial`: invalid records do not fail the call."""

from typing import Any

import pytest

from dialler_async import DiallerClient, PayloadError
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse

RECORDS: list[Any] = [{"ID": 1, "Name": "One"}, {"ID": 2, "Name": "Two", "nMaxParallelLines": "many"}, {"ID": 3}]


async def test_list_partial_returns_valid_records_and_an_error_for_each_invalid_record() -> None:
    async with Sandbox(campaigns=RECORDS) as sandbox, DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        listed = await dialler.campaigns.list_partial()
        with pytest.raises(PayloadError):
            await dialler.campaigns.list()
    assert [campaign.id for campaign in listed.records] == [1]
    assert listed.total == 3
    assert [(dict(one.record), one.error.path, one.error.record_id) for one in listed.invalid] == [
        (RECORDS[2], "records[0].Name", 3),
        (RECORDS[1], "records[2].nMaxParallelLines", 2),
    ]


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-8"])
async def test_list_partial_accepts_records_in_another_charset(sandbox: Sandbox, charset: str) -> None:
    body = '{"records": [5, {"ID": 1, "Name": "Rückruf"}], "count": 3, "status": 200}'.encode(charset)
    sandbox.faults.next(CannedResponse(200, body, {"Content-Type": f"application/json; charset={charset}"}))
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        listed = await dialler.campaigns.list_partial()
    assert [campaign.name for campaign in listed.records] == ["Rückruf"]
    assert [(one.record, one.error.path) for one in listed.invalid] == [({}, "records[0]")]
    assert listed.total == 3


async def test_list_partial_raises_without_records(sandbox: Sandbox) -> None:
    sandbox.faults.next(CannedResponse(200, b'{"status": 200}'))
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        with pytest.raises(PayloadError, match="no list of records"):
            await dialler.campaigns.list_partial()


async def test_error_of_an_invalid_record_does_not_contain_the_token_and_the_record_is_unchanged() -> None:
    async with Sandbox(campaigns=[{"ID": 1, "Name": "One"}]) as sandbox:
        sandbox.change(1, dtFrom=sandbox.token)
        async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
            listed = await dialler.campaigns.list_partial()
    ((error,),) = [[one.error for one in listed.invalid]]
    assert error.path == "records[0].dtFrom"
    assert sandbox.token[:10] not in f"{error} {error.excerpt}"
    assert listed.invalid[0].record["dtFrom"] == sandbox.token
