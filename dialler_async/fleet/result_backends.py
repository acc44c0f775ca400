"""Result backends for taskiq. Unlike the backends of taskiq, they don't store results for later requests."""

import asyncio
from typing import Any, final

from taskiq import AsyncResultBackend, TaskiqResult

from .messages import Result
from .tasks import task_result


@final
class ResultQueue(AsyncResultBackend[Any]):
    """Passes results to a queue.

    Attributes:
        finished: the queue of results, each with the name of its job.
    """

    def __init__(self) -> None:
        self.finished: asyncio.Queue[tuple[str, Result]] = asyncio.Queue()

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Add a result to the queue. Called by taskiq."""
        self.finished.put_nowait((task_id, Result.from_json(task_result(result))))

    async def is_result_ready(self, task_id: str) -> bool:
        """Return False, because results are not stored."""
        return False

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        """Raise NotImplementedError, because results are not requested here."""
        raise NotImplementedError


@final
class ResultBuffer(AsyncResultBackend[Any]):
    """Buffers results until the acknowledgement of the job stores them in Redis."""

    def __init__(self) -> None:
        self._results: dict[str, dict[str, Any]] = {}

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Buffer a result. Called by taskiq."""
        self._results[task_id] = task_result(result)

    def pop(self, job: str) -> dict[str, Any] | None:
        """Remove and return the result of a job; None if there is none."""
        return self._results.pop(job, None)

    async def is_result_ready(self, task_id: str) -> bool:
        """Return whether a result is in the buffer."""
        return task_id in self._results

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        """Raise NotImplementedError, because results are not requested here."""
        raise NotImplementedError
