"""The recipes of the guide for apps: taskiq workers with a real receiver, `asyncio.TaskGroup`, and a test of an app."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from taskiq import BrokerMessage, InMemoryBroker

from dialler_async import BadRequestError, ClientStateError, DiallerClient, NotFoundError
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Fault, HangUp, Reset, StallBeforeHeaders, Status
from dialler_async.sandbox.in_flight_request import InFlightRequest
from dialler_async.sandbox.response import SandboxResponse
from dialler_async.testing import instant_waits

if TYPE_CHECKING:
    from tests.conftest import Until

GUIDE = (Path(__file__).parents[2] / "dialler_async" / "contrib" / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


class Recipe(ModuleType):
    """A code block of the guide as a module. `DiallerClient` is defined, as for every block."""

    def __init__(self, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("recipe")
        [block] = [block for block in BLOCKS if word in block]
        self.DiallerClient = DiallerClient
        # taskiq imports the module of a task from here.
        monkeypatch.setitem(sys.modules, "recipe", self)
        exec(compile(block, "contrib/README.md", "exec"), vars(self))  # noqa: S102  the guide is trusted

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox([{"ID": 1, "Name": "Template"}]) as running:
        monkeypatch.setenv("DIALLER_BASE_URL", running.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", running.token)
        yield running


def carried_out(sandbox: Sandbox, call: str) -> int:
    return sum(received.carried_out for received in sandbox.journal if received.call == call)


def names_in(sandbox: Sandbox) -> list[Any]:
    return [record["Name"] for record in sandbox.campaigns.values()]


@pytest.fixture
async def worker(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recipe]:
    """Yield the recipe with a started broker, which delivers each message twice, concurrently."""
    worker = Recipe("taskiq", monkeypatch)
    broker: InMemoryBroker = worker.broker
    deliver = broker.kick

    async def deliver_twice(message: BrokerMessage) -> None:
        await deliver(message)
        await deliver(message)

    monkeypatch.setattr(broker, "kick", deliver_twice)
    await broker.startup()
    yield worker
    await broker.shutdown()


ResultOf = Callable[..., Awaitable[Any]]


@pytest.fixture
def result_of(until: Until) -> ResultOf:
    """Return a function that sends a task, and returns its result after the end of all deliveries."""

    async def result_of(worker: Recipe, task: str, *arguments: object) -> Any:
        sent = await getattr(worker, task).kiq(*arguments)
        await until(lambda: not worker.broker._running_tasks)
        return await sent.get_result()

    return result_of


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [HangUp(carried_out=True)],
        [Reset(carried_out=True), HangUp(carried_out=True)],
        [Status(503), Status(502, carried_out=True), HangUp()],
        # These are more faults than attempts of the client. The middleware then retries the task.
        [HangUp(carried_out=True)] * 8,
    ],
    ids=["no fault", "one response lost", "two responses lost", "proxy errors", "outcome unknown"],
)
async def test_task_that_is_delivered_twice_runs_once(
    worker: Recipe, sandbox: Sandbox, faults: list[Fault], result_of: ResultOf
) -> None:
    with instant_waits():
        sandbox.faults.next(*faults, match="clone")
        begin_result = await result_of(worker, "begin", "Template", "Monday")
        assert not begin_result.is_err
        assert names_in(sandbox) == ["Template", "Monday"]
        assert sandbox.campaigns[begin_result.return_value]["Name"] == "Monday"
        assert (carried_out(sandbox, "clone"), Counter(names_in(sandbox))["Monday"]) == (1, 1)

        sandbox.faults.clear()
        sandbox.faults.next(*faults, match="delete")
        end_result = await result_of(worker, "end", begin_result.return_value)
    assert not end_result.is_err
    assert names_in(sandbox) == ["Template"]
    assert carried_out(sandbox, "delete") == 1


async def test_error_that_a_retry_would_not_fix_is_not_retried(
    worker: Recipe, sandbox: Sandbox, result_of: ResultOf
) -> None:
    begin_result = await result_of(worker, "begin", "No such template", "Monday")
    assert isinstance(begin_result.error, NotFoundError)
    assert len(sandbox.journal) == 2


async def test_client_stays_open_until_the_worker_shuts_down(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, result_of: ResultOf
) -> None:
    worker = Recipe("taskiq", monkeypatch)
    await worker.broker.startup()
    dialler: DiallerClient = worker.broker.state.dialler
    for name in ("Monday", "Tuesday"):
        await result_of(worker, "begin", "Template", name)
    # Each clone has a connection of its own.
    assert sandbox.connections.opened == 2
    assert not dialler._shared.pool._closing
    await worker.broker.shutdown()
    with pytest.raises(ClientStateError, match="closed"):
        await dialler.campaigns.list()


async def test_task_group_of_clones_shares_one_client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Recipe("begin_all", monkeypatch)
    async with DiallerClient.from_env() as group.dialler:
        ids = await group.begin_all("Template", ["North", "South", "West"])
    assert [sandbox.campaigns[id]["Name"] for id in ids] == ["North", "South", "West"]


@frozen
class RefusedAfterOneClone(Fault):
    sandbox: Sandbox
    until: Until

    async def apply(self, request: InFlightRequest) -> SandboxResponse:
        await self.until(lambda: len(self.sandbox.campaigns) == 2)
        return await Status(400).apply(request)


async def test_task_group_with_cancelled_clones_can_run_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """One task of the group fails, as the guide describes."""
    group = Recipe("begin_all", monkeypatch)
    stalled_after_execution, stalled = StallBeforeHeaders(carried_out=True), StallBeforeHeaders()
    sandbox.faults.next(stalled_after_execution, stalled, RefusedAfterOneClone(sandbox, until), match="clone")
    async with DiallerClient.from_env() as group.dialler:
        with pytest.raises(ExceptionGroup) as raised:
            await group.begin_all("Template", ["North", "South", "West"])
        [refused] = raised.value.exceptions
        assert isinstance(refused, BadRequestError)
        assert len(names_in(sandbox)) == 2

        await group.begin_all("Template", ["North", "South", "West"])
    assert sorted(names_in(sandbox)) == ["North", "South", "Template", "West"]


APP = """
from fastapi import FastAPI

