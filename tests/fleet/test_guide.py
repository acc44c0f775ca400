"""The code blocks of the guide: each is run, or its commands are parsed."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import dialler_async.fleet
from dialler_async.audit import AuditSettings
from dialler_async.cli.app import app
from dialler_async.cli.fleet import audit, status
from dialler_async.cli.fleet import worker as worker_command
from dialler_async.fleet import Auditor, Worker, read_fleet
from dialler_async.fleet.coordinator import begin_run, wait_for_run
from dialler_async.sandbox import Sandbox
from dialler_async.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.conftest import FleetOn

GUIDE = Path(dialler_async.fleet.__file__).with_name("README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [code for found, code in BLOCKS if found == language]


def commands() -> Iterator[list[str]]:
    """Yield the arguments of each `dialler` command of the guide."""
    for language, code in BLOCKS:
        if language == "yaml":
            for command in re.findall(r"command: \[dialler, (.*)\]", code):
                yield command.split(", ")
        elif language != "toml":
            for line in re.findall(r"\bdialler (.+)$", code, re.MULTILINE):
                yield shlex.split(line)


def test_every_block_of_the_guide_has_a_language_that_is_tested() -> None:
    assert {language for language, _ in BLOCKS} == {"toml", "sh", "cron", "ini", "yaml", "sql"}


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_command_of_the_guide_has_options_that_exist(arguments: list[str]) -> None:
    app.parse_args(arguments, print_error=False, exit_on_error=False)


def test_manifest_of_the_guide_is_a_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "a-token")
    [manifest] = blocks("toml")
    (tmp_path / "fleet.toml").write_text(manifest)
    assert read_fleet(tmp_path / "fleet.toml").servers["vienna"].max_rate == 20


async def test_roles_of_the_guide_can_do_their_work_and_nothing_else(postgresql: str, fleet_on: FleetOn) -> None:
    async with Store(postgresql):
        pass
    [grants] = blocks("sql")
    roles = ("coordinator", "worker", "reader")
    drop = "; ".join(f"DROP OWNED BY {role}; DROP ROLE {role}" for role in roles)
    owner = await psycopg.AsyncConnection.connect(postgresql, autocommit=True)
    await owner.execute(grants.encode())
    try:
        await _audit_by_roles(postgresql, fleet_on)
        await _try_roles(postgresql)
    finally:
        await owner.execute(drop.encode())
        await owner.close()


async def _audit_by_roles(postgresql: str, fleet_on: FleetOn) -> None:
    """Let the coordinator begin a run, the worker do it, and the reader read it."""
    stop = asyncio.Event()
    async with (
        Sandbox(campaigns=2, accounts=2) as sandbox,
        Store(_as("coordinator", postgresql)) as coordinator,
        Store(_as("worker", postgresql)) as worker,
        Store(_as("reader", postgresql)) as reader,
    ):
        fleet = fleet_on(sandbox)
        run = await begin_run(coordinator, fleet, AuditSettings())
        working = asyncio.create_task(Worker(worker, Auditor(worker, fleet, AuditSettings(), None)).work(stop))
        await wait_for_run(coordinator, run)
        stop.set()
        await working
        assert [result.name async for result in reader.results.read(run.id)] == list(fleet.accounts)
        assert await coordinator.history.prune(-1) == 1


async def _try_roles(postgresql: str) -> None:
    async with Store(_as("reader", postgresql)) as reader:
        assert await reader.history.runs() == []
    for role, statement in [
        ("reader", "DELETE FROM runs"),
        ("reader", "INSERT INTO leases VALUES ('a', 'b', 'c', 'd', 1, '', 0)"),
        ("worker", "INSERT INTO runs (state) VALUES ('open')"),
        ("worker", "DELETE FROM findings"),
        ("worker", "DROP TABLE runs"),
        ("coordinator", "DROP TABLE runs"),
    ]:
        async with await psycopg.AsyncConnection.connect(_as(role, postgresql)) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement.encode())


def _as(role: str, url: str) -> str:
    return url.replace("://postgres@", f"://{role}@")


def test_commands_of_the_guide_are_those_of_the_fleet() -> None:
    called: set[Any] = set()
    for arguments in commands():
        command, _, _ = app.parse_args(arguments, print_error=False, exit_on_error=False)
        called.add(command)
    assert {audit, worker_command, status} <= called
