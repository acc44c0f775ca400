"""Accepted findings: entries in the settings, what they match, when they end, and how they are written."""

import tomllib
from datetime import UTC, date, datetime
from typing import Any, Final

import attrs
import pytest
from msgspec.structs import replace

from dialler_async import ConfigurationError, Language
from dialler_async.audit import (
    Acceptance,
    AcceptanceEntry,
    AccountIdentity,
    AuditReport,
    AuditSettings,
    CampaignSummary,
    Finding,
    FleetReport,
    FleetReportBuilder,
    NotChecked,
    Severity,
    accept,
    with_states,
)
from dialler_async.audit.acceptance import entries_as_toml, require_accounts
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
        campaign_count=9,
        code_count=0,
        lookups=0,
        requests=0,
        seconds=0.0,
        started=NOW,
        now=NOW,
        **{"languages": tuple(Language), "summaries": (summary(7, "VIP [1]"), summary(8, "Other"))} | options,
    )


def summary(id: int | None, name: str, **options: Any) -> CampaignSummary:
    return CampaignSummary(
        id=id, name=name, dt_from=None, dt_to=None, codes=0, export_keys=(), texts=((Language.ENGLISH, 0),), **options
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
        ({"campaign": "Oth*"}, "it matches no finding"),
        ({"campaign": "vip*"}, "there is no such campaign any more"),
        ({"campaign": 9}, "there is no such campaign any more"),
        ({"subject": "dtTo", "kind": "x"}, "it matches no finding"),
        ({"subject": "dtTo", "language": 2}, "it matches no finding"),
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


def test_audit_of_a_part_reports_ended_entries_but_no_unused_entries_of_other_campaigns() -> None:
    part = report(scope="running", summaries=(summary(8, "Other"),))
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
        ({**ENTRY, "language": "German"}, "must be a LanguagesID"),
        ({**ENTRY, "server": 3}, "“server” of \\[\\[audit.accept\\]\\] must be a text, not 3"),
        ("expired", "must be a table"),
    ],
)
def test_invalid_entry_is_refused(table: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        AuditSettings.of({"accept": [table]})


@pytest.mark.parametrize(
    "rule", ["unreachable-codes", "invalid-record", "incomplete-list", "not-audited", "stopped-early", "rule-failed"]
)
def test_finding_about_the_run_can_not_be_accepted(rule: str) -> None:
    with pytest.raises(ConfigurationError, match=f"“{rule}” can't be accepted: it reports what was not checked"):
        AcceptanceEntry.of({"rule": rule, "campaign": "*", "reason": "x"})


class TestUnused:
    """An entry that matches nothing is reported only if all that it could match was checked."""

    def unused(self, given: AuditReport, **changed: Any) -> list[tuple[str, str]]:
        result = accepted(given, {**ENTRY, **changed})
        return [(one.rule, one.kind) for one in result.findings]

    @pytest.mark.parametrize(
        ("entry", "part"),
        [
            ({"campaign": 7}, NotChecked(reason="x", campaign_id=7, campaign_name="VIP [1]")),
            ({"campaign": "VIP*"}, NotChecked(reason="x", campaign_id=9, campaign_name="VIP 9")),
            ({"campaign": 9}, NotChecked(reason="x")),
            ({"campaign": "none"}, NotChecked(reason="x")),
            ({"campaign": "none"}, NotChecked(reason="x", campaign_name="none")),
            ({"campaign": 7}, NotChecked(reason="x", rule="expired")),
            (
                {"rule": "no-abort-code"},
                NotChecked(reason="x", campaign_id=7, campaign_name="VIP [1]", languages=(Language.GERMAN,)),
            ),
            ({"rule": "duplicate-name"}, NotChecked(reason="x", campaign_id=8, campaign_name="Other")),
            ({"campaign": None, "rule": "no-campaigns"}, NotChecked(reason="x")),
        ],
    )
    def test_entry_that_could_not_be_checked_is_not_unused(self, entry: dict[str, Any], part: NotChecked) -> None:
        assert self.unused(report(not_checked=(part,)), **entry) == []
        assert self.unused(report(), **entry) in ([("unused-acceptance", "unused")], [("unused-acceptance", "deleted")])

    def test_entry_of_a_language_that_was_not_requested_is_not_unused(self) -> None:
        english = report(languages=(Language.ENGLISH,))
        for changed, unused in (({"language": 2}, []), ({}, []), ({"language": 1}, [("unused-acceptance", "unused")])):
            assert self.unused(english, rule="missing-translation", **changed) == unused

    def test_entry_whose_campaign_was_deleted_never_fails_as_new(self) -> None:
        result = attrs.evolve(accepted(report(), {**ENTRY, "campaign": 9}, ENTRY), fails_on_new=True)
        compared = with_states(result, [], since=NOW)
        assert {one.kind: compared.fails(one) for one in compared.findings} == {"deleted": False, "unused": True}
        assert {one.severity for one in compared.findings} == {Severity.INFO}


@pytest.mark.parametrize(
    ("server", "is_accepted"),
    [
        ("acd.example.com", True),
        ("acd.example.com/rest/v1.0", True),
        ("https://acd.example.com/rest/v1.0/", True),
        ("acd.example", False),
        ("other.example.com", False),
    ],
)
def test_entry_with_a_server_accepts_findings_of_this_server_only(server: str, is_accepted: bool) -> None:
    identity = AccountIdentity("acd.example.com/rest/v1.0", 1)
    result = accepted(report(finding(), identity=identity), {**ENTRY, "account": 1, "server": server})
    assert len(result.accepted) == is_accepted
    assert [one.rule for one in result.findings] == ([] if is_accepted else ["expired"])


def test_acceptances_that_end_within_14_days_are_listed_first_to_end_first() -> None:
    days = {7: "2026-03-16", 8: "2026-03-17", 9: "2026-03-02", 10: None}
    findings = [finding(id=id) for id in days]
    entries = [{**ENTRY, "campaign": id} | ({"until": day} if day else {}) for id, day in days.items()]
    assert [one.campaign_id for one in accepted(report(*findings), *entries).ending()] == [9, 7]


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
        attrs.evolve(finding(id=11), kind="text", language=Language.GERMAN),
    ]
    others = [
        attrs.evolve(findings[-1], kind="other"),
        attrs.evolve(findings[-1], language=Language.ENGLISH),
        finding(id=7, subject="dtFrom"),
        finding(id=None, name="half an emoji ? [x]"),
    ]
    text = entries_as_toml(findings, 'a "reason"', "audit.accept")
    text.encode()
    assert all(line.isprintable() for line in text.replace("\u202e", "").splitlines())
    settings = AuditSettings.of(tomllib.loads(text)["audit"])
    assert len(settings.accept) == 5
    result = accept(report(*findings, *others), settings.accept)
    assert set(result.findings) == set(others)
    assert {one.acceptance.reason for one in result.accepted if one.acceptance} == {'a "reason"'}


