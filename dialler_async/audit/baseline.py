"""Compare a report with an earlier report, read from its JSON. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from json import loads
from typing import Any, TypeVar

import msgspec

from ..errors import ConfigurationError, require
from ..models import Language
from .comparison import Change
from .coverage import Coverage, NotChecked
from .findings import CampaignKey, Finding, campaign_key
from .identity import AccountIdentity
from .report import AuditReport
from .snapshots import CodeSnapshot, RecordSnapshot
from .states import with_states
from .summary import order

SCHEMA = 2
"""The schema of the JSON. Increased when a key changes its meaning or goes away, not when a key is added."""

_T = TypeVar("_T")


class _Schema(msgspec.Struct):
    schema: int


class _Record(msgspec.Struct):
    id: int | None
    name: str
    settings: dict[str, Any]
    codes: dict[int, int] | None


class _Comparison(msgspec.Struct):
    unchecked: list[Finding]


class Baseline(msgspec.Struct):
    """The part of an earlier report that a comparison needs; keys as in its JSON."""

    started: datetime
    languages: list[Language]
    findings: list[Finding]
    records: list[_Record]
    code_contents: list[dict[str, Any]]
    accounts: list[str] = []
    accepted: list[Finding] = []
    not_checked: list[NotChecked] = []
    comparison: _Comparison | None = None
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

    def known(self) -> Iterator[Finding]:
        """Yield the findings that are not gone: accepted ones, and those that could not be checked, too."""
        yield from self.accepted
        yield from self.comparison.unchecked if self.comparison else ()
        yield from self.findings

    def coverage(self) -> Coverage:
        """Return what the run of the baseline checked."""
        return Coverage(
            rules=(), languages=self.languages, campaigns=self.records, not_checked=self.not_checked, scope=self.scope
        )

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
        ConfigurationError: the report contains no records, or the baseline is of another account, or of another part of
            the account.
    """
    require(
        len(report.records) == len(report.summaries),
        "only the report of one account's audit in a single run can be compared",
    )
    baseline.require_comparable(report.identity, report.scope, other_account=other_account)
    return with_states(report, baseline.known(), since=baseline.started, changes=tuple(changes(report, baseline)))


def changes(report: AuditReport, baseline: Baseline) -> Iterator[Change]:
    """Yield the records and codes that were added, removed or changed. What either run did not check is left out."""
    languages = {f"Content/{int(language)}" for language in report.languages}
    languages &= {f"Content/{language:d}" for language in baseline.languages}
    checked_then, checked_now = baseline.coverage(), report.coverage()
    then = {campaign_key(record.id, record.name): record for record in baseline.records}
    now = {campaign_key(record.id, record.name): record for record in report.records}
    all_records: dict[CampaignKey, RecordSnapshot | _Record] = {**then, **now}
    for record in sorted(all_records.values(), key=order):
        key = campaign_key(record.id, record.name)
        if key not in now:
            if checked_now.why_campaign_not_checked(key, record.name) is None:
                yield _change(record, "campaign", record.name, None)
        elif key not in then:
            if checked_then.why_campaign_not_checked(key, record.name) is None:
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
