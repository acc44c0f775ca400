"""Accepted findings: entries in the settings, what they match, when they end, and how they are written."""

import tomllib
from datetime import UTC, date, datetime
from typing import Any, Final

import attrs
import pytest

from dialler_async import ConfigurationError
from dialler_async.audit import (
    Acceptance,
    AcceptanceEntry,
    AccountIdentity,
    AuditReport,
    AuditSettings,
    Finding,
    Severity,
    accept,
)
from dialler_async.audit.acceptance import entries_as_toml
from dialler_async.audit.rules import RULES

NOW = datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
ENTRY = {"rule": "expired", "campaign": 7, "reason": "kept for its statistics"}


def finding(rule: str = "expired", id: int | None = 7, name: str | None = "VIP [1]", subject: str = "dtTo") -> Finding:
    return Finding(
        rule=rule, severity=Severity.INFO, campaign_id=id, campaign_name=name, subject=subject, message="ended"
    )


def report(*findings: Finding, **options: Any) -> AuditReport:
    return AuditReport(
        findings=findings,
        rules=tuple(rule.info for rule in RULES),
        campaigns=9,
        codes=0,
        lookups=0,
        requests=0,
        seconds=0.0,
        started=NOW,
        now=NOW,
        **options,
    )


def accepted(given: AuditReport, *entries: dict[str, Any]) -> AuditReport:
    return accept(given, [AcceptanceEntry.of(entry) for entry in entries])


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"campaign": "VIP*"},
        {"campaign": "VIP [1]"},
        {"campaign": "VIP [[]1]"},
        {"subject": "dtTo"},
        {"until": date(2026, 3, 2)},
        {"until": "2026-03-02"},
        {"until": datetime(2026, 3, 2, 1, tzinfo=UTC)},
    ],
)
def test_matching_entry_moves_the_finding_to_accepted(changed: dict[str, Any]) -> None:
    result = accepted(report(finding(), finding(id=8, name="Other")), {**ENTRY, "owner": "Mia", **changed})
    assert [one.campaign_id for one in result.findings] == [8]
    (one,) = result.accepted
    until = date(2026, 3, 2) if "until" in changed else None
    assert one == attrs.evolve(
        finding(), acceptance=Acceptance(reason="kept for its statistics", owner="Mia", until=until)
    )
    assert not result.fails(one)
    assert result.by_severity()[Severity.INFO] == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"rule": "no-line-cap"}, "it matches no finding"),
        ({"campaign": 8}, "it matches no finding"),
        ({"campaign": "vip*"}, "it matches no finding"),
        ({"subject": "dtFrom"}, "it matches no finding"),
        ({"until": date(2026, 3, 1)}, "it ended on 2026-03-01"),
        ({"until": "soon"}, "its “until”, “soon”, is not a date"),
        ({"until": 20261231}, "its “until”, “20261231”, is not a date"),
    ],
)
def test_entry_that_accepts_nothing_is_a_finding(changed: dict[str, Any], why: str) -> None:
    result = accepted(report(finding()), {**ENTRY, **changed})
    assert result.accepted == ()
    unused, expired = result.findings
    assert (unused.rule, expired.rule) == ("unused-acceptance", "expired")
    assert unused.message.endswith(f"accepts nothing: {why}")
    assert result.rules[0].id == "unused-acceptance"


def test_entry_without_campaign_accepts_only_findings_about_the_whole_account() -> None:
    whole = finding("no-campaigns", None, None, "")
    entry = {"rule": "no-campaigns", "reason": "a new account"}
    assert accepted(report(whole), entry).findings == ()
    assert len(accepted(report(finding("no-campaigns")), entry).accepted) == 0


def test_audit_of_a_part_reports_ended_entries_but_no_unused_entries() -> None:
    part = report(scope="running")
    assert accepted(part, ENTRY).findings == ()
    assert len(accepted(part, {**ENTRY, "until": "2026-01-01"}).findings) == 1


