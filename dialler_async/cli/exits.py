"""Exit codes, and the one line on stderr that every error becomes."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum

from dialler_async._text.escaping import one_line
from dialler_async.errors import ConfigurationError, DiallerError, NoReplyError


class Exit(IntEnum):
    """The exit codes, as `--help` lists them."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    REFUSED = 3
    NO_REPLY = 4
    OUTPUT = 5
    INTERRUPTED_WRITE = 6
    # As shells report a command that SIGINT or SIGPIPE ended.
    INTERRUPTED = 130
    CLOSED_PIPE = 141


HELP = """Exit codes:
  0    done
  1    findings at or above --fail-on
  2    usage or settings; a rule raised an error
  3    the server said no, or sent an invalid reply
  4    no reply
  5    the output can't be written; a clone or deletion was done
  6    interrupted during a clone or deletion, which may have been done
  130  interrupted, or a deletion declined
"""


class UsageError(Exception):
    """The arguments or settings are wrong; the message says what to change."""


class OutputError(Exception):
    """The command did its work, but its output can't be written, such as to a full disk."""


class InterruptedWriteError(Exception):
    """Ctrl-C came while a write was in flight; the message says how to find out whether it was done."""


def report_error(error: Exception) -> Exit:
    """Print an error in one line on stderr, and return the exit code for it."""
    print_error(str(error) or type(error).__name__)
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
    """Print an error, a warning or a notice in one line on stderr; text from the server in it is escaped."""
    # If stderr can't be written to either, the exit code is all that is left.
    with suppress(OSError):
        sys.stderr.write(f"dialler: {one_line(message)}\n")


@contextmanager
def print_warnings() -> Iterator[None]:
    """Print the warnings of the body on stderr after it, without the line of our code that Python would add."""
    with warnings.catch_warnings(record=True, action="always") as recorded:
        yield
    for warning in recorded:
        print_error(f"warning: {warning.message}")
