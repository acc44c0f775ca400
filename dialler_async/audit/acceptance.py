"""Accept single findings by entries in the settings (`[[audit.accept]]`), each with a reason. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from json import dumps
from typing import Any

import attrs

from dialler_async._text.escaping import escape_unprintable
from dialler_async.errors import require

from .findings import Acceptance, Finding
from .identity import AccountIdentity
from .report import AuditReport, SortKey
from .rule import Violation
from .rules import INCOMPLETE_LIST, NOT_AUDITED, RULE_FAILED, STOPPED_EARLY, UNUSED_ACCEPTANCE
from .selection import name_matches
from .suggestions import require_known

NEVER_ACCEPTED = frozenset(info.id for info in (INCOMPLETE_LIST, NOT_AUDITED, RULE_FAILED, STOPPED_EARLY))
"""Rules whose findings can't be accepted, since they report campaigns that were not checked."""


@attrs.frozen(kw_only=True)
class AcceptanceEntry:
    """An `[[audit.accept]]` entry: which findings are accepted, and why.

    Attributes:
        rule: ID of the rule.
        account: ClientsID of the account, or its name in a fleet; None for every account.
        campaign: ID of the campaign, or a pattern of its name; None for findings about the whole account.
        subject: the subject of the finding; None for any.
        acceptance: the reason, its owner, and the last day.
        invalid_until: the text of `until` if it is not a date. Such an entry accepts nothing.
    """

    rule: str
    campaign: int | str | None
    subject: str | None
    acceptance: Acceptance
    account: int | str | None = None
    invalid_until: str | None = None

    @classmethod
    def of(cls, table: object) -> "AcceptanceEntry":
        """Return the entry of a table in the settings.

        Raises:
            ConfigurationError: a key is unknown or missing, or a value has the wrong type. An invalid
                `until` does not raise: `accept` reports it.
        """
        require(isinstance(table, Mapping), f"an entry of “accept” must be a table ([[audit.accept]]), not {table!r}")
        given: Mapping[str, Any] = dict(table) if isinstance(table, Mapping) else {}
        keys = ("rule", "account", "campaign", "subject", "reason", "owner", "until")
        for key in given:
            require_known(key, keys, "key of [[audit.accept]]")
        for key in ("rule", "reason"):
            is_text = isinstance(given.get(key), str) and bool(given[key].strip())
            require(is_text, f"an entry of [[audit.accept]] needs the key “{key}” with a text")
        for key in ("subject", "owner"):
            require(
                isinstance(given.get(key, ""), str),
                f"“{key}” of [[audit.accept]] must be a text, not {given.get(key)!r}",
            )
        for key, text in (("account", "a name in the fleet"), ("campaign", "a pattern of a name")):
            value = given.get(key)
            is_known = value is None or isinstance(value, str) or type(value) is int
            require(is_known, f"“{key}” of [[audit.accept]] must be an ID or {text}, not {value!r}")
        require(given["rule"] not in NEVER_ACCEPTED, f"“{given['rule']}” can't be accepted: something was not checked")
        until = _date(given.get("until"))
        return cls(
            rule=given["rule"],
            account=given.get("account"),
            campaign=given.get("campaign"),
            subject=given.get("subject"),
            acceptance=Acceptance(reason=given["reason"].strip(), owner=given.get("owner"), until=until),
            invalid_until=None if until is not None or "until" not in given else str(given["until"]),
        )

    def is_about(self, account: str | None, identity: AccountIdentity | None) -> bool:
        """Return whether the entry applies to an account.

        Args:
            account: its name in a fleet; None in the report of one account.
            identity: its server and ClientsID, if they are known.
        """
        if isinstance(self.account, int):
            return identity is not None and identity.clients_id == self.account
        return self.account in (None, account)

    def matches(self, finding: Finding, identity: AccountIdentity | None) -> bool:
        """Return whether the entry is about this finding of an account. `until` is not checked."""
        if finding.rule != self.rule or self.subject not in (None, finding.subject):
            return False
        if not self.is_about(finding.account, identity):
            return False
        if isinstance(self.campaign, str):
            return finding.campaign_name is not None and name_matches(finding.campaign_name, self.campaign)
        if self.campaign is None:
            return finding.campaign_name is None
        return finding.campaign_id == self.campaign

    def ended(self, today: date) -> str | None:
        """Return why the entry accepts nothing, in words; None if it is valid."""
        if self.invalid_until is not None:
            return f"its “until”, “{self.invalid_until}”, is not a date"
        last = self.acceptance.until
        return f"it ended on {last}" if last is not None and today > last else None

    def __str__(self) -> str:
        campaign = (
            f"campaign {self.campaign}" if isinstance(self.campaign, int) else f"campaigns like “{self.campaign}”"
        )
        where = "the whole account" if self.campaign is None else campaign
        account = "" if self.account is None else f", account {self.account}"
        return f"{self.rule}{account}, {where}" + (f", “{self.subject}”" if self.subject else "")


