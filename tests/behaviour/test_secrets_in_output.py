"""No report, command or log line shows the token."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dialler_async.audit import audit, report_as_json
from dialler_async.sandbox import faults

if TYPE_CHECKING:
    from tests.behaviour.conftest import AssertHidden, AtWork

# Letters at both ends, which no encoding changes, so that half a token and one spelt otherwise are found as well.
TOKEN = "Zm9vYmFyMjE3/+=.~\"&<'%c2VjcmV0ODQy"
IN_JSON = json.dumps(TOKEN).replace("/", "\\/").replace("+", "\\u002B").encode()


async def test_report_shows_no_token_that_error_pages_contain(at_work: AtWork, assert_hidden: AssertHidden) -> None:
    async with at_work() as (sandbox, dialler):
        record = b'{"records":[{"ID":535,"Name":"Summer","nMaxParallelLines":%s}],"count":1,"status":200}' % IN_JSON
        pages = [(500, b'{"status":500,"error":%s}' % IN_JSON), (200, record), (403, TOKEN.encode())]
        redirect = faults.Redirect(f"http://x/{urllib.parse.quote(TOKEN, safe='')}")
        sandbox.faults.chance(0.8, [*(faults.CannedResponse(*page) for page in pages), redirect], match="result_codes")
        report = await audit(dialler)
    assert any(finding.rule == "unreachable-codes" for finding in report.findings)
    assert_hidden.in_pickle_and_value(report)
    assert_hidden.in_text(json.dumps(report_as_json(report)))


COMMANDS = [
    ("campaigns", "list"),
    ("campaigns", "get", "535"),
    ("campaigns", "clone", "Summer", "Monday"),
    ("campaigns", "delete", "535", "--yes"),
    ("result-codes", "535"),
    ("audit", "--json"),
]


async def run(argv: tuple[str, ...], base_url: str, token_file: Path | None = None) -> str:
    """Return all that a command prints, in Python's development mode, with every log record on stderr."""
    main = (
        "import sys, logging; logging.basicConfig(level=0);"
        "from dialler_async.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "DIALLER_BASE_URL": base_url, "DIALLER_TOKEN": TOKEN}
    options = () if token_file is None else ("--token-file", str(token_file))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-c", main, *argv, *options),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode != 0
    return printed.decode()


@pytest.mark.slow
async def test_commands_print_no_token(tmp_path: Path, at_work: AtWork, assert_hidden: AssertHidden) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    async with at_work() as (sandbox, _):
        sandbox.token = "another"
        sandbox.faults.chance(0.5, [faults.CannedResponse(401, b'{"status":401,"error":%s}' % IN_JSON)])
        runs = [run(argv, sandbox.base_url, token_file if at % 2 else None) for at, argv in enumerate(COMMANDS)]
        runs += [
            run(COMMANDS[0], url, token_file)
            for url in (
                "http://127.0.0.1:1/rest/v1.0/1",
                "https://user:Zm9vYmFyMjE3-of-the-proxy@acd.example/rest/v1.0/1",
            )
        ]
        for printed in await asyncio.gather(*runs):
            assert "dialler: " in printed
            assert "Traceback" not in printed
            assert_hidden.in_text(printed)


async def test_log_lines_have_method_path_template_and_status_and_no_arguments(
    caplog: pytest.LogCaptureFixture, at_work: AtWork
) -> None:
    caplog.set_level(logging.DEBUG, "dialler_async")
    async with at_work() as (sandbox, dialler):
        sandbox.faults.next(faults.Status(503), match="find")
        await dialler.campaigns.find("Summer of names")
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "dialler_async"]
    assert [level for level, _ in lines] == ["DEBUG", "WARNING", "DEBUG"]
    path = "GET /dialler/campaigns/campaign"
    assert lines[0][1].startswith(f"{path}: 503 in ")
    assert lines[1][1] == f"{path} failed (503), attempt 1; retry in 0.00 s"
    assert lines[2][1].endswith(" ms, attempt 2")
    assert "Summer" not in caplog.text
