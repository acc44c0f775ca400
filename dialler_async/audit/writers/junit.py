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

from collections.abc import Iterable, Iterator, Mapping
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ..._text.escaping import escape_unprintable
from ..findings import Finding, Severity, State
from ..report import AuditReport, Report
from ..rule import RuleInfo
from ..rules import RULE_FAILED
from ..story import accepted_note, where

_RESULTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def write_junit(report: Report) -> Iterator[str]:
    """Yield one `testsuites` element, suite by suite. The suites are made twice, because it begins with their sums."""
    sums = dict.fromkeys(("tests", "failures", "errors"), 0)
    for suite in _suites(report):
        for key in sums:
            sums[key] += int(suite.attrib[key])
    name = escape_unprintable(f"dialler audit of {report.title}")
    numbers = {key: str(number) for key, number in sums.items()}
    root = Element("testsuites", {"name": name, "time": f"{report.seconds:.3f}", **numbers})
    begin, end = tostring(root, encoding="unicode", short_empty_elements=False).split("><")
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n{begin}>\n'
    for suite in _suites(report):
        indent(suite, level=1)
        yield f"  {tostring(suite, encoding='unicode')}\n"
    yield f"<{end}\n"


def _suites(report: Report) -> Iterator[Element]:
    for part in report.parts():
        if report.accounts:
            yield _suite(part.name or "all accounts", part.all_findings(), part, report)
            continue
        findings: dict[str, list[Finding]] = {info.id: [] for info in report.rules}
        # Rules of the baseline that were not applied now come last.
        for finding in part.all_findings():
            findings.setdefault(finding.rule, []).append(finding)
        for rule, of_rule in findings.items():
            yield _suite(rule, of_rule, part, report)


def _suite(name: str, findings: Iterable[Finding], part: AuditReport, report: Report) -> Element:
    infos = {info.id: info for info in report.rules}
    suite = Element("testsuite", {"name": escape_unprintable(name)})
    identity = part.identity
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
        campaigns = report.accounts[name].campaigns if report.accounts else len(part.summaries)
        passed = {"classname": escape_unprintable(name), "name": f"campaigns without findings: {campaigns}"}
        SubElement(suite, "testcase", passed)
    suite.attrib |= {"tests": str(len(suite.findall("testcase")))}
    suite.attrib |= {key: str(len(suite.findall(f"testcase/{tag}"))) for key, tag in _RESULTS.items()}
    suite.attrib |= {"timestamp": report.started.isoformat(timespec="seconds")}
    return suite


def _case(suite: Element, infos: Mapping[str, RuleInfo], finding: Finding, report: Report) -> None:
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