from dialler_async import DiallerClient
from dialler_async.contrib.fastapi import Dialler, add_error_handlers, lifespan

app = FastAPI(lifespan=lifespan(DiallerClient.from_env))
add_error_handlers(app)

@app.get("/campaigns/{id}/codes")
async def codes_of(id: int, dialler: Dialler) -> list[str]:
    return [code.content for code in await dialler.result_codes.list(id, max_age=60)]
"""
TEST_OF_THE_APP = """
from fastapi.testclient import TestClient
from my_app import app

from dialler_async import DiallerClient
from dialler_async.contrib.fastapi import get_dialler
from dialler_async.testing import make_campaign, make_result_code

def test_endpoint(dialler_sandbox):
    async def sandbox_client():
        async with DiallerClient(dialler_sandbox.base_url, dialler_sandbox.token) as dialler:
            yield dialler

    app.dependency_overrides[get_dialler] = sandbox_client
    dialler_sandbox.load(make_campaign(id=7).wire, codes={1: [make_result_code(content="Sold").wire]})
    browser = TestClient(app)
    assert browser.get("/campaigns/7/codes").json() == ["Sold"]
    assert browser.get("/campaigns/8/codes").status_code == 404
"""


@pytest.mark.slow
def test_endpoint_of_an_app_is_tested_with_the_dependency_overridden(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new project has no pytest options and no environment variables."""
    for name in ("DIALLER_BASE_URL", "DIALLER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(my_app=APP, test_my_app=TEST_OF_THE_APP)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
