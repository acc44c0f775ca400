"""A broker that runs jobs in this process."""

import asyncio
from typing import Any, Final, final

from taskiq import InMemoryBroker
from taskiq.message import BrokerMessage

from .broker import kick_job
from .messages import Result
from .result_backends import ResultQueue

SLOTS: Final = 16
"""Number of jobs that run at once. It exceeds a worker's default, because jobs mostly wait for their servers."""


@final
class InProcessBroker(InMemoryBroker):
    """A `Broker` that starts each job immediately, as a task of this event loop."""

    def __init__(self) -> None:
        super().__init__()
        results = ResultQueue()
        self.with_result_backend(results)
        self._finished = results.finished
        self._running: set[asyncio.Task[None]] = set()

    async def open_run(self, run: str) -> None:
        """Do nothing."""

    async def close_run(self, run: str) -> None:
        """Cancel the running jobs."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def slots(self) -> int:
        """Return the number of jobs that run at once."""
        return SLOTS

    async def send(self, job: str, task: str, arguments: dict[str, Any]) -> None:
        """Start a job. See `Broker.send`."""
        await kick_job(self, job, task, arguments)

    async def kick(self, message: BrokerMessage) -> None:
        """Start a job. Called by taskiq."""
        task = asyncio.create_task(self.receiver.callback(message=message.message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def results(self, run: str, timeout: float) -> list[tuple[str, Result]]:
        """Return the new results. See `Broker.results`."""
        try:
            async with asyncio.timeout(timeout):
                first = await self._finished.get()
        except TimeoutError:
            return []
        return [first, *(self._finished.get_nowait() for _ in range(self._finished.qsize()))]
