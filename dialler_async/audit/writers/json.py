"""The report as JSON, and its findings as JSON lines: lossless, for programs.

All in ASCII, so that it survives any encoding, and no terminal acts on what is in it. The format is described by
`report.schema.json` (JSON Schema, draft 2020-12) beside this module; `json_schema()` reads it.
"""

import json
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any, cast

import attrs

from ..baseline import SCHEMA
from ..comparison import Comparison
from ..findings import Finding
from ..report import AuditReport
from ..snapshots import CodeSnapshot, RecordSnapshot


def report_as_json(report: AuditReport) -> dict[str, Any]:
    """A report as dicts, lists and plain values, for `json.dumps`.

    Keys: `schema` (1), `started` and `now` (ISO 8601 with offset), `seconds`, `campaigns`, `codes`, `lookups`,
    `requests`, `languages` (LanguagesIDs), `findings` (one object each, with the attributes of `Finding`), `rules`
    (the rules applied, with the attributes of `RuleInfo`), `zone_note` (how dates without a zone were compared),
    `records` and `code_contents` (what the next report is compared with), `comparison` (with an earlier one, or null).
    Only in a report of several accounts: `accounts` (their names), and the `account` of each finding.
    """
    numbers: dict[CodeSnapshot, int] = {}
    return {
        "schema": SCHEMA,
        "started": report.started.isoformat(),
        "now": report.now.isoformat(),
        "seconds": round(report.seconds, 3),
        "campaigns": report.campaigns,
        "codes": report.codes,
        "lookups": report.lookups,
        "requests": report.requests,
        "languages": [int(language) for language in report.languages],
        "findings": list(_objects(report.findings, report)),
        "rules": [attrs.asdict(info) for info in report.rules],
        "zone_note": report.zone_note,
        "comparison": None if report.comparison is None else _comparison(report.comparison, report),
        # Campaigns share most of their codes, so what is in these stands once.
        "records": [_record(record, numbers) for record in report.records],
        "code_contents": [dict(content) for content in numbers],
        **({"accounts": list(report.accounts)} if report.accounts else {}),
    }


_NAMES = tuple(field.name for field in attrs.fields(Finding) if field.name != "account")


def _objects(findings: Iterable[Finding], report: AuditReport) -> Iterator[dict[str, Any]]:
    names = ("account", *_NAMES) if report.accounts else _NAMES
    for finding in findings:
        yield {name: getattr(finding, name) for name in names}


def _record(record: RecordSnapshot, numbers: dict[CodeSnapshot, int]) -> dict[str, Any]:
    codes = None
    if record.codes is not None:
        codes = {str(id): numbers.setdefault(content, len(numbers)) for id, content in record.codes.items()}
    return {"id": record.id, "name": record.name, "settings": record.settings, "codes": codes}


def _comparison(comparison: Comparison, report: AuditReport) -> dict[str, Any]:
    return {
        "since": comparison.since.isoformat(),
        "new": list(_objects(comparison.new, report)),
        "gone": list(_objects(comparison.gone, report)),
        "unchanged": comparison.unchanged,
        "unjudged": list(_objects(comparison.unjudged, report)),
        "changes": [attrs.asdict(change) for change in comparison.changes],
    }


def json_schema() -> dict[str, Any]:
    """The JSON Schema of what `report_as_json` gives."""
    return cast(dict[str, Any], json.loads(files(__package__).joinpath("report.schema.json").read_bytes()))


def write_json(report: AuditReport) -> Iterator[str]:
    """The whole report as one JSON object; see `report_as_json`."""
    yield from json.JSONEncoder(indent=2).iterencode(report_as_json(report))
    yield "\n"


def write_jsonl(report: AuditReport) -> Iterator[str]:
    """A JSON object a line for each finding, with the attributes of `Finding`."""
    for finding in _objects(report.findings, report):
        yield json.dumps(finding) + "\n"
