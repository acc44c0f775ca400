"""A limit for the requests that the server processes at once."""

import asyncio
from collections import deque


class Slots:
    """A semaphore whose number of slots can change while it is in use. None means no limit.

    Raises:
        ValueError: the number of slots is below 1.
    """

    def __init__(self, number: int | None) -> None:
        self._in_use = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._number: int | None = None
        self.resize(number)

    @property
    def number(self) -> int | None:
        """The number of slots."""
        return self._number

    def resize(self, number: int | None) -> None:
        """Set the number of slots, and admit queued requests if there are new ones.

        Raises:
            ValueError: the number of slots is below 1.
        """
        if number is not None and number < 1:
            raise ValueError("capacity must be 1 or more")
        self._number = number
        self._admit()

    async def __aenter__(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        self._admit()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        self._in_use -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and (self._number is None or self._in_use < self._number):
            waiter = self._queue.popleft()
            if not waiter.cancelled():
                self._in_use += 1
                waiter.set_result(None)
