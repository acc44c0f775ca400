"""The states of findings: new, unchanged, gone, or not checked. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from .comparison import Change, Comparison
from .coverage import Coverage
from .findings import Finding, State
from .report import AuditReport


@attrs.frozen
class FindingStates:
    """The findings of a run, and of earlier runs, with their states.

    Attributes:
        found: the findings of the run in their order, each new or unchanged.
        gone: known findings that the run checked and did not find.
        unchecked: known findings that the run could not check. They stay known.
    """

    found: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    unchecked: tuple[Finding, ...]


def compare_findings(known: Iterable[Finding], found: Iterable[Finding], coverage: Coverage) -> FindingStates:
    """Return the states of the findings of a run of one account.

    A finding is new if it is not known, if its measure has grown, or if it was accepted and no longer is. A known
    finding that was not found is gone only if the run could have found it.

    A finding that goes by a majority is left out if it is not known, and if a known finding says that the campaigns
    that would decide were not checked. Otherwise a sound campaign would be reported when the majority is out of reach.
    For the same reason, a known finding about such a majority is then not gone.

    Args:
        known: the findings of earlier runs that are not gone: those of the last run, accepted or not, and those that
            it could not check.
        found: the findings of the run, accepted or not.
        coverage: what the run checked.
    """
    earlier = {finding.identity: finding for finding in known}
    reasons = {identity: coverage.why_not_checked(finding) for identity, finding in earlier.items()}
    current = tuple(
        attrs.evolve(one, state=_state(one, earlier.get(one.identity)))
        for one in found
        if one.basis.certain or one.identity in earlier or not _is_undecided(one, earlier, reasons)
    )
    undecided = {(one.rule, one.subject) for one in found if not one.basis.certain}
    seen = {one.identity for one in current}
    gone: list[Finding] = []
    unchecked: list[Finding] = []
    for identity, finding in earlier.items():
        reason = reasons[identity]
        if (finding.rule, finding.subject) in undecided:
            reason = reason or "campaigns that would decide were not checked"
        if identity in seen:
            continue
        if reason is None:
            gone.append(attrs.evolve(finding, state=State.GONE, unchecked_reason=""))
        else:
            unchecked.append(attrs.evolve(finding, state=State.UNCHECKED, unchecked_reason=reason))
    return FindingStates(current, tuple(gone), tuple(unchecked))


def _is_undecided(finding: Finding, known: Mapping[str, Finding], reasons: Mapping[str, str | None]) -> bool:
    """Return whether known findings say that the campaigns that would decide about a finding were not checked."""
    return any(
        (other.rule, other.subject) == (finding.rule, finding.subject)
        and (other.basis.campaigns is None or finding.campaign in other.basis.campaigns)
        and reasons[identity] is not None
        for identity, other in known.items()
    )


def _state(finding: Finding, earlier: Finding | None) -> State:
    if earlier is None or (earlier.acceptance is not None and finding.acceptance is None):
        return State.NEW
    has_grown = finding.measure is not None and earlier.measure is not None and finding.measure > earlier.measure
    return State.NEW if has_grown else State.UNCHANGED


def with_states(
    report: AuditReport, known: Iterable[Finding], *, since: datetime, changes: tuple[Change, ...] = ()
) -> AuditReport:
    """Return the report of one account with the state of each finding, and with its comparison.

    Args:
        report: the report, after `accept`.
        known: see `compare_findings`.
        since: when the last run began.
        changes: see `Comparison.changes`.
    """
    states = compare_findings(known, (*report.findings, *report.accepted), report.coverage())
    findings = tuple(finding for finding in states.found if finding.acceptance is None)
    accepted = tuple(finding for finding in states.found if finding.acceptance is not None)
    comparison = Comparison(
        since=since,
        new=tuple(finding for finding in findings if finding.state is State.NEW),
        gone=states.gone,
        unchanged=sum(finding.state is State.UNCHANGED for finding in findings),
        unchecked=states.unchecked,
        changes=changes,
    )
    return attrs.evolve(report, findings=findings, accepted=accepted, comparison=comparison)
