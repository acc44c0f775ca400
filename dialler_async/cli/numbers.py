"""Numbers on the command line: plain ASCII digits, and nothing that would be rounded or guessed.

The CLI library converts an `int` by way of `float`: it takes `534.6` for 535 and `0x217` for 535. A command that
deletes by ID must not do so.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter, Token, validators


def _whole_number(pattern: str, accepted: str) -> Callable[[Any, Sequence[Token]], int]:
    """Return a converter of the text of an argument that matches the pattern as a whole."""
    matcher = re.compile(pattern, re.ASCII)

    def convert(_: Any, tokens: Sequence[Token]) -> int:
        [token] = tokens
        if not matcher.fullmatch(token.value):
            raise ValueError(f"{accepted}; “{token.value}” is not accepted")
        return int(token.value)

    return convert


_POSITIVE = "[1-9][0-9]*"
_NOT_NEGATIVE = "0|[1-9][0-9]*"

Id: TypeAlias = Annotated[
    int, Parameter(converter=_whole_number(_POSITIVE, "an ID is a positive whole number in digits, such as 534"))
]
"""The ID of a campaign."""

Positive: TypeAlias = Annotated[
    int, Parameter(converter=_whole_number(_POSITIVE, "give a whole number in digits, 1 or more"))
]
"""How many there are of something that must be there."""

NotNegative: TypeAlias = Annotated[
    int, Parameter(converter=_whole_number(_NOT_NEGATIVE, "give a whole number in digits, 0 or more"))
]
"""How many there are of something that may be missing."""

Port: TypeAlias = Annotated[NotNegative, Parameter(validator=validators.Number(lte=65535))]
"""A TCP port; 0 takes a free one."""
