"""Find the user's code on the stack."""

import sys
from typing import NamedTuple

_PACKAGE = __name__.partition(".")[0]


class Caller(NamedTuple):
    """The innermost frame outside this package.

    Attributes:
        place: file and line, as `FILE:LINE`.
        stacklevel: the argument with which `warnings.warn` names this frame, for the function that asked.
    """

    place: str
    stacklevel: int


def find_caller() -> Caller:
    """Return the frame that called into this package; the outermost frame if all are of this package."""
    stacklevel = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
        stacklevel += 1
    return Caller(f"{frame.f_code.co_filename}:{frame.f_lineno}", stacklevel)
