"""The states of findings: new, unchanged, gone, or not checked. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from .comparison import Change, Comparison
from .findings import Finding, State
from .report import AuditReport


def with_states(
    report: AuditReport, known: Iterable[Finding], *, since: datetime, changes: tuple[Change, ...] = ()
) -> AuditReport:
    """Return the report of one account with the state of each finding, and with its comparison.

    A finding is new if it is not known, if its measure has grown, or if it was accepted and no longer is. A known
    finding that was not found is gone only if the run could have found it.

    A finding that goes by a majority is left out if it is not known, and if a known finding says that the campaigns
    that would decide were not checked. Otherwise a sound campaign would be reported when the majority is out of reach.
    For the same reason, a known finding about such a majority is then not gone.

    Args:
        report: the report, after `accept`.
        known: the findings of earlier runs that are not gone: those of the last run, accepted or not, and those that
            it could not check.
        since: when the last run began. A known finding without `open_since` was found then.
        changes: see `Comparison.changes`.
    """
    coverage = report.coverage()
    found = (*report.findings, *report.accepted)
    dated = (attrs.evolve(finding, open_since=finding.open_since or since) for finding in known)
    earlier = {finding.identity: finding for finding in dated}
    reasons = {identity: coverage.why_not_checked(finding) for identity, finding in earlier.items()}
    current = [
        _with_state(one, earlier.get(one.identity))
        for one in found
        if one.basis.certain or one.identity in earlier or not _is_undecided(one, earlier, reasons)
    ]
    findings = tuple(finding for finding in current if finding.acceptance is None)
    undecided = {(one.rule, one.subject) for one in found if not one.basis.certain}
    seen = {one.identity for one in current}
    gone: list[Finding] = []
    unchecked: list[Finding] = []
    for identity, finding in earlier.items():
        if identity in seen:
            continue
        reason = reasons[identity]
        if (finding.rule, finding.subject) in undecided:
            reason = reason or "campaigns that would decide were not checked"
        if reason is None:
            gone.append(attrs.evolve(finding, state=State.GONE, unchecked_reason=""))
        else:
            unchecked.append(attrs.evolve(finding, state=State.UNCHECKED, unchecked_reason=reason))
    comparison = Comparison(
        since=since,
        new=tuple(finding for finding in findings if finding.state is State.NEW),
        gone=tuple(gone),
        unchanged=sum(finding.state is State.UNCHANGED for finding in findings),
        unchecked=tuple(unchecked),
        changes=changes,
    )
    accepted = tuple(finding for finding in current if finding.acceptance is not None)
    return attrs.evolve(report, findings=findings, accepted=accepted, comparison=comparison)


def _is_undecided(finding: Finding, known: Mapping[str, Finding], reasons: Mapping[str, str | None]) -> bool:
    """Return whether known findings say that the campaigns that would decide about a finding were not checked."""
    return any(
        (other.rule, other.subject) == (finding.rule, finding.subject)
        and (other.basis.campaigns is None or finding.campaign in other.basis.campaigns)
        and reasons[identity] is not None
        for identity, other in known.items()
    )


def _with_state(finding: Finding, earlier: Finding | None) -> Finding:
    if earlier is None:
        return attrs.evolve(finding, state=State.NEW)
    has_grown = finding.measure is not None and earlier.measure is not None and finding.measure > earlier.measure
    is_new = has_grown or (earlier.acceptance is not None and finding.acceptance is None)
    return attrs.evolve(finding, state=State.NEW if is_new else State.UNCHANGED, open_since=earlier.open_since)
