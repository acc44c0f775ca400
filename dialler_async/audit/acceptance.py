"""Accept single findings by entries in the settings (`[[audit.accept]]`), each with a reason. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from json import dumps
from typing import Annotated, Any

import attrs
from msgspec import Meta, Struct

from .._text.escaping import escape_unprintable
from .._text.toml_tables import read_table
from ..errors import require
from ..models import Language
from .coverage import Coverage
from .findings import Acceptance, Basis, Finding, Severity
from .identity import AccountIdentity
from .report import AuditReport, SortKey
from .rule import Violation
from .rules import (
    ALWAYS,
    DELETED,
    INCOMPLETE_LIST,
    NOT_AUDITED,
    RULE_FAILED,
    STOPPED_EARLY,
    UNUSED_ACCEPTANCE,
)
from .rules.words import language_name
from .selection import name_matches

NEVER_ACCEPTED = frozenset(
    info.id for info in (INCOMPLETE_LIST, NOT_AUDITED, RULE_FAILED, STOPPED_EARLY, *(rule.info for rule in ALWAYS))
)
"""Rules whose findings can't be accepted, because they report what was not checked."""

_Text = Annotated[str, Meta(pattern=r"\S", description="a text")]
_OptionalText = Annotated[str | None, Meta(description="a text")]


class AcceptanceEntry(Struct, frozen=True, kw_only=True):
    """An `[[audit.accept]]` entry: which findings are accepted, and why.

    Attributes:
        rule: ID of the rule.
        reason: the reason, in the words of a user.
        server: the server of the account, such as `acd.example.com`; None for every server.
        account: ClientsID of the account, or its name in a fleet; None for every account.
        campaign: ID of the campaign, or a pattern of its name; None for findings about the whole account.
        subject: the subject of the finding; None for any.
        kind: the kind of the finding; None for any.
        language: LanguagesID of the finding; None for any.
        owner: the person who is responsible for it.
        until: the last day. An entry with anything but a date accepts nothing.
    """

    rule: _Text
    reason: _Text
    server: _OptionalText = None
    account: Annotated[int | str | None, Meta(description="an ID or a name in the fleet")] = None
    campaign: Annotated[int | str | None, Meta(description="an ID or a pattern of a name")] = None
    subject: _OptionalText = None
    kind: _OptionalText = None
    language: Annotated[int | None, Meta(description="a LanguagesID")] = None
    owner: _OptionalText = None
    until: Annotated[Any, Meta(description="a date")] = None

    @classmethod
    def of(cls, table: object) -> "AcceptanceEntry":
        """Return the entry of a table in the settings.

        Raises:
            ConfigurationError: a key is unknown or missing, a value has the wrong type, or the rule reports what was
                not checked. An invalid `until` does not raise: `accept` reports it.
        """
        entry = read_table(table, cls, "[[audit.accept]]")
        require(entry.rule not in NEVER_ACCEPTED, f"“{entry.rule}” can't be accepted: it reports what was not checked")
        return entry

    @property
    def last_day(self) -> date | None:
        """The last day; None if it does not end, or if `until` is not a date."""
        value = self.until
        if isinstance(value, datetime):
            return value.date()
        try:
            return date.fromisoformat(value) if isinstance(value, str) else value if isinstance(value, date) else None
        except ValueError:
            return None

    @property
    def acceptance(self) -> Acceptance:
        """The acceptance of the findings."""
        return Acceptance(reason=self.reason.strip(), owner=self.owner, until=self.last_day)

    def is_about(self, account: str | None, identity: AccountIdentity | None) -> bool:
        """Return whether the entry applies to an account.

        Args:
            account: its name in a fleet; None in the report of one account.
            identity: its server and ClientsID, if they are known.
        """
        if self.server is not None and (identity is None or not identity.is_on(self.server)):
            return False
        if isinstance(self.account, int):
            return identity is not None and identity.clients_id == self.account
        return self.account in (None, account)

    def matches(self, finding: Finding) -> bool:
        """Return whether the entry is about this finding of its account. `until` is not checked."""
        if finding.rule != self.rule or self.subject not in (None, finding.subject):
            return False
        if self.kind not in (None, finding.kind) or self.language not in (None, finding.language):
            return False
        if isinstance(self.campaign, str):
            return finding.campaign_name is not None and name_matches(finding.campaign_name, self.campaign)
        if self.campaign is None:
            return finding.campaign_name is None
        return finding.campaign_id == self.campaign

    def ended(self, today: date) -> str | None:
        """Return why the entry accepts nothing, in words; None if it is valid."""
        last = self.last_day
        if self.until is not None and last is None:
            return f"its “until”, “{self.until}”, is not a date"
        return f"it ended on {last}" if last is not None and today > last else None

    def __str__(self) -> str:
        campaign = (
            f"campaign {self.campaign}" if isinstance(self.campaign, int) else f"campaigns like “{self.campaign}”"
        )
        where = "the whole account" if self.campaign is None else campaign
        account = "" if self.account is None else f", account {self.account}"
        server = "" if self.server is None else f" on {self.server}"
        details = [f"“{self.subject}”"] if self.subject else []
        details += [self.kind] if self.kind else []
        details += [language_name(Language(self.language))] if self.language is not None else []
        return ", ".join([f"{self.rule}{account}{server}", where, *details])

    def probes(self, coverage: Coverage) -> Iterator[Finding]:
        """Yield findings that the entry could accept, one for each campaign, to ask whether they were checked."""
        info = coverage.rules.get(self.rule)
        languages = tuple(Language) if self.language is None else (Language(self.language),)
        probe = Finding(
            rule=self.rule,
            severity=Severity.INFO,
            campaign_id=self.campaign if isinstance(self.campaign, int) else None,
            campaign_name=None if self.campaign is None else str(self.campaign),
            subject="",
            message="",
            basis=Basis(
                languages=languages if info is not None and info.codes else (),
                campaigns=None if info is not None and info.account_wide else (),
            ),
        )
        if not isinstance(self.campaign, str):
            yield probe
            return
        keys = list(coverage.named_like(self.campaign))
        for key, name in keys:
            yield attrs.evolve(probe, campaign_id=key if isinstance(key, int) else None, campaign_name=name)
        if not keys:
            yield probe


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
    It also reports an entry that matches no finding, if all that it could match was checked.

    Args:
        report: the report of one account.
        entries: the entries of the settings. If several match a finding, the first is used. Entries of other accounts
            are ignored.
    """
    own = [entry for entry in entries if entry.is_about(None, report.identity)]
    today = report.now.date()
    valid = [entry for entry in own if entry.ended(today) is None]
    findings: list[Finding] = []
    accepted: list[Finding] = []
    for finding in report.findings:
        entry = next((entry for entry in valid if entry.matches(finding)), None)
        if entry is None:
            findings.append(finding)
        else:
            accepted.append(attrs.evolve(finding, acceptance=entry.acceptance))
    changed = attrs.evolve(report, accepted=(*report.accepted, *accepted))
    unused = UnusedEntries(own, today)
    unused.add(changed)
    findings += unused.findings()
    rules = report.rules
    if UNUSED_ACCEPTANCE not in rules and any(finding.rule == UNUSED_ACCEPTANCE.id for finding in findings):
        rules = (UNUSED_ACCEPTANCE, *rules)
    return attrs.evolve(changed, rules=rules, findings=tuple(findings)).sorted_by(SortKey.SEVERITY)


@attrs.define
class _Use:
    """What is known about an entry so far: whether it was used, and whether all that it could match was checked."""

    entry: AcceptanceEntry
    is_used: bool = False
    is_checked: bool = True
    has_account: bool = False
    has_campaign: bool = False


class UnusedEntries:
    """Finds the entries that accept nothing in any account. Accounts are added one by one.

    Args:
        entries: the entries of the settings.
        today: the day of the run.
    """

    def __init__(self, entries: Iterable[AcceptanceEntry], today: date) -> None:
        self._uses = [_Use(entry) for entry in entries]
        self._today = today

    def add(self, report: AuditReport, account: str | None = None) -> None:
        """Add the report of an account, after `accept`, with its name in a fleet."""
        about = [use for use in self._uses if use.entry.is_about(account, report.identity)]
        valid = [use for use in about if use.entry.ended(self._today) is None]
        for finding in report.accepted:
            for use in valid:
                if use.entry.matches(finding):
                    use.is_used = True
                    break
        coverage = report.coverage()
        for use in about:
            use.has_account = True
            for probe in () if use.is_used else use.entry.probes(coverage):
                use.is_checked &= coverage.why_not_checked(probe) is None
                use.has_campaign |= probe.campaign in coverage.campaigns

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each entry that accepts nothing. If something was not checked, that can't be said."""
        for use in self._uses:
            kind, why = "ended", use.entry.ended(self._today)
            if why is None and (use.is_used or not use.is_checked):
                continue
            if why is None and use.entry.campaign is not None and use.has_account and not use.has_campaign:
                kind, why = DELETED, "there is no such campaign any more"
            elif why is None:
                kind, why = "unused", "it matches no finding"
            violation = Violation(str(use.entry), f"the entry for {use.entry} accepts nothing: {why}", kind=kind)
            yield UNUSED_ACCEPTANCE.finding(None, violation)


