"""Standard streams that are closed or full: the command still ends with its own exit code and no traceback."""

import errno
import os
import sys
from contextlib import suppress
from io import StringIO, TextIOWrapper
from typing import Final, TextIO

_OUTPUT_ERRORS: Final = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EBADF", "EROFS") if hasattr(errno, name)
)


class _ClosedOutput(StringIO):
    """Replaces a stdout that was closed when the command started: losing the results must be an error."""

    def write(self, s: str, /) -> int:
        raise OSError(errno.EBADF, "it is closed")


class _Discard(StringIO):
    """Replaces a stderr that was closed when the command started."""

    def write(self, s: str, /) -> int:
        return len(s)


def repair() -> None:
    """Make the standard streams usable, even if the command was started without them."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Otherwise the next socket gets this number, and output for the stream goes to the server.
            os.open(os.devnull, os.O_RDWR)
    # Python sets a closed stream to None.
    sys.stdin = sys.stdin or StringIO()
    sys.stdout = sys.stdout or _ClosedOutput()
    sys.stderr = sys.stderr or _Discard()
    if isinstance(sys.stdout, TextIOWrapper):
        # A name with letters that the encoding of a terminal or pipe lacks must not end the command.
        sys.stdout.reconfigure(errors="backslashreplace")


def is_output_error(error: OSError) -> bool:
    """Return whether an error means that a stream can't be written to."""
    return error.errno in _OUTPUT_ERRORS


def discard(stream: TextIO) -> None:
    """Discard buffered output: Python would write it again at exit, and change the exit code to 120."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def flush_or_discard() -> None:
    """Write buffered output, or discard it if that fails. The exit code is decided by then."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            discard(stream)
