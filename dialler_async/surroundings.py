"""Time and chance, as every client sees them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import attrs


@attrs.define
class Surroundings:
    """Time and chance, so that tests need wait for neither."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Callable[[], float] = random.random


SURROUNDINGS: Final = Surroundings()
"""Those of every client; tests put their own functions in."""
