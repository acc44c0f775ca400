"""Names of faults, for `dialler sandbox --fault` and the control endpoint."""

import re
from typing import Final

from .faults import (
    CloseAfterResponse,
    CutShort,
    Fault,
    HangUp,
    Html,
    Reset,
    StallBeforeHeaders,
    StallInBody,
    Status,
    Trickle,
)

_BY_NAME: Final[dict[str, Fault]] = {
    "close-after-response": CloseAfterResponse(),
    "cut-short": CutShort(),
    "hang-up": HangUp(),
    "hang-up-when-done": HangUp(carried_out=True),
    "html": Html(),
    "reset": Reset(),
    "reset-when-done": Reset(carried_out=True),
    "stall": StallBeforeHeaders(),
    "stall-when-done": StallBeforeHeaders(carried_out=True),
    "stall-in-body": StallInBody(),
    "trickle": Trickle(),
}
_STATUS = re.compile(r"([45][0-9]{2})(?:-retry-after-([0-9]{1,6}))?(-when-done)?", re.ASCII)
NAMES: Final = f"{', '.join(_BY_NAME)}, and statuses such as 503, 429-retry-after-2 and 502-when-done"


def fault_of(name: str) -> Fault:
    """Return the fault with this name. With the suffix `-when-done`, the request is carried out before the fault.

    Raises:
        ValueError: no fault has this name.
    """
    if (fault := _BY_NAME.get(name)) is not None:
        return fault
    if (parts := _STATUS.fullmatch(name)) is None:
        raise ValueError(f"there is no fault {name!r}; use one of {NAMES}")
    status, retry_after, when_done = parts.groups()
    return Status(int(status), None if retry_after is None else int(retry_after), carried_out=when_done is not None)
