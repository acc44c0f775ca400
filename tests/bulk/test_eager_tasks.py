"""`fan_out` and the cache in a loop whose tasks start inside `create_task` (Python 3.12 and later)."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator
from contextlib import aclosing
from typing import Any

import pytest

from dialler_async import AutoConcurrency, DiallerClient, PoolConfig, TokenSourceError, fan_out
from dialler_async._api.other_calls import other_call
from dialler_async._http.cache import Cache
from dialler_async.sandbox import Sandbox

REQUEST = other_call("GET", "/numbers", query=None, body=None, idempotent=True, decoder=list[int])


class Resumed(Awaitable[Any]):
    """An awaitable that resumes a coroutine after its first suspension."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], pause: Any) -> None:
        self.coroutine = coroutine
        self.pause = pause

    def __await__(self) -> Generator[Any, Any, Any]:
        pause = self.pause
        while True:
            try:
                try:
                    yield pause
                except BaseException as error:
                    pause = self.coroutine.throw(error)
                else:
                    pause = self.coroutine.send(None)
            except StopIteration as stop:
                return stop.value


def emulated_eager_task_factory(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """Run a coroutine until its first suspension, then make its task, like `asyncio.eager_task_factory`."""

    async def finished(value: Any) -> Any:
        return value

    async def resume(pause: Any) -> Any:
        return await Resumed(coroutine, pause)

    if not loop.is_running():
        return asyncio.Task(coroutine, loop=loop, **options)
    try:
        pause = coroutine.send(None)
    except StopIteration as stop:
        return asyncio.Task(finished(stop.value), loop=loop, **options)
    return asyncio.Task(resume(pause), loop=loop, **options)


@pytest.fixture(
    params=[
        "emulated",
        pytest.param(
            "real",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 12), reason="asyncio.eager_task_factory is new in Python 3.12"
            ),
        ),
    ]
)
async def eager(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    emulated = request.param == "emulated"
    loop.set_task_factory(emulated_eager_task_factory if emulated else getattr(asyncio, "eager_task_factory"))  # noqa: B009  mypy checks for Python 3.11
    yield
    loop.set_task_factory(before)


@pytest.mark.usefixtures("eager")
class TestCache:
    async def test_immediate_error_is_not_cached(self) -> None:
        cache = Cache()
        fetches = 0

        async def fetch() -> list[int]:
            nonlocal fetches
            fetches += 1
            if fetches == 1:
                raise LookupError("the first time only")
            return [fetches]

        with pytest.raises(LookupError):
            await cache.get(REQUEST, 60, fetch)
        assert await cache.get(REQUEST, 60, fetch) == [2]
        assert await cache.get(REQUEST, 60, fetch) == [2]
        assert fetches == 2

    async def test_immediate_response_is_cached_until_it_is_forgotten(self) -> None:
        cache = Cache()
        fetches = 0

        async def fetch() -> list[int]:
            nonlocal fetches
            fetches += 1
            return [fetches]

        assert [await cache.get(REQUEST, 60, fetch) for _ in range(2)] == [[1], [1]]
        cache.forget()
        assert await cache.get(REQUEST, 60, fetch) == [2]

    async def test_simultaneous_callers_share_one_request(self) -> None:
        cache = Cache()
        fetches = 0

        async def fetch() -> list[int]:
            nonlocal fetches
            fetches += 1
            await asyncio.sleep(0)
            return [fetches]

        assert await asyncio.gather(*(cache.get(REQUEST, 60, fetch) for _ in range(20))) == [[1]] * 20

    async def test_caller_that_starts_within_a_request_shares_it(self) -> None:
        cache = Cache()
        started: list[asyncio.Task[list[int]]] = []

        async def fetch() -> list[int]:
            started.append(asyncio.create_task(cache.get(REQUEST, 60, fetch)))
            await asyncio.sleep(0)
            return [len(started)]

        assert await cache.get(REQUEST, 60, fetch) == [1]
        assert await started[0] == [1]

    async def test_immediately_cancelled_caller_leaves_no_task(self) -> None:
        cache = Cache()

        async def fetch() -> list[int]:
            return [1]

        caller = asyncio.create_task(cache.get(REQUEST, 60, fetch))
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await cache.get(REQUEST, 60, fetch) == [1]


@pytest.mark.usefixtures("eager")
class TestFanOut:
    @pytest.mark.parametrize("pauses", [0, 1, 3])
    @pytest.mark.parametrize("limit", [1, 2, 3, 8])
    async def test_auto_concurrency_never_exceeds_its_limit(self, limit: int, pauses: int) -> None:
        running = peak = workers = 0

        async def function(item: int) -> int:
            nonlocal running, peak, workers
            running += 1
            peak = max(peak, running)
            workers = max(workers, len(asyncio.all_tasks()) - 1)
            for _ in range(pauses if item % 3 else 0):
                await asyncio.sleep(0)
            running -= 1
            return item

        auto = AutoConcurrency(limit)
        outcomes = [outcome async for outcome in fan_out(function, range(400), concurrency=auto)]
        assert sorted(outcome.item for outcome in outcomes) == list(range(400))
        assert peak <= limit
        assert workers <= limit

    @pytest.mark.parametrize("concurrency", [1, 2, 5])
    async def test_every_item_has_one_outcome_if_no_call_suspends(self, concurrency: int) -> None:
        async def function(item: int) -> int:
            return item

        outcomes = [outcome async for outcome in fan_out(function, range(50), concurrency=concurrency)]
        assert sorted(outcome.item for outcome in outcomes) == list(range(50))

    async def test_cancelled_run_leaves_no_task(self) -> None:
        async def function(item: int) -> int:
            if item:
                await asyncio.Event().wait()
            return item

        outcomes = fan_out(function, range(50), concurrency=4)
        async with aclosing(outcomes):
            assert (await anext(outcomes)).item == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.eager_task_factory is new in Python 3.12")
async def test_failed_token_function_is_called_again_for_a_cached_key() -> None:
    async with Sandbox() as sandbox:
        errors = [LookupError("sealed")]

        def source() -> str:
            if errors:
                raise errors.pop()
            return sandbox.token

        loop = asyncio.get_running_loop()
        async with DiallerClient(sandbox.base_url, source, pool=PoolConfig(limit=4)) as dialler:
            loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  mypy checks for Python 3.11
            try:
                id = next(iter(sandbox.campaigns))
                with pytest.raises(TokenSourceError):
                    await dialler.result_codes.list(id, max_age=60)
                codes = await dialler.result_codes.list(id, max_age=60)
                assert await dialler.result_codes.list(id, max_age=60) is codes
            finally:
                loop.set_task_factory(None)
