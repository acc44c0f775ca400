"""Standard streams that are closed or full: the command still ends with an exit code of its own, and no traceback."""

import errno
import os
import sys
from contextlib import suppress
from io import StringIO, TextIOWrapper
from typing import Final, TextIO

_FULL_OR_GONE: Final = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EBADF", "EROFS") if hasattr(errno, name)
)


class _ClosedOutput(StringIO):
    """Stands in for a stdout that was closed when the command started: results must not vanish in silence."""

    def write(self, s: str, /) -> int:
        raise OSError(errno.EBADF, "it is closed")


class _Discard(StringIO):
    """Stands in for a stderr that was closed when the command started."""

    def write(self, s: str, /) -> int:
        return len(s)


def repair() -> None:
    """Make the standard streams fit to be used, whatever the command was started with."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Otherwise the next socket gets this number, and what is meant for the stream goes to the server.
            os.open(os.devnull, os.O_RDWR)
    # Python has None for a stream that was closed.
    sys.stdin = sys.stdin or StringIO()
    sys.stdout = sys.stdout or _ClosedOutput()
    sys.stderr = sys.stderr or _Discard()
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the encoding of a terminal or pipe doesn't have must not end the command.
        sys.stdout.reconfigure(errors="backslashreplace")


def is_output_error(error: OSError) -> bool:
    """Whether an error says that a stream can't be written to."""
    return error.errno in _FULL_OR_GONE


def abandon(stream: TextIO) -> None:
    """Drop what is still buffered: Python would try it again at exit, and change the exit code to 120."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def settle() -> None:
    """Write what is still buffered, or drop it where that fails: how the command ends is decided."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            abandon(stream)
