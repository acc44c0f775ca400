"""The clock and the random numbers of all clients."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final


class Clock:
    """Functions for time and random numbers. Tests replace them, so that they need not wait."""

    def __init__(self) -> None:
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self.monotonic: Callable[[], float] = time.monotonic
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.random: Callable[[], float] = random.random


CLOCK: Final = Clock()
"""The clock of all clients."""
