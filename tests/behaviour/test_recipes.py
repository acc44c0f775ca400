"""The README's recipes for workers, under a real taskiq receiver and a real `TaskGroup`, on bad days."""

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
from dialler_async.sandbox.exchange import Exchange
from dialler_async.sandbox.faults import Fault, HangUp, Reset, StallBeforeHeaders, Status
from dialler_async.sandbox.reply import Reply
from dialler_async.testing import instant_waits

if TYPE_CHECKING:
    from tests.conftest import Until

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


class Recipe(ModuleType):
    """A block of the README as a module; it knows `DiallerClient`, like every block."""

    def __init__(self, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("recipe")
        [block] = [block for block in BLOCKS if word in block]
        self.DiallerClient = DiallerClient
        # Where taskiq looks for the module of a task.
        monkeypatch.setitem(sys.modules, "recipe", self)
        exec(compile(block, "README.md", "exec"), vars(self))  # noqa: S102  the README is ours

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
    """The recipe, its broker started, which delivers each message twice, and the second while the first is at work."""
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
    """Return a function that sends a task, and gives its result when no delivery of it runs any more."""

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
        # More than the client's own attempts: for that delivery nobody knows, until the middleware tries again.
        [HangUp(carried_out=True)] * 8,
    ],
    ids=["a good day", "an answer lost", "two lost", "a proxy's day", "nobody knows"],
)
async def test_task_delivered_twice_runs_its_write_once(
    worker: Recipe, sandbox: Sandbox, faults: list[Fault], result_of: ResultOf
) -> None:
    with instant_waits():
        sandbox.faults.next(*faults, match="clone")
        begun = await result_of(worker, "begin", "Template", "Monday")
        assert not begun.is_err
        assert names_in(sandbox) == ["Template", "Monday"]
        assert sandbox.campaigns[begun.return_value]["Name"] == "Monday"
        assert (carried_out(sandbox, "clone"), Counter(names_in(sandbox))["Monday"]) == (1, 1)

        sandbox.faults.clear()
        sandbox.faults.next(*faults, match="delete")
        ended = await result_of(worker, "end", begun.return_value)
    assert not ended.is_err
    assert names_in(sandbox) == ["Template"]
    assert carried_out(sandbox, "delete") == 1


async def test_permanent_error_is_the_result_without_a_retry(
    worker: Recipe, sandbox: Sandbox, result_of: ResultOf
) -> None:
    begun = await result_of(worker, "begin", "No such template", "Monday")
    assert isinstance(begun.error, NotFoundError)
    assert len(sandbox.journal) == 2


async def test_client_lives_as_long_as_the_worker(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, result_of: ResultOf
) -> None:
    worker = Recipe("taskiq", monkeypatch)
    await worker.broker.startup()
    dialler: DiallerClient = worker.broker.state.dialler
    for name in ("Monday", "Tuesday"):
        await result_of(worker, "begin", "Template", name)
    assert sandbox.connections.opened == 1
    await worker.broker.shutdown()
    with pytest.raises(ClientStateError, match="closed"):
        await dialler.campaigns.list()


async def test_task_group_writes_on_one_client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Recipe("TaskGroup", monkeypatch)
    async with DiallerClient.from_env() as group.dialler:
        ids = await group.begin_all("Template", ["North", "South", "West"])
    assert [sandbox.campaigns[id]["Name"] for id in ids] == ["North", "South", "West"]


@frozen
class RefusedOnceOneIsThere(Fault):
    sandbox: Sandbox
    until: Until

    async def play(self, exchange: Exchange) -> Reply:
        await self.until(lambda: len(self.sandbox.campaigns) == 2)
        return await Status(400).play(exchange)


async def test_cancelled_write_can_be_called_again_with_exist_ok(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """What the README says of a group of which one fails."""
    group = Recipe("TaskGroup", monkeypatch)
    done_and_silent, silent = StallBeforeHeaders(carried_out=True), StallBeforeHeaders()
    sandbox.faults.next(done_and_silent, silent, RefusedOnceOneIsThere(sandbox, until), match="clone")
    async with DiallerClient.from_env() as group.dialler:
        with pytest.raises(ExceptionGroup) as raised:
            await group.begin_all("Template", ["North", "South", "West"])
        [refused] = raised.value.exceptions
        assert isinstance(refused, BadRequestError)
        assert len(names_in(sandbox)) == 2

        await group.begin_all("Template", ["North", "South", "West"])
    assert sorted(names_in(sandbox)) == ["North", "South", "Template", "West"]
