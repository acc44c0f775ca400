"""Slots to work at: how many requests the server works on at once."""

import asyncio
from collections import deque


class Slots:
    """A semaphore whose number may change while it is in use; None for no limit."""

    def __init__(self, number: int | None) -> None:
        self._taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self.number = number

    @property
    def number(self) -> int | None:
        """How many places there are."""
        return self._number

    @number.setter
    def number(self, number: int | None) -> None:
        if number is not None and number < 1:
            raise ValueError("a server that works on no request at all answers none: capacity is 1 or more")
        self._number = number
        self._let_in()

    async def __aenter__(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._queue and (self._number is None or self._taken < self._number):
            turn = self._queue.popleft()
            if not turn.cancelled():
                self._taken += 1
                turn.set_result(None)
