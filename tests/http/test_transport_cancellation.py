"""A call may be cancelled at every point where it waits: afterwards all is as if it had never been."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from dialler_async import DiallerClient, PoolConfig, RetryPolicy
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Fault, StallBeforeHeaders, StallInBody, Status, Trickle, WrongLength

if TYPE_CHECKING:
    from tests.conftest import CampaignServer, Clock, Until
    from tests.http.conftest import Listening

NAME = "Spring 26"
ID = 535
RECORDS = ({"ID": 535, "Name": "Spring 26"}, {"ID": 536, "Name": "Autumn"}, {"ID": 537, "Name": "spring 26 (old)"})
WRITES = ("delete", "clone", "clone, exist_ok", "delete_by_name")

LIMIT = 2
UNHARMED = 2


@attrs.define
class CancelledAt:
    """Awaits something, and cancels its own task at the n-th point where that waits.

    Attributes:
        awaited: what is awaited.
        point: where it is cancelled, counted from 0.
        late: cancelled not while it waits, but in the very step in which what it waits for has come.
        reached: whether it ever waited there.
    """

    awaited: Coroutine[Any, Any, Any]
    point: int
    late: bool
    reached: bool = False

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        steps = self.awaited.__await__()
        passed = 0
        value: Any = None
        throw: BaseException | None = None
        while True:
            try:
                waits_for = next(steps) if throw is None else steps.throw(throw)
            except StopIteration as end:
                return end.value
            if passed == self.point:
                self.reached = True
                if not self.late:
                    task.cancel()
                elif waits_for is None:
                    asyncio.get_running_loop().call_soon(task.cancel)
                else:
                    waits_for.add_done_callback(lambda _: task.cancel())
            passed += 1
            try:
                value, throw = (yield waits_for), None
                assert value is None
            except BaseException as error:
                throw = error


async def cancelled_at_each_point(
    call: Callable[[], Coroutine[Any, Any, Any]], *, late: bool, after: Callable[[], Awaitable[None]], step: int = 1
) -> int:
    """Makes a call again and again, cancelled at a later point each time, until it gets through; counts the points."""

    async def run(cancelled: CancelledAt) -> Any:
        return await cancelled

    for point in range(0, 2000, step):
        cancelled = CancelledAt(call(), point, late)
        task = asyncio.create_task(run(cancelled))
        await asyncio.wait([task])
        await after()
        if not cancelled.reached:
            task.result()
            return point
        assert task.cancelled()
    raise AssertionError("it never came to an end")


@pytest.fixture(autouse=True)
async def nothing_is_left_behind(caplog: pytest.LogCaptureFixture, until: Until) -> AsyncIterator[None]:
    """No task, and nothing that asyncio complains of."""
    before = asyncio.all_tasks()
    yield
    await until(lambda: asyncio.all_tasks() <= {*before, asyncio.current_task()})
    assert [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.ERROR] == []


async def assert_unharmed(dialler: DiallerClient, server: CampaignServer, calls: int = UNHARMED) -> None:
    """That all places are free, and every call gets its own answer."""
    assert dialler._shared.pool.in_flight == 0
    ids = [(536, 537)[number % 2] for number in range(calls)]
    answers = await asyncio.gather(*(dialler.campaigns.get(id) for id in ids))
    assert [answer.id for answer in answers] == ids
    assert dialler._shared.pool.in_flight == 0


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kept_alive", [False, True])
@pytest.mark.parametrize("call", ["get", "clone", "delete"])
async def test_every_kind_of_call_at_every_point(
    server: CampaignServer, clock: Clock, call: str, kept_alive: bool, late: bool
) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT)) as dialler:

        async def after() -> None:
            await assert_unharmed(dialler, server)
            # By now the server has come to what it had got of a call that was cancelled.
            if call in WRITES and server.is_done(call):
                server.load(RECORDS[0]) if call == "delete" else server.remove(max(server.campaigns))
            if not kept_alive:
                await server.drop_idle_connections()

        await after()

        async def made() -> None:
            await server.send(call, dialler)

        points = await cancelled_at_each_point(made, late=late, after=after)
        assert points >= (1 if kept_alive else 2)
        await assert_unharmed(dialler, server, 100)
        assert server.connections.peak <= LIMIT + 1


@pytest.mark.parametrize("late", [False, True])
async def test_in_the_middle_of_an_answer_that_comes_byte_by_byte(server: CampaignServer, late: bool) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT)) as dialler:

        async def after() -> None:
            server.faults.clear()
            await assert_unharmed(dialler, server)

        async def made() -> None:
            server.faults.next(Trickle())
            await dialler.campaigns.get(ID)

        points = await cancelled_at_each_point(made, late=late, after=after, step=7)
        assert points > 100 // 7
        await assert_unharmed(dialler, server, 100)


@pytest.mark.parametrize("late", [False, True])
async def test_between_the_slices_of_a_large_answer(late: bool, server: CampaignServer) -> None:
    records = [*RECORDS, *({"ID": id, "Name": f"{id}", "filler": "x" * 2000} for id in range(1000, 1150))]
    async with (
        Sandbox(records) as server,
        DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT)) as dialler,
    ):

        async def made() -> None:
            assert len(await dialler.campaigns.list()) == len(records)

        points = await cancelled_at_each_point(made, late=late, after=lambda: assert_unharmed(dialler, server))
        assert points >= 5


@pytest.mark.parametrize("late", [False, True])
async def test_while_waiting_to_repeat_and_in_the_repeat(server: CampaignServer, clock: Clock, late: bool) -> None:
    policy = RetryPolicy()
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT), retry=policy) as dialler:

        async def after() -> None:
            server.faults.clear()
            await assert_unharmed(dialler, server)

        async def made() -> None:
            server.faults.next(Status(429, retry_after=1), Status(500), match="list")
            await dialler.campaigns.list()

        points = await cancelled_at_each_point(made, late=late, after=after)
        assert points >= 5
        await assert_unharmed(dialler, server, 100)


@pytest.mark.parametrize("late", [False, True])
async def test_while_asking_for_a_token(server: CampaignServer, clock: Clock, late: bool) -> None:
    asked = 0

    async def source() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return server.token

    clients: list[DiallerClient] = []

    async def made() -> None:
        clients.append(DiallerClient(server.base_url, source, pool=PoolConfig(limit=LIMIT)))
        await clients[-1].campaigns.list()
        server.revoke()
        # Two at once, so that one of them waits for the other's token.
        await asyncio.gather(clients[-1].campaigns.list(), clients[-1].campaigns.list())

    async def after() -> None:
        await assert_unharmed(clients[-1], server)
        await clients.pop().aclose()

    points = await cancelled_at_each_point(made, late=late, after=after)
    assert points >= 5
    assert asked > points


@pytest.mark.parametrize("late", [False, True])
async def test_at_a_limited_rate(server: CampaignServer, late: bool) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT), max_rate=2000) as dialler:

        async def made() -> None:
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(4)))

        points = await cancelled_at_each_point(made, late=late, after=lambda: assert_unharmed(dialler, server))
        assert points >= 1


async def test_while_a_limiter_has_it_wait(server: CampaignServer) -> None:
    class Limiter:
        asked, go = asyncio.Event(), asyncio.Event()

        async def acquire(self) -> None:
            self.asked.set()
            await self.go.wait()

    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1), max_rate=Limiter()) as dialler:
        waiting = asyncio.create_task(dialler.campaigns.get(ID))
        await Limiter.asked.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not dialler._shared.pool._slots.locked()
        Limiter.go.set()
        await assert_unharmed(dialler, server)


@pytest.mark.parametrize("steps", range(0, 60, 6))
async def test_many_at_once_after_so_many_turns_of_the_loop(server: CampaignServer, steps: int) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT)) as dialler:
        tasks = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(10)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        # None that was not cancelled has failed.
        assert [task.result().id for task in tasks[1::2]] == [ID] * 5
        await assert_unharmed(dialler, server, 20)


async def test_a_cancelled_waiter_leaves_no_hole_in_the_queue(server: CampaignServer, until: Until) -> None:
    server.faults.next(StallBeforeHeaders(), match="get")
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
        first = asyncio.create_task(dialler.campaigns.get(ID))
        await until(lambda: server.journal)
        waiting = [
            asyncio.create_task(dialler.result_codes.list(535 + number % 3, language=number)) for number in range(1, 10)
        ]
        await asyncio.sleep(0)
        for task in (waiting[0], waiting[4], waiting[8], first):
            task.cancel()
        await asyncio.wait([first, *waiting])
        assert [received.query["languagesID"] for received in server.journal[1:]] == list("234678")
        await assert_unharmed(dialler, server, 100)


@pytest.mark.parametrize("fault", [StallBeforeHeaders(), StallInBody()], ids=repr)
async def test_the_connection_of_a_cancelled_call_is_closed(server: CampaignServer, fault: Fault, until: Until) -> None:
    server.faults.next(fault)
    async with DiallerClient(server.base_url, server.token) as dialler:
        task = asyncio.create_task(dialler.campaigns.list())
        await until(lambda: server.journal)
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.connections.open == 0)
        await assert_unharmed(dialler, server)
        assert {received.connection for received in server.journal[1:]}.isdisjoint({1})


async def test_an_answer_that_is_longer_than_promised_does_not_become_the_answer_to_the_next_call(
    server: CampaignServer, clock: Clock
) -> None:
    server.faults.next(WrongLength(-1), WrongLength(-30))
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
        assert (await dialler.campaigns.get(ID)).id == ID
        await assert_unharmed(dialler, server, 10)


async def test_a_second_answer_that_nobody_asked_for_does_not_become_the_answer_to_the_next_call(
    listening: Listening,
) -> None:
    answered = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                answered += 1
                one = b'{"records":[{"ID":535,"Name":"%d"}],"count":1,"status":200}' % answered
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(one), one) * 2)

    async with listening(serve) as base_url, DiallerClient(base_url, "t", pool=PoolConfig(limit=1)) as dialler:
        for number in range(1, 4):
            assert (await dialler.campaigns.get(ID)).name == str(number)


async def test_a_cancelled_write_is_sent_no_second_time(
    server: CampaignServer, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    async def for_ever(seconds: float) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(CLOCK, "sleep", for_ever)
    server.faults.next(Status(503))
    async with DiallerClient(server.base_url, server.token) as dialler:
        task = asyncio.create_task(dialler.campaigns.delete(ID))
        await until(lambda: server.journal and server.journal[0].status)
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await dialler.campaigns.get_by_name(NAME)
    assert server.arrived("delete") == [False]
