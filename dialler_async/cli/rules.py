"""The options about the rules and settings of an audit."""

from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Group, Parameter
from rich.table import Table

from ..audit import AnyRule, AuditSettings, available_rules, load_rules
from .options import Flag
from .output import Console, text
from .settings_file import errors_about, read_settings, working_directory

_Many = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]


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
        rules: module:name or file.py:name of your own rule, or of a list of rules. Can be given several times.
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
        path, table = read_settings(self.config)
        with errors_about(path):
            settings = AuditSettings.of(table)
            # Modules in the settings file are imported from the directory of the file.
            available = available_rules(settings.rules, path and path.parent)
        # Modules in --rules are imported from the current directory.
        available = (*available, *load_rules(self.rules, working_directory()))
        with errors_about(path):
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
