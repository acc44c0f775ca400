"""Compare a report with an earlier report, read from its JSON. Pure."""

from collections.abc import Callable, Container, Iterator, Mapping
from datetime import datetime
from json import loads
from typing import Any, TypeVar

import attrs
import msgspec

from dialler_async.errors import ConfigurationError, require

from .comparison import Change, Comparison
from .findings import Finding, State
from .identity import AccountIdentity
from .report import AuditReport
from .rules import ALWAYS, INCOMPLETE_LIST, RUN_RULES, invalid_record
from .snapshots import CodeSnapshot, RecordSnapshot
from .summary import order

SCHEMA = 1
"""The schema of the JSON. Increased when a key changes its meaning or goes away, not when a key is added."""

_T = TypeVar("_T")

_Key = int | str
"""The key of a campaign in both reports: its ID, or its name if it has no ID."""


class _Schema(msgspec.Struct):
    schema: int


class _Record(msgspec.Struct):
    id: int | None
    name: str
    settings: dict[str, Any]
    codes: dict[int, int] | None


class _Rule(msgspec.Struct):
    id: str


class Baseline(msgspec.Struct):
    """The part of an earlier report that a comparison needs; keys as in its JSON."""

    started: datetime
    languages: list[int]
    rules: list[_Rule]
    findings: list[Finding]
    records: list[_Record]
    code_contents: list[dict[str, Any]]
    accounts: list[str] = []
    accepted: list[Finding] = []
    server: str | None = None
    clients_id: int | None = None
    scope: str | None = None

    @classmethod
    def read(cls, json: bytes) -> "Baseline":
        """Return an earlier report that `dialler audit --format json` wrote.

        Raises:
            ConfigurationError: the JSON is not an audit report, has another schema, or covers several accounts.
        """
        try:
            schema = _decoded(json, _Schema).schema
            require(schema == SCHEMA, f"it has schema {schema}, but only schema {SCHEMA} is supported")
            baseline = _decoded(json, cls)
        except ConfigurationError:
            raise
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"it is not an audit report: {error}") from None
        # Campaigns of different accounts can have the same ID.
        require(not baseline.accounts, "it covers several accounts, but a baseline must cover one account")
        most = len(baseline.code_contents)
        codes = (code for record in baseline.records for code in (record.codes or {}).values())
        require(all(0 <= code < most for code in codes), "it is not an audit report: a code has no content")
        return baseline

    def require_comparable(self, identity: AccountIdentity | None, scope: str | None, *, other_account: bool) -> None:
        """Check that a report of an account and scope can be compared with this baseline.

        Args:
            identity: the account of the report.
            scope: the part of the account that the report covers; None for the whole account.
            other_account: whether the baseline may be of another account.

        Raises:
            ConfigurationError: the baseline is of another account, or of another part of the account.
        """
        own = None if self.server is None else AccountIdentity(self.server, self.clients_id)
        mismatch = f"it is of {own or 'an unknown account'}, but this audit is of {identity or 'an unknown account'}"
        require(other_account or own == identity, mismatch)
        same_scope = self.scope in (None, scope)
        require(same_scope, f"it covers part of the account ({self.scope}), but this audit covers another part")


