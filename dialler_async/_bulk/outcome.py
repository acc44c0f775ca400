"""The outcome of one item of a fan-out: a `Success` or a `Failure`."""

from typing import ClassVar, Generic, NoReturn, TypeAlias, TypeVar

import attrs

ItemT_co = TypeVar("ItemT_co", covariant=True)
ValueT_co = TypeVar("ValueT_co", covariant=True)


@attrs.frozen
class Success(Generic[ItemT_co, ValueT_co]):
    """The function returned.

    Attributes:
        item: The item that the function was called with.
        value: What the function returned.
        error: Always None.
    """

    item: ItemT_co
    value: ValueT_co
    error: ClassVar[None] = None

    def result(self) -> ValueT_co:
        """Return `value`."""
        return self.value


@attrs.frozen
class Failure(Generic[ItemT_co]):
    """The function raised an error.

    Attributes:
        item: The item that the function was called with.
        error: What the function raised. It is an `ItemCancelledError` if something that the function awaited was
            cancelled.
        value: Always None.
    """

    item: ItemT_co
    error: Exception
    value: ClassVar[None] = None

    def result(self) -> NoReturn:
        """Raise `error`."""
        raise self.error


Outcome: TypeAlias = Success[ItemT_co, ValueT_co] | Failure[ItemT_co]
"""`Outcome[Item, Value]` is `Success[Item, Value] | Failure[Item]`.

`if outcome.error is None`, `isinstance` and `match` narrow it. `outcome.result()` returns the value or raises the
error.
"""
