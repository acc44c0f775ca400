"""A worker: takes servers of the dialler one by one, and audits their accounts.

A server belongs to one worker at a time, by a lease in the store. So its `max_rate` and `max_concurrency` hold inside
one process and cost no round trip, and its accounts share a connection pool and what the client has learnt.

A worker whose event loop or machine stood still for longer than the lease learns this at its next step, and stops. In
between, two workers may send requests to the server, so for about a second the rate may be twice the `max_rate`.
Results are safe: the store takes one result for each account.

No queue library is used. Compared with 4 servers of 25 accounts, 2 workers, kills, stops and terminated connections:

- procrastinate 3.10 finishes a job without a check of its owner. A worker that was stopped past its lock and continued
  audited 140 accounts for 100. Its workers exit while PostgreSQL is away.
- pgqueuer 1.6 holds the connection of psycopg while it listens. One lost connection ends the worker, and the run hangs.
- An advisory lock of PostgreSQL held as well as a lease, but shows no run, and SQLite has none.
- taskiq with Redis needed 900 lines to replace what it lacks, and lost the night with its Redis or its coordinator.

A lease for each run and server, with SKIP LOCKED, let two runs have one server in 188 of 200 tries: hence one row for
each server.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from math import ceil
from typing import Any, Final, Literal, TypeVar, final

from .._http.clock import CLOCK
from ..errors import ConfigurationError
from ..store import Lease, RunServer, Store, StoreError, Unit, work_key
from ..version import __version__
from .clients import ServerClients
from .unit import Auditor

T = TypeVar("T")

LEASE_SECONDS: Final = 15.0
"""Time after which another worker takes the server of a worker that is gone. The lease is renewed every third of it."""
_ACCOUNTS_OF_A_SERVER: Final = 16
"""Number of accounts of a server that are audited at once."""
_ACCOUNTS: Final = 64
"""Number of accounts that are audited at once, which bounds the memory. Each server has an equal share, at least 1."""
_SHORTEST_POLL: Final = 0.1
"""Shortest time in seconds from one look into the store to the next."""
_LONGEST_POLL: Final = 1.0
_POLL_SHARE: Final = 0.1
"""The share of the time for which a process looks into the store: less often into a busy store, or for a large run."""
_GRACE_SECONDS: Final = 3.0
"""Time after a signal to stop in which running audits may end. If the store is silent, its driver takes 5 s more."""
_RELEASE_SECONDS: Final = 1.0
"""Time to give a lease back, so that a worker ends soon also if the store is away."""

_log: Final = logging.getLogger("dialler_async.fleet")


@final
class Worker:
    """Does the units of work of all open runs, or of one run.

    Args:
        store: the store of the runs.
        auditor: does a unit with the manifest and the settings of this process.
        run: the run; None for all open runs, until the worker is stopped.
        lease_seconds: the length of a lease.
    """

    def __init__(
        self, store: Store, auditor: Auditor, *, run: int | None = None, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._store = store
        self._auditor = auditor
        self._run = run
        self._lease_seconds = lease_seconds
        self._presence: Lease | None = None
        self._shown_at = 0.0
        self._declined: dict[tuple[int, str], str] = {}
        """What this worker can't take, by run and URL of the server, and why."""
        self._serving: dict[str, asyncio.Task[None]] = {}

    async def work(self, stop: asyncio.Event) -> None:
        """Work until the event, or until each account of the run has a result.

        After the event, the accounts in hand get some seconds to finish. What is not finished then is left to others.

        Raises:
            ConfigurationError: accounts of the run are left that the manifest or the settings of this process don't
                match. A worker without a run leaves them to other workers.
            StoreError: the store refuses, or can't be reached. A worker without a run waits for it.
        """
        # Nested, so that each step is done, also if this task is cancelled again during another one.
        try:
            try:
                async with _task(stop.wait()) as stopping, _task(self._take_servers(stop, stopping)) as taking:
                    await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if stop.is_set():
                        await asyncio.wait({taking, *self._serving.values()}, timeout=_GRACE_SECONDS)
                    if taking.done():
                        taking.result()
            finally:
                await _cancel(self._serving.values())
        finally:
            if self._presence is not None:
                await self._release(self._presence)

    async def _take_servers(self, stop: asyncio.Event, stopping: "asyncio.Task[Literal[True]]") -> None:
        """Begin with servers as they become free, until each account of the run has a result."""
        while not stop.is_set():
            began = CLOCK.monotonic()
            try:
                if not await self._take(stop):
                    return
                pause = seconds_to_next_look(CLOCK.monotonic() - began)
            except StoreError as error:
                if self._run is not None:
                    raise
                _log.error("%s", error)
                # Accounts whose results can't be stored are not requested again and again.
                pause = self._lease_seconds
            await asyncio.wait({stopping, *self._serving.values()}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)

    async def _take(self, stop: asyncio.Event) -> bool:
        """Begin with further servers. Return False if each account of the run has a result."""
        for url, task in list(self._serving.items()):
            if task.done():
                del self._serving[url]
                task.result()
        waiting = [group for group in await self._store.runs.servers(self._run) if group.waiting]
        if self._run is not None and not waiting and not self._serving:
            return False
        fitting = {group.url: group for group in reversed(waiting) if self._fits(group)}
        note = self._note(waiting)
        if self._run is not None and not fitting and not self._serving:
            raise ConfigurationError(note)
        await self._show_presence(note)
        free = [group for url, group in reversed(fitting.items()) if url not in self._serving]
        workers = sum(not held.url for held in await self._store.leases.held()) if free else 1
        for group in free:
            # No worker takes more than its share, so that the others have work, too.
            if len(self._serving) >= ceil(len(fitting) / max(workers, 1)):
                break
            asked_at = CLOCK.monotonic()
            lease = await self._store.leases.claim(group.url, self._lease_seconds, run=group.run)
            if lease is not None:
                self._serving[group.url] = asyncio.create_task(self._serve(lease, asked_at, group, stop))
        return True

    async def _show_presence(self, note: str) -> None:
        """Record that this worker runs, and what it can't take."""
        now = CLOCK.monotonic()
        if self._presence is None or now - self._shown_at >= self._lease_seconds / 3:
            if self._presence is None or not await self._store.leases.renew(self._presence, note):
                self._presence = await self._store.leases.claim("", self._lease_seconds)
            self._shown_at = now

    def _fits(self, group: RunServer) -> bool:
        """Return whether this worker can take a server, and record why it can't."""
        place = group.run, group.url
        if place not in self._declined and group.work != work_key(group.url, self._auditor.settings):
            if group.version != __version__:
                reason = f"the run is of dialler-async {group.version}, and this is {__version__}"
            else:
                reason = (
                    f"the audit settings of the run (digest {group.settings[:12]}) and of this process (digest "
                    f"{self._auditor.settings[:12]}) differ: give both the same --config, --select, --ignore, --rules"
                )
            self._decline(place, reason)
        elif place not in self._declined and group.url not in self._auditor.servers:
            self._decline(place, "this fleet.toml has no server with this URL")
        return place not in self._declined

    def _decline(self, place: tuple[int, str], reason: str) -> None:
        self._declined[place] = reason
        run, url = place
        _log.warning("can't take %s for run %d: %s", url, run, reason, extra={"run": run})

    def _note(self, waiting: Iterable[RunServer]) -> str:
        """Return what this worker can't take, and why; "" if there is nothing."""
        places = [(group.run, group.url) for group in waiting]
        return "; ".join(
            f"run {run} can't go on here with {url}: {self._declined[run, url]}"
            for run, url in places
            if (run, url) in self._declined
        )

    async def _serve(self, lease: Lease, asked_at: float, group: RunServer, stop: asyncio.Event) -> None:
        """Audit the accounts of a server for a run while the lease holds, and give the server back."""
        async with (
            self._held(lease),
            ServerClients(self._auditor.servers[group.url]) as clients,
            _task(self._audit_accounts(group, clients, stop)) as audits,
        ):
            await self._keep(lease, asked_at, group.url, audits)

    @asynccontextmanager
    async def _held(self, lease: Lease) -> AsyncIterator[None]:
        """Give a server back at the end."""
        try:
            yield
        finally:
            await self._release(lease)

    async def _release(self, lease: Lease) -> None:
        """Give a lease back, if the store can be reached. Otherwise, it ends by itself."""
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._store.leases.release(lease)

    async def _keep(self, lease: Lease, asked_at: float, url: str, audits: "asyncio.Task[None]") -> None:
        """Renew a lease until the audits have ended. Return early if it is lost."""
        while not (await asyncio.wait({audits}, timeout=lease.seconds / 3))[0]:
            until, asked_at = asked_at + lease.seconds, CLOCK.monotonic()
            try:
                # It is lost, too, if this process stood still, or if the store can't be reached for so long.
                async with asyncio.timeout(until - asked_at):
                    is_kept = await self._store.leases.renew(lease)
            except (TimeoutError, StoreError):
                is_kept = False
            if not is_kept:
                _log.warning("lost the lease of %s: another worker may have it", url)
                return
        audits.result()

    async def _audit_accounts(self, group: RunServer, clients: ServerClients, stop: asyncio.Event) -> None:
        """Audit the accounts of a server that have no result in a run."""
        run = await self._store.runs.get(group.run)
        units = await self._store.runs.units(run.id, work=group.work)
        refusals = {unit.name: self._auditor.refusal(unit) for unit in units}
        queue = deque(unit for unit in units if refusals[unit.name] is None)
        in_hand: dict[asyncio.Task[None], Unit] = {}
        error: str | None = None
        async with _task(clients.reachability.given_up()) as given_up:
            try:
                while error is None:
                    while queue and not stop.is_set() and len(in_hand) < self._share():
                        unit = queue.popleft()
                        in_hand[asyncio.create_task(self._auditor.audit(run, unit, clients))] = unit
                    if not in_hand:
                        break
                    await asyncio.wait({given_up, *in_hand}, return_when=asyncio.FIRST_COMPLETED)
                    error = given_up.result() if given_up.done() else None
                    for audit in [audit for audit in in_hand if audit.done()]:
                        del in_hand[audit]
                        audit.result()
            finally:
                await _cancel(in_hand)
        if error is not None:
            for unit in (*(unit for audit, unit in in_hand.items() if audit.cancelled()), *queue):
                await self._auditor.fail(run, unit, error)
        if any(refusals.values()):
            reasons = (f"account “{name}”: {reason}" for name, reason in refusals.items() if reason is not None)
            self._decline((run.id, group.url), "; ".join(reasons))

    def _share(self) -> int:
        """Return how many accounts of a server are audited at once.

        No server waits for the accounts of others, because these may wait for a server that does not respond.
        """
        return max(1, min(_ACCOUNTS_OF_A_SERVER, _ACCOUNTS // max(1, len(self._serving))))


def seconds_to_next_look(took: float) -> float:
    """Return the seconds from one look into the store to the next, if the one took so many seconds."""
    return min(max(_SHORTEST_POLL, took / _POLL_SHARE), _LONGEST_POLL)


@asynccontextmanager
async def _task(coroutine: Coroutine[Any, Any, T]) -> AsyncIterator["asyncio.Task[T]"]:
    """Run a coroutine as a task, which is cancelled and awaited at the end of the `with` block."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        await _cancel([task])


async def _cancel(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Cancel tasks, and wait for their ends."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
