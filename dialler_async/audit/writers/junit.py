"""The report as JUnit XML, for build servers.

A rule is a test suite, and a finding is a test case. In a report of several accounts, an account is a test suite, and
the class name of a case begins with the account, because GitLab recognises a case by its class and name.

The output is valid by the schema of Jenkins' xunit plugin. That schema allows no `skipped` in `testsuites`, and no
`properties` in a case. So the state of a finding is in the output of its case.

- Failure: an error or a warning.
- Skipped: an info, an accepted finding, or a finding of the baseline that this audit could not check. The report shows
  skipped cases, but they do not fail a build. With `fails_on_new`, unchanged findings are also skipped.
- Passed: a finding that is gone, or a rule without findings.
- Error: a rule that raised an error.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ..._text.escaping import escape_unprintable
from ..findings import Finding, Severity, State
from ..report import AuditReport
from ..rule import RuleInfo
from ..rules import RULE_FAILED
from ..story import accepted_note, where

_RESULTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def write_junit(report: AuditReport) -> Iterator[str]:
    """Yield one `testsuites` element."""
    suites = list(_by_account(report) if report.accounts else _by_rule(report))
    sums = {key: str(sum(int(suite.attrib[key]) for suite in suites)) for key in ("tests", "failures", "errors")}
    name = escape_unprintable(f"dialler audit of {report.title}")
    root = Element("testsuites", {"name": name, "time": f"{report.seconds:.3f}", **sums})
    root.extend(suites)
    indent(root)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield tostring(root, encoding="unicode") + "\n"


def _by_rule(report: AuditReport) -> Iterator[Element]:
    findings = _grouped(report, lambda finding: finding.rule)
    # Rules of the baseline that were not applied now come last.
    rules = [*(info.id for info in report.rules), *(finding.rule for finding in report.all_findings())]
    for rule in dict.fromkeys(rules):
        passed = {"classname": escape_unprintable(rule), "name": f"campaigns without findings: {len(report.summaries)}"}
        yield _suite(rule, findings.get(rule, []), passed, report)


def _by_account(report: AuditReport) -> Iterator[Element]:
    findings = _grouped(report, lambda finding: finding.account)
    campaigns = Counter(summary.account for summary in report.summaries)
    if None in findings:
        yield _suite("all accounts", findings[None], {}, report)
    for account in report.accounts:
        passed = {"classname": escape_unprintable(account), "name": f"campaigns without findings: {campaigns[account]}"}
        yield _suite(account, findings.get(account, []), passed, report)


def _grouped(report: AuditReport, key: Callable[[Finding], str | None]) -> dict[str | None, list[Finding]]:
    groups: dict[str | None, list[Finding]] = {}
    for finding in report.all_findings():
        groups.setdefault(key(finding), []).append(finding)
    return groups


def _suite(name: str, findings: list[Finding], passed: dict[str, str], report: AuditReport) -> Element:
    infos = {info.id: info for info in report.rules}
    suite = Element("testsuite", {"name": escape_unprintable(name)})
    identity = report.identity or report.identities.get(name)
    facts = {
        "tool": report.tool,
        "server": identity.server if identity else "",
        "clients_id": "" if identity is None or identity.clients_id is None else str(identity.clients_id),
        "scope": report.scope_note or "the whole account",
        "now": report.now.isoformat(),
        "zone_note": report.zone_note,
    }
    _properties(suite, facts)
    for finding in findings:
        _case(suite, infos, finding, report)
    if suite.find("testcase") is None:
        SubElement(suite, "testcase", passed)
    suite.attrib |= {"tests": str(len(suite.findall("testcase")))}
    suite.attrib |= {key: str(len(suite.findall(f"testcase/{tag}"))) for key, tag in _RESULTS.items()}
    suite.attrib |= {"timestamp": report.started.isoformat(timespec="seconds")}
    return suite


def _case(suite: Element, infos: Mapping[str, RuleInfo], finding: Finding, report: AuditReport) -> None:
    name = f"{where(finding)}: {finding.subject}" if finding.subject else where(finding)
    classname = finding.rule if finding.account is None else f"{finding.account}.{finding.rule}"
    case = SubElement(suite, "testcase", {"classname": escape_unprintable(classname), "name": escape_unprintable(name)})
    if finding.state is not None:
        SubElement(case, "system-out").text = f"state: {finding.state}"
    message = escape_unprintable(finding.message)
    if finding.state is State.GONE:
        return
    if finding.state is State.UNCHECKED:
        message = f"not checked this time: {message}"
    if finding.acceptance is not None:
        message = f"accepted: {escape_unprintable(accepted_note(finding))}: {message}"
    if finding.rule == RULE_FAILED.id:
        SubElement(case, "error", {"type": finding.severity.value, "message": message})
    elif finding.severity is Severity.INFO or not report.fails(finding):
        SubElement(case, "skipped", {"type": finding.severity.value, "message": message})
    else:
        info = infos[finding.rule]
        failure = SubElement(case, "failure", {"type": finding.severity.value, "message": message})
        failure.text = escape_unprintable(f"{info.title}. {info.why} {info.fix}")


def _properties(element: Element, facts: dict[str, str]) -> None:
    properties = SubElement(element, "properties")
    for name, value in facts.items():
        SubElement(properties, "property", {"name": name, "value": escape_unprintable(value)})
