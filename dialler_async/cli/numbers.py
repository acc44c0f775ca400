"""Parsers of numbers on the command line. They accept ASCII digits only.

cyclopts converts an `int` through `float`: it reads both `534.6` and `0x217` as 535. A command that deletes by ID
must not round.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias, TypeVar

from cyclopts import Parameter, Token, validators

_T = TypeVar("_T")


def positive(text: str) -> int:
    """Return a whole number of 1 or more.

    Raises:
        ValueError: the text is not such a number.
    """
    return int(_require_match(text, "[1-9][0-9]*", "it must be a whole number in digits, 1 or more"))


def positive_decimal(text: str) -> float:
    """Return a number above 0, with or without decimals.

    Raises:
        ValueError: the text is not such a number.
    """
    requirement = "it must be a number above 0 in digits, such as 30 or 0.5"
    number = float(_require_match(text, r"[0-9]+(\.[0-9]+)?", requirement))
    if not 0 < number < math.inf:
        raise ValueError(f"{requirement}, not “{text}”")
    return number


def _id(text: str) -> int:
    return int(_require_match(text, "[1-9][0-9]*", "an ID must be a positive whole number in digits, such as 534"))


def _not_negative(text: str) -> int:
    return int(_require_match(text, "0|[1-9][0-9]*", "it must be a whole number in digits, 0 or more"))


def _require_match(text: str, pattern: str, requirement: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ValueError(f"{requirement}, not “{text}”")
    return text


def _converted_by(convert: Callable[[str], _T]) -> Parameter:
    def converter(_: Any, tokens: Sequence[Token]) -> _T:
        [token] = tokens
        return convert(token.value)

    return Parameter(converter=converter)


Id: TypeAlias = Annotated[int, _converted_by(_id)]
"""The ID of a campaign."""

Positive: TypeAlias = Annotated[int, _converted_by(positive)]
"""A whole number, 1 or more."""

NotNegative: TypeAlias = Annotated[int, _converted_by(_not_negative)]
"""A whole number, 0 or more."""

PositiveDecimal: TypeAlias = Annotated[float, _converted_by(positive_decimal)]
"""A number above 0, with or without decimals."""

Port: TypeAlias = Annotated[NotNegative, Parameter(validator=validators.Number(lte=65535))]
"""A TCP port; 0 means any free port."""
