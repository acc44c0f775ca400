"""Small programs as users write them. They run against a sandbox, and type checkers accept them in strict mode."""

from __future__ import annotations

import asyncio
import csv
import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asgiref.sync import sync_to_async

from dialler_async import NotFoundError
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import HangUp, Reset, Status
from dialler_async.testing import instant_waits

PROGRAMS = Path(__file__).with_name("programs")
PYRIGHT = Path(sys.executable).with_name("basedpyright")
Serve = Callable[[Any], AbstractAsyncContextManager[Any]]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Return a function that imports a program."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in {path.stem for path in PROGRAMS.glob("*.py")} & set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Yield a server in its own thread. The environment contains its URL and token."""
    with Sandbox(campaigns=30, seed=1) as sandbox:
        monkeypatch.setenv("DIALLER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", sandbox.token)
        yield sandbox


def output_of(name: str, *arguments: str, expected: int) -> str:
    command = [sys.executable, "-W", "error", str(PROGRAMS / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == expected, done.stderr
    return done.stdout


@pytest.mark.parametrize("framework", ["fastapi", "starlette", "aiohttp"])
async def test_web_app_serves_its_six_endpoints(
    framework: str,
    program: Callable[[str], Any],
    sandbox: Sandbox,
    serve_by_uvicorn: Serve,
    serve_by_aiohttp: Serve,
) -> None:
    module = program(f"{framework}_app")
    app_server = serve_by_aiohttp(module.make_app()) if framework == "aiohttp" else serve_by_uvicorn(module.app)
    id, record = next(iter(sandbox.campaigns.items()))
    async with app_server as app, aiohttp.ClientSession(app.url) as browser:

        async def send(method: str, path: str, **options: Any) -> tuple[int, Any]:
            async with browser.request(method, path, **options) as response:
                return response.status, json.loads(await response.read() or "null")

        status, campaigns = await send("GET", "/campaigns")
        assert (status, {campaign["id"] for campaign in campaigns}) == (200, set(sandbox.campaigns))
        assert [
            campaign["id"] for campaign in (await send("GET", "/campaigns", params={"name": record["Name"]}))[1]
        ] == [id]
        assert (await send("GET", f"/campaigns/{id}"))[1]["name"] == record["Name"]
        assert await send("GET", f"/campaigns/{id}/wire") == (200, record)
        assert len((await send("GET", f"/campaigns/{id}/codes?language=2"))[1]) == len(sandbox.result_codes(id, 2))
        new = {"template": record["Name"], "name": "Monday", "user_data": "crm-7"}
        status, monday = await send("POST", "/campaigns", json=new)
        assert (status, monday["user_data"]) == (201, "crm-7")
        assert await send("POST", "/campaigns", json=new) == (200, monday)
        assert (await send("POST", "/campaigns", json=new | {"user_data": "other"}))[0] == 409
        for _ in range(2):
            assert await send("DELETE", f"/campaigns/{monday['id']}") == (204, None)
        assert monday["id"] not in sandbox.campaigns
        assert (await send("GET", f"/campaigns/{monday['id']}"))[0] == 404
        sandbox.revoke()
        assert (await send("GET", f"/campaigns/{id}"))[0] == 502


def test_bulk_comparison_writes_every_difference_as_csv(sandbox: Sandbox, tmp_path: Path) -> None:
    assert sandbox.template is not None
    for id in set(sandbox.campaigns) - {sandbox.template.campaign_id, *sandbox.template.copies}:
        sandbox.remove(id)
    sandbox.load({"ID": 9000, "Name": "Without codes"})
    sandbox.load({"ID": 9001, "Name": "Refused"})
    sandbox.faults.next(Reset(), Status(500), match="result_codes")
    sandbox.faults.chance(1.0, [Status(400)], match=lambda received: "/9001/" in received.target)
    output = tmp_path / "differences.csv"
    output_of("compare_codes.py", sandbox.template.name, str(output), expected=1)
    head, *rows = csv.reader(output.read_text().splitlines())
    assert head == ["campaign ID", "campaign", "language", "export key", "difference"]
    expected = {
        (defect.campaign_id, defect.export_key)
        for defect in sandbox.seeded_defects
        if defect.rule == "differs-from-template" and defect.export_key in ("ZUSATZ", "NE")
    }
    found = {(int(id), key) for id, _, _, key, _ in rows}
    assert expected <= found
    assert {language for _, _, language, _, _ in rows} == {"ENGLISH", "GERMAN"}
    keys = {code["ExportKey"] for code in sandbox.result_codes(sandbox.template.campaign_id)}
    assert {key for id, key in found if id == 9000} == keys
    assert [row[-1].partition(":")[0] for row in rows if row[0] == "9001"] == ["not fetched"] * 2


async def test_queue_worker_runs_every_job_once_under_faults(
    program: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = program("queue_worker")
    with Sandbox([{"ID": 1, "Name": "Template"}, {"ID": 2, "Name": "Old"}]) as sandbox, instant_waits():
        monkeypatch.setenv("DIALLER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", sandbox.token)
        sandbox.faults.chance(
            0.3, [Reset(), Reset(carried_out=True), HangUp(carried_out=True), Status(503), Status(502, None, True)]
        )
        names = [f"Campaign {number}" for number in range(20)]
        jobs = [worker.Job("start", name) for name in names for _ in range(2)]
        jobs += [worker.Job("end", "Old"), worker.Job("start", "Never", "No such template")]
        results = await asyncio.wait_for(worker.run(jobs), 60)
    assert Counter(record["Name"] for record in sandbox.campaigns.values()) == Counter(["Template", *names])
    assert [(job.name, type(error)) for job, error in results.rejected] == [("Never", NotFoundError)]
    assert len(results.succeeded) == len(jobs) - 1


def test_notebook_cells_run_in_order(sandbox: Sandbox) -> None:
    lines = output_of("notebook.py", expected=0).splitlines()
    assert lines[0] == "30 campaigns"
    assert lines[-1] == "campaign 404404: 404"
    assert sandbox.connections.open == 0


def test_notebook_makes_tables_of_pandas_and_polars(sandbox: Sandbox) -> None:
    lines = output_of("notebook_tables.py", expected=0).splitlines()
    assert lines[0] == "30 campaigns in pandas"
    assert lines[-1] == "30 campaigns in polars"
    assert sandbox.connections.open == 0


def test_synchronous_script_makes_all_calls_with_one_client(sandbox: Sandbox) -> None:
    id, record = next(iter(sandbox.campaigns.items()))
    name, number = record["Name"], len(sandbox.result_codes(id))
    output = output_of("synchronous_script.py", name, "Nowhere", expected=1)
    assert output.splitlines() == [f"{name}: {number} result codes", "Nowhere: missing"]
    assert sandbox.connections.opened == 1


def test_synchronous_views_work_in_threads_and_below_an_event_loop(
    program: Callable[[str], Any], sandbox: Sandbox
) -> None:
    view = program("django_views").campaign_view
    id, record = next(iter(sandbox.campaigns.items()))
    expected = (200, record | {"codes": [code["Content"] for code in sandbox.result_codes(id)]})
    assert [view(id), view(id), view(404404)[0]] == [expected, expected, 404]

    async def in_an_async_server() -> Any:
        return await asyncio.gather(*(sync_to_async(view, thread_sensitive=False)(id) for _ in range(3)))

    assert asyncio.run(in_an_async_server()) == [expected] * 3


def test_tests_of_users_pass_in_a_new_project(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_users=(PROGRAMS / "users_tests.py").read_text())
    pytester.runpytest_subprocess().assert_outcomes(passed=4)


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_accept_the_programs_in_strict_mode(checker: str, tmp_path: Path) -> None:
    if checker == "mypy":
        command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(PROGRAMS)]
    else:
        (tmp_path / "pyrightconfig.json").write_text(
            json.dumps({"typeCheckingMode": "strict", "include": [str(PROGRAMS)]})
        )
        command = [str(PYRIGHT), "--project", str(tmp_path), "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROGRAMS.parents[2], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
