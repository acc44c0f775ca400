"""Tell the user of a nightly command why it waits: it goes on for more than a minute while a server is down."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .exits import say

_logger = logging.getLogger("dialler_async")
_ATTEMPTS = 3
"""Failed attempts of one call after which the user is told. A retry or two take less than three seconds."""


class _Notice(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._given = False

    def emit(self, record: logging.LogRecord) -> None:
        # The arguments of the transport's line on a retry: call, reason, attempt, delay.
        is_late = isinstance(record.args, tuple) and len(record.args) == 4 and record.args[2] == _ATTEMPTS
        if not self._given and is_late:
            self._given = True
            say("the server fails requests; they are retried (--attempts sets how often)")


@contextmanager
def notice_of_retries() -> Iterator[None]:
    """Print one line on stderr when calls are retried for more than a few seconds."""
    notice = _Notice()
    _logger.addHandler(notice)
    try:
        yield
    finally:
        _logger.removeHandler(notice)
