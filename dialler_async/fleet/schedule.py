"""Decide which job is sent next: round robin over the servers, within the limits of each server. Pure."""

from collections import deque
from collections.abc import Iterable
from math import ceil
from typing import Final, final

import attrs

from .manifest import Account, Server
from .messages import Slice

MAX_ATTEMPTS: Final = 3
"""Number of attempts of a failing job. Each retry comes after all other jobs of its server."""
_JOBS_PER_LIMIT: Final = 4
"""Number of jobs that share the `max_concurrency` of a server. A single job often waits for its last few calls."""
_PREFETCH_RATIO: Final = 1.5
"""Jobs in flight for each slot of a worker, so that the next job is available when a job finishes."""


@attrs.define(eq=False)
class Job:
    """A survey of an account, or a slice of its campaigns.

    Attributes:
        account: the account to audit.
        slice: the campaigns to audit; None for a survey.
        concurrency: the number of concurrent calls; None adapts it to the latency.
        attempts: how often the job was sent.
    """

    account: Account
    slice: Slice | None = None
    concurrency: int | None = None
    attempts: int = 0


@final
class Schedule:
    """The queued jobs, and the number of jobs in flight.

    Args:
        servers: all servers of the fleet.
        accounts: all accounts of the fleet. Each gets a survey first.

    Attributes:
        in_flight: the number of jobs in flight.
    """

    def __init__(self, servers: Iterable[Server], accounts: Iterable[Account]) -> None:
        self._queues = {server.name: _ServerQueue(server) for server in servers}
        for account in accounts:
            queue = self._queues[account.server]
            queue.waiting.append(Job(account, concurrency=queue.concurrency))
        self._rotation = deque(self._queues.values())
        self.in_flight: int = 0

    def next(self, slots: int) -> Job | None:
        """Return the next job to send, or None if the workers have enough jobs.

        The servers take turns. No server gets more than its share of the slots, so a slow server does not block others.

        Args:
            slots: the number of jobs that all workers together can run at once.
        """
        limit = max(1, int(slots * _PREFETCH_RATIO))
        active = sum(queue.in_flight > 0 or bool(queue.waiting) for queue in self._rotation)
        if self.in_flight >= limit or not active:
            return None
        share = ceil(limit / active)
        for _ in range(len(self._rotation)):
            queue = self._rotation[0]
            self._rotation.rotate(-1)
            if queue.waiting and queue.in_flight < min(share, queue.limit):
                job = queue.waiting.popleft()
                job.attempts += 1
                queue.in_flight += 1
                self.in_flight += 1
                return job
        return None

    def finished(self, job: Job, remaining: Iterable[Slice] = ()) -> None:
        """Record that a job succeeded, and queue its remaining slices before the other accounts."""
        queue = self._remove_from_flight(job)
        queue.waiting.extendleft(Job(job.account, slice, queue.concurrency) for slice in reversed(tuple(remaining)))

    def failed(self, job: Job) -> bool:
        """Record that a job failed. Return whether it is queued for a retry."""
        queue = self._remove_from_flight(job)
        if job.attempts >= MAX_ATTEMPTS:
            return False
        queue.waiting.append(job)
        return True

    def _remove_from_flight(self, job: Job) -> "_ServerQueue":
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
        # With this limit, all jobs together stay within `max_concurrency`.
        self.limit = float("inf") if calls is None or self.concurrency is None else calls // self.concurrency
