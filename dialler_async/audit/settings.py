"""The settings of an audit: the rules to apply, the accepted findings, and the user's own rules.

In `dialler.toml`, or under `[tool.dialler.audit]` in `pyproject.toml`:

    [audit]
    select = ["expired", "expiring-soon"]       # only these rules; all by default
    ignore = ["name-within-name"]
    rules = ["my_rules:vip_has_user_data"]      # more rules: `module:name` of a rule, or of several
    template = "Master"                         # the campaign that the others are compared with
    fail-on = "error"
    portal_url = "https://portal.example.com/campaigns/{id}"    # reports link to it; {clients_id} is the account

    [audit.expiring-soon]                       # each rule by its ID
    severity = "error"
    days = 14                                   # a setting of this rule

    [[audit.template]]                          # or several templates, by patterns of names
    match = "Winback*"
    campaign = "Winback Master"

    [[audit.accept]]
    rule = "expired"
    account = 7                                 # its ClientsID, or its name in a fleet; left out for every account
    campaign = 535                              # or a pattern of its name; left out for the whole account
    subject = "dtTo"                            # left out for any
    reason = "kept for its statistics"
    owner = "Mia"
    until = 2026-12-31

Installed packages add rules by the entry-point group `dialler_async.audit_rules`.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from re import findall
from types import ModuleType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from dialler_async._text.trusted_files import require_trusted
from dialler_async.errors import ConfigurationError, require

from .acceptance import AcceptanceEntry
from .account import AccountRule
from .findings import Severity
from .rule import Rule, Setting
from .rules import ALWAYS, RULES, RUN_RULES, AnyRule
from .suggestions import require_known

ENTRY_POINTS: Final = "dialler_async.audit_rules"
_BY_THE_RUN: Final = {info.id for info in RUN_RULES}
_NEVER_IGNORED: Final = {*_BY_THE_RUN, *(rule.info.id for rule in ALWAYS)}
_LISTS: Final = ("select", "ignore", "rules")
KEYS: Final = (*_LISTS, "template", "fail-on", "portal_url", "accept")
"""The keys of the table. Other keys are IDs of rules."""


@attrs.frozen(kw_only=True)
class AuditSettings:
    """The settings of a user.

    Attributes:
        select: IDs of the rules to apply; empty for all rules.
        ignore: IDs of rules not to apply.
        rules: the user's own rules, as `module:name`.
        by_rule: the settings of single rules, by their IDs; every rule has `severity`.
        template: maps patterns to exact names of templates. A campaign is compared with the template of its pattern.
        fail_on: findings of this severity or a higher one fail; None if the file does not set it.
        portal_url: see `AuditReport.portal_url`.
        accept: which findings are accepted.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    by_rule: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    template: Mapping[str, str] = attrs.field(factory=dict)
    fail_on: Severity | Literal["never"] | None = None
    portal_url: str | None = None
    accept: tuple[AcceptanceEntry, ...] = ()

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "AuditSettings":
        """Return the settings of a table in a file.

        Raises:
            ConfigurationError: a key is unknown, or a value has the wrong type.
        """
        settings: dict[str, Any] = {"by_rule": {}}
        for key, value in table.items():
            if key in _LISTS:
                require(_is_texts(value), f"“{key}” must be a list of texts, not {value!r}")
                settings[key] = tuple(value)
            elif key == "template":
                settings[key] = _templates(value)
            elif key == "fail-on":
                allowed = [*(severity.value for severity in Severity), "never"]
                require(value in allowed, f"“{key}” must be one of {', '.join(allowed)}, not {value!r}")
                settings["fail_on"] = value if value == "never" else Severity(value)
            elif key == "portal_url":
                settings[key] = _portal_url(value)
            elif key == "accept":
                require(isinstance(value, list), f"“{key}” must be a list of tables ([[audit.accept]]), not {value!r}")
                settings[key] = tuple(map(AcceptanceEntry.of, value))
            else:
                if not isinstance(value, Mapping):
                    require_known(key, KEYS, "setting", listing="valid keys are the rule IDs, and")
                settings["by_rule"][key] = value
        return cls(**settings)

    def choose(self, rules: Iterable[AnyRule]) -> tuple[AnyRule, ...]:
        """Return the rules to apply, out of these, with their settings.

        Raises:
            ConfigurationError: two rules have the same ID, the settings name an unknown rule, or a rule has no such
                setting.
        """
        by_id: dict[str, AnyRule] = {}
        for rule in rules:
            require(rule.info.id not in by_id, f"two rules have the ID “{rule.info.id}”")
            by_id[rule.info.id] = rule
        for id in _BY_THE_RUN.intersection(self.by_rule):
            require(False, f"“{id}” has no settings")
        for id in (*self.select, *self.ignore, *self.by_rule, *(entry.rule for entry in self.accept)):
            if id not in _BY_THE_RUN:
                require_known(id, [*by_id, *(KEYS if id in self.by_rule else ())], "rule")
        for id in self.ignore:
            require(id not in _NEVER_IGNORED, f"“{id}” can't be ignored, since it reports data that was not checked")
        chosen = [
            rule
            for id, rule in by_id.items()
            if id not in self.ignore and (id in self.select or not self.select or id in _NEVER_IGNORED)
        ]
        return tuple(_with_settings(rule, self.by_rule.get(rule.info.id, {})) for rule in chosen)


