"""Time and chance, as every client sees them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final


class Clock:
    """Time and chance, so that tests need wait for neither."""

    def __init__(self) -> None:
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self.monotonic: Callable[[], float] = time.monotonic
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.random: Callable[[], float] = random.random


CLOCK: Final = Clock()
"""Those of every client; tests put their own functions in."""
