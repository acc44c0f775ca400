"""How the command ends: exit codes, and the one line on stderr that an error comes to."""

import sys
from contextlib import suppress
from enum import IntEnum

from dialler_async._text.escaping import one_line
from dialler_async.errors import ConfigurationError, DiallerError, NoReplyError


class Exit(IntEnum):
    """The exit codes, as `--help` tells them."""

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
  2    usage or settings
  3    the server said no, or answered what it should not
  4    no reply
  5    the output could not be written; a clone or deletion was carried out all the same
  6    interrupted while a clone or deletion was in flight: it may have been carried out
  130  interrupted, or a deletion declined
"""


class UsageError(Exception):
    """The command can't be carried out as it was given; the message says what to change."""


class OutputError(Exception):
    """The command was carried out, but its output can't be written, such as to a full disk."""


class InterruptedWriteError(Exception):
    """Ctrl-C came while a write was in flight; the message says how to find out whether it was carried out."""


def complain(error: Exception) -> Exit:
    """Print what went wrong, in one line on stderr, and say how to exit."""
    say(str(error) or type(error).__name__)
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


def say(message: str) -> None:
    """Tell the user something on stderr, in one line, whatever text from elsewhere is in it."""
    # Where stderr can't be written to either, the exit code still tells.
    with suppress(OSError):
        sys.stderr.write(f"dialler: {one_line(message)}\n")
