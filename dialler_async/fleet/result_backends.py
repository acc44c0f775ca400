"""Where taskiq puts the results of tasks. Its own backends keep them until they are asked for."""

import asyncio
from typing import Any, final

from taskiq import AsyncResultBackend, TaskiqResult

from .messages import Result
from .tasks import task_result


@final
class ResultQueue(AsyncResultBackend[Any]):
    """Passes results on in a queue.

    Attributes:
        finished: The results, each with the name of its job.
    """

    def __init__(self) -> None:
        self.finished: asyncio.Queue[tuple[str, Result]] = asyncio.Queue()

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Pass a result on. taskiq calls this."""
        self.finished.put_nowait((task_id, Result.from_json(task_result(result))))

    async def is_result_ready(self, task_id: str) -> bool:
        """Return False: results are not kept."""
        return False

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        """Raise NotImplementedError: nobody asks for results here."""
        raise NotImplementedError


@final
class ResultBuffer(AsyncResultBackend[Any]):
    """Keeps results until they are stored together with the acknowledgement."""

    def __init__(self) -> None:
        self._results: dict[str, dict[str, Any]] = {}

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Keep a result. taskiq calls this."""
        self._results[task_id] = task_result(result)

    def pop(self, job: str) -> dict[str, Any] | None:
        """Return a result and forget it; None if there is none."""
        return self._results.pop(job, None)

    async def is_result_ready(self, task_id: str) -> bool:
        """Return whether there is a result."""
        return task_id in self._results

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        """Raise NotImplementedError: nobody asks for results here."""
        raise NotImplementedError
