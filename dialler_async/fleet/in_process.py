"""taskiq's in-memory broker, as the coordinator wants it: jobs run in this process, and need no set-up."""

import asyncio
from typing import Any, Final, final

from taskiq import AsyncResultBackend, InMemoryBroker, TaskiqResult

from .messages import Result
from .tasks import returned

PLACES: Final = 16
"""Jobs at once. They wait for their servers most of the time, so there are more than a worker takes by default."""


@final
class InProcess(InMemoryBroker):
    """Runs jobs as tasks of this event loop, from the moment they are sent."""

    def __init__(self) -> None:
        super().__init__()
        results = _Results()
        self.with_result_backend(results)
        self._done = results.done

    async def open_run(self, run: str) -> None:
        """Nothing to do."""

    async def close_run(self, run: str) -> None:
        """Ends the jobs that still run."""
        running = list(self._running_tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def results(self, run: str, within: float) -> list[tuple[str, Result]]:
        """Those that have come in, by the names of their jobs; the first is waited for so many seconds at most."""
        try:
            async with asyncio.timeout(within):
                first = await self._done.get()
        except TimeoutError:
            return []
        return [first, *(self._done.get_nowait() for _ in range(self._done.qsize()))]

    async def places(self) -> int:
        """How many jobs can be worked on at once."""
        return PLACES


class _Results(AsyncResultBackend[Any]):
    """Hands results over, instead of keeping them for somebody who asks."""

    def __init__(self) -> None:
        self.done: asyncio.Queue[tuple[str, Result]] = asyncio.Queue()

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        self.done.put_nowait((task_id, Result.from_json(returned(result))))

    async def is_result_ready(self, task_id: str) -> bool:
        return False

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        raise NotImplementedError
