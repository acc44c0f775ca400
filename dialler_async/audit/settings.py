"""Which rules an audit judges by, and how: settings of the user, and rules of the user's own.

In `dialler.toml`, or under `[tool.dialler.audit]` in `pyproject.toml`:

    [audit]
    select = ["expired", "expiring-soon"]       # only these; all, if left out
    ignore = ["name-within-name"]
    rules = ["my_rules:vip_has_user_data"]      # besides; `module:name` of a rule, or of several

    [audit.expiring-soon]                       # each rule by its ID
    severity = "warning"
    days = 14                                   # a setting of this rule

Installed packages add rules by the entry-point group `dialler_async.audit_rules`.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import attrs

from dialler_async._text.trusted_files import require_trusted
from dialler_async.errors import ConfigurationError, require

from .account import AccountRule
from .findings import Severity
from .rule import Rule, Setting
from .rules import ALWAYS, INCOMPLETE_LIST, NOT_AUDITED, RULES, STOPPED_EARLY, AnyRule

ENTRY_POINTS: Final = "dialler_async.audit_rules"
_TOLD_BY_THE_RUN = {INCOMPLETE_LIST.id, STOPPED_EARLY.id, NOT_AUDITED.id}
_NEVER_IGNORED = {*_TOLD_BY_THE_RUN, *(rule.info.id for rule in ALWAYS)}


@attrs.frozen(kw_only=True)
class AuditSettings:
    """What a user has settled.

    Attributes:
        select: IDs of the only rules to judge by; all, if empty.
        ignore: IDs of rules not to judge by.
        rules: rules of the user's own, as `module:name`.
        by_rule: the settings of single rules, by their IDs; `severity` is one that every rule has.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    by_rule: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "AuditSettings":
        """Settings as they stand in a file.

        Raises:
            ConfigurationError: a key that there is not, or a value of the wrong kind.
        """
        lists: dict[str, tuple[str, ...]] = {}
        by_rule: dict[str, Mapping[str, Any]] = {}
        for key, value in table.items():
            if key in ("select", "ignore", "rules"):
                require(_is_texts(value), f"“{key}” is a list of texts, not {value!r}")
                lists[key] = tuple(value)
            else:
                require(
                    isinstance(value, Mapping),
                    f"there is no setting “{key}”: there are select, ignore, rules, and a table for each rule",
                )
                by_rule[key] = value
        return cls(**lists, by_rule=by_rule)

    def choose(self, rules: Iterable[AnyRule]) -> tuple[AnyRule, ...]:
        """The rules that are to be judged by, out of these, as they are settled.

        Raises:
            ConfigurationError: two rules have the same ID, there is no rule of an ID that the settings name, or a
                rule has no such setting.
        """
        by_id: dict[str, AnyRule] = {}
        for rule in rules:
            require(rule.info.id not in by_id, f"two rules have the ID “{rule.info.id}”")
            by_id[rule.info.id] = rule
        for id in (*self.select, *self.ignore, *self.by_rule):
            known = id in by_id or id in _TOLD_BY_THE_RUN
            require(known, f"there is no rule “{id}”; there are {', '.join(by_id)}")
        for id in self.ignore:
            require(id not in _NEVER_IGNORED, f"“{id}” can't be ignored: a report would look clean where it is not")
        chosen = [
            rule
            for id, rule in by_id.items()
            if id not in self.ignore and (id in self.select or not self.select or id in _NEVER_IGNORED)
        ]
        return tuple(_settled(rule, self.by_rule.get(rule.info.id, {})) for rule in chosen)


def available_rules(references: Iterable[str] = (), directory: Path | None = None) -> tuple[AnyRule, ...]:
    """The rules of this library, those of installed packages, and further ones; arguments as for `load_rules`.

    Raises:
        ConfigurationError: one can't be loaded, or is no rule.
    """
    rules = list(RULES)
    for entry in entry_points(group=ENTRY_POINTS):
        rules += _loaded(f"{entry.name} = {entry.value}", entry.load)
    return (*rules, *load_rules(references, directory))


def load_rules(references: Iterable[str], directory: Path | None = None) -> tuple[AnyRule, ...]:
    """Rules of the user's own.

    Args:
        references: `module:name` of a rule, or of several in a list or tuple.
        directory: where modules are looked for first. Those found there count only if nobody but the user and root
            can write them.
    Raises:
        ConfigurationError: one can't be loaded, is no rule, or may have been written by another user.
    """
    rules: list[AnyRule] = []
    for reference in references:
        rules += _loaded(reference, lambda reference=reference: _imported(reference, directory))
    return tuple(rules)


def _imported(reference: str, directory: Path | None) -> object:
    module, _, name = reference.partition(":")
    require(bool(module and name), "it is not like module:name")
    top_level = module.partition(".")[0]
    if directory is None or PathFinder.find_spec(top_level, [str(directory)]) is None:
        found: object = import_module(module)
    else:
        found = _imported_from(directory, module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _imported_from(directory: Path, module: str) -> object:
    """Import a module from a directory, with whatever it imports from there; all of it must be trusted."""
    before = list(sys.path)
    finder = _TrustedOnly(directory)
    sys.path.insert(0, str(directory))
    sys.meta_path.insert(0, finder)
    try:
        return import_module(module)
    finally:
        sys.meta_path.remove(finder)
        sys.path[:] = before


class _TrustedOnly(MetaPathFinder):
    """Finds nothing itself, and refuses a module in the directory that another user may have written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ConfigurationError for such a module, and leave others to the usual finders."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None and spec.has_location:
            file = Path(spec.origin)
            if file.absolute().is_relative_to(self._directory) or file.resolve().is_relative_to(self._directory):
                require_trusted(file)
                # Bytecode is run in place of the source if it has the time and size of the source in it.
                if spec.cached is not None and Path(spec.cached).exists():
                    require_trusted(Path(spec.cached))
        return None


def _loaded(reference: str, load: Any) -> Sequence[AnyRule]:
    try:
        found = load()
    except Exception as error:
        # Whatever it is: the module is the user's.
        raise ConfigurationError(f"can't load rules from “{reference}”: {type(error).__name__}: {error}") from error
    several = found if isinstance(found, list | tuple) else (found,)
    for rule in several:
        require(isinstance(rule, Rule | AccountRule), f"“{reference}” is no rule, but {type(rule).__name__}")
    return several


def _settled(rule: AnyRule, table: Mapping[str, Any]) -> AnyRule:
    settings = dict(rule.settings)
    info = rule.info
    for key, value in table.items():
        name = key.replace("-", "_")
        where = f"the setting “{key}” of the rule “{info.id}”"
        if key == "severity":
            allowed = [severity.value for severity in Severity]
            require(value in allowed, f"{where} is one of {', '.join(allowed)}, not {value!r}")
            info = attrs.evolve(info, severity=Severity(value))
            continue
        has = ", ".join(["severity", *(other.replace("_", "-") for other in settings)])
        require(name in settings, f"there is no setting “{key}” of the rule “{info.id}”; it has {has}")
        kind, fits = _kind(settings[name], value)
        require(fits, f"{where} is {kind}, not {value!r}")
        settings[name] = value
    return attrs.evolve(rule, info=info, settings=settings)


def _kind(default: Setting, value: object) -> tuple[str, bool]:
    match default:
        case int():
            return "a number, 0 or more", type(value) is int and value >= 0
        case str():
            return "a text", isinstance(value, str)
        case _:
            return "a list of texts", _is_texts(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
