"""The README and the guides: each code block is run or parsed unchanged. `tests/fleet` tests the guide for fleets."""

import ast
import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from asgiref.sync import sync_to_async
from fastapi import FastAPI

from dialler_async import DiallerClient, NotFoundError
from dialler_async.audit import RULES, AuditSettings
from dialler_async.contrib.fastapi import Dialler
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import HangUp, Status
from dialler_async.testing import instant_waits

ROOT = Path(__file__).parents[2]
README, CLIENT, AUDIT = "README.md", "dialler_async/README.md", "dialler_async/audit/README.md"
CLI, CONTRIB, TESTING = (f"dialler_async/{name}/README.md" for name in ("cli", "contrib", "sandbox"))
FLEET = "dialler_async/fleet/README.md"
TEXTS = {name: (ROOT / name).read_text() for name in (README, CLIENT, AUDIT, CLI, CONTRIB, TESTING)}
BLOCKS = {name: re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for name, text in TEXTS.items()}


def python_blocks(guide: str) -> list[str]:
    return [code for language, code in BLOCKS[guide] if language == "python"]


def shell_lines(guide: str) -> list[str]:
    return [line for language, code in BLOCKS[guide] if language == "sh" for line in code.splitlines()]


def is_program(block: str) -> bool:
    return "asyncio.run(" in block or "asyncio.Runner(" in block


@pytest.fixture
def campaigns() -> int:
    return 20


