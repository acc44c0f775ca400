"""Exit codes, and error messages on stderr."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum

from .._text.escaping import one_line
from ..errors import ConfigurationError, DiallerError, NoReplyError


class Exit(IntEnum):
    """The exit codes that `--help` lists."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    REFUSED = 3
    NO_REPLY = 4
    OUTPUT = 5
    INTERRUPTED_WRITE = 6
    # Shells report these codes for a command that SIGINT or SIGPIPE ended.
    INTERRUPTED = 130
    CLOSED_PIPE = 141


HELP = """Exit codes:
  0    success
  1    there are findings at or above --fail-on
  2    wrong arguments or settings, or a rule raised an error
  3    the server refused the request, or sent an invalid response
  4    the server sent no response
  5    the command succeeded, but its output can't be written
  6    interrupted during a clone or deletion; its outcome is unknown
  130  interrupted, or the deletion was not confirmed
"""


class UsageError(Exception):
    """Raised for wrong arguments or settings. The message says what to change."""


class OutputError(Exception):
    """Raised if the command ran, but its output can't be written, such as to a full disk."""


class InterruptedWriteError(Exception):
    """Raised for Ctrl-C while a write is in flight. The message says how to find out its outcome."""


_HINTS = {
    "PoolConfig(ca_file=…)": "--ca-file",
    "PoolConfig(client_key=…) needs client_cert=…": "--client-key needs --client-cert",
    "PoolConfig(client_cert=…)": "--client-cert",
    "PoolConfig(proxy=…)": "DIALLER_PROXY",
    "use an SSL context without ssl.VERIFY_X509_STRICT: PoolConfig(ssl=…)": "run this command with Python 3.12",
    "; increase PoolConfig(max_body=…)": "",
    "max_rate=…": "--max-rate",
    ", or use DiallerClient.for_server(server, clients_id, token)": "",
    "`campaigns.get_by_name(destination)` finds the clone": "`dialler campaigns find NAME` shows the clone",
    "`campaigns.get(campaign)` raises NotFoundError": "`dialler campaigns get ID` finds no campaign",
}
"""The hints in the library's messages that are about Python, and what to do on the command line instead."""


def hints_for_command_line(message: str) -> str:
    """Return a message of the library with its hints about Python replaced."""
    for python, command_line in _HINTS.items():
        message = message.replace(python, command_line)
    return message


def report_error(error: Exception) -> Exit:
    """Print an error in one line on stderr, and return its exit code."""
    print_error(hints_for_command_line(str(error)) or type(error).__name__)
    match error:
        case NoReplyError():
            return Exit.NO_REPLY
        case OutputError():
            return Exit.OUTPUT
        case InterruptedWriteError():
            return Exit.INTERRUPTED_WRITE
        case DiallerError() if not isinstance(error, ConfigurationError):
            return Exit.REFUSED
        case _:
            return Exit.USAGE


def print_error(message: str) -> None:
    """Print an error, a warning or a notice in one line on stderr, with unprintable characters escaped."""
    # If stderr can't be written to, only the exit code reports the error.
    with suppress(OSError):
        sys.stderr.write(f"dialler: {one_line(message)}\n")


@contextmanager
def printed_log() -> Iterator[None]:
    """Print the library's log on stderr during the `with` block: each attempt and each retry."""
    logger, handler = logging.getLogger("dialler_async"), _PrintedLog()
    level_before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(level_before)
        logger.removeHandler(handler)


class _PrintedLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print_error(record.getMessage())


@contextmanager
def print_warnings() -> Iterator[None]:
    """Print warnings of the `with` block on stderr when it ends, without the source line that Python adds."""
    with warnings.catch_warnings(record=True, action="always") as recorded:
        yield
    for warning in recorded:
        print_error(f"warning: {warning.message}")
