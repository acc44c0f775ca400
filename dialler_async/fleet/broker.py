"""The protocol of brokers, which the coordinator uses."""

from typing import Any, Protocol

from taskiq import AsyncBroker, SendTaskError
from taskiq.kicker import AsyncKicker

from dialler_async.errors import NoReplyError

from .messages import Result


class BrokerError(NoReplyError):
    """Raised if the broker can't be reached, or has lost the data of the run."""


class Broker(Protocol):
    """Passes jobs to workers, and results back to the coordinator."""

    async def startup(self) -> None:
        """Connect to the broker.

        Raises:
            BrokerError: the broker can't be reached.
        """

    async def shutdown(self) -> None:
        """Close the connections."""

    async def open_run(self, run: str) -> None:
        """Register a run whose results the coordinator waits for.

        Raises:
            BrokerError: the broker can't be reached.
        """

    async def close_run(self, run: str) -> None:
        """Cancel the jobs of a run that have not finished, and delete its results.

        Raises:
            BrokerError: the broker can't be reached.
        """

    async def slots(self) -> int:
        """Return the number of jobs that all workers together can run at once.

        Raises:
            BrokerError: the broker can't be reached.
        """

    async def send(self, job: str, task: str, arguments: dict[str, Any]) -> None:
        """Send a job.

        Args:
            job: the name of the job, `RUN/NUMBER`.
            task: `SURVEY` or `SLICE`.
            arguments: the keyword arguments of the task.

        Raises:
            ConfigurationError: the job is too large.
            BrokerError: the broker can't be reached.
        """

    async def results(self, run: str, timeout: float) -> list[tuple[str, Result]]:
        """Return the new results of a run, each with the name of its job.

        Args:
            run: the ID of the run.
            timeout: the seconds to wait for the first result.

        Raises:
            BrokerError: the broker can't be reached, or has lost the run.
        """


async def kick_job(broker: AsyncBroker, job: str, task: str, arguments: dict[str, Any]) -> None:
    """Send a job through a taskiq broker. For the arguments, see `Broker.send`."""
    kicker: AsyncKicker[Any, Any] = AsyncKicker(task, broker, {})
    try:
        await kicker.with_task_id(job).kiq(**arguments)
    except SendTaskError as error:
        raise error.__cause__ or error from None
