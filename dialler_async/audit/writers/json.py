"""The report as JSON, and its findings as JSON lines: lossless, for programs.

The output is ASCII: any encoding can represent it, and it contains no control characters for a terminal.
`report.schema.json` (JSON Schema, draft 2020-12) describes the format; `json_schema()` reads it.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, cast

import attrs

from ..baseline import SCHEMA
from ..comparison import Comparison
from ..findings import Finding
from ..identity import AccountIdentity
from ..report import AuditReport
from ..snapshots import CodeSnapshot, RecordSnapshot
from .columns import rows, until


def report_as_json(report: AuditReport) -> dict[str, Any]:
    """Return a report as dicts, lists and plain values, for `json.dumps`.

    `report.schema.json` describes each key.
    """
    numbers: dict[CodeSnapshot, int] = {}
    return {
        "schema": SCHEMA,
        "tool": report.tool,
        "name": report.name,
        **_identity(report.identity),
        "started": report.started.isoformat(),
        "now": report.now.isoformat(),
        "seconds": round(report.seconds, 3),
        "scope": report.scope,
        "campaigns": report.campaign_count,
        "codes": report.code_count,
        "lookups": report.lookups,
        "requests": report.requests,
        "languages": [int(language) for language in report.languages],
        "findings": [_finding(finding) for finding in report.findings],
        "accepted": [_finding(finding) for finding in report.accepted],
        "not_checked": [_without_nothing(attrs.asdict(part)) for part in report.not_checked],
        "rules": [{name: getattr(info, name) for name in _RULE_KEYS} for info in report.rules],
        "zone_note": report.zone_note,
        "comparison": None if report.comparison is None else _comparison(report.comparison),
        # Campaigns share most of their codes, so each content is written once.
        "records": [_record(record, numbers) for record in report.records],
        "code_contents": [dict(content) for content in numbers],
        **(
            {
                "accounts": list(report.accounts),
                "identities": {name: _identity(identity) for name, identity in report.identities.items()},
            }
            if report.accounts
            else {}
        ),
    }


_RULE_KEYS = ("id", "severity", "title", "why", "fix")
_ALWAYS = ("rule", "severity", "campaign_id", "campaign_name", "subject", "message")


def _finding(finding: Finding) -> dict[str, Any]:
    shown: dict[str, Any] = {} if finding.account is None else {"account": finding.account}
    shown |= {name: getattr(finding, name) for name in _ALWAYS}
    shown["identity"] = finding.identity
    basis = finding.basis
    # Null, which means all campaigns of the account, is written.
    campaigns = {} if basis.campaigns == () else {"campaigns": basis.campaigns}
    uncertain = {} if basis.certain else {"certain": False}
    optional = {
        "kind": finding.kind or None,
        "language": finding.language,
        "basis": _without_nothing({"languages": basis.languages}) | campaigns | uncertain or None,
        "measure": finding.measure,
        "state": finding.state,
        "unchecked_reason": finding.unchecked_reason or None,
    }
    shown |= _without_nothing(optional)
    if finding.acceptance is not None:
        shown["acceptance"] = attrs.asdict(finding.acceptance) | {"until": until(finding)}
    return shown


def _without_nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value != ()}


def _identity(identity: AccountIdentity | None) -> dict[str, Any]:
    return {"server": None, "clients_id": None} if identity is None else attrs.asdict(identity)


def _record(record: RecordSnapshot, numbers: dict[CodeSnapshot, int]) -> dict[str, Any]:
    codes = None
    if record.codes is not None:
        codes = {str(id): numbers.setdefault(content, len(numbers)) for id, content in record.codes.items()}
    return {"id": record.id, "name": record.name, "settings": record.settings, "codes": codes}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "since": comparison.since.isoformat(),
        "new": [_finding(finding) for finding in comparison.new],
        "gone": [_finding(finding) for finding in comparison.gone],
        "unchanged": comparison.unchanged,
        "unchecked": [_finding(finding) for finding in comparison.unchecked],
        "changes": [attrs.asdict(change) for change in comparison.changes],
    }


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of `report_as_json`."""
    return cast(dict[str, Any], json.loads(files(__package__).joinpath("report.schema.json").read_bytes()))


def write_json(report: AuditReport) -> Iterator[str]:
    """Yield the whole report as one JSON object; see `report_as_json`."""
    yield from json.JSONEncoder(indent=2).iterencode(report_as_json(report))
    yield "\n"


def write_jsonl(report: AuditReport) -> Iterator[str]:
    """Yield the `lines` of the report, each a JSON object.

    Besides the attributes of `Finding`, each has the `server`, `clients_id`, `scope` and `tool` of the report.
    """
    for finding, empty in rows(report):
        about = {**_identity(report.identity_of(finding)), "scope": report.scope_note, "tool": report.tool}
        yield json.dumps({**_finding(finding), **about, **empty}) + "\n"
