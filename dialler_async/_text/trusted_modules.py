"""Import the user's modules, but none that another user may have written; see `trusted_files`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from ..errors import require
from .trusted_files import require_trusted


def import_trusted(reference: str, directory: Path | None) -> object:
    """Return what a reference names, after its module is imported.

    Args:
        reference: `module:name` or `file.py:name`.
        directory: where files and modules are looked for first.
    Raises:
        ConfigurationError: the reference has another form, or another user may have written a file in the directory.
        Exception: whatever the module raises.
    """
    module, _, name = reference.rpartition(":")
    require(bool(module and name), "it must have the form module:name or file.py:name")
    if module.endswith(".py"):
        found: object = _module_of_file((directory or Path.cwd()) / module)
    elif directory is None or PathFinder.find_spec(module.partition(".")[0], [str(directory)]) is None:
        found = import_module(module)
    else:
        with _imports_from(directory):
            found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _module_of_file(file: Path) -> ModuleType:
    """Import a file, with the modules that it imports from its directory; all must be trusted."""
    # The path as a name can't hide an installed module.
    spec = spec_from_file_location(str(file.resolve()), file)
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    _require_trusted_module(spec)
    module = module_from_spec(spec)
    # A class in the module may look up its module.
    sys.modules[spec.name] = module
    with _imports_from(file.parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _imports_from(directory: Path) -> Iterator[None]:
    """Import modules from a directory first; all that are found there must be trusted."""
    before = list(sys.path)
    finder = _TrustedOnly(directory)
    sys.path.insert(0, str(directory))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.path[:] = before


class _TrustedOnly(MetaPathFinder):
    """Refuses modules in a directory if another user may have written them. Other finders import the modules."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None, so that the next finder imports the module; raise ConfigurationError for an untrusted file."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None and spec.has_location:
            file = Path(spec.origin)
            if file.absolute().is_relative_to(self._directory) or file.resolve().is_relative_to(self._directory):
                _require_trusted_module(spec)
        return None


def _require_trusted_module(spec: ModuleSpec) -> None:
    # Python runs cached bytecode instead of the source, so the bytecode must be trusted, too.
    for file in (spec.origin, spec.cached):
        if file is not None and Path(file).exists():
            require_trusted(Path(file))
