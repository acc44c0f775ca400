"""The rules and settings of an audit: the options, and the file with the settings."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Group, Parameter
from rich.table import Table

from dialler_async import ConfigurationError
from dialler_async._text.toml_files import read_toml
from dialler_async._text.trusted_files import require_trusted
from dialler_async.audit import AnyRule, AuditSettings, available_rules, load_rules
from dialler_async.audit.settings import KEYS
from dialler_async.audit.suggestions import require_known

from .exits import UsageError
from .options import Flag
from .output import Console, text

_Many = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
_FILES = ("dialler.toml", "pyproject.toml")
_TOOL = "dialler"


@attrs.frozen(kw_only=True)
class LoadedSettings:
    """The settings of the file and the command line together.

    Attributes:
        settings: the merged settings. The command line overrides the file.
        rules: the rules to apply.
        available: all rules, with the settings of the user.
        file: the file; None if there is none.
    """

    settings: AuditSettings
    rules: tuple[AnyRule, ...]
    available: tuple[AnyRule, ...]
    file: Path | None


@Parameter(name="*", group=Group("Rules", sort_key=0))
@attrs.frozen(kw_only=True)
class RuleOptions:
    """The options about rules.

    Attributes:
        select: ID of a rule to apply. Other rules are skipped. Separate several IDs by commas, or repeat the option.
        ignore: ID of a rule not to apply. Separate several IDs by commas, or repeat the option.
        rules: module:name of your own rule, or of a list of rules. Can be given several times.
        config: File with the settings. Default: the nearest dialler.toml, or pyproject.toml with [tool.dialler.audit],
            in the current directory or above it.
        list_rules: Show each rule with its reason and fix, and exit.
    """

    select: _Many = ()
    ignore: _Many = ()
    rules: _Many = ()
    config: Path | None = None
    list_rules: Flag = False

    def load(self) -> LoadedSettings:
        """Return the settings and the rules.

        Raises:
            UsageError: the file can't be read or is invalid, or an option is wrong.
        """
        path, table = _found() if self.config is None else (self.config, _read(self.config))
        with _naming(path):
            settings = AuditSettings.of(table)
            # Modules in the settings file are imported from the directory of the file.
            available = available_rules(settings.rules, path and path.parent)
        # Modules in --rules are imported from the current directory.
        available = (*available, *load_rules(self.rules, working_directory()))
        with _naming(path):
            everything = attrs.evolve(settings, select=(), ignore=()).choose(available)
            settings.choose(available)
        # A `select` in the file is a default; rules that the file ignores stay ignored.
        select, ignore = _split(self.select) or settings.select, (*settings.ignore, *_split(self.ignore))
        settings = attrs.evolve(settings, select=select, ignore=ignore)
        return LoadedSettings(settings=settings, rules=settings.choose(available), available=everything, file=path)

    def chosen(self) -> tuple[AnyRule, ...]:
        """Return the rules to apply.

        Raises:
            UsageError: the file can't be read or is invalid, or an option is wrong.
        """
        return self.load().rules

    def for_workers(self) -> tuple[AuditSettings, Path]:
        """Return settings that name all rules, and the directory from which this process imports their modules.

        Raises:
            UsageError: the file can't be read or is invalid, or an option is wrong.
        """
        loaded = self.load()
        settings = attrs.evolve(loaded.settings, rules=(*loaded.settings.rules, *self.rules))
        return settings, working_directory() if loaded.file is None else loaded.file.parent


ALL_RULES = RuleOptions()
"""No option given: settings come from a file, if there is one."""


def print_rules(rules: tuple[AnyRule, ...]) -> None:
    """Print the title, the reason and the fix of each rule."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for rule in rules:
        info = rule.info
        table.add_row(text(info.id, "bold"), text(info.severity.value), text(info.title))
        table.add_row("", "", text(f"{info.why} {info.fix}", "dim"))
    Console().print(table)


def _split(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


@contextmanager
def _naming(path: Path | None) -> Iterator[None]:
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


def _found() -> tuple[Path | None, Mapping[str, Any]]:
    """Return the nearest file with settings for audits."""
    current = working_directory()
    for directory in (current, *current.parents):
        for name in _FILES:
            path = directory / name
            table = _read(path) if path.is_file() else {}
            if table:
                return path, table
    return None, {}


def _read(path: Path) -> Mapping[str, Any]:
    document, status = read_toml(path)
    is_pyproject = path.name == "pyproject.toml"
    if is_pyproject and not _mentions_dialler(document):
        # A pyproject.toml without our settings need not be trusted: another project may own it.
        return {}
    if document:
        require_trusted(path, status)
    with _naming(path):
        return _table_of_pyproject(document) if is_pyproject else _table_of_dialler_toml(document)


def _mentions_dialler(document: Mapping[str, Any]) -> bool:
    tools = document.get("tool", {})
    return isinstance(tools, Mapping) and bool(get_close_matches(_TOOL, tools, n=1, cutoff=0.9))


def _table_of_dialler_toml(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table [audit] of a dialler.toml, which contains nothing else."""
    for key in document:
        if key in KEYS:
            raise ConfigurationError(f"“{key}” belongs under [audit]")
        if key == "tool":
            raise ConfigurationError("the table is [audit] in this file; [tool.dialler.audit] is for pyproject.toml")
        require_known(key, ("audit",), "table")
    return _mapping(document.get("audit", {}), "audit")


def _table_of_pyproject(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table [tool.dialler.audit] of a pyproject.toml."""
    tools = document["tool"]
    if _TOOL not in tools:
        (close,) = get_close_matches(_TOOL, tools, n=1)
        raise ConfigurationError(f"there is no tool “{close}”; did you mean [tool.{_TOOL}.audit]?")
    for key in _mapping(tools[_TOOL], _TOOL):
        if key in KEYS:
            raise ConfigurationError(f"“{key}” belongs under [tool.{_TOOL}.audit]")
        require_known(key, ("audit",), f"table under [tool.{_TOOL}]")
    return _mapping(tools[_TOOL].get("audit", {}), "audit")


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"“{name}” must be a table, not {value!r}")
    return value
