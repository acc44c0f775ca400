"""Which job is next: fair over the servers, and within their limits. Pure."""

from collections import deque
from collections.abc import Iterable
from math import ceil
from typing import Final, final

import attrs

from .manifest import Account, Server
from .messages import Slice

TRIES: Final = 3
"""How often a job that fails is sent in all, each time behind everything else of its server."""
_JOBS_OF_A_LIMIT: Final = 4
"""Among how many jobs a server's `max_concurrency` is divided: one job often waits for its last few calls."""
_RESERVE: Final = 1.5
"""Jobs sent, for each place of a worker: the next is there when one is done."""


@attrs.define(eq=False)
class Job:
    """A survey of an account, or a slice of its campaigns.

    Attributes:
        account: whose.
        slice: None for a survey.
        concurrency: calls at once; None where a level is to be found.
        tries: how often it was sent.
    """

    account: Account
    slice: Slice | None = None
    concurrency: int | None = None
    tries: int = 0


@final
class Schedule:
    """Jobs that wait, and how many are under way.

    Args:
        servers: all there are.
        accounts: each is surveyed first.
    """

    def __init__(self, servers: Iterable[Server], accounts: Iterable[Account]) -> None:
        self._lanes = {server.name: _Lane(server) for server in servers}
        for account in accounts:
            lane = self._lanes[account.server]
            lane.waiting.append(Job(account, concurrency=lane.concurrency))
        self._turns = deque(self._lanes.values())
        self.sent: int = 0
        """How many jobs are under way."""

    def next(self, places: int) -> Job | None:
        """A job to send now, given how many the workers can take at once; None where all of them have enough.

        The servers take turns, and none gets more than its share of the places, so that one that is slow can't keep
        the others waiting.
        """
        most = max(1, int(places * _RESERVE))
        busy = sum(lane.sent > 0 or bool(lane.waiting) for lane in self._turns)
        if self.sent >= most or not busy:
            return None
        share = ceil(most / busy)
        for _ in range(len(self._turns)):
            lane = self._turns[0]
            self._turns.rotate(-1)
            if lane.waiting and lane.sent < min(share, lane.most):
                job = lane.waiting.popleft()
                job.tries += 1
                lane.sent += 1
                self.sent += 1
                return job
        return None

    def finished(self, job: Job, left: Iterable[Slice] = ()) -> None:
        """A job is no longer under way; slices that it left go before further accounts."""
        lane = self._lanes[job.account.server]
        self._returned(lane)
        lane.waiting.extendleft(Job(job.account, slice, lane.concurrency) for slice in reversed(tuple(left)))

    def failed(self, job: Job) -> bool:
        """A job has failed. Says whether it is going to be sent again."""
        lane = self._lanes[job.account.server]
        self._returned(lane)
        if job.tries >= TRIES:
            return False
        lane.waiting.append(job)
        return True

    def _returned(self, lane: "_Lane") -> None:
        lane.sent -= 1
        self.sent -= 1


class _Lane:
    """The jobs of one server."""

    def __init__(self, server: Server) -> None:
        self.waiting: deque[Job] = deque()
        self.sent: int = 0
        limit = server.max_concurrency
        self.concurrency = None if limit is None else max(1, limit // _JOBS_OF_A_LIMIT)
        # Jobs times calls at once of each.
        self.most = float("inf") if limit is None or self.concurrency is None else limit // self.concurrency
