"""Lazy imports (PEP 562): a package imports its public names on first use."""

from collections.abc import Callable
from importlib import import_module


def lazy_names(
    package: str, names: dict[str, object], module_of: dict[str, str], public: list[str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package.

    Args:
        package: name of the package.
        names: the package's `globals()`. Each imported name is added to them.
        module_of: the module of each name, relative to the package.
        public: the package's `__all__`.
    """

    def import_name(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        names[name] = getattr(import_module(f".{module_of[name]}", package), name)
        return names[name]

    return import_name, lambda: sorted({*names, *public})
