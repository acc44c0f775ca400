"""A notice on stderr that calls are retried. Some commands retry for more than a minute."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .exits import print_error

_logger = logging.getLogger("dialler_async")
_ATTEMPTS = 3
"""The notice is printed after this number of failed attempts of a call. Two retries take less than 3 s."""


class _RetryNotice(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed = False

    def emit(self, record: logging.LogRecord) -> None:
        # The transport's log message about a retry has four arguments: call, reason, attempt and delay.
        is_late = isinstance(record.args, tuple) and len(record.args) == 4 and record.args[2] == _ATTEMPTS
        if not self._printed and is_late:
            self._printed = True
            print_error("requests to the server fail and are retried; --attempts limits the retries")


@contextmanager
def notice_of_retries() -> Iterator[None]:
    """Print one line on stderr if calls are retried for more than a few seconds."""
    notice = _RetryNotice()
    _logger.addHandler(notice)
    try:
        yield
    finally:
        _logger.removeHandler(notice)
