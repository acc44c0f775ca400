"""Fixtures: a store on both databases, runs, and reports."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from dialler_async.audit import AccountIdentity, AuditReport, Finding, Severity
from dialler_async.audit.options import AuditOptions
from dialler_async.audit.rules import RULES
from dialler_async.models import Language
from dialler_async.store import NewUnit, Plan, Run, Store

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
SERVER = "https://acd.example.com"

MakeReport = Callable[..., AuditReport]
BeginRun = Callable[..., Awaitable[Run]]


@pytest.fixture
async def store(location: str) -> AsyncIterator[Store]:
    """Yield an open store; the test runs on both databases."""
    async with Store(location) as store:
        yield store


@pytest.fixture
def begin(store: Store) -> BeginRun:
    """Return a function that begins a run of accounts by name; their ClientsIDs are counted from 1."""

    async def begin(*names: str, **options: Any) -> Run:
        units = [NewUnit(name=name, url=SERVER, clients_id=id) for id, name in enumerate(names, 1)]
        plan = Plan(languages=(1, 2), now=NOW)
        return await store.runs.create(units, plan, **{"settings": "a digest", "is_fleet": True, **options})

    return begin


@pytest.fixture
def report() -> MakeReport:
    """Return a function that makes the report of an account with findings about campaigns by name."""

    def report(*campaigns: str, clients_id: int = 1, **changes: Any) -> AuditReport:
        findings = tuple(
            Finding(
                rule="expired",
                severity=Severity.WARNING,
                campaign_id=id,
                campaign_name=name,
                subject="dtTo",
                message=f"{name} has ended",
            )
            for id, name in enumerate(campaigns, 1)
        )
        made = AuditReport(
            findings=findings,
            rules=AuditOptions.of(RULES, Language, NOW).applied(findings),
            campaign_count=len(campaigns),
            code_count=0,
            lookups=0,
            requests=0,
            seconds=0.5,
            started=NOW,
            now=NOW,
            languages=tuple(Language),
        )
        return attrs.evolve(made, identity=AccountIdentity("acd.example.com/rest/v1.0", clients_id), **changes)

    return report
