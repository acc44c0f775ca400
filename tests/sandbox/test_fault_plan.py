"""The plan of faults: which requests get which faults, and whether the sandbox works afterwards."""

import asyncio
import json

import aiohttp
import pytest

from dialler_async.sandbox import Received, Sandbox
from dialler_async.sandbox.fault_plan import FaultPlan
from dialler_async.sandbox.faults import (
    CloseAfterResponse,
    CutShort,
    Fault,
    Gzipped,
    HangUp,
    Html,
    Raw,
    Redirect,
    Reset,
    StallBeforeHeaders,
    StallInBody,
    Status,
    Trickle,
    WrongLength,
)


def request(call: str, nth_on_connection: int = 1) -> Received:
    return Received("GET", "/", {}, {}, True, call, 1, nth_on_connection)


def test_next_assigns_faults_to_matching_requests_in_order() -> None:
    plan = FaultPlan()
    plan.next(Status(500), Status(502), match="get")
    plan.next(Status(503))
    plan.next(Status(504), match=lambda received: received.nth_on_connection > 1, after=1)
    calls = [("list", 1), ("get", 2), ("list", 2), ("get", 1), ("get", 1), ("find", 2), ("find", 2)]
    picked = [plan.pick(request(call, nth)) for call, nth in calls]
    assert picked == [Status(503), Status(500), None, Status(502), None, Status(504), None]


def test_chance_assigns_the_same_faults_for_the_same_seed() -> None:
    plan = FaultPlan()

    def picked(seed: int) -> list[Fault | None]:
        plan.clear()
        plan.chance(0.3, [Status(500), HangUp()], seed=seed, match="get")
        plan.next(Reset())
        return [plan.pick(request("get")) for _ in range(400)]

    once = picked(1)
    assert once == picked(1) != picked(2)
    assert once[0] == Reset()
    assert 80 < 400 - once.count(None) < 160
    assert {Status(500), HangUp(), None} == set(once[1:])
    assert [plan.pick(request("list")) for _ in range(50)] == [None] * 50
    plan.clear()
    assert [plan.pick(request("get")) for _ in range(50)] == [None] * 50


def test_invalid_fault_plan_raises() -> None:
    plan = FaultPlan()
    with pytest.raises(ValueError, match="no such call"):
        plan.next(Reset(), match="clones")
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="share"):
            plan.chance(share, [Reset()])
    with pytest.raises(ValueError, match="needs one or more faults"):
        plan.chance(0.5, [])


@pytest.mark.slow
async def test_sandbox_still_works_after_many_requests_with_all_faults() -> None:
    all_faults: list[Fault] = [
        Reset(),
        Reset(True),
        HangUp(),
        HangUp(True),
        CloseAfterResponse(),
        CutShort(),
        StallBeforeHeaders(),
        StallInBody(),
        Trickle(),
        WrongLength(5),
        WrongLength(-5),
        Gzipped(),
        Status(503, 1),
        Redirect("http://x.example/"),
        Html(),
        Raw(b"?"),
    ]
    async with Sandbox(30) as sandbox, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {sandbox.token}"}
        timeout = aiohttp.ClientTimeout(sock_read=1)
        outcomes: list[str] = []

        async def clone(number: int) -> None:
            body = {"source": "Campaign", "destination": f"Clone {number}"}
            try:
                async with session.post(
                    sandbox.base_url + "/dialler/campaigns/clone",
                    json=body,
                    headers=headers,
                    timeout=timeout,
                    allow_redirects=False,
                ) as response:
                    outcomes.append(str(response.status))
                    await response.read()
            except aiohttp.ClientError as error:
                outcomes.append(type(error).__name__)

        sandbox.load({"ID": 1, "Name": "Campaign"})
        sandbox.faults.chance(0.7, all_faults, seed=3)
        async with asyncio.TaskGroup() as group:
            for number in range(120):
                group.create_task(clone(number))
        sandbox.faults.clear()
        assert len(set(outcomes)) > 5
        clones = {record["Name"] for record in sandbox.campaigns.values()} - {"Campaign"}
        carried_out = [json.loads(received.body)["destination"] for received in sandbox.journal if received.carried_out]
        made = {name for name in clones if name.startswith("Clone ")}
        assert made == set(carried_out)
        assert len(carried_out) == len(made)
        async with session.get(sandbox.base_url + "/dialler/campaigns/1", headers=headers) as response:
            assert (await response.json())["count"] == 1