def entries_as_toml(
    findings: Sequence[Finding],
    reason: str,
    table: str,
    *,
    owner: str | None = None,
    until: date | None = None,
    account: int | None = None,
    server: str | None = None,
) -> str:
    """Return `[[audit.accept]]` entries for these findings, as text to append to a file of settings.

    Args:
        findings: findings of one account that can be accepted.
        reason: the reason of all entries.
        table: dotted name of the array, such as `audit.accept`.
        owner: the person who is responsible for them.
        until: their last day.
        account: ClientsID of the account, if it is known. Other accounts may have campaigns with the same IDs.
        server: the server, if accounts of other servers use the same settings.
    """
    given = {"server": server, "account": account}
    because = {"reason": reason, "owner": owner, "until": until}

    entries: dict[str, None] = {}
    for finding in findings:
        keys: dict[str, int | str | date | None] = {"rule": finding.rule, **given}
        if finding.campaign_name is not None:
            keys["campaign"] = _pattern(finding.campaign_name) if finding.campaign_id is None else finding.campaign_id
        keys |= {"subject": finding.subject or None, "kind": finding.kind or None, "language": finding.language}
        comment = escape_unprintable(f"{finding.campaign_name or 'the whole account'}: {finding.message}")
        lines = [f"{key} = {_toml(value)}" for key, value in (keys | because).items() if value is not None]
        entries["\n".join([f"\n[[{table}]]  # {comment}", *lines, ""])] = None
    return "".join(entries)


def _pattern(name: str) -> str:
    """Return a pattern that matches this name."""
    # Neither TOML nor UTF-8 can hold a lone surrogate.
    return re.sub("[\ud800-\udfff]", "?", re.sub(r"([*?[])", r"[\1]", name))


def _toml(value: int | str | date) -> str:
    if isinstance(value, str):
        return dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{value:d}" if isinstance(value, int) else str(value)
