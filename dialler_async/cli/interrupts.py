"""SIGTERM and SIGHUP clean up as Ctrl-C does. This module imports no asyncio, so that `--help` stays fast."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows


@contextmanager
def signals_as_interrupts() -> Iterator[list[int]]:
    """Treat SIGTERM and SIGHUP as Ctrl-C within the `with` block, and yield a list of those that arrived.

    A signal that is ignored, as SIGHUP is by `nohup`, stays ignored.
    """
    arrived: list[int] = []
    # A shell starts the background jobs of a script with SIGINT ignored.
    ignores_ctrl_c = signal.getsignal(signal.SIGINT) is signal.SIG_IGN and hasattr(signal, "pthread_sigmask")

    def interrupt(number: int, _: object) -> None:
        arrived.append(number)
        if ignores_ctrl_c:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.raise_signal(signal.SIGINT)

    before: dict[int, Any] = {}
    # Python allows handlers only in the main thread.
    if threading.current_thread() is threading.main_thread():
        if ignores_ctrl_c:
            # Blocked instead of ignored, so that a SIGTERM can still raise it. asyncio handles no ignored SIGINT.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, _HANGUP):
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, interrupt)
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if signal.SIGINT in before:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
