"""Ctrl-C during a clone or deletion, when the server may have carried it out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from .. import ConnectError, DiallerError
from ..observer import ObservedCall, Observer
from .exits import InterruptedWriteError


class WriteWatcher(Observer):
    """Observer that records whether the server may have received a write."""

    def __init__(self) -> None:
        self._earlier_attempt = self._this_attempt = False

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """Record that the server may receive a write from now on."""
        self._this_attempt |= call.request.method != "GET"

    def call_retried(self, call: ObservedCall, error: DiallerError, wait: float) -> None:
        """Record whether the server may have received the failed attempt."""
        self._earlier_attempt |= self._this_attempt and not isinstance(error, ConnectError)
        self._this_attempt = False

    @contextmanager
    def error_if_interrupted(self, message: str) -> Iterator[None]:
        """Raise an error with this message at Ctrl-C if the server may have received a write.

        Raises:
            InterruptedWriteError: the user pressed Ctrl-C after a write was sent.
        """
        try:
            yield
        except (asyncio.CancelledError, KeyboardInterrupt):
            if not (self._earlier_attempt or self._this_attempt):
                raise
            raise InterruptedWriteError(message) from None
