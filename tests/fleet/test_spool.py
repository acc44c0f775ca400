"""The temporary file of a fleet's report."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dialler_async.audit import RULES, AuditReport, not_audited
from dialler_async.fleet.spool import ReportSpool
from dialler_async.models import Language
from dialler_async.store import StoreError

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


def report(error: str) -> AuditReport:
    return not_audited(error, rules=RULES, languages=Language, now=NOW, started=NOW)


def test_reports_are_read_as_they_were_written() -> None:
    spool = ReportSpool()
    for name in ("north", "lone \ud800", "south"):
        spool[name] = report(name)
    assert spool["lone \ud800"] == report("lone \ud800")
    spool["north"] = report("again")
    assert dict(spool) == {name: report(name) for name in ("lone \ud800", "south")} | {"north": report("again")}
    del spool["south"]
    assert list(spool) == ["north", "lone \ud800"]
    with pytest.raises(KeyError):
        spool["south"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_file_is_closed_with_the_spool() -> None:
    before = set(os.listdir("/proc/self/fd"))
    spool = ReportSpool()
    spool["north"] = report("x")
    assert set(os.listdir("/proc/self/fd")) > before
    del spool
    assert set(os.listdir("/proc/self/fd")) <= before


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_full_disk_is_a_store_error() -> None:
    import resource

    spool = ReportSpool()
    small = report("x")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(StoreError, match="can't write a temporary file"):
            spool["north"] = small
        assert "north" not in spool
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_missing_temporary_directory_is_a_store_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StoreError, match="can't write a temporary file"):
        ReportSpool()
