"""An earlier report to compare with: read from its JSON, and compared. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from json import loads
from typing import Any, TypeVar

import msgspec

from dialler_async.errors import ConfigurationError, require

from .comparison import Change, Comparison
from .findings import Finding
from .report import AuditReport
from .rules import ALWAYS, INCOMPLETE_LIST, invalid_record
from .snapshots import CodeSnapshot, RecordSnapshot
from .summary import order

SCHEMA = 1
"""Of the JSON. Raised when a key changes its meaning or goes away, not when one is added."""

_T = TypeVar("_T")

_Key = int | str
"""What a campaign is known by across reports: its ID; without one, its name."""


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
    """What is needed of an earlier report; keys as in its JSON."""

    started: datetime
    languages: list[int]
    rules: list[_Rule]
    findings: list[Finding]
    records: list[_Record]
    code_contents: list[dict[str, Any]]
    accounts: list[str] = []

    @classmethod
    def read(cls, json: bytes) -> "Baseline":
        """An earlier report, as `dialler audit --format json` wrote it.

        Raises:
            ConfigurationError: it is none, one of another schema, or one of several accounts.
        """
        try:
            schema = _decoded(json, _Schema).schema
            require(schema == SCHEMA, f"it is of schema {schema}, and only {SCHEMA} can be compared with")
            baseline = _decoded(json, cls)
        except ConfigurationError:
            raise
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"it is no report of an audit: {error}") from None
        # Nothing in it tells the campaigns of one account from those of another.
        require(not baseline.accounts, "it is of several accounts, and only one account can be compared with")
        most = len(baseline.code_contents)
        codes = (code for record in baseline.records for code in (record.codes or {}).values())
        require(all(0 <= code < most for code in codes), "it is no report of an audit: a code has no content")
        return baseline


def _decoded(data: bytes, type: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.DecodeError:
        # It reads no lone surrogate, which the name of a campaign can hold.
        return msgspec.convert(loads(data), type, str_keys=True)


def compare(report: AuditReport, baseline: Baseline) -> Comparison:
    """What has changed from the baseline to the report.

    Raises:
        ConfigurationError: the report is of several accounts, or put together of parts, which keep no records.
    """
    whole = not report.accounts and len(report.records) == len(report.summaries)
    require(whole, "only the report of one account's audit in a single run can be compared")
    then = {_identity(finding): finding for finding in baseline.findings}
    now = {_identity(finding) for finding in report.findings}
    judged_by = {info.id for info in report.rules}
    unsure = _not_judged(report.findings)
    seen = {_key(record) for record in report.records}
    gone: list[Finding] = []
    unjudged: list[Finding] = []
    for identity, finding in then.items():
        if identity not in now:
            campaign = identity[1]
            sure = finding.rule in judged_by and campaign not in unsure
            # A campaign that is not in a shortened list may still be there.
            sure &= campaign is None or campaign in seen or not _is_shortened(report)
            (gone if sure else unjudged).append(finding)
    return Comparison(
        since=baseline.started,
        new=tuple(finding for finding in report.findings if _identity(finding) not in then),
        gone=tuple(gone),
        unchanged=len(now & then.keys()),
        unjudged=tuple(unjudged),
        changes=tuple(_changes(report, baseline)),
    )


def _identity(finding: Finding) -> tuple[str, _Key | None, str]:
    campaign = finding.campaign_name if finding.campaign_id is None else finding.campaign_id
    return finding.rule, campaign, finding.subject


def _key(record: RecordSnapshot | _Record) -> _Key:
    return record.name if record.id is None else record.id


def _not_judged(findings: Iterable[Finding]) -> set[_Key | None]:
    """The campaigns that could not be judged in full."""
    always = {rule.info.id for rule in ALWAYS}
    return {_identity(finding)[1] for finding in findings if finding.rule in always}


def _is_shortened(report: AuditReport) -> bool:
    return any(finding.rule == INCOMPLETE_LIST.id for finding in report.findings)


def _changes(report: AuditReport, baseline: Baseline) -> Iterator[Change]:
    languages = {f"Content/{int(language)}" for language in report.languages}
    languages &= {f"Content/{language}" for language in baseline.languages}
    unread = {_identity(finding)[1] for finding in baseline.findings if finding.rule == invalid_record.info.id}
    then = {_key(record): record for record in baseline.records}
    now = {_key(record): record for record in report.records}
    maybe_there = _not_judged(report.findings)
    either: dict[_Key, RecordSnapshot | _Record] = {**then, **now}
    for record in sorted(either.values(), key=order):
        key = _key(record)
        if key not in now:
            if key not in maybe_there and not _is_shortened(report):
                yield _change(record, "campaign", record.name, None)
        elif key not in then:
            if key not in unread:
                yield _change(record, "campaign", None, record.name)
        else:
            was, is_ = then[key], now[key]
            settings = ({"Name": was.name, **was.settings}, {"Name": is_.name, **is_.settings})
            for name, before, after in _differences(*settings):
                yield _change(record, name, before, after)
            if was.codes is not None and is_.codes is not None:
                codes_then = {id: baseline.code_contents[content] for id, content in was.codes.items()}
                yield from _code_changes(record, codes_then, is_.codes, languages)


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
