"""The deadlines of all calls of a client, kept by one timer.

They all run equally long, so the one that began first runs out first, and the one timer waits for that. A timer of its
own for each call, as `asyncio.timeout` sets and cancels it, was 9 of the 127 µs that a lookup took.
"""

import asyncio
import math
from contextvars import Context
from itertools import takewhile
from typing import Final, cast, final


@final
class Deadline:
    """That of one call; cancels its task when it runs out. Made by `Deadlines.start`, which `stop` has to follow.

    Attributes:
        when: the moment, by the loop's clock.
    """

    __slots__ = ("_cancellations", "_has_run_out", "_task", "when")

    def __init__(self, task: "asyncio.Task[object]", when: float) -> None:
        self.when = when
        self._task = task
        self._cancellations = task.cancelling()
        self._has_run_out = False

    def run_out(self) -> None:
        """Cancels the task."""
        self._has_run_out = True
        self._task.cancel()

    def was_it(self) -> bool:
        """Whether the CancelledError at hand comes of this deadline, and of nobody else who cancels the task, too.

        The cancellation is taken back then; so it can be asked once.
        """
        if not self._has_run_out:
            return False
        self._has_run_out = False
        return self._task.uncancel() <= self._cancellations


@final
class Deadlines:
    """Those of one client, all equally long.

    Args:
        seconds: how long they run; `math.inf` for ever.
        is_brief: Whether few calls share these deadlines. The timer is then cancelled after the last of them. Otherwise
            each short-lived client would leave a timer behind until its deadline.
    """

    def __init__(self, seconds: float, *, is_brief: bool = False) -> None:
        self._seconds: Final = seconds
        self._is_brief: Final = is_brief
        # In the order in which they run out.
        self._running: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> Deadline:
        """One for the task that runs, in its loop."""
        task = cast("asyncio.Task[object]", asyncio.current_task(loop))
        deadline = Deadline(task, loop.time() + self._seconds)
        if self._seconds < math.inf:
            self._running[deadline] = None
            if self._timer is None:
                self._wait(loop, deadline)
        return deadline

    def stop(self, deadline: Deadline) -> None:
        """Its call has ended."""
        self._running.pop(deadline, None)
        if self._is_brief and not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Something in between made away with the cancellation, or turned it into an error.
        deadline.was_it()

    def _wait(self, loop: asyncio.AbstractEventLoop, first: Deadline) -> None:
        # In a context of its own: that of the call would be handed on from timer to timer, and never let go.
        self._timer = loop.call_at(first.when, self._look, loop, context=Context())

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        # Looked for once: a dict that lost its first keys goes past all their places again to find what is first now.
        for late in list(takewhile(lambda deadline: deadline.when <= now, self._running)):
            del self._running[late]
            late.run_out()
        for first in self._running:
            self._wait(loop, first)
            break