def _decoded(data: bytes, type: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.DecodeError:
        # The name of a campaign may contain a lone surrogate, which msgspec refuses.
        return msgspec.convert(loads(data), type, str_keys=True)


def compare(report: AuditReport, baseline: Baseline, *, other_account: bool = False) -> AuditReport:
    """Return the report with its comparison, and with the state of each finding.

    Args:
        report: the report of one account's audit in a single run.
        baseline: an earlier report.
        other_account: whether the baseline may be of another account.

    Raises:
        ConfigurationError: the report covers several accounts, or was merged from parts, which contain no records. Or
            the baseline is of another account, or of another part of the account.
    """
    whole = not report.accounts and len(report.records) == len(report.summaries)
    require(whole, "only the report of one account's audit in a single run can be compared")
    baseline.require_comparable(report.identity, report.scope, other_account=other_account)
    active = {_identity(finding) for finding in baseline.findings}
    then = {_identity(finding): finding for finding in (*baseline.accepted, *baseline.findings)}
    findings = tuple(_with_state(finding, active) for finding in report.findings)
    accepted = tuple(_with_state(finding, then) for finding in report.accepted)
    now = {_identity(finding) for finding in (*findings, *accepted)}
    was_checked = _checked_by(report)
    gone: list[Finding] = []
    unchecked: list[Finding] = []
    for identity, finding in then.items():
        if identity not in now:
            (gone if was_checked(finding) else unchecked).append(finding)
    comparison = Comparison(
        since=baseline.started,
        new=tuple(finding for finding in findings if finding.state is State.NEW),
        gone=tuple(attrs.evolve(finding, state=State.GONE) for finding in gone),
        unchanged=sum(finding.state is State.UNCHANGED for finding in findings),
        unchecked=tuple(attrs.evolve(finding, state=State.UNCHECKED) for finding in unchecked),
        changes=tuple(_changes(report, baseline)),
    )
    return attrs.evolve(report, findings=findings, accepted=accepted, comparison=comparison)


def _identity(finding: Finding) -> tuple[str, _Key | None, str]:
    campaign = finding.campaign_name if finding.campaign_id is None else finding.campaign_id
    return finding.rule, campaign, finding.subject


def _with_state(finding: Finding, then: Container[object]) -> Finding:
    return attrs.evolve(finding, state=State.UNCHANGED if _identity(finding) in then else State.NEW)


def _checked_by(report: AuditReport) -> Callable[[Finding], bool]:
    """Return a predicate: whether the audit would have found a given finding of the baseline again."""
    applied = {info.id: info for info in (*RUN_RULES, *report.rules)}
    unchecked = _unchecked_campaigns(report)
    listed = {_key(record) for record in report.records}
    # A campaign may still exist if the list was shortened, or if the campaign was not chosen.
    absent_is_gone = not _is_incomplete(report)

    def was_checked(finding: Finding) -> bool:
        campaign = _identity(finding)[1]
        info = applied.get(finding.rule)
        if info is None or campaign in unchecked or (info.account_wide and report.scope is not None):
            return False
        return campaign is None or campaign in listed or absent_is_gone

    return was_checked


def _key(record: RecordSnapshot | _Record) -> _Key:
    return record.name if record.id is None else record.id


def _unchecked_campaigns(report: AuditReport) -> set[_Key | None]:
    """Return the campaigns that could not be checked in full."""
    always = {rule.info.id for rule in ALWAYS}
    return {_identity(finding)[1] for finding in (*report.findings, *report.accepted) if finding.rule in always}


def _is_incomplete(report: AuditReport) -> bool:
    """Return whether the report may lack campaigns that exist on the server."""
    return report.scope is not None or any(
        finding.rule == INCOMPLETE_LIST.id for finding in (*report.findings, *report.accepted)
    )


def _changes(report: AuditReport, baseline: Baseline) -> Iterator[Change]:
    languages = {f"Content/{int(language)}" for language in report.languages}
    languages &= {f"Content/{language}" for language in baseline.languages}
    earlier = (*baseline.findings, *baseline.accepted)
    invalid_then = {_identity(finding)[1] for finding in earlier if finding.rule == invalid_record.info.id}
    then = {_key(record): record for record in baseline.records}
    now = {_key(record): record for record in report.records}
    unchecked = _unchecked_campaigns(report)
    all_records: dict[_Key, RecordSnapshot | _Record] = {**then, **now}
    for record in sorted(all_records.values(), key=order):
        key = _key(record)
        if key not in now:
            if key not in unchecked and not _is_incomplete(report):
                yield _change(record, "campaign", record.name, None)
        elif key not in then:
            if key not in invalid_then and baseline.scope is None:
                yield _change(record, "campaign", None, record.name)
        else:
            old, new = then[key], now[key]
            settings = ({"Name": old.name, **old.settings}, {"Name": new.name, **new.settings})
            for name, before, after in _differences(*settings):
                yield _change(record, name, before, after)
            if old.codes is not None and new.codes is not None:
                codes_then = {id: baseline.code_contents[content] for id, content in old.codes.items()}
                yield from _code_changes(record, codes_then, new.codes, languages)


def _code_changes(
    record: RecordSnapshot | _Record,
    then: Mapping[int, Mapping[str, Any]],
    now: Mapping[int, CodeSnapshot],
    languages: set[str],
) -> Iterator[Change]:
    for id in {**then, **now}:
        before, after = then.get(id), now.get(id)
        known = dict(after) if after is not None else before or {}
        named = f"code {id}" + (f" ({known['ExportKey']})" if known.get("ExportKey") else "")
        if before is None or after is None:
            yield _change(record, named, before and "there", after and "there")
            continue
        for key, old, new in _differences(before, dict(after)):
            if not key.startswith("Content/") or key in languages:
                yield _change(record, f"{named} {key}", old, new)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in {**before, **after}:
        if before.get(key) != after.get(key):
            yield key, before.get(key), after.get(key)


def _change(record: RecordSnapshot | _Record, what: str, before: Any, after: Any) -> Change:
    return Change(campaign_id=record.id, campaign_name=record.name, what=what, before=before, after=after)
