"""The audit of an account of 2,000 campaigns: every seeded defect is found, and nothing else is reported."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from dialler_async import DiallerClient, PoolConfig, RetryPolicy, Timeouts
from dialler_async._http.clock import CLOCK
from dialler_async.audit import RULES, AuditReport, Finding, audit
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CutShort, HangUp, Reset, StallBeforeHeaders, StallInBody, Status

NOW = datetime(2026, 3, 2, 12, 0)  # noqa: DTZ001  # the sandbox's wall clock
FAULTS = (
    Reset(),
    Reset(carried_out=True),
    HangUp(),
    CutShort(),
    Status(503, retry_after=30),
    Status(429, retry_after=9),
)
STALLS = (StallBeforeHeaders(), StallInBody())

Found = tuple[str, int | None, str]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the waits between attempts."""
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        await asyncio.sleep(0)

    monkeypatch.setattr(CLOCK, "sleep", sleep)
    monkeypatch.setattr(CLOCK, "monotonic", lambda: now)


def seeded_defects(sandbox: Sandbox) -> set[Found]:
    """Return rule, campaign and subject of the seeded defects; the subject is empty if only the campaign is known."""
    return {
        (one.rule, one.campaign_id, str(one.code_id or one.export_key or one.key or ""))
        for one in sandbox.seeded_defects
    }


def found(finding: Finding) -> Found:
    """Return rule, campaign and subject of a finding. Defects of names and dates have no subject."""
    return finding.rule, finding.campaign_id, "" if finding.subject in PLAIN_SUBJECTS else finding.subject


PLAIN_SUBJECTS = {"Name", "dtFrom", "dtTo"}


def check(report: AuditReport, sandbox: Sandbox) -> None:
    assert sandbox.template is not None
    copies = {*sandbox.template.copies, sandbox.template.campaign_id}
    strangers, rest = set(), []
    for finding in report.findings:
        # Every campaign that is not a copy differs from the template.
        if finding.rule == "differs-from-template" and finding.campaign_id not in copies:
            strangers.add(finding.campaign_id)
        else:
            rest.append(found(finding))
    assert strangers | copies | invalid(sandbox) == set(sandbox.campaigns)
    assert len(rest) == len(set(rest)), "each is reported once"
    assert set(rest) == seeded_defects(sandbox)
    assert {rule for rule, _, _ in rest} == {rule.info.id for rule in RULES} - {"unreachable-codes"}
    assert report.campaign_count == len(sandbox.campaigns)


def invalid(sandbox: Sandbox) -> set[int]:
    return {one.campaign_id for one in sandbox.seeded_defects if one.rule == "invalid-record"}


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 32])
@pytest.mark.parametrize("faults", [False, True], ids=["no faults", "faults"])
async def test_audit_finds_the_seeded_defects_and_nothing_else(concurrency: int, faults: bool, at_once: None) -> None:
    # In debug mode, asyncio records a traceback for each step. The test below uses debug mode with fewer campaigns.
    asyncio.get_running_loop().set_debug(False)
    async with Sandbox(campaigns=2000, seed=3, invalid_record=True, now=NOW) as sandbox:
        if faults:
            sandbox.faults.chance(0.05, FAULTS, seed=1)
            sandbox.faults.next(*STALLS * 3, match="result_codes", after=100)
        async with DiallerClient(
            sandbox.base_url,
            sandbox.token,
            pool=PoolConfig(limit=32),
            retry=RetryPolicy(attempts=8),
            timeouts=Timeouts(read=0.5 if faults else 30),
        ) as dialler:
            report = await audit(
                dialler,
                template=sandbox.template.name if sandbox.template else None,
                concurrency=concurrency,
                now=NOW.replace(tzinfo=UTC),
            )
        assert (len(sandbox.journal) > report.requests + 150) is faults
    check(report, sandbox)


@pytest.mark.parametrize("seed", [1, 2, 7])
async def test_audit_finds_the_seeded_defects_of_any_account(seed: int) -> None:
    async with (
        Sandbox(campaigns=60, seed=seed, invalid_record=True, now=NOW) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token) as dialler,
    ):
        assert sandbox.template is not None
        report = await audit(dialler, template=sandbox.template.name, now=NOW.replace(tzinfo=UTC) + timedelta(hours=1))
    check(report, sandbox)
