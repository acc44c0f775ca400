"""The report as JUnit XML, for build servers.

A rule is a test suite and a finding one of its cases: errors and warnings are failures, and what is only told (info) is
skipped, so that it shows without failing a build. A rule that found nothing has one case, which passed. In a report of
several accounts it is the account that is a suite.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from dialler_async._text.escaping import escape_unprintable

from ..findings import Finding, Severity
from ..report import AuditReport
from ..rule import RuleInfo
from .columns import where


def write_junit(report: AuditReport) -> Iterator[str]:
    """One `testsuites` element."""
    suites = list(_by_account(report) if report.accounts else _by_rule(report))
    root = Element("testsuites", {"name": "dialler audit", "time": f"{report.seconds:.3f}", **_sums(suites)})
    root.extend(suites)
    indent(root)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield tostring(root, encoding="unicode") + "\n"


def _by_rule(report: AuditReport) -> Iterator[Element]:
    findings = _grouped(report, lambda finding: finding.rule)
    for info in report.rules:
        passed = {"classname": escape_unprintable(info.id), "name": f"no finding in {report.campaigns}"}
        yield _suite(info.id, findings.get(info.id, []), passed, report)


def _by_account(report: AuditReport) -> Iterator[Element]:
    findings = _grouped(report, lambda finding: finding.account)
    campaigns = Counter(summary.account for summary in report.summaries)
    for account in report.accounts:
        passed = {"classname": "all rules", "name": f"no finding in {campaigns[account]}"}
        yield _suite(account, findings.get(account, []), passed, report)


def _grouped(report: AuditReport, key: Callable[[Finding], str | None]) -> dict[str | None, list[Finding]]:
    groups: dict[str | None, list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault(key(finding), []).append(finding)
    return groups


def _suite(name: str, findings: list[Finding], passed: dict[str, str], report: AuditReport) -> Element:
    infos = {info.id: info for info in report.rules}
    told_only = sum(finding.severity is Severity.INFO for finding in findings)
    suite = Element(
        "testsuite",
        {
            "name": escape_unprintable(name),
            "tests": str(len(findings) or 1),
            "failures": str(len(findings) - told_only),
            "errors": "0",
            "skipped": str(told_only),
            "timestamp": report.started.isoformat(timespec="seconds"),
        },
    )
    properties = SubElement(suite, "properties")
    SubElement(properties, "property", {"name": "now", "value": report.now.isoformat()})
    SubElement(properties, "property", {"name": "zone_note", "value": report.zone_note})
    for finding in findings:
        _case(suite, infos[finding.rule], finding)
    if not findings:
        SubElement(suite, "testcase", passed)
    return suite


def _case(suite: Element, info: RuleInfo, finding: Finding) -> None:
    name = f"{where(finding)}: {finding.subject}" if finding.subject else where(finding)
    case = SubElement(
        suite, "testcase", {"classname": escape_unprintable(finding.rule), "name": escape_unprintable(name)}
    )
    message = escape_unprintable(finding.message)
    if finding.severity is Severity.INFO:
        SubElement(case, "skipped", {"type": finding.severity.value, "message": message})
        return
    failure = SubElement(case, "failure", {"type": finding.severity.value, "message": message})
    failure.text = escape_unprintable(f"{info.title}. {info.why} {info.fix}")


def _sums(suites: list[Element]) -> dict[str, str]:
    return {
        key: str(sum(int(suite.attrib[key]) for suite in suites)) for key in ("tests", "failures", "errors", "skipped")
    }
