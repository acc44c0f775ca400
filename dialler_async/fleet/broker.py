"""What the coordinator needs of a broker, in this process or in Redis."""

from typing import Any, Protocol

from taskiq import AsyncBroker, SendTaskError
from taskiq.kicker import AsyncKicker

from dialler_async.errors import NoReplyError

from .messages import Result


class BrokerError(NoReplyError):
    """The broker can't be reached, or has lost the data of the run."""


class Broker(Protocol):
    """Passes jobs to workers, and their results back."""

    async def startup(self) -> None:
        """Connect.

        Raises:
            BrokerError: The broker can't be reached.
        """

    async def shutdown(self) -> None:
        """Close the connections."""

    async def open_run(self, run: str) -> None:
        """Announce that the results of a run are awaited.

        Raises:
            BrokerError: The broker can't be reached.
        """

    async def close_run(self, run: str) -> None:
        """Cancel the jobs of a run that have not finished, and delete its results.

        Raises:
            BrokerError: The broker can't be reached.
        """

    async def slots(self) -> int:
        """Return how many jobs all workers together can run at once.

        Raises:
            BrokerError: The broker can't be reached.
        """

    async def send(self, job: str, task: str, arguments: dict[str, Any]) -> None:
        """Send a job.

        Args:
            job: Its name, `RUN/NUMBER`.
            task: `SURVEY` or `SLICE`.
            arguments: Those of the task.

        Raises:
            ConfigurationError: The job is too large.
            BrokerError: The broker can't be reached.
        """

    async def results(self, run: str, timeout: float) -> list[tuple[str, Result]]:
        """Return the new results of a run, each with the name of its job.

        Args:
            run: The run.
            timeout: How many seconds to wait for the first result.

        Raises:
            BrokerError: The broker can't be reached, or has lost the run.
        """


async def kick_job(broker: AsyncBroker, job: str, task: str, arguments: dict[str, Any]) -> None:
    """Send a job through a broker of taskiq. Arguments as for `Broker.send`."""
    kicker: AsyncKicker[Any, Any] = AsyncKicker(task, broker, {})
    try:
        await kicker.with_task_id(job).kiq(**arguments)
    except SendTaskError as error:
        raise error.__cause__ or error from None
