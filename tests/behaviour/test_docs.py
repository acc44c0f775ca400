"""The API reference, which pdoc builds from the docstrings."""

import subprocess
import sys
from pathlib import Path

import pytest

import dialler_async

pytestmark = pytest.mark.slow

PARTS = (
    "audit",
    "config",
    "contrib",
    "errors",
    "export",
    "fleet",
    "models",
    "observer",
    "sandbox",
    "sandbox.faults",
    "testing",
)


def build(directory: Path, *modules: str) -> None:
    """Build the reference of the modules. A warning of pdoc fails the test."""
    command = [sys.executable, "-W", "error", "-m", "pdoc", *modules, "--output-directory", f"{directory}"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(dialler_async.__file__).parents[1]
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_api_reference_contains_every_public_name(tmp_path: Path) -> None:
    build(tmp_path, "dialler_async")
    page = (tmp_path / "dialler_async.html").read_text()
    names = [name for name in dialler_async.__all__ if name != "__version__"]
    assert [name for name in names if f'<section id="{name}">' not in page] == []


def test_api_reference_of_the_public_modules_is_built_without_warnings(tmp_path: Path) -> None:
    build(tmp_path, "dialler_async", *(f"dialler_async.{part}" for part in PARTS))
    assert (tmp_path / "dialler_async" / "fleet.html").exists()
