"""What an audit judges by: the options, and the file with the settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Group, Parameter
from rich.table import Table

from dialler_async import ConfigurationError
from dialler_async._text.toml_files import read_toml
from dialler_async._text.trusted_files import require_trusted
from dialler_async.audit import AnyRule, AuditSettings, available_rules, load_rules

from .exits import UsageError
from .options import Flag
from .output import Console, text

_Many = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
_FILES = {"dialler.toml": ("audit",), "pyproject.toml": ("tool", "dialler", "audit")}


@Parameter(name="*", group=Group("Rules", sort_key=0))
@attrs.frozen(kw_only=True)
class RuleOptions:
    """The options about rules.

    Parameters
    ----------
    select
        ID of a rule: judge by this one only. Repeat it for several.
    ignore
        ID of a rule not to judge by. Repeat it for several.
    rules
        module:name of a rule of your own, or of several. Repeat it for more.
    config
        File with settings; otherwise the nearest dialler.toml, or pyproject.toml with [tool.dialler.audit], from the
        current directory upwards.
    list_rules
        Show the rules, why they are there and what to do, and stop.
    """

    select: _Many = ()
    ignore: _Many = ()
    rules: _Many = ()
    config: Path | None = None
    list_rules: Flag = False

    def chosen(self) -> tuple[AnyRule, ...]:
        """The rules to judge by. What is given on the command line goes before the file.

        Raises:
            UsageError: the file can't be read, or it or an option is wrong.
        """
        settled, directory = self._settled()
        # A module named in a file stands beside it; one named here, where the command is called.
        own = available_rules(settled.rules, directory)
        return settled.choose((*own, *load_rules(self.rules, Path.cwd())))

    def for_workers(self) -> tuple[AuditSettings, Path]:
        """The same as settings that others can be told, and where this process looks for the modules named in them.

        Raises:
            UsageError: the file can't be read, or it is wrong.
        """
        settled, directory = self._settled()
        return attrs.evolve(settled, rules=(*settled.rules, *self.rules)), directory or Path.cwd()

    def _settled(self) -> tuple[AuditSettings, Path | None]:
        path, table = _found() if self.config is None else (self.config, _read(self.config))
        try:
            settled = AuditSettings.of(table)
        except ConfigurationError as error:
            raise UsageError(f"{path}: {error}") from None
        if self.select:
            # A list in the file is a default; what is ignored there stays so.
            settled = attrs.evolve(settled, select=self.select)
        return attrs.evolve(settled, ignore=(*settled.ignore, *self.ignore)), path and path.parent


ALL_RULES = RuleOptions()
"""No option given: settings come from a file, if there is one."""


def print_rules(rules: tuple[AnyRule, ...]) -> None:
    """Print what each rule finds, why, and what to do."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for rule in rules:
        info = rule.info
        table.add_row(text(info.id, "bold"), text(info.severity.value), text(info.title))
        table.add_row("", "", text(f"{info.why} {info.fix}", "dim"))
    Console().print(table)


def _found() -> tuple[Path | None, Mapping[str, Any]]:
    """The nearest file that has settings of ours."""
    for directory in (Path.cwd(), *Path.cwd().parents):
        for name in _FILES:
            path = directory / name
            table = _read(path) if path.is_file() else {}
            if table:
                return path, table
    return None, {}


def _read(path: Path) -> Mapping[str, Any]:
    table: Mapping[str, Any]
    table, status = read_toml(path)
    for key in _FILES.get(path.name, ("audit",)):
        table = table.get(key, {})
        if not isinstance(table, Mapping):
            raise UsageError(f"{path}: “{key}” is a table, not {table!r}")
    if table:
        # A pyproject.toml without settings for this command may belong to anybody.
        require_trusted(path, status)
    return table
