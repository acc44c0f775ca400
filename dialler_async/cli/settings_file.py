"""The settings file of audits: `dialler.toml`, or `pyproject.toml` with `[tool.dialler.audit]`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from os.path import lexists
from pathlib import Path
from typing import Any

from .. import ConfigurationError
from .._text.toml_files import read_toml
from .._text.toml_tables import require_known
from .._text.trusted_files import require_trusted
from ..audit.settings import KEYS
from .exits import UsageError

_FILES = ("dialler.toml", "pyproject.toml")
_TOOL = "dialler"


def read_settings(config: Path | None) -> tuple[Path | None, Mapping[str, Any]]:
    """Return the file with the settings, and the table in it; None and an empty table if there is no file.

    Args:
        config: the file; None for the nearest file with settings, in the current directory or above it.
    Raises:
        ConfigurationError: the file can't be read, is not TOML, or may have been written by another user.
        UsageError: the file has no settings for audits, or they are in the wrong table.
    """
    if config is not None:
        table = _read(config)
        if table is None:
            where = f"tool.{_TOOL}.audit" if config.name == "pyproject.toml" else "audit"
            raise UsageError(f"{config} has no settings for audits: it needs the table [{where}]")
        return config, table
    here = working_directory()
    for directory in (here, *here.parents):
        for name in _FILES:
            path = directory / name
            # Not `is_file`: a link that leads nowhere, or a directory, is a mistake to report.
            table = _read(path) if lexists(path) else None
            if table is not None or (name == _FILES[0] and lexists(path)):
                return path, table or {}
    return None, {}


@contextmanager
def errors_about(path: Path | None) -> Iterator[None]:
    """Name the file in errors about its settings."""
    try:
        yield
    except ConfigurationError as error:
        raise UsageError(str(error) if path is None else f"{path}: {error}") from None


def working_directory() -> Path:
    """Return the working directory.

    Raises:
        UsageError: it was deleted.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"can't read the working directory: {error.strerror}; change to another one") from None


def _read(path: Path) -> Mapping[str, Any] | None:
    """Return the table with the settings for audits; None if the file has none."""
    document, status = read_toml(path)
    is_pyproject = path.name == "pyproject.toml"
    if is_pyproject and not _mentions_dialler(document):
        # A pyproject.toml without our settings need not be trusted: another project may own it.
        return None
    if document:
        require_trusted(path, status)
    with errors_about(path):
        return _table_of_pyproject(document) if is_pyproject else _table_of_dialler_toml(document)


def _mentions_dialler(document: Mapping[str, Any]) -> bool:
    tools = document.get("tool", {})
    return isinstance(tools, Mapping) and bool(get_close_matches(_TOOL, tools, n=1, cutoff=0.9))


def _table_of_dialler_toml(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the table [audit] of a dialler.toml, which contains nothing else; None if there is no such table."""
    for key in document:
        if key in KEYS:
            raise ConfigurationError(f"“{key}” belongs under [audit]")
        if key == "tool":
            raise ConfigurationError("the table is [audit] in this file; [tool.dialler.audit] is for pyproject.toml")
        require_known(key, ("audit",), "table")
    return _mapping(document["audit"], "audit") if "audit" in document else None


def _table_of_pyproject(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the table [tool.dialler.audit] of a pyproject.toml; None if there is no such table."""
    tools = document["tool"]
    if _TOOL not in tools:
        (close,) = get_close_matches(_TOOL, tools, n=1)
        raise ConfigurationError(f"there is no tool “{close}”; did you mean [tool.{_TOOL}.audit]?")
    for key in _mapping(tools[_TOOL], _TOOL):
        if key in KEYS:
            raise ConfigurationError(f"“{key}” belongs under [tool.{_TOOL}.audit]")
        require_known(key, ("audit",), f"table under [tool.{_TOOL}]")
    return _mapping(tools[_TOOL]["audit"], "audit") if "audit" in tools[_TOOL] else None


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"“{name}” must be a table, not {value!r}")
    return value
