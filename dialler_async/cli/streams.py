"""Handling of closed and full standard streams: a command ends with its exit code and without a traceback."""

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
    """Replaces a stdout that is closed when the command starts. Writing raises, because results would be lost."""

    def write(self, s: str, /) -> int:
        raise OSError(errno.EBADF, "it is closed")


class _Discard(StringIO):
    """Replaces a stderr that is closed when the command starts."""

    def write(self, s: str, /) -> int:
        return len(s)


def replace_closed_streams() -> None:
    """Replace the standard streams that are closed when the command starts."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Otherwise the next socket gets this descriptor, and the server receives the output.
            os.open(os.devnull, os.O_RDWR)
    # Python sets a closed stream to None.
    sys.stdin = sys.stdin or StringIO()
    sys.stdout = sys.stdout or _ClosedOutput()
    sys.stderr = sys.stderr or _Discard()
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the encoding of stdout can't represent must not end the command.
        sys.stdout.reconfigure(errors="backslashreplace")


def is_output_error(error: OSError) -> bool:
    """Return whether an error means that a stream can't be written to."""
    return error.errno in _OUTPUT_ERRORS


def discard(stream: TextIO) -> None:
    """Discard buffered output. Python would try to write it at exit, and exit with 120."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def flush_or_discard() -> None:
    """Write buffered output, or discard it if that fails, so that the exit code stays."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            discard(stream)
