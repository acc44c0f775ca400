"""Slots for the requests that the server processes at once."""

import asyncio
from collections import deque


class Slots:
    """A semaphore whose number can change while it is in use; None for no limit.

    Raises:
        ValueError: the number is below 1.
    """

    def __init__(self, number: int | None) -> None:
        self._taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._number: int | None = None
        self.resize(number)

    @property
    def number(self) -> int | None:
        """How many slots there are."""
        return self._number

    def resize(self, number: int | None) -> None:
        """Set how many slots there are, and let queued requests into new ones.

        Raises:
            ValueError: the number is below 1.
        """
        if number is not None and number < 1:
            raise ValueError("capacity is 1 or more: with less, the server would process no request")
        self._number = number
        self._admit()

    async def __aenter__(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        self._taken -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and (self._number is None or self._taken < self._number):
            turn = self._queue.popleft()
            if not turn.cancelled():
                self._taken += 1
                turn.set_result(None)
