"""The outcome of one item of a fan-out: a `Success` or a `Failure`."""

from typing import ClassVar, Generic, NoReturn, TypeAlias, TypeVar

import attrs

from .._public import public

ItemT_co = TypeVar("ItemT_co", covariant=True)
ValueT_co = TypeVar("ValueT_co", covariant=True)


@public
@attrs.frozen
class Success(Generic[ItemT_co, ValueT_co]):
    """The outcome of an item for which the function returned a value.

    Attributes:
        item: the item that the function was called with.
        value: the value that the function returned.
        error: always None.
    """

    item: ItemT_co
    value: ValueT_co
    error: ClassVar[None] = None

    def result(self) -> ValueT_co:
        """Return `value`."""
        return self.value


@public
@attrs.frozen
class Failure(Generic[ItemT_co]):
    """The outcome of an item for which the function raised an error.

    Attributes:
        item: the item that the function was called with.
        error: the error that the function raised. If something that the function awaited was cancelled, this is an
            `ItemCancelledError`.
        value: always None.
    """

    item: ItemT_co
    error: Exception
    value: ClassVar[None] = None

    def result(self) -> NoReturn:
        """Raise `error`."""
        raise self.error


Outcome: TypeAlias = Success[ItemT_co, ValueT_co] | Failure[ItemT_co]
"""`Outcome[Item, Value]` is `Success[Item, Value] | Failure[Item]`.

Type checkers narrow it by `if outcome.error is None`, `isinstance` or `match`. `outcome.result()` returns the value or
raises the error.
"""
