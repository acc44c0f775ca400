"""The public names of the package, and their lazy imports."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import dialler_async

SOURCE = Path(inspect.getfile(dialler_async))


def imported_for_type_checkers(module: Path) -> dict[str, str]:
    """Return the names that a module imports under `if TYPE_CHECKING`, each with its module."""
    block = next(node for node in ast.parse(module.read_text()).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_all_equals_the_imports_for_type_checkers_and_the_lazy_imports() -> None:
    assert imported_for_type_checkers(SOURCE) == dialler_async._MODULE_OF  # type: ignore[attr-defined]  private
    assert {*dialler_async._MODULE_OF, "__version__"} == set(dialler_async.__all__)  # type: ignore[attr-defined]  private
    assert list(dialler_async.__all__) == sorted(dialler_async.__all__)


@pytest.mark.parametrize("name", dialler_async.__all__)
def test_public_name_is_imported_on_first_use_and_listed_by_dir(name: str) -> None:
    assert getattr(dialler_async, name) is not None
    assert name in dir(dialler_async)


def test_public_class_names_the_package_as_its_module() -> None:
    # Otherwise, a pickle would break if the class moved to another module.
    classes = [one for one in (getattr(dialler_async, name) for name in dialler_async.__all__) if isinstance(one, type)]
    assert len(classes) > 40
    # `ClientOptions` is a dict at runtime, so no pickle names it.
    assert {one.__name__ for one in classes if one.__module__ != "dialler_async"} == {"ClientOptions"}


@pytest.mark.parametrize("name", ["config", "errors", "models", "observer"])
def test_public_module_lists_each_class_that_it_defines(name: str) -> None:
    # `help` and the API reference leave out a class that `__all__` does not list.
    module = importlib.import_module(f"dialler_async.{name}")
    assert module.__file__ is not None
    defined = [
        node.name for node in ast.parse(Path(module.__file__).read_text()).body if isinstance(node, ast.ClassDef)
    ]
    assert set(defined) - set(module.__all__) == set()
    assert list(module.__all__) == sorted(module.__all__)


@pytest.mark.parametrize("module", ["dialler_async", "dialler_async.fleet"])
def test_unknown_name_raises_attribute_error(module: str) -> None:
    __import__(module)
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'DialerClient'"):
        sys.modules[module].DialerClient  # noqa: B018  the test needs this mistake


def test_import_of_the_package_does_not_import_dependencies() -> None:
    code = "import sys, dialler_async; print(*{'aiohttp', 'attr', 'cattrs', 'msgspec', 'typing'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=SOURCE.parent.parent
    )
    assert run.stdout.split() == []
