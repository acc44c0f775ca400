"""The report as JSON-ready data."""

from typing import Any

import attrs

from .report import AuditReport

# Raised when a key changes its meaning or goes away, not when one is added.
SCHEMA = 1


def report_as_json(report: AuditReport) -> dict[str, Any]:
    """A report as dicts, lists and plain values, for `json.dumps`.

    Keys: `schema` (1), `started` and `now` (ISO 8601 with offset), `seconds`, `campaigns`, `codes`, `lookups`,
    `requests`, `findings` (one object each, with the attributes of `Finding`), `rules` (those that were judged by,
    with the attributes of `About`).
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
        "findings": [attrs.asdict(finding) for finding in report.findings],
        "rules": [attrs.asdict(about) for about in report.rules],
    }
