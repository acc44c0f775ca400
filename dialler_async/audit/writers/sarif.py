"""The report as SARIF 2.1.0, for programs that collect the results of linters and scanners.

The log follows GitHub's code scanning, which ignores `suppressions`, `baselineState` and `kind`, and keeps its own
history. So only findings that are open now are results: accepted, gone and unchecked ones are left out.

A campaign is a logical location, `campaigns/535`; in a report of several accounts, `accounts/north/campaigns/535`. The
same path is also the artifact location, with its first line as the region, because code scanning drops a result without
them. No such file exists. The fingerprint `primaryLocationLineHash` consists of account, rule, campaign and subject, so
that readers recognise a finding in the next report.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from ..._text.escaping import escape_unprintable
from ...version import __version__
from ..findings import Finding, Severity
from ..report import Report
from ..rule import RuleInfo
from ..story import where
from .json import json_pieces

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def write_sarif(report: Report) -> Iterator[str]:
    """Yield one log with one run."""
    index = {info.id: number for number, info in enumerate(report.rules)}
    begin = report.started.astimezone(UTC)
    run = {
        "tool": {
            "driver": {
                "name": "dialler_async",
                "semanticVersion": __version__,
                "rules": [_rule(info) for info in report.rules],
            }
        },
        "invocations": [
            {
                "executionSuccessful": not report.unfinished,
                "startTimeUtc": _utc(begin),
                "endTimeUtc": _utc(begin + timedelta(seconds=report.seconds)),
            }
        ],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "account": report.title,
            "tool": report.tool,
            "scope": report.scope_note or "the whole account",
            "now": report.now.isoformat(),
            "zone_note": report.zone_note,
        },
        "results": (_result(finding, index, report) for part in report.parts() for finding in part.findings),
    }
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": iter([run])}
    yield from json_pieces(log)
    yield "\n"


def _rule(info: RuleInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "shortDescription": {"text": info.title},
        "fullDescription": {"text": info.why},
        "help": {"text": info.fix},
        "defaultConfiguration": {"level": _LEVELS[info.severity]},
    }


def _result(finding: Finding, index: Mapping[str, int], report: Report) -> dict[str, Any]:
    identity = report.identity_of(finding)
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": _without_links(f"{where(finding)}: {finding.message}")},
        "locations": [_location(finding)],
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(finding)},
        "properties": {
            **({"account": finding.account} if report.accounts else {}),
            "campaign_id": finding.campaign_id,
            "campaign_name": finding.campaign_name,
            "subject": finding.subject,
            "server": identity and identity.server,
            "clients_id": identity and identity.clients_id,
        },
    }
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if (link := report.portal_link(finding)) is not None:
        result["hostedViewerUri"] = link
    return result


def _location(finding: Finding) -> dict[str, Any]:
    if finding.campaign_name is None:
        path, name = "account", "the whole account"
    else:
        path, name = f"campaigns/{_known(finding.campaign_id)}", finding.campaign_name
    if finding.account is not None:
        account = f"accounts/{quote(escape_unprintable(finding.account), safe='')}"
        path, name = (account, finding.account) if finding.campaign_name is None else (f"{account}/{path}", name)
    return {
        "physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": 1}},
        "logicalLocations": [{"name": name, "fullyQualifiedName": path, "kind": "resource"}],
    }


def _known(campaign_id: int | None) -> str:
    return "without-id" if campaign_id is None else str(campaign_id)


def _fingerprint(finding: Finding) -> str:
    # A campaign without an ID is only known by its name.
    campaign = finding.campaign_name if finding.campaign_id is None else finding.campaign_id
    account = [] if finding.account is None else [finding.account]
    return sha256(json.dumps([*account, finding.rule, campaign, finding.subject]).encode()).hexdigest()


def _without_links(message: str) -> str:
    """Return the message without links: `[text](target)` in a campaign's name would be a link (SARIF, 3.11.6)."""
    return message.replace("](", "]\u2060(")


def _utc(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