def test_second_entry_for_the_same_finding_is_unused() -> None:
    second = {**ENTRY, "reason": "another", "subject": "dtTo"}
    result = accepted(report(finding()), ENTRY, second)
    assert [one.acceptance and one.acceptance.reason for one in result.accepted] == [ENTRY["reason"]]
    assert [(one.rule, one.subject) for one in result.findings] == [
        ("unused-acceptance", str(AcceptanceEntry.of(second)))
    ]


class TestFleet:
    """Accounts `north` and `south` have the same ClientsID on two servers; `east` has another."""

    IDENTITIES: Final = {
        "north": AccountIdentity("one.example.com/rest/v1.0", 1),
        "south": AccountIdentity("two.example.com/rest/v1.0", 1),
        "east": AccountIdentity("one.example.com/rest/v1.0", 2),
    }

    def fleet(self, entry: dict[str, Any]) -> FleetReport:
        """Return the report of the accounts, each of which has accepted what the entry is about."""
        entries = [AcceptanceEntry.of(entry)]
        builder = FleetReportBuilder(now=NOW, entries=entries)
        for name, identity in self.IDENTITIES.items():
            own = [replace(entry, account=None) if entry.account == name else entry for entry in entries]
            audited = accept(report(finding(), identity=identity), own)
            findings = tuple(found for found in audited.findings if found.rule != "unused-acceptance")
            builder.add(name, attrs.evolve(audited, findings=findings))
        return builder.build(started=NOW, seconds=0.0)

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
        result = self.fleet({**ENTRY, **changed})
        assert [one.account for one in result.accepted] == accounts
        left = [one.account for one in result.findings if one.rule == "expired"]
        assert left == [account for account in self.IDENTITIES if account not in accounts]
        unused = [one for one in result.findings if one.rule == "unused-acceptance"]
        assert [one.account for one in unused] == ([] if accounts else [None])

    @pytest.mark.parametrize(("changed", "number"), [({}, 3), ({"account": 1}, 2)])
    def test_entry_with_a_campaign_id_needs_one_account(self, changed: dict[str, Any], number: int) -> None:
        with pytest.raises(ConfigurationError, match=f"is about {number} accounts: give the name of one as “account”"):
            require_accounts([AcceptanceEntry.of({**ENTRY, **changed})], self.IDENTITIES)

    @pytest.mark.parametrize("account", ["north", 2])
    def test_audit_of_one_account_ignores_entries_of_other_accounts(self, account: str | int) -> None:
        result = accepted(report(finding(), identity=self.IDENTITIES["north"]), {**ENTRY, "account": account})
        assert [one.rule for one in result.findings] == ["expired"]
        assert result.accepted == ()

    def test_audit_of_one_account_uses_entries_with_its_clients_id(self) -> None:
        result = accepted(report(finding(), identity=self.IDENTITIES["north"]), {**ENTRY, "account": 1})
        assert len(result.accepted) == 1

    def test_findings_about_the_fleet_come_first(self) -> None:
        result = self.fleet({**ENTRY, "campaign": "none"})
        assert [one.account for one in result.findings] == [None, *self.IDENTITIES]
