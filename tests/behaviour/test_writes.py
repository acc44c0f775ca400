"""Writes under faults: each runs at most once, and an unknown outcome is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from dialler_async import (
    AmbiguousNameError,
    AuthenticationError,
    Campaign,
    ConflictError,
    DiallerClient,
    DiallerError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    RetryPolicy,
    ServerError,
)
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Fault, HangUp, Meanwhile, Reset, Status

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock

NAME = "Spring 26"
COPY = "Monday"
ID = 535
RECORDS = ({"ID": 535, "Name": "Spring 26"}, {"ID": 536, "Name": "Autumn"}, {"ID": 537, "Name": "spring 26 (old)"})


async def failure(call: Awaitable[Any]) -> DiallerError:
    with pytest.raises(DiallerError) as raised:
        await call
    return raised.value


def calls(server: CampaignServer) -> list[str | None]:
    return [received.call for received in server.journal]


def records(*ids_and_names: tuple[int, str]) -> Fault:
    """Return a fault that carries out the request, and responds with these campaigns."""
    wire_records = [{"ID": id, "Name": name} for id, name in ids_and_names]
    return CannedResponse(
        200, msgspec.json.encode({"records": wire_records, "count": len(wire_records), "status": 200}), carried_out=True
    )


class TestDeleteByExactName:
    async def test_delete_by_name_deletes_only_the_exact_match(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        await dialler.campaigns.delete_by_name(NAME)
        assert set(server.campaigns) == {536, 537}
        assert calls(server) == ["find", "get", "delete"]

    @pytest.mark.parametrize(
        "name",
        [
            "spring 26",
            "SPRING 26",
            "Spring 2",
            "Spring 26 ",
            " Spring 26",
            "Spring  26",
            "Spring\u00a026",
            "%",
            "Spring_26",
        ],
    )
    @pytest.mark.parametrize("no_match", ["empty", "404"])
    async def test_delete_by_name_deletes_nothing_with_a_similar_name(
        self, clock: Clock, name: str, no_match: Any
    ) -> None:
        async with (
            Sandbox(RECORDS, find_without_match=no_match) as server,
            DiallerClient(server.base_url, server.token) as dialler,
        ):
            assert type(await failure(dialler.campaigns.delete_by_name(name))) is NotFoundError
            assert len(server.campaigns) == 3
            assert calls(server) == ["find"]

    async def test_delete_by_name_deletes_nothing_with_several_exact_matches(self, clock: Clock) -> None:
        twice = [*RECORDS, {"ID": 600, "Name": NAME}]
        async with Sandbox(twice) as server, DiallerClient(server.base_url, server.token) as dialler:
            error = await failure(dialler.campaigns.delete_by_name(NAME))
            assert isinstance(error, AmbiguousNameError)
            assert [campaign.id for campaign in error.matches] == [ID, 600]
            assert len(server.campaigns) == 4
            assert calls(server) == ["find"]

    async def test_campaign_without_id_is_not_deleted(self, clock: Clock) -> None:
        async with (
            Sandbox([{"Name": NAME}, *RECORDS[1:]]) as server,
            DiallerClient(server.base_url, server.token) as dialler,
        ):
            error = await failure(dialler.campaigns.delete_by_name(NAME))
            assert isinstance(error, PayloadError)
            assert error.path == "records[0].ID"
            assert "nothing was deleted" in str(error)
            assert len(server.campaigns) == 3
            assert calls(server) == ["find"]

    async def test_campaign_renamed_after_find_is_not_deleted(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Meanwhile(lambda: server.change(ID, Name="Summer 26")), match="get")
        error = await failure(dialler.campaigns.delete_by_name(NAME))
        assert type(error) is NotFoundError
        assert "nothing was deleted" in str(error)
        assert len(server.campaigns) == 3

    async def test_campaigns_that_swap_names_after_find_are_not_deleted(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        def swap() -> None:
            server.change(ID, Name="Autumn")
            server.change(536, Name=NAME)

        server.faults.next(Meanwhile(swap), match="get")
        assert type(await failure(dialler.campaigns.delete_by_name(NAME))) is NotFoundError
        assert len(server.campaigns) == 3

    async def test_rename_after_get_does_not_delete_another_campaign(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        def swap() -> None:
            server.change(ID, Name="Autumn")
            server.change(536, Name=NAME)

        server.faults.next(Meanwhile(swap), match="delete")
        await dialler.campaigns.delete_by_name(NAME)
        assert set(server.campaigns) == {536, 537}

    @pytest.mark.parametrize("before", ["get", "delete"])
    async def test_campaign_deleted_by_another_user_during_the_call_is_not_found(
        self, server: CampaignServer, dialler: DiallerClient, before: str
    ) -> None:
        server.faults.next(Meanwhile(lambda: server.remove(ID)), match=before)
        assert type(await failure(dialler.campaigns.delete_by_name(NAME))) is NotFoundError
        assert set(server.campaigns) == {536, 537}

    async def test_delete_by_name_deletes_nothing_when_get_returns_another_campaign(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(records((536, NAME)), match="get")
        assert type(await failure(dialler.campaigns.delete_by_name(NAME))) is PayloadError
        assert len(server.campaigns) == 3

    @pytest.mark.parametrize("lookup", ["find", "get"])
    async def test_delete_by_name_deletes_nothing_when_a_lookup_fails(
        self, server: CampaignServer, dialler: DiallerClient, lookup: str
    ) -> None:
        server.faults.chance(1, [Status(500)], match=lookup)
        assert type(await failure(dialler.campaigns.delete_by_name(NAME))) is ServerError
        assert server.arrived("delete") == []

    @pytest.mark.parametrize(
        "fault", [Reset(), Reset(carried_out=True), HangUp(carried_out=True), Status(502)], ids=repr
    )
    async def test_delete_request_is_retried_after_a_fault(
        self, server: CampaignServer, dialler: DiallerClient, fault: Fault
    ) -> None:
        server.faults.next(fault, match="delete")
        await dialler.campaigns.delete_by_name(NAME)
        assert set(server.campaigns) == {536, 537}
        assert sum(server.arrived("delete")) == 1

    async def test_delete_by_name_has_unknown_outcome_when_all_responses_are_lost(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.chance(1, [Reset()], match="delete")
        assert type(await failure(dialler.campaigns.delete_by_name(NAME))) is OutcomeUnknownError
        assert len(server.campaigns) == 3


class TestDeleteByNameWithExactFalse:
    async def test_delete_by_name_with_exact_false_sends_one_request_and_deletes_the_match_of_the_server(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        await dialler.campaigns.delete_by_name("pring", exact=False)
        assert calls(server) == ["delete_by_name"]
        assert set(server.campaigns) == {536, 537}

    async def test_delete_by_name_with_exact_false_and_without_match_is_not_found(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        assert type(await failure(dialler.campaigns.delete_by_name("Winter", exact=False))) is NotFoundError

    async def test_recovery_hint_of_delete_by_name_finds_the_outcome(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Reset(carried_out=True))
        error = await failure(dialler.campaigns.delete_by_name("pring 26", exact=False))
        assert "`campaigns.find(name)`" in str(error)
        assert [campaign.id for campaign in await dialler.campaigns.find("pring 26")] == [537]


class TestDelete:
    async def test_exactly_one_of_many_concurrent_deletes_succeeds(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        results = await asyncio.gather(*(dialler.campaigns.delete(ID) for _ in range(10)), return_exceptions=True)
        assert sorted(map(type, results), key=str) == sorted([type(None), *[NotFoundError] * 9], key=str)
        assert set(server.campaigns) == {536, 537}

    async def test_missing_ok_suppresses_only_not_found(self, server: CampaignServer, dialler: DiallerClient) -> None:
        await dialler.campaigns.delete(999, missing_ok=True)
        server.faults.next(Status(401))
        assert type(await failure(dialler.campaigns.delete(999, missing_ok=True))) is AuthenticationError
        server.faults.chance(1, [Reset()])
        assert type(await failure(dialler.campaigns.delete(999, missing_ok=True))) is OutcomeUnknownError

    @pytest.mark.parametrize("carried_out", [False, True])
    async def test_recovery_hint_of_delete_finds_the_outcome(
        self, server: CampaignServer, clock: Clock, carried_out: bool
    ) -> None:
        server.faults.next(Reset(carried_out))
        async with DiallerClient(server.base_url, server.token, retry=RetryPolicy(attempts=1)) as dialler:
            error = await failure(dialler.campaigns.delete(ID))
            assert "`campaigns.get(campaign)` raises NotFoundError" in str(error)
            if carried_out:
                assert type(await failure(dialler.campaigns.get(ID))) is NotFoundError
            else:
                assert (await dialler.campaigns.get(ID)).name == NAME


class TestClone:
    async def test_clone_sends_all_arguments(self, server: CampaignServer, dialler: DiallerClient) -> None:
        from_ = datetime(2026, 3, 1, 8)  # noqa: DTZ001  a naive date is sent unchanged
        to = datetime(2026, 3, 31, 20, 0, 0, 5000, tzinfo=UTC)
        clone = await dialler.campaigns.clone(NAME, COPY, user_data="crm-7", dt_from=from_, dt_to=to)
        assert msgspec.json.decode(server.journal[0].body) == {
            "source": NAME,
            "destination": COPY,
            "userData": "crm-7",
            "dtFrom": "2026-03-01T08:00:00",
            "dtTo": "2026-03-31T20:00:00.005+00:00",
        }
        assert server.journal[0].headers["Content-Type"] == "application/json"
        assert clone.user_data == "crm-7"

    @pytest.mark.parametrize("exist_ok", [False, True])
    async def test_clone_of_a_missing_source_is_not_found(
        self, server: CampaignServer, dialler: DiallerClient, exist_ok: bool
    ) -> None:
        error = await failure(dialler.campaigns.clone("Winter", COPY, exist_ok=exist_ok))
        assert type(error) is NotFoundError

    async def test_destination_created_before_the_clone_is_a_conflict(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Meanwhile(lambda: server.load({"ID": 900, "Name": COPY})))
        assert type(await failure(dialler.campaigns.clone(NAME, COPY))) is ConflictError

    async def test_destination_created_before_the_clone_is_returned_with_exist_ok(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Meanwhile(lambda: server.load({"ID": 900, "Name": COPY})))
        assert (await dialler.campaigns.clone(NAME, COPY, exist_ok=True)).id == 900

    async def test_concurrent_clones_with_exist_ok_create_one_campaign_and_all_return_it(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        clones = await asyncio.gather(*(dialler.campaigns.clone(NAME, COPY, exist_ok=True) for _ in range(10)))
        assert sum(server.arrived("clone")) == 1
        assert {clone.id for clone in clones} == {max(server.campaigns)}

    async def test_concurrent_clones_without_exist_ok_create_one_campaign_and_one_returns_it(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        results = await asyncio.gather(
            *(dialler.campaigns.clone(NAME, COPY) for _ in range(10)), return_exceptions=True
        )
        assert [type(result) for result in results].count(Campaign) == 1
        assert [type(result) for result in results].count(ConflictError) == 9

    @pytest.mark.parametrize("existing", ["MONDAY", "monday", "Monday "])
    async def test_clone_raises_a_conflict_with_a_similar_name(
        self, server: CampaignServer, dialler: DiallerClient, existing: str
    ) -> None:
        server.load({"ID": 900, "Name": existing})
        server.faults.next(Status(409))
        error = await failure(dialler.campaigns.clone(NAME, COPY, exist_ok=True))
        assert type(error) is ConflictError
        assert error.attempts == 1

    async def test_error_of_the_lookup_after_a_conflict_is_raised(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Status(409), Status(401))
        assert type(await failure(dialler.campaigns.clone(NAME, COPY, exist_ok=True))) is AuthenticationError

    async def test_retry_that_conflicts_has_unknown_outcome_when_nothing_is_found(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Reset(carried_out=True), match="clone")
        server.faults.next(records(), match="find")
        error = await failure(dialler.campaigns.clone(NAME, COPY, exist_ok=True))
        assert type(error) is OutcomeUnknownError
        assert "reads may lag behind writes" in str(error)
        assert error.attempts == 2
        assert (await dialler.campaigns.get_by_name(COPY)).id == max(server.campaigns)

    @pytest.mark.parametrize(
        "lookup_fault",
        [Status(401), Status(500), Reset(), CannedResponse(404), CannedResponse(200, b"<html>")],
        ids=repr,
    )
    async def test_retry_that_conflicts_has_unknown_outcome_when_the_lookup_fails(
        self, server: CampaignServer, dialler: DiallerClient, lookup_fault: Fault
    ) -> None:
        server.faults.next(Reset(carried_out=True), match="clone")
        server.faults.chance(1, [lookup_fault], match="find")
        error = await failure(dialler.campaigns.clone(NAME, COPY, exist_ok=True))
        assert type(error) is OutcomeUnknownError
        assert "POST /dialler/campaigns/clone" in str(error)
        assert "the search for the campaign failed" in str(error)
        assert str(error.request) == "POST /dialler/campaigns/clone"
        assert sum(server.arrived("clone")) == 1

    async def test_retry_that_conflicts_is_ambiguous_with_several_exact_matches(
        self, server: CampaignServer, dialler: DiallerClient
    ) -> None:
        server.faults.next(Reset(carried_out=True), match="clone")
        server.faults.next(records((900, COPY), (901, COPY)), match="find")
        error = await failure(dialler.campaigns.clone(NAME, COPY, exist_ok=True))
        assert isinstance(error, AmbiguousNameError)
        assert [campaign.id for campaign in error.matches] == [900, 901]

    @pytest.mark.parametrize("carried_out", [False, True])
    async def test_recovery_hint_of_clone_finds_the_outcome(
        self, server: CampaignServer, dialler: DiallerClient, carried_out: bool
    ) -> None:
        server.faults.next(Reset(carried_out))
        error = await failure(dialler.campaigns.clone(NAME, COPY))
        assert "`campaigns.get_by_name(destination)` finds the clone" in str(error)
        if carried_out:
            assert (await dialler.campaigns.get_by_name(COPY)).id == max(server.campaigns)
        else:
            assert type(await failure(dialler.campaigns.get_by_name(COPY))) is NotFoundError


class TestCloneResponseWithTheSource:
    """The example in the API reference returns the source. Its ID must not be returned as the ID of the clone."""

    @pytest.mark.parametrize("exist_ok", [False, True])
    async def test_clone_response_with_the_source_is_followed_by_a_lookup(
        self, server: CampaignServer, dialler: DiallerClient, exist_ok: bool
    ) -> None:
        server.faults.next(records((ID, NAME)), match="clone")
        clone = await dialler.campaigns.clone(NAME, COPY, exist_ok=exist_ok)
        assert clone.name == COPY
        assert clone.id == max(server.campaigns) != ID
        assert server.arrived("clone") == [True]

    @pytest.mark.parametrize(
        "lookup_fault",
        [
            records(),
            records((900, COPY), (901, COPY)),
            Status(401),
            Status(500),
            Reset(),
            CannedResponse(200, b"<html>"),
        ],
        ids=repr,
    )
    async def test_outcome_of_the_clone_is_unknown_when_its_lookup_fails(
        self, server: CampaignServer, dialler: DiallerClient, lookup_fault: Fault
    ) -> None:
        server.faults.next(records((ID, NAME)), match="clone")
        server.faults.chance(1, [lookup_fault], match="find")
        error = await failure(dialler.campaigns.clone(NAME, COPY))
        assert isinstance(error, OutcomeUnknownError)
        assert str(error.request) == "POST /dialler/campaigns/clone"
        assert server.arrived("clone") == [True]

    async def test_outcome_of_the_clone_is_unknown_when_its_lookup_gets_no_response(
        self, server: CampaignServer, dialler: DiallerClient, clock: Clock
    ) -> None:
        server.faults.next(records((ID, NAME)), match="clone")
        server.faults.chance(1, [HangUp()], match="find")
        error = await failure(dialler.campaigns.clone(NAME, COPY))
        assert isinstance(error, OutcomeUnknownError)
        assert len(server.arrived("find")) == 4
