"""The settings of an audit: the rules to apply, the accepted findings, and the user's own rules.

The guide, `dialler_async/audit/README.md`, has an example of `dialler.toml`. Installed packages add rules by the
entry-point group `dialler_async.audit_rules`.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from re import findall
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import attrs
import msgspec
from msgspec import Meta, Struct, field

from .._text.toml_tables import read_table, require_known
from .._text.trusted_modules import import_trusted
from ..errors import ConfigurationError, require
from .acceptance import AcceptanceEntry
from .account import AccountRule
from .findings import Severity
from .rule import Rule
from .rules import ALWAYS, RULES, RUN_RULES, AnyRule

ENTRY_POINTS: Final = "dialler_async.audit_rules"
_BY_THE_RUN: Final = {info.id for info in RUN_RULES}
_NEVER_IGNORED: Final = {*_BY_THE_RUN, *(rule.info.id for rule in ALWAYS)}
_Texts = Annotated[tuple[str, ...], Meta(description="a list of texts")]


class _Table(Struct):
    """The settings as in the file, except those of single rules."""

    name: Annotated[str, Meta(pattern=r"\S", description="a text")] = ""
    select: _Texts = ()
    ignore: _Texts = ()
    rules: _Texts = ()
    template: Annotated[str | list[Any], Meta(description="a name, or a list of tables ([[audit.template]])")] = []
    fail_on: Annotated[
        Literal["error", "warning", "info", "never"] | None, Meta(description="one of error, warning, info, never")
    ] = field(default=None, name="fail-on")
    portal_url: Annotated[Any, Meta(description="a URL")] = None
    accept: Annotated[list[Any], Meta(description="a list of tables ([[audit.accept]])")] = []


class _Template(Struct):
    """An `[[audit.template]]` entry."""

    match: Annotated[str, Meta(description="a text")]
    campaign: Annotated[str, Meta(description="a text")]


KEYS: Final = _Table.__struct_encode_fields__
"""The keys of the table. Other keys are IDs of rules."""


@attrs.frozen(kw_only=True)
class AuditSettings:
    """The settings of a user.

    Attributes:
        name: the name of the account in reports; None without one.
        select: IDs of the rules to apply; empty for all rules.
        ignore: IDs of rules not to apply.
        rules: the user's own rules, as `module:name` or `file.py:name`.
        by_rule: the settings of single rules, by their IDs; every rule has `severity`.
        template: maps patterns to exact names of templates. A campaign is compared with the template of its pattern.
        fail_on: findings of this severity or a higher one fail; None if the file does not set it.
        portal_url: see `AuditReport.portal_url`.
        accept: which findings are accepted.
    """

    name: str | None = None
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
        given = read_table({key: value for key, value in table.items() if key in KEYS}, _Table)
        by_rule = {key: value for key, value in table.items() if key not in KEYS}
        for key, value in by_rule.items():
            if not isinstance(value, Mapping):
                require_known(key, KEYS, "setting", listing="valid keys are the rule IDs, and")
        fail_on = given.fail_on
        return cls(
            name=given.name or None,
            select=given.select,
            ignore=given.ignore,
            rules=given.rules,
            by_rule=by_rule,
            template=_templates(given.template),
            fail_on=fail_on if fail_on is None or fail_on == "never" else Severity(fail_on),
            portal_url=None if given.portal_url is None else _portal_url(given.portal_url),
            accept=tuple(map(AcceptanceEntry.of, given.accept)),
        )

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
            require(id not in _NEVER_IGNORED, f"“{id}” can't be ignored, because it reports data that was not checked")
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


def _templates(value: str | list[Any]) -> dict[str, str]:
    if isinstance(value, str):
        return {"*": value}
    templates: dict[str, str] = {}
    for table in value:
        entry = read_table(table, _Template, "[[audit.template]]")
        templates.setdefault(entry.match, entry.campaign)
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
        references: `module:name` or `file.py:name` of a rule, or of several in a list or tuple.
        directory: where files and modules are looked for first. Files, and modules found there, are used only if nobody
            but the user and root can write them.
    Raises:
        ConfigurationError: a reference can't be loaded, is not a rule, or another user may have written its file.
    """
    rules: list[AnyRule] = []
    for reference in references:
        rules += _loaded(reference, lambda reference=reference: import_trusted(reference, directory))
    return tuple(rules)


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
        known = ["severity", *(other.replace("_", "-") for other in settings)]
        require_known(name.replace("_", "-"), known, "setting", f" of the rule “{info.id}”", "it has")
        # `severity` has the type of its default, an enum; see `_TYPES`.
        default = info.severity if name == "severity" else settings[name]
        kind, words = next((kind, words) for of, kind, words in _TYPES if isinstance(default, of))
        try:
            converted = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            message = f"the setting “{key}” of the rule “{info.id}” must be {words}, not {value!r}"
            raise ConfigurationError(message) from None
        if name == "severity":
            info = attrs.evolve(info, severity=converted)
        else:
            settings[name] = value
    return attrs.evolve(rule, info=info, settings=settings)


_TYPES: Final[tuple[tuple[type, Any, str], ...]] = (
    (Severity, Severity, f"one of {', '.join(Severity)}"),
    (int, Annotated[int, Meta(ge=0)], "a number, 0 or more"),
    (str, str, "a text"),
    (Sequence, list[str], "a list of texts"),
)
"""The type of a rule's setting, by the type of its default, and in words."""