def test_entry_of_a_rule_that_was_not_applied_is_not_reported() -> None:
    assert accepted(attrs.evolve(report(), rules=()), ENTRY).findings == ()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rule": "expired"}, "needs the key “reason”"),
        ({**ENTRY, "reason": "  "}, "needs the key “reason”"),
        ({**ENTRY, "campain": 3}, "no key of \\[\\[audit.accept\\]\\] “campain”; did you mean “campaign”?"),
        ({**ENTRY, "campaign": True}, "an ID or a pattern"),
        ({**ENTRY, "account": 1.5}, "an ID or a name in the fleet"),
        ({**ENTRY, "subject": 4}, "“subject” of"),
        ({**ENTRY, "rule": "stopped-early"}, "can't be accepted"),
        ("expired", "must be a table"),
    ],
)
def test_invalid_entry_is_refused(table: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        AuditSettings.of({"accept": [table]})


def test_entry_of_an_unknown_rule_is_refused() -> None:
    settings = AuditSettings.of({"accept": [{**ENTRY, "rule": "expird"}]})
    with pytest.raises(ConfigurationError, match="did you mean “expired”"):
        settings.choose(RULES)


def test_written_entries_accept_exactly_their_findings() -> None:
    findings = [
        finding(),
        finding(),
        finding(id=None, name='half an emoji \ud83c [*] "\\\n\x7f'),
        finding(id=9, name="\u202e", subject='a"\\\n\x7fü\U0001f600'),
        finding("no-campaigns", None, None, ""),
    ]
    others = [finding(id=7, subject="dtFrom"), finding(id=None, name="half an emoji ? [x]")]
    text = entries_as_toml(findings, 'a "reason"', "audit.accept")
    text.encode()
    assert all(line.isprintable() for line in text.replace("\u202e", "").splitlines())
    settings = AuditSettings.of(tomllib.loads(text)["audit"])
    assert len(settings.accept) == 4
    result = accept(report(*findings, *others), settings.accept)
    assert list(result.findings) == others
    assert {one.acceptance.reason for one in result.accepted if one.acceptance} == {'a "reason"'}


class TestFleet:
    """Accounts `north` and `south` have the same ClientsID on two servers; `east` has another."""

    IDENTITIES: Final = {
        "north": AccountIdentity("one.example.com/rest/v1.0", 1),
        "south": AccountIdentity("two.example.com/rest/v1.0", 1),
        "east": AccountIdentity("one.example.com/rest/v1.0", 2),
    }

    def fleet(self) -> AuditReport:
        findings = [attrs.evolve(finding(), account=account) for account in self.IDENTITIES]
        return report(*findings, accounts=tuple(self.IDENTITIES), identities=self.IDENTITIES)

    @pytest.mark.parametrize(
        ("changed", "accounts"),
        [
            ({"account": "south"}, ["south"]),
            ({"account": 2}, ["east"]),
            ({"account": 1, "campaign": "VIP*"}, ["north", "south"]),
            ({"campaign": "VIP*"}, ["north", "south", "east"]),
            ({"campaign": "VIP*", "account": "no"}, []),
        ],
    )
    def test_entry_accepts_findings_of_its_accounts_only(self, changed: dict[str, Any], accounts: list[str]) -> None:
        result = accepted(self.fleet(), {**ENTRY, **changed})
        assert [one.account for one in result.accepted] == accounts
        left = [one.account for one in result.findings if one.rule == "expired"]
        assert left == [account for account in self.IDENTITIES if account not in accounts]
        unused = [one for one in result.findings if one.rule == "unused-acceptance"]
        assert [one.account for one in unused] == ([] if accounts else [None])

    @pytest.mark.parametrize(("changed", "number"), [({}, 3), ({"account": 1}, 2)])
    def test_entry_with_a_campaign_id_needs_one_account(self, changed: dict[str, Any], number: int) -> None:
        with pytest.raises(ConfigurationError, match=f"is about {number} accounts: give the name of one as “account”"):
            accepted(self.fleet(), {**ENTRY, **changed})

    @pytest.mark.parametrize("account", ["north", 2])
    def test_audit_of_one_account_ignores_entries_of_other_accounts(self, account: str | int) -> None:
        result = accepted(report(finding(), identity=self.IDENTITIES["north"]), {**ENTRY, "account": account})
        assert [one.rule for one in result.findings] == ["expired"]
        assert result.accepted == ()

    def test_audit_of_one_account_uses_entries_with_its_clients_id(self) -> None:
        result = accepted(report(finding(), identity=self.IDENTITIES["north"]), {**ENTRY, "account": 1})
        assert len(result.accepted) == 1

    def test_findings_of_a_fleet_stay_ordered_by_severity_and_account(self) -> None:
        warnings = [attrs.evolve(one, severity=Severity.WARNING, rule="x") for one in self.fleet().findings]
        whole = attrs.evolve(self.fleet(), findings=(*warnings, *self.fleet().findings))
        result = accepted(whole, {**ENTRY, "campaign": "none"})
        order = [(one.severity.value, one.account) for one in result.findings]
        names = list(self.IDENTITIES)
        assert order == [*(("warning", name) for name in names), ("info", None), *(("info", name) for name in names)]
