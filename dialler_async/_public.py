"""Public classes that name the package as their module."""

from typing import TypeVar

T = TypeVar("T", bound=type)


def public(cls: T) -> T:
    """Return a class that users import from `dialler_async`.

    Pickles, tracebacks and metrics name the package instead of the module that defines the class. So the class may move
    to another module without breaking a pickle.
    """
    cls.__module__ = __name__.partition(".")[0]
    return cls
