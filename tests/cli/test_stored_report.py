"""`dialler report`: reports of runs in the store, without a request, and the HTML pages of a fleet."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs
import pytest

from dialler_async.audit import Acceptance, AccountIdentity, AuditReport, Finding, Severity
from dialler_async.audit.options import AuditOptions
from dialler_async.audit.rules import RULES
from dialler_async.audit.writers.html import page_name
from dialler_async.models import Language
from dialler_async.store import NewUnit, Plan, Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
SERVER = "https://acd.example.com"
NAMES = ("acme north", "acme south", "../<b>&")

pytestmark = pytest.mark.usefixtures("no_settings")


def _report(clients_id: int, *names: str) -> AuditReport:
    findings = tuple(
        Finding(
            rule="expired",
            severity=Severity.WARNING,
            campaign_id=id,
            campaign_name=name,
            subject="dtTo",
            message=f"{name} has ended",
        )
        for id, name in enumerate(names, 1)
    )
    rules = AuditOptions.of(RULES, Language, NOW).applied(findings)
    return AuditReport(
        findings=findings,
        rules=rules,
        campaign_count=5,
        code_count=0,
        lookups=0,
        requests=1,
        seconds=0.0,
        started=NOW,
        now=NOW,
        languages=tuple(Language),
        identity=AccountIdentity(f"{SERVER.removeprefix('https://')}/rest/v1.0", clients_id),
    )


async def _audit(location: Path, *nights: dict[str, AuditReport], is_fleet: bool = True) -> None:
    async with Store(str(location)) as store:
        for reports in nights:
            units = [NewUnit(name=name, url=SERVER, clients_id=id) for id, name in enumerate(reports, 1)]
            run = await store.runs.create(units, Plan(languages=(1, 2), now=NOW), settings="", is_fleet=is_fleet)
            for unit in await store.runs.units(run.id):
                await store.results.save(unit, reports[unit.name])
            await store.runs.finish(run.id)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with two nights of three accounts; in the second night, the second account has a new finding."""
    first = {name: _report(id, "Spring") for id, name in enumerate(NAMES, 1)}
    second = {**first, NAMES[1]: _report(2, "Spring", "Autumn")}
    location = tmp_path / "audits.db"
    asyncio.run(_audit(location, first, second))
    return location


def test_report_has_the_latest_run_or_the_wanted_one(run: Run, store: Path) -> None:
    for wanted, number in ((), 4), (("--run", "latest"), 4), (("--run", "1"), 3):
        result = run("report", "--store", store, "--format", "json", *wanted)
        assert result.exit == 0
        assert len(json.loads(result.out)["findings"]) == number


