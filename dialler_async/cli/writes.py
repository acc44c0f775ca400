"""Ctrl-C during a clone or a deletion: the server may have carried it out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from dialler_async import ConnectError, DiallerError
from dialler_async.observer import ObservedCall, Observer

from .exits import InterruptedWriteError


class WriteWatcher(Observer):
    """Records whether the server may have received a write of this client."""

    def __init__(self) -> None:
        self._earlier_attempt = self._this_attempt = False

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """Note that the server may receive a write from now on."""
        self._this_attempt |= call.request.method != "GET"

    def call_retried(self, call: ObservedCall, error: DiallerError, wait: float) -> None:
        """Note whether the failed attempt may have been received."""
        self._earlier_attempt |= self._this_attempt and not isinstance(error, ConnectError)
        self._this_attempt = False

    @contextmanager
    def error_if_interrupted(self, message: str) -> Iterator[None]:
        """Turn Ctrl-C into an error with this message if the server may have received a write by then.

        Raises:
            InterruptedWriteError: Ctrl-C came after a write was sent.
        """
        try:
            yield
        except (asyncio.CancelledError, KeyboardInterrupt):
            if not (self._earlier_attempt or self._this_attempt):
                raise
            raise InterruptedWriteError(message) from None