@pytest.fixture
async def sandbox(campaigns: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox(campaigns=campaigns, seed=1) as running:
        monkeypatch.setenv("DIALLER_BASE_URL", running.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", running.token)
        yield running


async def output_of(*command: str, exit_code: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env={**os.environ})
    output, _ = await process.communicate()
    assert process.returncode == exit_code, command
    return output.decode()


RunGuide = Callable[[str], Awaitable[dict[str, Any]]]


@pytest.fixture
async def run_guide(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[RunGuide]:
    """Return a function that runs the Python blocks of a guide in order, and returns the names that they define."""
    async with AsyncExitStack() as stack:

        async def run(guide: str) -> dict[str, Any]:
            monkeypatch.chdir(tmp_path)
            (tmp_path / "token").write_text("a-token\n")
            # The blocks need a module, because taskiq requires one for its tasks.
            module = ModuleType("guide")
            monkeypatch.setitem(sys.modules, "guide", module)
            names = vars(module)
            names["dialler"] = await stack.enter_async_context(DiallerClient.from_env())
            names["DiallerClient"] = DiallerClient
            names["open"] = lambda _: (tmp_path / "token").open()
            for block in python_blocks(guide):
                if is_program(block):
                    head = "" if "import DiallerClient" in block else "from dialler_async import DiallerClient\n"
                    assert await output_of(sys.executable, "-W", "error", "-c", head + block)
                    continue
                code = compile(block, guide, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                running = eval(code, names)  # noqa: S307  the guides are trusted
                if running is not None:
                    await running
            return names

        yield run


def test_every_guide_of_the_package_is_tested() -> None:
    guides = {path.relative_to(ROOT).as_posix() for path in (ROOT / "dialler_async").rglob("README.md")}
    assert guides - {FLEET} == set(TEXTS) - {README}


@pytest.mark.parametrize("guide", TEXTS)
def test_every_block_of_a_guide_has_a_language_that_is_tested(guide: str) -> None:
    assert {language for language, _ in BLOCKS[guide]} <= {"python", "sh", "toml"}


@pytest.mark.parametrize("guide", TEXTS)
def test_links_of_a_guide_lead_to_files(guide: str) -> None:
    text = re.sub(r"^```.*?^```$", "", TEXTS[guide], flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)#]+)\)", text)
    files = [link for link in links if not link.startswith("https://")]
    assert [link for link in files if not (ROOT / guide).parent.joinpath(link).exists()] == []


def test_readme_has_at_most_180_lines() -> None:
    assert len(TEXTS[README].splitlines()) <= 180


def test_quick_start_has_at_most_ten_lines() -> None:
    assert len(python_blocks(README)[0].splitlines()) <= 10


async def test_quick_start_runs_as_a_program(sandbox: Sandbox) -> None:
    program = await output_of(sys.executable, "-c", python_blocks(README)[0])
    assert len(program.splitlines()) == 2 * len(sandbox.campaigns)


@pytest.mark.parametrize("guide", [README, CLIENT, AUDIT])
async def test_python_blocks_of_a_guide_run_in_order(guide: str, sandbox: Sandbox, run_guide: RunGuide) -> None:
    before = set(sandbox.campaigns)
    await run_guide(guide)
    assert set(sandbox.campaigns) == before


async def test_recipes_for_apps_work(
    sandbox: Sandbox,
    run_guide: RunGuide,
    serve_by_uvicorn: Callable[..., Any],
    serve_by_aiohttp: Callable[..., Any],
) -> None:
    names = await run_guide(CONTRIB)
    id = next(iter(sandbox.campaigns))
    async with serve_by_uvicorn(names["app"]) as served:
        assert await statuses(f"{served.url}/campaigns/{id}/codes", f"{served.url}/campaigns/404404/codes") == [
            200,
            404,
        ]
    async with serve_by_uvicorn(names["starlette_app"]) as served:
        assert await statuses(f"{served.url}/campaigns/{id}", f"{served.url}/campaigns/404404") == [200, 404]
    async with serve_by_aiohttp(names["web_app"]) as served:
        assert await statuses(f"{served.url}/campaigns/{id}", f"{served.url}/campaigns/404404") == [200, 404]
    name, texts = await sync_to_async(names["campaign_view"])(id)
    assert name == sandbox.campaigns[id]["Name"]
    assert len(texts) > 0


async def statuses(*urls: str) -> list[int]:
    async with aiohttp.ClientSession() as browser:
        found = []
        for url in urls:
            async with browser.get(url) as response:
                found.append(response.status)
                assert await response.json()
        return found


async def test_queue_of_the_guide_runs_each_job_once_under_faults(sandbox: Sandbox, run_guide: RunGuide) -> None:
    names = await run_guide(CONTRIB)
    template = next(iter(sandbox.campaigns.values()))["Name"]
    jobs: asyncio.Queue[Any] = asyncio.Queue()
    for job in [("Monday", template), ("Tuesday", template), ("Wednesday", "No such template")]:
        jobs.put_nowait(names["Job"](template=job[1], name=job[0]))
    # More faults than attempts of a call, so that a job is put back.
    sandbox.faults.next(*[HangUp(carried_out=True), Status(503)] * 6, match="clone")
    with instant_waits():
        failed = await names["work_off"](jobs)
    assert [(job.name, type(error)) for job, error in failed] == [("Wednesday", NotFoundError)]
    cloned = [record["Name"] for record in sandbox.campaigns.values() if record["Name"].endswith("day")]
    assert sorted(cloned) == ["Monday", "Tuesday"]


async def test_web_app_of_the_guide_sends_request_ids_to_the_dialler(
    sandbox: Sandbox, serve_by_uvicorn: Callable[..., Any]
) -> None:
    names: dict[str, Any] = {}
    for block in python_blocks(CONTRIB):
        if "lifespan(" in block and "from_env" in block and "starlette" not in block:
            exec(compile(block, CONTRIB, "exec"), names)  # noqa: S102  the guides are trusted
    app: FastAPI = names["app_with_ids"]
    id = next(iter(sandbox.campaigns))

    @app.get("/name")
    async def name(dialler: Dialler) -> str:
        return (await dialler.campaigns.get(id)).name

    async with serve_by_uvicorn(app) as served, aiohttp.ClientSession() as browser:

        async def send(headers: dict[str, str]) -> int:
            async with browser.get(f"{served.url}/name", headers=headers) as response:
                return response.status

        found = await asyncio.gather(*(send({"X-Request-ID": f"r-{number}"}) for number in range(5)), send({}))
    assert found == [200] * 6
    request_ids = [received.headers["X-Request-ID"] for received in sandbox.journal]
    assert sorted(request_ids) == ["none", "r-0", "r-1", "r-2", "r-3", "r-4"]


MAIN = "import sys; from dialler_async.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def installed_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Change to a new directory, where `dialler` and `.venv/bin/dialler` are this package's command."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    command = programs / "dialler"
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{MAIN}' \"$@\"\n")
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guide", "number", "files"),
    [
        (README, 1, []),
        (AUDIT, 7, ["last.json", "report.html"]),
        (CLI, 10, ["account.csv", "account.parquet"]),
    ],
)
@pytest.mark.parametrize("campaigns", [500], ids=["as in `dialler sandbox`"])
@pytest.mark.usefixtures("sandbox", "installed_command")
async def test_commands_of_a_guide_run(guide: str, number: int, files: list[str], tmp_path: Path) -> None:
    commands = [line for line in shell_lines(guide) if re.match(r"(\.venv/bin/)?dialler (?!sandbox)", line)]
    assert len(commands) == number
    for command in commands:
        # The sandbox has seeded defects, so --fail-on exits with 1. --fail-on-new doesn't, because none is new.
        findings = 1 if "--fail-on " in command else 0
        runnable = command if shutil.which("jq") else command.partition(" | jq")[0]
        output = await output_of("bash", "-c", runnable, exit_code=findings)
        assert output or "--output" in command, command
    assert sorted(set(os.listdir(tmp_path)) - {".venv"}) == files


@pytest.mark.slow
@pytest.mark.parametrize("guide", [README, TESTING])
async def test_commands_of_a_guide_that_run_a_sandbox_print_its_settings(guide: str, installed_command: Path) -> None:
    commands = [line for line in shell_lines(guide) if re.match(r"(\.venv/bin/)?dialler sandbox", line)]
    assert commands
    for command in commands:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", f"exec {command} --port 0", stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            settings = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
        finally:
            process.send_signal(signal.SIGTERM)
            await process.communicate()
        assert [setting.partition("=")[0] for setting in settings] == ["DIALLER_BASE_URL", "DIALLER_TOKEN"]
        if guide == README:
            exported = [line.removeprefix("export ") for line in shell_lines(guide) if line.startswith("export ")]
            assert exported == [re.sub(r":\d+/", ":8080/", settings[0]), settings[1]]


def test_settings_block_of_the_guide_is_accepted_by_the_audit() -> None:
    [settings] = [block for language, block in BLOCKS[AUDIT] if language == "toml"]
    chosen = AuditSettings.of(tomllib.loads(settings)["audit"]).choose(RULES)
    assert len(chosen) == len(RULES) - 1


@pytest.mark.slow
async def test_settings_and_rule_of_the_guide_work_beside_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [settings] = [block for language, block in BLOCKS[AUDIT] if language == "toml"]
    [rule] = [block for block in python_blocks(AUDIT) if block.startswith("# my_rules.py")]
    (tmp_path / "dialler.toml").write_text(settings)
    (tmp_path / "my_rules.py").write_text(rule)
    monkeypatch.chdir(tmp_path)
    report = await output_of(sys.executable, "-c", MAIN, "audit", "--sandbox", "--format", "json", exit_code=1)
    rules = {rule["id"] for rule in json.loads(report)["rules"]}
    assert "vip-has-user-data" in rules
    assert "name-within-name" not in rules


def test_ci_runs_the_two_commands_of_the_readme_unchanged() -> None:
    commands = [line for line in shell_lines(README) if line.startswith("python3 -m venv ")]
    script = (ROOT / ".ci" / "run").read_text()
    patterns = re.findall(r"grep -x '(.*)' README.md", script)
    assert len(commands) == len(patterns) == 2
    for command, pattern in zip(commands, patterns, strict=True):
        assert [line for line in TEXTS[README].splitlines() if re.fullmatch(pattern, line)] == [command]


@pytest.mark.slow
def test_tests_of_the_guide_pass_in_a_new_project(pytester: pytest.Pytester) -> None:
    blocks = python_blocks(TESTING)
    pytester.makepyfile("\n".join(blocks))
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
    assert len(blocks[0].partition("# your code\n")[2].partition("async def test")[2].splitlines()) <= 10
