"""Keep a forked child from touching its parent's connections."""

import os
import weakref
from collections.abc import Iterator
from typing import Final, Protocol


class Forkable(Protocol):
    """An object that holds connections of this process."""

    def detach_after_fork(self) -> Iterator[object]:
        """Yield everything that must stay alive in the child, and make closing it do nothing there."""


class _Process:
    """The current process. Its ID is read again after each fork only: a system call for each call would be slow."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.pools: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()
        self._inherited: list[object] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        """Detach the parent's connections, and keep them alive.

        The child shares the parent's epoll. A transport that the child closes is unregistered there, and the parent
        hears nothing of that connection any more. A transport that is collected warns.
        """
        self.pid = os.getpid()
        for pool in list(self.pools):
            self._inherited.extend(pool.detach_after_fork())


PROCESS: Final = _Process()