def test_report_has_chosen_accounts_only(run: Run, store: Path) -> None:
    result = run("report", "--store", store, "--format", "jsonl", "--account", "acme*")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert {line["account"] for line in lines} == set(NAMES[:2])
    assert [line["message"] for line in lines if line["state"] == "new"] == ["Autumn has ended"]


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv", "markdown", "summary", "junit", "sarif"])
def test_report_has_every_format(format: str, run: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "report"
    assert run("report", "--store", store, "--format", format, "--output", file).exit == 0
    assert "acme south" in file.read_text(encoding="utf-8")
    assert run("report", "--store", store, "--format", format, "--run", 3).exit == 2


def test_report_of_a_run_without_such_an_account_is_refused(run: Run, store: Path) -> None:
    result = run("report", "--store", store, "--account", "nobody")
    assert (result.exit, result.out) == (2, "")
    assert "run 2 has no result of such an account" in result.err


def test_report_is_written_also_if_its_pages_can_not_be_written(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "pages" / "index.html").mkdir(parents=True)
    file = tmp_path / "report.jsonl"
    result = run("report", "--store", store, "--html", tmp_path / "pages", "--format", "jsonl", "--output", file)
    assert result.exit == 5
    assert f"can't write {tmp_path / 'pages'}: " in result.err
    assert len(file.read_text().splitlines()) == 4


def test_history_says_which_findings_are_open_accepted_and_gone(run: Run, tmp_path: Path) -> None:
    location, first = tmp_path / "audits.db", _report(1, "Spring", "Autumn", "Winter")
    *_, autumn, winter = (attrs.evolve(finding, acceptance=Acceptance(reason="known")) for finding in first.findings)
    first = attrs.evolve(first, findings=first.findings[:1], accepted=(autumn, winter))
    second = attrs.evolve(first, accepted=(autumn,))
    asyncio.run(_audit(location, {"acme": first}, {"acme": second}))
    lines = run("history", "findings", "--store", location).out.splitlines()[1:]
    states = {line.split()[-3]: line.split()[2] for line in lines}
    assert states == {"Spring": "open", "Autumn": "accepted", "Winter": "gone"}


@pytest.mark.parametrize("wanted", ["0x1", "last", "-1", ""])
def test_run_must_be_a_number_or_latest(wanted: str, run: Run, store: Path) -> None:
    assert run("report", "--store", store, f"--run={wanted}").exit == 2


def test_run_of_one_account_is_reported_with_its_name(run: Run, tmp_path: Path) -> None:
    location = tmp_path / "one.db"
    asyncio.run(_audit(location, {"Vienna": _report(1, "Spring")}, is_fleet=False))
    text = json.loads(run("report", "--store", location, "--format", "json").out)
    assert (text["name"], text["clients_id"]) == ("Vienna", 1)
    assert "accounts" not in text
    assert run("report", "--store", location, "--html", tmp_path / "pages").exit == 0
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["index.html"]


def test_html_of_a_fleet_is_an_index_and_a_page_for_each_account(run: Run, store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    for _ in range(2):
        assert run("report", "--store", store, "--html", folder).exit == 0
    assert {path.name for path in folder.iterdir()} == {"index.html", *map(page_name, NAMES)}
    index = (folder / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([^"]+)"', index)
    assert set(links) - {"data:,"} == set(map(page_name, NAMES))
    assert index.index("New since") < index.index("Autumn has ended") < index.index("Accounts, the worst first")
    rows = re.findall(r'<th scope="row"><a href="([^"]+)"', index)
    assert rows[0] == page_name(NAMES[1])
    assert "<b>&" not in index
    assert "Trend" in index
    page = (folder / page_name(NAMES[1])).read_text(encoding="utf-8")
    assert "1 new, 0 gone, 1 known" in page
    assert "acme south (account 2 on acd.example.com/rest/v1.0)" in page


def test_html_of_chosen_accounts_has_no_other_pages_and_no_trend(run: Run, store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    assert run("report", "--store", store, "--account", "*north", "--html", folder).exit == 0
    assert {path.name for path in folder.iterdir()} == {"index.html", page_name(NAMES[0])}
    assert "Trend" not in (folder / "index.html").read_text(encoding="utf-8")


def test_html_as_a_file_is_one_page(run: Run, store: Path, tmp_path: Path) -> None:
    assert run("report", "--store", store, "--html", tmp_path / "fleet.html").exit == 0
    assert "Autumn has ended" in (tmp_path / "fleet.html").read_text(encoding="utf-8")


def test_html_of_a_large_fleet_needs_a_directory(run: Run, tmp_path: Path) -> None:
    location = tmp_path / "large.db"
    asyncio.run(_audit(location, {"Vienna": attrs.evolve(_report(1, "Spring"), campaign_count=10_001)}))
    file = tmp_path / "fleet.html"
    result = run("report", "--store", location, "--format", "jsonl", "--html", file)
    assert (result.exit, file.exists()) == (5, False)
    assert "10,001 campaigns of a fleet are too many for one page: give a directory" in result.err
    assert json.loads(result.out)["account"] == "Vienna", "the other outputs are written"
    assert run("report", "--store", location, "--html", tmp_path / "pages").exit == 0


def test_directory_that_can_not_be_written_is_an_error(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = run("report", "--store", store, "--html", tmp_path / "file")
    assert (result.exit, (tmp_path / "file").read_text()) == (2, "mine")
    assert run("report", "--store", store, "--html", tmp_path / "none" / "pages").exit == 2
    folder = tmp_path / "pages"
    (folder / "index.html").mkdir(parents=True)
    assert run("report", "--store", store, "--html", folder).exit == 5


def test_unfinished_run_is_reported_with_a_note(run: Run, store: Path) -> None:
    async def begin() -> None:
        async with Store(str(store)) as opened:
            units = [NewUnit(name=name, url=SERVER, clients_id=id) for id, name in enumerate(NAMES[:2], 1)]
            unfinished = await opened.runs.create(units, Plan(languages=(1,), now=NOW), settings="", is_fleet=True)
            [unit, _] = await opened.runs.units(unfinished.id)
            await opened.results.save(unit, _report(unit.clients_id or 0, "Spring"))

    asyncio.run(begin())
    result = run("report", "--store", store, "--format", "summary")
    assert result.exit == 0
    assert "run 3 is unfinished: 1 account has no result yet" in result.err


def test_names_of_pages_are_safe_and_distinct() -> None:
    names = ["A", "a", "A/..", "CON", "\ud800", "ä", "x" * 500, "", "a.", "a "]
    pages = [page_name(name) for name in names]
    assert len({page.lower() for page in pages}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]{1,80}\.html", page) for page in pages)


def test_trend_has_a_line_of_the_findings_of_all_accounts_or_of_one(run: Run, store: Path) -> None:
    asyncio.run(_audit(store, {NAMES[0]: _report(1, *"abcdefgh")}, is_fleet=False))
    assert "findings: █  8 in run 3, 8 in run 3" in run("history", "trend", "--store", store).out
    whole = run("history", "trend", NAMES[1], "--store", store).out
    assert "findings: ▄█  1 in run 1, 2 in run 2" in whole
    assert run("history", "trend", "nobody", "--store", store).exit == 0
