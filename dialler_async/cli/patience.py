"""A notice for the users of nightly commands, which retry for more than a minute while a server is down."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .exits import print_error

_logger = logging.getLogger("dialler_async")
_ATTEMPTS = 3
"""The notice comes after so many failed attempts of one call. A retry or two take less than three seconds."""


class _RetryNotice(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed = False

    def emit(self, record: logging.LogRecord) -> None:
        # The arguments of the transport's log line about a retry: call, reason, attempt, delay.
        is_late = isinstance(record.args, tuple) and len(record.args) == 4 and record.args[2] == _ATTEMPTS
        if not self._printed and is_late:
            self._printed = True
            print_error("the server fails requests; they are retried (--attempts sets how often)")


@contextmanager
def notice_of_retries() -> Iterator[None]:
    """Print one line on stderr if calls are retried for more than a few seconds."""
    notice = _RetryNotice()
    _logger.addHandler(notice)
    try:
        yield
    finally:
        _logger.removeHandler(notice)
