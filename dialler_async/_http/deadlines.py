"""The deadlines of all calls of a client, or the read timeouts of all attempts, with one timer.

They have the same length, so they expire in the order in which they started. `asyncio.timeout` would set and cancel a
timer for each call, which took 9 of the 127 µs of a lookup.
"""

import asyncio
import math
from contextvars import Context
from itertools import takewhile
from typing import Final, final

from ..errors import ClientStateError

_GRACE: Final = 0.01
"""Seconds between the end of a read timeout and the cancellation. Meanwhile, tasks read responses that have arrived."""


@final
class Deadline:
    """The deadline of a call or an attempt, which cancels its task. Each `Deadlines.start` needs a `Deadlines.stop`.

    Attributes:
        task: the task of the call.
        when: time at which the deadline expires, by the loop's clock.
        in_flight: whether the call holds a slot of the pool.
        has_cancelled: whether the deadline has cancelled the task, and `uncancel` was not called since then.
        is_closing: whether the client was closed before the deadline expired.
    """

    __slots__ = ("_cancellations", "has_cancelled", "in_flight", "is_closing", "task", "when")

    def __init__(self, task: "asyncio.Task[object]", when: float) -> None:
        self.when: float = when
        self.in_flight: bool = False
        self.is_closing: bool = False
        self.has_cancelled: bool = False
        self.task: asyncio.Task[object] = task
        self._cancellations = task.cancelling()

    @property
    def is_task_cancelled(self) -> bool:
        """Whether the task was asked to cancel since the start of the deadline, by anyone."""
        return self.task.cancelling() > self._cancellations

    def cancel(self, *, is_closing: bool = False) -> None:
        """Cancel the task, because the deadline has expired, or the client is closing."""
        self.is_closing = is_closing
        self.has_cancelled = True
        self.task.cancel()

    def uncancel(self) -> bool:
        """Take back the cancellation by this deadline; return whether there was one, and no other."""
        if not self.has_cancelled:
            return False
        self.has_cancelled = False
        return self.task.uncancel() <= self._cancellations


@final
class Deadlines:
    """The deadlines of one client: one for each call, or one for each attempt.

    Args:
        seconds: length of each deadline; `math.inf` for no limit.
        is_short_lived: whether the timer is cancelled after the last call. Otherwise, each client that `with_options`
            makes for a few calls would leave a timer behind.
        reads_first: whether tasks may read responses that have already arrived, before they are cancelled 10 to 20 ms
            late. After other code has blocked the event loop, no task has read these responses yet.
    """

    def __init__(self, seconds: float, *, is_short_lived: bool = False, reads_first: bool = False) -> None:
        self._seconds: Final = seconds
        self._is_short_lived: Final = is_short_lived
        self._reads_first: Final = reads_first
        # The dict keeps the order in which the deadlines expire.
        self._running: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> Deadline:
        """Return a new deadline for the current task of the loop."""
        task = asyncio.current_task(loop)
        if task is None:
            raise ClientStateError("a call needs a task: run it with asyncio.run or asyncio.create_task")
        deadline = Deadline(task, loop.time() + self._seconds)
        self._running[deadline] = None
        if self._timer is None and self._seconds < math.inf:
            self._set_timer(loop, deadline)
        return deadline

    def restart(self, deadline: Deadline) -> None:
        """Start a deadline again, unless it has cancelled its task."""
        if deadline in self._running:
            del self._running[deadline]
            deadline.when = asyncio.get_running_loop().time() + self._seconds
            self._running[deadline] = None

    def stop(self, deadline: Deadline) -> None:
        """Remove the deadline of a call or an attempt that has ended."""
        self._running.pop(deadline, None)
        if self._is_short_lived and not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline.has_cancelled:
            # Other code has suppressed the cancellation.
            deadline.uncancel()

    def close(self, *, also_in_flight: bool) -> None:
        """Cancel the calls that wait in a closing client, except a call that closes it itself; or all calls."""
        closing = asyncio.current_task()
        for deadline in list(self._running):
            if also_in_flight or not (deadline.in_flight or deadline.task is closing):
                del self._running[deadline]
                deadline.cancel(is_closing=True)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, first: Deadline) -> None:
        # The context is empty. Otherwise, each timer would pass the context of a call on to the next timer, and the
        # context would never be freed.
        self._timer = loop.call_at(first.when, self._expire, loop, context=Context())

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._reads_first:
            self._timer = loop.call_later(_GRACE, self._cancel_expired, loop, loop.time())
        else:
            self._cancel_expired(loop, loop.time())

    def _cancel_expired(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        self._timer = None
        # Collected before the deletion: after each deletion, finding the first key of a dict takes linear time.
        for expired in list(takewhile(lambda deadline: deadline.when <= until, self._running)):
            del self._running[expired]
            expired.cancel()
        for first in self._running:
            self._set_timer(loop, first)
            break
