"""Commands that go on until they are told to stop."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_signal(on_stop: Callable[[], None] = lambda: None) -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set, in place of what they do otherwise; the second one does that again.

    Args:
        on_stop: called when the first one has come.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stopping() -> None:
        if not stop.is_set():
            stop.set()
            restore()
            on_stop()

    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        restore()
