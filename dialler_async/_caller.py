"""Find the user's code on the call stack."""

import sys
from typing import NamedTuple

_PACKAGE = __name__.partition(".")[0]


class Caller(NamedTuple):
    """The innermost frame outside this package.

    Attributes:
        location: file and line, as `FILE:LINE`.
        stacklevel: the argument for `warnings.warn`, so that the warning shows this frame.
    """

    location: str
    stacklevel: int


def find_caller() -> Caller:
    """Return the innermost frame outside this package; the outermost frame if there is no such frame."""
    stacklevel = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
        stacklevel += 1
    return Caller(f"{frame.f_code.co_filename}:{frame.f_lineno}", stacklevel)
