"""The report as JSON, and its findings as JSON lines: lossless, for programs.

All in ASCII, so that it survives any encoding, and no terminal acts on what is in it. The format is described by
`report.schema.json` (JSON Schema, draft 2020-12) beside this module; `json_schema()` reads it.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, cast

import attrs

from ..report import AuditReport

# Raised when a key changes its meaning or goes away, not when one is added.
SCHEMA = 1


def report_as_json(report: AuditReport) -> dict[str, Any]:
    """A report as dicts, lists and plain values, for `json.dumps`.

    Keys: `schema` (1), `started` and `now` (ISO 8601 with offset), `seconds`, `campaigns`, `codes`, `lookups`,
    `requests`, `languages` (LanguagesIDs), `findings` (one object each, with the attributes of `Finding`), `rules`
    (those that were judged by, with the attributes of `About`).
    """
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
        "findings": [attrs.asdict(finding) for finding in report.findings],
        "rules": [attrs.asdict(about) for about in report.rules],
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
    for finding in report.findings:
        yield json.dumps(attrs.asdict(finding)) + "\n"
