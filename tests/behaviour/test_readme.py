"""The code blocks of the README: each is run or parsed unchanged."""

import ast
import asyncio
import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI

from dialler_async import DiallerClient
from dialler_async.audit import RULES, AuditSettings
from dialler_async.contrib.fastapi import Dialler
from dialler_async.fleet.manifest import read_fleet
from dialler_async.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
SHELL = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines()]


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox(campaigns=20, seed=1) as running:
        monkeypatch.setenv("DIALLER_BASE_URL", running.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", running.token)
        yield running


async def output_of(*command: str, exit_code: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env={**os.environ})
    output, _ = await process.communicate()
    assert process.returncode == exit_code, command
    return output.decode()


def test_every_readme_block_has_a_language_that_is_tested() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "sh", "toml"}


def test_readme_has_at_most_420_lines() -> None:
    assert len(README.splitlines()) <= 420


def test_quick_start_has_at_most_ten_lines() -> None:
    assert len(PYTHON[0].splitlines()) <= 10


async def test_quick_start_runs_as_a_program(sandbox: Sandbox) -> None:
    program = await output_of(sys.executable, "-c", PYTHON[0])
    assert len(program.splitlines()) == 2 * len(sandbox.campaigns)


async def test_other_python_blocks_of_the_readme_run_in_order(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve_by_uvicorn: Callable[..., Any]
) -> None:
    before = set(sandbox.campaigns)
    async with DiallerClient.from_env() as dialler:
        # The blocks need a module, because taskiq requires one for its tasks.
        module = ModuleType("readme")
        monkeypatch.setitem(sys.modules, "readme", module)
        names = vars(module)
        names |= {
            "dialler": dialler,
            "DiallerClient": DiallerClient,
            "open": lambda _: (tmp_path / "token").open(),
        }
        (tmp_path / "token").write_text("a-token\n")
        for block in PYTHON[1:]:
            code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)  # noqa: S307  the README is trusted
            if running is not None:
                await running
        async with serve_by_uvicorn(names["app"]) as served:
            await check_web_app(served.url, next(iter(before)))
    assert set(sandbox.campaigns) == before


async def test_web_app_of_the_readme_sends_request_ids_to_the_dialler(
    sandbox: Sandbox, serve_by_uvicorn: Callable[..., Any]
) -> None:
    names: dict[str, Any] = {}
    for block in PYTHON:
        if "lifespan(" in block:
            exec(compile(block, "README.md", "exec"), names)  # noqa: S102  the README is trusted
    app: FastAPI = names["app_with_ids"]
    id = next(iter(sandbox.campaigns))

    @app.get("/name")
    async def name(dialler: Dialler) -> str:
        return (await dialler.campaigns.get(id)).name

    async with serve_by_uvicorn(app) as served, aiohttp.ClientSession() as browser:

        async def send(headers: dict[str, str]) -> int:
            async with browser.get(f"{served.url}/name", headers=headers) as response:
                return response.status

        statuses = await asyncio.gather(*(send({"X-Request-ID": f"r-{number}"}) for number in range(5)), send({}))
    assert statuses == [200] * 6
    request_ids = [received.headers["X-Request-ID"] for received in sandbox.journal]
    assert sorted(request_ids) == ["none", "r-0", "r-1", "r-2", "r-3", "r-4"]


async def check_web_app(base_url: str, id: int) -> None:
    async with aiohttp.ClientSession() as browser:
        url = f"{base_url}/campaigns/{id}/codes"
        async with browser.get(url) as response:
            assert response.status == 200
            assert await response.json()
        async with browser.get(url.replace(str(id), "404404")) as response:
            assert response.status == 404


@pytest.mark.slow
async def test_dialler_commands_of_the_readme_run(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line for line in SHELL if line.startswith("dialler ")]
    assert len(lines) == 6
    for line in lines:
        # The sandbox has seeded defects, so --fail-on exits with 1. --fail-on-new doesn't, because none is new.
        findings = 1 if "--fail-on " in line else 0
        arguments = shlex.split(line)[1:]
        output = await output_of(sys.executable, "-c", CLI, *arguments, exit_code=findings)
        assert output or "--output" in line, line
    assert sorted(os.listdir(tmp_path)) == ["account.parquet", "last.json", "report.html"]


def test_settings_block_of_the_readme_is_accepted_by_the_audit() -> None:
    [settings] = [block for language, block in BLOCKS if language == "toml" and "[audit]" in block]
    chosen = AuditSettings.of(tomllib.loads(settings)["audit"]).choose(RULES)
    assert len(chosen) == len(RULES) - 1


@pytest.mark.slow
async def test_settings_and_rule_of_the_readme_work_beside_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [settings] = [block for language, block in BLOCKS if language == "toml" and "[audit]" in block]
    [rule] = [block for block in PYTHON if block.startswith("# my_rules.py")]
    (tmp_path / "dialler.toml").write_text(settings)
    (tmp_path / "my_rules.py").write_text(rule)
    monkeypatch.chdir(tmp_path)
    report = await output_of(sys.executable, "-c", CLI, "audit", "--sandbox", "--format", "json")
    rules = {rule["id"] for rule in json.loads(report)["rules"]}
    assert "vip-has-user-data" in rules
    assert "name-within-name" not in rules


def test_fleet_block_of_the_readme_is_a_valid_manifest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [manifest] = [block for language, block in BLOCKS if language == "toml" and "[[accounts]]" in block]
    (tmp_path / "fleet.toml").write_text(manifest)
    monkeypatch.setenv("SHOP_TOKEN", "a-token")
    fleet = read_fleet(tmp_path / "fleet.toml")
    assert {name: account.token() for name, account in fleet.accounts.items()} == {"shop": "a-token"}
    assert fleet.servers["vienna"].max_rate == 20


CLI = "import sys; from dialler_async.cli import main; sys.exit(main(sys.argv[1:]))"


def test_ci_runs_the_two_commands_of_the_readme_unchanged() -> None:
    commands = [line for line in SHELL if not line.startswith("dialler ")]
    script = (ROOT / ".ci" / "run").read_text()
    patterns = re.findall(r"grep -x '(.*)' README.md", script)
    assert len(commands) == len(patterns) == 2
    for command, pattern in zip(commands, patterns, strict=True):
        assert [line for line in README.splitlines() if re.fullmatch(pattern, line)] == [command]


@pytest.mark.slow
def test_readme_block_with_a_test_passes_in_a_new_project(pytester: pytest.Pytester) -> None:
    [module] = [code for code in PYTHON if "instant_waits" in code]
    pytester.makepyfile(module)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    assert len(module.partition("# your code\n")[2].partition("async def test")[2].splitlines()) <= 10
