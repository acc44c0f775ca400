"""A notice on stderr that calls are retried. Some commands retry for more than a minute."""

from .. import DiallerError
from ..observer import ObservedCall, Observer
from .exits import print_error

_ATTEMPTS = 3
"""The notice is printed after this number of failed attempts of a call. Two retries take less than 3 s."""


class RetryNotice(Observer):
    """Observer that prints one line on stderr when a call is retried for more than a few seconds."""

    def __init__(self) -> None:
        self._printed = False

    def call_retried(self, call: ObservedCall, error: DiallerError, delay: float) -> None:
        """Print the notice at the third failed attempt of a call, once."""
        if not self._printed and call.attempts == _ATTEMPTS:
            self._printed = True
            print_error("requests to the server fail and are retried; --attempts limits the retries")