def require_accounts(entries: Iterable[AcceptanceEntry], identities: Mapping[str, AccountIdentity]) -> None:
    """Check that each entry with a campaign ID is about one account. Accounts may have campaigns with equal IDs.

    Args:
        entries: the entries of the settings.
        identities: the accounts by their names in the fleet.

    Raises:
        ConfigurationError: an entry with an ID is about several accounts.
    """
    for entry in entries:
        accounts = [name for name, identity in identities.items() if entry.is_about(name, identity)]
        several = f"the entry for {entry} is about {len(accounts):,} accounts: give the name of one as “account”"
        require(len(accounts) < 2 or not isinstance(entry.campaign, int), several)


def accept(report: AuditReport, entries: Iterable[AcceptanceEntry]) -> AuditReport:
    """Return the report with the accepted findings moved from `findings` to `accepted`.

    The rule `unused-acceptance` reports an entry whose `until` is invalid or has passed; such an entry accepts nothing.
    In an audit of the whole account, it also reports an entry that matches no finding.

    Args:
        report: the report of one account, or of several. In a report of one, entries of other accounts are ignored.
        entries: the entries of the settings. If several match a finding, the first is used.

    Raises:
        ConfigurationError: the report covers several accounts, and an entry with a campaign ID is about several.
    """
    require_accounts(entries := list(entries), report.identities)
    if not report.accounts:
        entries = [entry for entry in entries if entry.is_about(None, report.identity)]
    today = report.now.date()
    valid = [entry for entry in entries if entry.ended(today) is None]
    used: set[AcceptanceEntry] = set()
    findings: list[Finding] = []
    accepted: list[Finding] = []
    for finding in report.findings:
        identity = report.identity_of(finding)
        entry = next((entry for entry in valid if entry.matches(finding, identity)), None)
        if entry is None:
            findings.append(finding)
        else:
            used.add(entry)
            accepted.append(attrs.evolve(finding, acceptance=entry.acceptance))
    applied = {info.id for info in report.rules}
    for entry in entries:
        why = entry.ended(today)
        if why is None and entry not in used and report.scope is None and entry.rule in applied:
            why = "it matches no finding"
        if why is not None:
            violation = Violation(str(entry), f"the entry for {entry} accepts nothing: {why}")
            findings.append(UNUSED_ACCEPTANCE.finding(None, violation))
    rules = report.rules
    if UNUSED_ACCEPTANCE not in rules and any(finding.rule == UNUSED_ACCEPTANCE.id for finding in findings):
        rules = (UNUSED_ACCEPTANCE, *rules)
    changed = attrs.evolve(report, rules=rules, findings=tuple(findings), accepted=(*report.accepted, *accepted))
    return changed.sorted_by(SortKey.SEVERITY)


def entries_as_toml(findings: Sequence[Finding], reason: str, table: str, account: int | None = None) -> str:
    """Return `[[audit.accept]]` entries for these findings, as text to append to a file of settings.

    Args:
        findings: findings of one account that can be accepted.
        reason: the reason of all entries.
        table: dotted name of the array, such as `audit.accept`.
        account: ClientsID of the account, if it is known. Other accounts may have campaigns with the same IDs.
    """
    entries: dict[str, None] = {}
    for finding in findings:
        keys: dict[str, int | str] = {"rule": finding.rule} | ({} if account is None else {"account": account})
        if finding.campaign_name is not None:
            keys["campaign"] = _pattern(finding.campaign_name) if finding.campaign_id is None else finding.campaign_id
        if finding.subject:
            keys["subject"] = finding.subject
        comment = escape_unprintable(f"{finding.campaign_name or 'the whole account'}: {finding.message}")
        lines = [f"\n[[{table}]]  # {comment}", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
        entries["\n".join([*lines, f"reason = {_toml(reason)}", ""])] = None
    return "".join(entries)


def _pattern(name: str) -> str:
    """Return a pattern that matches this name."""
    # Neither TOML nor UTF-8 can hold a lone surrogate.
    return re.sub("[\ud800-\udfff]", "?", re.sub(r"([*?[])", r"[\1]", name))


def _toml(value: int | str) -> str:
    return str(value) if isinstance(value, int) else dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _date(value: object) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