def _portal_url(value: object) -> str:
    example = "such as https://portal.example.com/campaigns/{id}"
    valid = isinstance(value, str) and "{id}" in value and {*findall(r"{(\w*)}", value)} <= {"id", "clients_id"}
    parts = urlsplit(value) if valid and isinstance(value, str) else None
    valid = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    require(valid, f"“portal_url” must be a URL with {{id}} for the campaign's ID, {example}")
    # Reports show the URL.
    require(parts is not None and "@" not in parts.netloc, "“portal_url” must not contain a user name or password")
    return str(value)


def _templates(value: object) -> dict[str, str]:
    if isinstance(value, str):
        return {"*": value}
    require(
        isinstance(value, list), f"“template” must be a name, or a list of tables ([[audit.template]]), not {value!r}"
    )
    templates: dict[str, str] = {}
    for table in value if isinstance(value, list) else ():
        require(
            isinstance(table, Mapping), f"an entry of “template” must be a table ([[audit.template]]), not {table!r}"
        )
        for key in table:
            require_known(key, ("match", "campaign"), "key of [[audit.template]]")
        for key in ("match", "campaign"):
            is_text = isinstance(table.get(key), str)
            require(is_text, f"an entry of [[audit.template]] needs the key “{key}” with a text")
        templates.setdefault(table["match"], table["campaign"])
    return templates


def available_rules(references: Iterable[str] = (), directory: Path | None = None) -> tuple[AnyRule, ...]:
    """Return the rules of this library, of installed packages, and of the user; arguments as for `load_rules`.

    Raises:
        ConfigurationError: a reference can't be loaded, or is not a rule.
    """
    rules = list(RULES)
    for entry in entry_points(group=ENTRY_POINTS):
        rules += _loaded(f"{entry.name} = {entry.value}", entry.load)
    return (*rules, *load_rules(references, directory))


def load_rules(references: Iterable[str], directory: Path | None = None) -> tuple[AnyRule, ...]:
    """Return the user's own rules.

    Args:
        references: `module:name` of a rule, or of several in a list or tuple.
        directory: where modules are looked for first. Modules found there are used only if nobody but the user and
            root can write them.
    Raises:
        ConfigurationError: a reference can't be loaded, is not a rule, or another user may have written its file.
    """
    rules: list[AnyRule] = []
    for reference in references:
        rules += _loaded(reference, lambda reference=reference: _imported(reference, directory))
    return tuple(rules)


def _imported(reference: str, directory: Path | None) -> object:
    module, _, name = reference.partition(":")
    require(bool(module and name), "it must have the form module:name")
    top_level = module.partition(".")[0]
    if directory is None or PathFinder.find_spec(top_level, [str(directory)]) is None:
        found: object = import_module(module)
    else:
        found = _imported_from(directory, module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _imported_from(directory: Path, module: str) -> object:
    """Import a module from a directory, with the modules that it imports from there; all must be trusted."""
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
                require_trusted(file)
                # Python runs cached bytecode instead of the source, so the bytecode must be trusted, too.
                if spec.cached is not None and Path(spec.cached).exists():
                    require_trusted(Path(spec.cached))
        return None


def _loaded(reference: str, load: Any) -> Sequence[AnyRule]:
    try:
        found = load()
    except Exception as error:
        # Users write the module, so it may raise anything.
        raise ConfigurationError(f"can't load rules from “{reference}”: {type(error).__name__}: {error}") from error
    several = found if isinstance(found, list | tuple) else (found,)
    for rule in several:
        require(isinstance(rule, Rule | AccountRule), f"“{reference}” must be a rule, not {type(rule).__name__}")
    return several


def _with_settings(rule: AnyRule, table: Mapping[str, Any]) -> AnyRule:
    settings = dict(rule.settings)
    info = rule.info
    for key, value in table.items():
        name = key.replace("-", "_")
        where = f"the setting “{key}” of the rule “{info.id}”"
        if key == "severity":
            allowed = [severity.value for severity in Severity]
            require(value in allowed, f"{where} must be one of {', '.join(allowed)}, not {value!r}")
            info = attrs.evolve(info, severity=Severity(value))
            continue
        known = ["severity", *(other.replace("_", "-") for other in settings)]
        require_known(name.replace("_", "-"), known, "setting", f" of the rule “{info.id}”", "it has")
        kind, fits = _kind(settings[name], value)
        require(fits, f"{where} must be {kind}, not {value!r}")
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
