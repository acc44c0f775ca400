"""Prevent a forked child process from closing its parent's connections."""

import os
import weakref
from collections.abc import Iterator
from typing import Final, Protocol


class Forkable(Protocol):
    """An object that holds connections of this process."""

    def detach_after_fork(self) -> Iterator[object]:
        """Yield all objects that must stay alive in the child. Afterwards, closing them does nothing in the child."""


class _Process:
    """The current process. The process ID is read only after a fork, since a system call in each call would be slow."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.pools: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()
        self._inherited: list[object] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        """Detach the parent's connections, and keep them alive.

        The child shares the parent's epoll instance. If the child closed a transport, the connection would be
        unregistered there, and the parent would receive no further data. If a transport were garbage-collected, it
        would raise a ResourceWarning.
        """
        self.pid = os.getpid()
        for pool in list(self.pools):
            self._inherited.extend(pool.detach_after_fork())


PROCESS: Final = _Process()
