"""Tests as users write them for their own code: synchronous and asynchronous tests, with faults."""

from datetime import UTC, datetime

import pytest

from dialler_async import DiallerClient, OutcomeUnknownError
from dialler_async.sandbox import Sandbox
from dialler_async.testing import Reset, Status, instant_waits, make_campaign, make_result_code


async def delete_expired(dialler: DiallerClient, now: datetime) -> int:
    expired = [campaign for campaign in await dialler.campaigns.list() if campaign.dt_to and campaign.dt_to < now]
    for campaign in expired:
        await dialler.campaigns.delete(campaign, missing_ok=True)
    return len(expired)


NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def account(dialler_sandbox: Sandbox) -> Sandbox:
    dialler_sandbox.load(make_campaign(id=7, dt_to=datetime(2026, 1, 31, tzinfo=UTC)).wire)
    dialler_sandbox.load(
        make_campaign(id=8, name="Open", dt_to=datetime(2026, 3, 31, tzinfo=UTC)).wire,
        codes={1: [make_result_code(content="Sold").wire]},
    )
    return dialler_sandbox


@pytest.mark.asyncio
async def test_expired_campaigns_are_deleted(account: Sandbox, dialler_client: DiallerClient) -> None:
    assert await delete_expired(dialler_client, NOW) == 1
    assert list(account.campaigns) == [8]


@pytest.mark.asyncio
async def test_deletion_is_retried_after_the_requested_wait(account: Sandbox, dialler_client: DiallerClient) -> None:
    account.faults.next(Status(503, retry_after=30), Reset(carried_out=True), match="delete")
    with instant_waits() as waits:
        assert await delete_expired(dialler_client, NOW) == 1
    assert waits[0] == 30
    assert list(account.campaigns) == [8]
    assert [received.call for received in account.journal] == ["list", "delete", "delete", "delete"]


@pytest.mark.asyncio
async def test_clone_with_a_lost_response_raises_outcome_unknown(
    account: Sandbox, dialler_client: DiallerClient
) -> None:
    account.faults.next(Reset(carried_out=True), match="clone")
    with pytest.raises(OutcomeUnknownError):
        await dialler_client.campaigns.clone("Open", "Copy")
    assert (await dialler_client.campaigns.get_by_name("Copy")).name == "Copy"


def test_account_can_be_prepared_without_an_event_loop(account: Sandbox) -> None:
    [code] = account.result_codes(8)
    assert code["Content"] == "Sold"
