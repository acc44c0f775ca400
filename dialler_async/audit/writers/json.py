"""The report as JSON, and its findings as JSON lines: lossless, for programs.

The output is ASCII: any encoding can represent it, and it contains no control characters for a terminal.
`report.schema.json` (JSON Schema, draft 2020-12) describes the format; `json_schema()` reads it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any, cast

import attrs

from ..baseline import SCHEMA
from ..findings import Finding
from ..identity import AccountIdentity
from ..report import AuditReport, Report
from ..snapshots import CodeSnapshot, RecordSnapshot
from ..topics import Topic
from .rows import rows, until


def report_as_json(report: AuditReport) -> dict[str, Any]:
    """Return the report of an account as dicts, lists and plain values, for `json.dumps`.

    `report.schema.json` describes each key.
    """
    return _content(report, list)


def _content(report: Report, array: Callable[[Iterable[Any]], Any]) -> dict[str, Any]:
    """Return the content of the JSON, with each part that grows with the number of accounts made by `array`."""
    # Campaigns share most of their codes, so each content is written once.
    numbers: dict[CodeSnapshot, int] = {}
    records = [_record(record, numbers) for part in report.parts() for record in part.records]
    since = report.since
    comparison = {
        "since": since and since.isoformat(),
        "new": array(map(_finding, report.of(Topic.NEW))),
        "gone": array(map(_finding, report.of(Topic.GONE))),
        "unchanged": sum(part.comparison.unchanged for part in report.parts() if part.comparison),
        "unchecked": array(map(_finding, report.of(Topic.UNCHECKED))),
        "changes": [attrs.asdict(change) for change in report.changes],
    }
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
        "findings": array(_finding(finding) for part in report.parts() for finding in part.findings),
        "accepted": array(map(_finding, report.of(Topic.ACCEPTED))),
        "not_checked": array(
            _without_nothing(attrs.asdict(one)) for part in report.parts() for one in part.not_checked
        ),
        "rules": [{name: getattr(info, name) for name in _RULE_KEYS} for info in report.rules],
        "zone_note": report.zone_note,
        "comparison": comparison if since else None,
        "records": array(records),
        "code_contents": array(map(dict, numbers)),
        **(
            {
                "accounts": list(report.accounts),
                "identities": {
                    name: _identity(one.identity) for name, one in report.accounts.items() if one.identity is not None
                },
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
        "open_since": finding.open_since and finding.open_since.isoformat(),
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


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of `report_as_json`."""
    return cast(dict[str, Any], json.loads(files(__package__).joinpath("report.schema.json").read_bytes()))


def write_json(report: Report) -> Iterator[str]:
    """Yield the whole report as one JSON object; see `report_as_json`."""
    yield from json_pieces(_content(report, iter))
    yield "\n"


def json_pieces(value: Any, line: str = "\n") -> Iterator[str]:
    """Yield a value as `json.dumps(value, indent=2)` writes it. An iterator is an array that is never in memory."""
    if isinstance(value, Mapping) and _has_iterator(value):
        brackets, items = "{}", ((f"{json.dumps(key)}: ", item) for key, item in value.items())
    elif isinstance(value, Iterator):
        brackets, items = "[]", (("", item) for item in value)
    else:
        yield _ENCODER.encode(value).replace("\n", line)
        return
    before = brackets[0]
    for key, item in items:
        yield f"{before}{line}  {key}"
        yield from json_pieces(item, f"{line}  ")
        before = ","
    yield brackets if before == brackets[0] else line + brackets[1]


_ENCODER = json.JSONEncoder(indent=2)


def _has_iterator(value: Any) -> bool:
    values = value.values() if isinstance(value, Mapping) else ()
    return isinstance(value, Iterator) or any(map(_has_iterator, values))


def write_jsonl(report: Report) -> Iterator[str]:
    """Yield the `rows` of the report, each a JSON object.

    Besides the attributes of `Finding`, each has the `server`, `clients_id`, `scope` and `tool` of the report.
    """
    for finding, empty in rows(report):
        about = {**_identity(report.identity_of(finding)), "scope": report.scope_note, "tool": report.tool}
        yield json.dumps({**_finding(finding), **about, **empty}) + "\n"
