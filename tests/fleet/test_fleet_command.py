"""`dialler fleet` and `dialler history` as processes: exit codes and output."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sqlite3
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from dialler_async.audit.writers.html import page_name
from dialler_async.cli import main
from dialler_async.cli.fleet import _progress
from dialler_async.sandbox import Sandbox
from dialler_async.store import Plan, Results, RunState, StoreError
from dialler_async.store import Run as StoredRun

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Command, HeldRequest
    from tests.fleet.conftest import WriteFleet

Run = Callable[..., Awaitable[tuple[int | None, str, str]]]


@pytest.fixture
def run(command: Command, tmp_path: Path) -> Run:
    """Return a function that runs `dialler` in a new directory, and returns its exit code, stdout and stderr."""

    async def run(*argv: str, **changed: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            *argv,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=tmp_path,
            env=command.environment(**changed),
        )
        async with asyncio.timeout(120):
            output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()

    return run


@pytest.mark.slow
async def test_findings_win_over_an_account_that_can_not_be_audited(
    tmp_path: Path, write_fleet: WriteFleet, run: Run
) -> None:
    async with Sandbox(campaigns=10, accounts=2) as sandbox:
        manifest = str(write_fleet(sandbox, tmp_path))
        os.remove(tmp_path / "2.token")
        findings = await run("fleet", "audit", manifest, "--fail-on", "info")
        unaudited = await run("fleet", "audit", manifest)
        nothing_new = await run("fleet", "audit", manifest, "--fail-on-new")
        (tmp_path / "2.token").write_text(sandbox.accounts[2].token)
        lists = len(sandbox.journal)
        repeated = await run("fleet", "audit", manifest, "--only-failed")
        assert len(sandbox.journal) - lists == 21, "only the failed account"
    assert (findings[0], unaudited[0], nothing_new[0], repeated[0]) == (1, 3, 3, 0)
    assert "its token_file" in findings[1]
    assert "dialler: run 3: 1 account could not be audited, and will be audited again\n" in repeated[2]


@pytest.mark.slow
async def test_killed_audit_is_resumed_and_says_how_many_accounts_are_done(
    tmp_path: Path, hold: type[HeldRequest], write_fleet: WriteFleet, command: Command, run: Run
) -> None:
    async with Sandbox(campaigns=2, accounts=3) as sandbox:
        manifest = str(write_fleet(sandbox, tmp_path))
        held = hold()
        sandbox.faults.next(held)
        process = await asyncio.create_subprocess_exec(
            *command.argv, "fleet", "audit", manifest, stdout=DEVNULL, cwd=tmp_path, env=command.environment()
        )
        await held.arrived.wait()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        again = await run("fleet", "audit", manifest, "--account", "account 3", "--json")
        resumed = await run("fleet", "audit", manifest, "--resume", "--json")
        status = await run("fleet", "status")
        history = await run("history")
    assert (again[0], resumed[0]) == (0, 0)
    assert json.loads(again[1])["accounts"] == ["account 3"]
    assert json.loads(resumed[1])["accounts"] == ["account 1", "account 2", "account 3"]
    assert "is unfinished: 2 of 3 accounts are done" in resumed[2]
    assert "finished: 1 of 1 account done, 0 failed" in status[1], "the latest run"
    assert [line.split()[0] for line in history[1].splitlines()] == ["RUN", "2", "1"]


@pytest.mark.slow
async def test_html_directory_has_an_index_and_pages_that_link_to_each_other(
    tmp_path: Path, write_fleet: WriteFleet, run: Run
) -> None:
    names = ["account 1", "account 2"]
    async with Sandbox(campaigns=3, accounts=2) as sandbox:
        manifest = str(write_fleet(sandbox, tmp_path))
        exit, output, _ = await run("fleet", "audit", manifest, "--html", "pages", "--format", "jsonl")
        assert exit == 0
        lists = len(sandbox.journal)
        assert (await run("report", "--html", "again"))[0] == 0
        assert len(sandbox.journal) == lists
    assert {json.loads(line)["account"] for line in output.splitlines()} == set(names)
    for folder in ("pages", "again"):
        assert {path.name for path in (tmp_path / folder).iterdir()} == {"index.html", *map(page_name, names)}
        index = (tmp_path / folder / "index.html").read_text()
        for name in names:
            page = (tmp_path / folder / page_name(name)).read_text()
            assert f'<a href="{page_name(name)}">' in index
            assert '<a href="index.html">All accounts</a>' in page
            assert f"<h1>Audit of {name} (" in page


@pytest.mark.slow
async def test_worker_logs_each_account_as_json(
    tmp_path: Path, write_fleet: WriteFleet, command: Command, run: Run
) -> None:
    async with Sandbox(campaigns=2, accounts=2) as sandbox:
        manifest = str(write_fleet(sandbox, tmp_path))
        worker = await asyncio.create_subprocess_exec(
            *(*command.argv, "fleet", "worker", manifest, "--log-format", "json"),
            stdout=PIPE,
            stderr=PIPE,
            cwd=tmp_path,
            env=command.environment(),
        )
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"working for audits.db: 2 accounts on 1 server\n"
        code, report, errors = await run("fleet", "audit", manifest, "--workers", "--json")
        status = await run("fleet", "status")
        worker.send_signal(signal.SIGTERM)
        _, log = await worker.communicate()
    assert (code, errors, worker.returncode) == (0, "", 0)
    assert len(json.loads(report)["accounts"]) == 2
    assert f"worker {status[1].rpartition('worker ')[2].split()[0]}" in status[1]
    records = [json.loads(line) for line in log.decode().splitlines()]
    assert {(record["run"], record["account"]) for record in records} == {(1, "account 1"), (1, "account 2")}
    assert len(records) == 4


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fleet", "audit", "--sandbox", "--store", "a.db"], "--sandbox audits its own accounts"),
        (["fleet", "audit", "--resume", "--only-failed"], "--resume, --only-failed and --account contradict"),
        (["fleet", "worker"], "can't read fleet.toml"),
        (["fleet", "status"], "there is no store audits.db"),
        (["report"], "there is no store audits.db"),
        (["history", "--store", "no/audits.db"], "there is no store no/audits.db"),
        (["history", "findings"], "there is no store audits.db"),
        (["history", "trend"], "there is no store audits.db"),
        (["history", "show", "1"], "there is no store audits.db"),
        (["history", "prune", "--keep", "90d"], "there is no store audits.db"),
        (["history", "--store", "postgresql://ann:hidden@db/a"], "other users can read a password"),
        (["history", "--store=postgresql://db/a?password=hidden"], "other users can read a password"),
        (["history", "prune", "--keep", "90"], "Invalid value for --keep: it must be a number with m, h, d or w"),
        (["audit", "--sandbox", "--store", "a.db", "--baseline", "b.json"], "--baseline and --store contradict"),
    ],
)
def test_wrong_options_are_errors_of_one_line(
    argv: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    output, errors = capsys.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert errors.startswith(f"dialler: {message}")
    assert "hidden" not in errors
    assert not (tmp_path / "audits.db").exists()


def test_damaged_store_is_an_error_of_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits.db").write_bytes(b"damaged" * 1000)
    assert main(["history"]) == 5
    assert capsys.readouterr().err.startswith("dialler: the store audits.db: ")


def test_report_of_a_single_audit_is_written_also_if_it_can_not_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(*_: object) -> None:
        raise StoreError("the store audits.db: the disk is full")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Results, "save", fails)
    command = ["audit", "--sandbox", "--store", "audits.db", "--format", "jsonl"]
    assert main([*command, "--output", "report.jsonl"]) == main(command) == 5
    output, errors = capsys.readouterr()
    assert json.loads(output.splitlines()[0])["clients_id"] == 1
    assert len((tmp_path / "report.jsonl").read_text().splitlines()) == len(output.splitlines())
    assert errors.count("dialler: the store audits.db: the disk is full") == 2
    assert list(tmp_path.glob(".dialler-*")) == []


def test_single_audit_is_compared_with_the_last_one_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["audit", "--sandbox", "--store", "audits.db", "--format", "jsonl", "--fail-on-new"]
    assert main(command) == 0
    first = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # The last night knew one finding less.
    with closing(sqlite3.connect("audits.db")) as database, database:
        database.execute("UPDATE findings SET gone_since = 1 WHERE rule = 'duplicate-name'")
    assert main(command) == 1
    second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["rule"] for line in second if line["state"] == "new"} == {"duplicate-name"}
    assert len(second) == len(first)
    assert "state" not in first[0]


def test_progress_without_a_terminal_is_a_line_every_30_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr("dialler_async.cli.fleet.monotonic", lambda: now)
    run = StoredRun(
        id=7,
        state=RunState.OPEN,
        is_fleet=True,
        started=0.0,
        ended=None,
        version="1",
        settings="",
        scope=None,
        plan=Plan(languages=(1,), now=datetime(2026, 2, 1, tzinfo=UTC)),
    )
    with _progress(run) as show:
        for seconds, done, failed in [(0, 10, 0), (29.9, 40, 0), (30, 70, 1), (59.9, 75, 1), (61, 80, 2), (91, 80, 2)]:
            now = 1000.0 + seconds
            show(done, failed, 200)
    assert capsys.readouterr().err.splitlines() == [
        "dialler: run 7: 70 of 200 accounts done, 1 failed, 2.0/s, about 1 min left",
        "dialler: run 7: 80 of 200 accounts done, 2 failed, 1.1/s, about 2 min left",
        "dialler: run 7: 80 of 200 accounts done, 2 failed, 0.8/s, about 3 min left",
    ]


def test_fleet_audit_prints_its_progress_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dialler_async.cli.fleet.monotonic", itertools.count(0, 30).__next__)
    assert main(["fleet", "audit", "--sandbox", "--format", "summary"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("dialler: run 1: ") and " of 100 accounts done, 0 failed" in line for line in lines)


def test_list_rules_prints_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "audit", "--list-rules", "--select", "expired"]) == 0
    assert "expired" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["fleet", "audit", "--sandbox"], ["history"]], ids=" ".join)
def test_missing_extra_is_a_usage_error_that_names_it(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dialler_async.cli.store.find_spec", lambda name: None)
    assert main(command) == 2
    assert "this command needs the extra “store”: " in capsys.readouterr().err
