"""Ctrl-C during a clone or a deletion: the server may have carried it out all the same."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from dialler_async import ConnectError, DiallerError
from dialler_async.observer import ObservedCall, Observer

from .exits import InterruptedWriteError


class WriteWatcher(Observer):
    """Knows whether the server may have received a write of this client."""

    def __init__(self) -> None:
        self._earlier_attempt = self._this_attempt = False

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """From here on it may be received."""
        self._this_attempt |= call.request.method != "GET"

    def call_retried(self, call: ObservedCall, error: DiallerError, wait: float) -> None:
        """What was not received in this attempt may have been in an earlier one."""
        self._earlier_attempt |= self._this_attempt and not isinstance(error, ConnectError)
        self._this_attempt = False

    @contextmanager
    def told_if_interrupted(self, message: str) -> Iterator[None]:
        """Raise InterruptedWriteError with this message if Ctrl-C comes once a write may have been received."""
        try:
            yield
        except (asyncio.CancelledError, KeyboardInterrupt):
            if not (self._earlier_attempt or self._this_attempt):
                raise
            raise InterruptedWriteError(message) from None
