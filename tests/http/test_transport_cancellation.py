"""A call can be cancelled at any await, and does not harm other calls."""

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
OTHER_CALLS = 2


@attrs.define
class CancelledAt:
    """Awaits a coroutine, and cancels its own task at the n-th point where the coroutine waits.

    Attributes:
        awaited: the coroutine.
        point: number of the wait at which the task is cancelled, counted from 0.
        late: whether the task is cancelled in the same step of the loop in which the wait ends.
        reached: whether the coroutine reached this wait.
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
    """Cancel a call at each of its waits in turn, until a call succeeds; return the number of waits."""

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
    raise AssertionError("the call never succeeded")


@pytest.fixture(autouse=True)
async def no_task_is_left(caplog: pytest.LogCaptureFixture, until: Until) -> AsyncIterator[None]:
    """Assert that no task is left, and that asyncio has logged no error."""
    before = asyncio.all_tasks()
    yield
    await until(lambda: asyncio.all_tasks() <= {*before, asyncio.current_task()})
    assert [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.ERROR] == []


async def assert_other_calls_work(dialler: DiallerClient, server: CampaignServer, calls: int = OTHER_CALLS) -> None:
    """Assert that all slots are free, and that each call gets its own response."""
    assert dialler._shared.pool.in_flight == 0
    ids = [(536, 537)[number % 2] for number in range(calls)]
    campaigns = await asyncio.gather(*(dialler.campaigns.get(id) for id in ids))
    assert [campaign.id for campaign in campaigns] == ids
    assert dialler._shared.pool.in_flight == 0


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("call", ["get", "clone", "delete"])
async def test_call_cancelled_at_any_await_harms_no_other_call(
    server: CampaignServer, clock: Clock, call: str, keep_alive: bool, late: bool
) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT)) as dialler:

        async def after() -> None:
            await assert_other_calls_work(dialler, server)
            # The server may have run the cancelled call.
            if call in WRITES and server.is_done(call):
                server.load(RECORDS[0]) if call == "delete" else server.remove(max(server.campaigns))
            if not keep_alive:
                await server.drop_idle_connections()

        await after()

        async def make_call() -> None:
            await server.send(call, dialler)

        points = await cancelled_at_each_point(make_call, late=late, after=after)
        assert points >= (1 if keep_alive else 2)
        await assert_other_calls_work(dialler, server, 100)
        assert server.connections.peak <= LIMIT + 1


@pytest.mark.parametrize("late", [False, True])
async def test_call_cancelled_within_a_slow_response_harms_no_other_call(server: CampaignServer, late: bool) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT)) as dialler:

        async def after() -> None:
            server.faults.clear()
            await assert_other_calls_work(dialler, server)

        async def make_call() -> None:
            server.faults.next(Trickle())
            await dialler.campaigns.get(ID)

        points = await cancelled_at_each_point(make_call, late=late, after=after, step=7)
        assert points > 100 // 7
        await assert_other_calls_work(dialler, server, 100)


@pytest.mark.parametrize("late", [False, True])
async def test_call_cancelled_between_slices_of_a_large_response_harms_no_other_call(
    late: bool, server: CampaignServer
) -> None:
    records = [*RECORDS, *({"ID": id, "Name": f"{id}", "filler": "x" * 2000} for id in range(1000, 1150))]
    async with (
        Sandbox(records) as server,
        DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT)) as dialler,
    ):

        async def make_call() -> None:
            assert len(await dialler.campaigns.list()) == len(records)

        points = await cancelled_at_each_point(
            make_call, late=late, after=lambda: assert_other_calls_work(dialler, server)
        )
        assert points >= 5


@pytest.mark.parametrize("late", [False, True])
async def test_call_cancelled_before_or_in_a_retry_harms_no_other_call(
    server: CampaignServer, clock: Clock, late: bool
) -> None:
    policy = RetryPolicy()
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT), retry=policy) as dialler:

        async def after() -> None:
            server.faults.clear()
            await assert_other_calls_work(dialler, server)

        async def make_call() -> None:
            server.faults.next(Status(429, retry_after=1), Status(500), match="list")
            await dialler.campaigns.list()

        points = await cancelled_at_each_point(make_call, late=late, after=after)
        assert points >= 5
        await assert_other_calls_work(dialler, server, 100)


@pytest.mark.parametrize("late", [False, True])
async def test_call_cancelled_while_renewing_the_token_harms_no_other_call(
    server: CampaignServer, clock: Clock, late: bool
) -> None:
    source_calls = 0

    async def source() -> str:
        nonlocal source_calls
        source_calls += 1
        await asyncio.sleep(0)
        return server.token

    clients: list[DiallerClient] = []

    async def make_call() -> None:
        clients.append(DiallerClient(server.base_url, source, pool=PoolConfig(limit=LIMIT)))
        await clients[-1].campaigns.list()
        server.revoke()
        # Two concurrent calls, so that one of them waits for the token of the other.
        await asyncio.gather(clients[-1].campaigns.list(), clients[-1].campaigns.list())

    async def after() -> None:
        await assert_other_calls_work(clients[-1], server)
        await clients.pop().aclose()

    points = await cancelled_at_each_point(make_call, late=late, after=after)
    assert points >= 5
    assert source_calls > points


@pytest.mark.parametrize("late", [False, True])
async def test_calls_cancelled_while_waiting_for_max_rate_harm_no_other_call(
    server: CampaignServer, late: bool
) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT), max_rate=2000) as dialler:

        async def make_call() -> None:
            await asyncio.gather(*(dialler.campaigns.get(ID) for _ in range(4)))

        points = await cancelled_at_each_point(
            make_call, late=late, after=lambda: assert_other_calls_work(dialler, server)
        )
        assert points >= 1


async def test_call_cancelled_in_a_custom_rate_limiter_releases_its_slot(server: CampaignServer) -> None:
    class Limiter:
        entered, release = asyncio.Event(), asyncio.Event()

        async def acquire(self) -> None:
            self.entered.set()
            await self.release.wait()

    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1), max_rate=Limiter()) as dialler:
        waiting = asyncio.create_task(dialler.campaigns.get(ID))
        await Limiter.entered.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not dialler._shared.pool._slots.locked()
        Limiter.release.set()
        await assert_other_calls_work(dialler, server)


@pytest.mark.parametrize("steps", range(0, 60, 6))
async def test_half_of_concurrent_calls_can_be_cancelled_without_harm(server: CampaignServer, steps: int) -> None:
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=LIMIT)) as dialler:
        tasks = [asyncio.create_task(dialler.campaigns.get(ID)) for _ in range(10)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        # The calls that were not cancelled succeed.
        assert [task.result().id for task in tasks[1::2]] == [ID] * 5
        await assert_other_calls_work(dialler, server, 20)


async def test_cancelled_waiting_calls_do_not_block_the_queue(server: CampaignServer, until: Until) -> None:
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
        await assert_other_calls_work(dialler, server, 100)


@pytest.mark.parametrize("fault", [StallBeforeHeaders(), StallInBody()], ids=repr)
async def test_connection_of_a_cancelled_call_is_closed(server: CampaignServer, fault: Fault, until: Until) -> None:
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
        await assert_other_calls_work(dialler, server)
        assert {received.connection for received in server.journal[1:]}.isdisjoint({1})


async def test_surplus_bytes_of_a_response_are_not_read_as_the_next_response(
    server: CampaignServer, clock: Clock
) -> None:
    server.faults.next(WrongLength(-1), WrongLength(-30))
    async with DiallerClient(server.base_url, server.token, pool=PoolConfig(limit=1)) as dialler:
        assert (await dialler.campaigns.get(ID)).id == ID
        await assert_other_calls_work(dialler, server, 10)


async def test_unsolicited_second_response_is_not_read_as_the_next_response(
    listening: Listening,
) -> None:
    responses_sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal responses_sent
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                responses_sent += 1
                one = b'{"records":[{"ID":535,"Name":"%d"}],"count":1,"status":200}' % responses_sent
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(one), one) * 2)

    async with listening(serve) as base_url, DiallerClient(base_url, "t", pool=PoolConfig(limit=1)) as dialler:
        for number in range(1, 4):
            assert (await dialler.campaigns.get(ID)).name == str(number)


async def test_cancelled_write_is_not_retried(
    server: CampaignServer, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    async def wait_forever(seconds: float) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(CLOCK, "sleep", wait_forever)
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
