"""Commands that run until SIGINT or SIGTERM."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_signal(on_stop: Callable[[], None] = lambda: None) -> Iterator[asyncio.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets. A second signal ends the process as usual.

    Args:
        on_stop: called after the first signal.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle_first_signal() -> None:
        if not stop.is_set():
            stop.set()
            restore()
            on_stop()

    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(handle_first_signal))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        restore()
