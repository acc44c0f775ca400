"""The order of jobs: fair to all servers, and within their limits. Pure."""

from collections import deque
from collections.abc import Iterable
from math import ceil
from typing import Final, final

import attrs

from .manifest import Account, Server
from .messages import Slice

MAX_TRIES: Final = 3
"""How often a failing job is sent. Each retry comes after all other jobs of its server."""
_JOBS_PER_LIMIT: Final = 4
"""How many jobs share the `max_concurrency` of a server: one job alone often waits for its last few calls."""
_PREFETCH_RATIO: Final = 1.5
"""Jobs in flight for each slot of a worker, so that the next job is there when one finishes."""


@attrs.define(eq=False)
class Job:
    """A survey of an account, or a slice of its campaigns.

    Attributes:
        account: The account.
        slice: The campaigns; None for a survey.
        concurrency: How many calls the job makes at once; None for a level that adapts to the latency.
        tries: How often it was sent.
    """

    account: Account
    slice: Slice | None = None
    concurrency: int | None = None
    tries: int = 0


@final
class Schedule:
    """The jobs that wait, and the number of jobs in flight.

    Args:
        servers: All servers.
        accounts: All accounts. Each is surveyed first.

    Attributes:
        in_flight: How many jobs are in flight.
    """

    def __init__(self, servers: Iterable[Server], accounts: Iterable[Account]) -> None:
        self._queues = {server.name: _ServerQueue(server) for server in servers}
        for account in accounts:
            queue = self._queues[account.server]
            queue.waiting.append(Job(account, concurrency=queue.concurrency))
        self._turns = deque(self._queues.values())
        self.in_flight: int = 0

    def next(self, slots: int) -> Job | None:
        """Return the job to send now, or None if the workers have enough.

        The servers take turns. No server gets more than its share of the slots, so a slow server does not block others.

        Args:
            slots: How many jobs all workers together can run at once.
        """
        limit = max(1, int(slots * _PREFETCH_RATIO))
        busy = sum(queue.in_flight > 0 or bool(queue.waiting) for queue in self._turns)
        if self.in_flight >= limit or not busy:
            return None
        share = ceil(limit / busy)
        for _ in range(len(self._turns)):
            queue = self._turns[0]
            self._turns.rotate(-1)
            if queue.waiting and queue.in_flight < min(share, queue.limit):
                job = queue.waiting.popleft()
                job.tries += 1
                queue.in_flight += 1
                self.in_flight += 1
                return job
        return None

    def finished(self, job: Job, left: Iterable[Slice] = ()) -> None:
        """Take a job out of flight, and queue the slices that it left before further accounts."""
        queue = self._land(job)
        queue.waiting.extendleft(Job(job.account, slice, queue.concurrency) for slice in reversed(tuple(left)))

    def failed(self, job: Job) -> bool:
        """Take a failed job out of flight, and return whether it is queued for another try."""
        queue = self._land(job)
        if job.tries >= MAX_TRIES:
            return False
        queue.waiting.append(job)
        return True

    def _land(self, job: Job) -> "_ServerQueue":
        queue = self._queues[job.account.server]
        queue.in_flight -= 1
        self.in_flight -= 1
        return queue


class _ServerQueue:
    """The jobs of one server."""

    def __init__(self, server: Server) -> None:
        self.waiting: deque[Job] = deque()
        self.in_flight: int = 0
        calls = server.max_concurrency
        self.concurrency = None if calls is None else max(1, calls // _JOBS_PER_LIMIT)
        # All jobs together make no more calls at once than the server allows.
        self.limit = float("inf") if calls is None or self.concurrency is None else calls // self.concurrency
