"""The settings of an audit, and the user's own rules."""

import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from dialler_async import ConfigurationError
from dialler_async.audit import (
    RULES,
    AuditSettings,
    CampaignFacts,
    Rule,
    Severity,
    Violation,
    available_rules,
    load_rules,
    rule,
    settings,
)

ALWAYS = ["invalid-record", "unreachable-codes"]


@rule("own-rule", Severity.INFO, title="Own", why="A test.", fix="None.")
def own_rule(facts: CampaignFacts) -> Iterator[Violation]:
    yield Violation("Name", "is there")


NO_RULE = "a text"


def ids(chosen: tuple[Any, ...]) -> list[str]:
    return [rule.info.id for rule in chosen]


def test_settings_apply_all_rules_by_default() -> None:
    assert AuditSettings().choose(RULES) == RULES


def test_select_and_ignore_choose_rules() -> None:
    assert ids(AuditSettings(select=("expired",)).choose(RULES)) == [*ALWAYS, "expired"]
    assert ids(AuditSettings(select=("expired", "not-started"), ignore=("expired",)).choose(RULES)) == [
        *ALWAYS,
        "not-started",
    ]
    assert "expired" not in ids(AuditSettings(ignore=("expired",)).choose(RULES))


@pytest.mark.parametrize("where", ["select", "ignore", "by_rule"])
def test_unknown_rule_is_refused_with_a_list_of_rules(where: str) -> None:
    given: Any = {"no-such-rule": {}} if where == "by_rule" else ("no-such-rule",)
    with pytest.raises(ConfigurationError, match=r"no rule “no-such-rule”; there are invalid-record, .*not-started"):
        AuditSettings(**{where: given}).choose(RULES)


@pytest.mark.parametrize("id", [*ALWAYS, "incomplete-list", "stopped-early", "rule-failed", "not-audited"])
def test_rules_about_missing_data_are_never_ignored(id: str) -> None:
    with pytest.raises(ConfigurationError, match="can't be ignored"):
        AuditSettings(ignore=(id,)).choose(RULES)


def test_two_rules_with_the_same_id_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two rules have the ID “own-rule”"):
        AuditSettings().choose([own_rule, own_rule])


def test_severity_and_settings_of_a_rule_are_applied() -> None:
    table = {"expiring-soon": {"days": 30, "severity": "error"}, "differs-from-template": {"ignore-keys": ["X"]}}
    chosen = {rule.info.id: rule for rule in AuditSettings.of(table).choose(RULES)}
    assert chosen["expiring-soon"].settings == {"days": 30}
    assert chosen["expiring-soon"].info.severity is Severity.ERROR
    assert chosen["differs-from-template"].settings == {"ignore_keys": ["X"]}
    # The rules themselves are not changed.
    assert {rule.info.id: rule for rule in RULES}["expiring-soon"].settings == {"days": 7}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"select": "expired"}, "“select” must be a list of texts, not 'expired'"),
        ({"name": 3}, "“name” must be a text, not 3"),
        ({"name": " "}, "“name” must be a text"),
        ({"ignore": [1]}, "“ignore” must be a list of texts"),
        ({"fail-on": "bad"}, "“fail-on” must be one of error, warning, info, never, not 'bad'"),
        ({"expired": {"days": 3}}, "no setting “days” of the rule “expired”; it has severity"),
        ({"expiring-soon": {"day": 3}}, "did you mean “days”"),
        ({"expiring-soon": {"days": "3"}}, "“days” of the rule “expiring-soon” must be a number, 0 or more, not '3'"),
        ({"expiring-soon": {"days": True}}, "must be a number"),
        ({"expiring-soon": {"days": -1}}, "must be a number"),
        ({"expired": {"severity": "fatal"}}, "must be one of error, warning, info, not 'fatal'"),
        ({"unused-acceptance": {"severity": "error"}}, "“unused-acceptance” has no settings"),
        ({"differs-from-template": {"ignore-keys": "X"}}, "must be a list of texts"),
    ],
)
def test_settings_of_a_wrong_type_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        AuditSettings.of(table).choose(RULES)


def test_settings_can_have_templates_fail_on_and_accepted_findings() -> None:
    tables = [{"match": "Winback*", "campaign": "Winback Master"}, {"match": "*", "campaign": "Master"}]
    settings = AuditSettings.of({"template": tables, "fail-on": "warning"})
    assert list(settings.template.items()) == [("Winback*", "Winback Master"), ("*", "Master")]
    assert settings.fail_on == "warning"
    assert AuditSettings.of({"template": "Master"}).template == {"*": "Master"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"template": 3}, "“template” must be a name, or a list of tables"),
        ({"template": [{"match": "x"}]}, "needs the key “campaign”"),
        ({"template": [{"mach": "x"}]}, "did you mean “match”"),
        ({"template": ["x"]}, "must be a table"),
        ({"accept": {}}, "must be a list of tables"),
        ({"acept": []}, "did you mean “accept”"),
        ({"selct": ["expired"]}, "did you mean “select”"),
        ({"selct": {}}, "there is no rule “selct”; did you mean “select”"),
        ({"expird": {}}, "there is no rule “expird”; did you mean “expired”"),
        ({"ignore": ["expird"]}, "there is no rule “expird”; did you mean “expired”"),
    ],
)
def test_unknown_setting_is_refused_with_a_suggestion(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        AuditSettings.of(table).choose(RULES)


def test_rule_is_loaded_by_module_and_name() -> None:
    assert load_rules([f"{__name__}:own_rule", f"{__name__}:SEVERAL"]) == (own_rule, own_rule)


SEVERAL = [own_rule]


def test_rule_is_loaded_from_a_module_in_the_directory_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "rules_beside.py").write_text(
        "from dialler_async.audit import Violation, Severity, rule\n"
        "@rule('beside', Severity.INFO, title='t', why='w', fix='f')\n"
        "def beside(facts):\n    yield Violation('', 'x')\n"
    )
    (beside,) = load_rules(["rules_beside:beside"], tmp_path)
    assert isinstance(beside, Rule)
    assert beside.info.id == "beside"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no_such_module:x", "ModuleNotFoundError"),
        (f"{__name__}:no_such_name", "AttributeError"),
        (f"{__name__}:NO_RULE", "must be a rule, not str"),
        ("json", "must have the form module:name or file.py:name"),
        ("no_such_file.py:x", "there is no file"),
        (":x", "must have the form module:name"),
    ],
)
def test_reference_that_is_not_a_rule_is_refused(reference: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_rules([reference])


def test_installed_packages_add_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint("own", f"{__name__}:own_rule", group)]

    monkeypatch.setattr(settings, "entry_points", entry_points)
    assert available_rules() == (*RULES, own_rule)
    assert asked == ["dialler_async.audit_rules"]


def test_portal_url_with_an_id_placeholder_is_accepted() -> None:
    url = "https://portal.example.com/campaigns/{id}"
    assert AuditSettings.of({"portal_url": url}).portal_url == url
    assert AuditSettings.of({}).portal_url is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "must be a URL with {id}"),
        ("https://portal.example.com/campaigns", "must be a URL with {id}"),
        ("javascript:alert({id})", "must be a URL with {id}"),
        ("https:///{id}", "must be a URL with {id}"),
        ("https://portal.example.com/{client}/{id}", "must be a URL with {id}"),
        ("https://user:secret@portal.example.com/{id}", "must not contain a user name or password"),
    ],
)
def test_portal_url_without_id_placeholder_or_with_credentials_is_refused(value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)) as raised:
        AuditSettings.of({"portal_url": value})
    assert "secret" not in str(raised.value)
