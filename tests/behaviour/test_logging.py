"""The log output of the library: nothing by default, and each attempt with `DIALLER_LOG=debug`."""

import os
import re
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio

from dialler_async import DiallerClient
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Status
from dialler_async.testing import instant_waits

async def main():
    async with Sandbox([]) as sandbox, DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        sandbox.faults.next(Status(503))
        with instant_waits() as waits:
            await dialler.campaigns.list()
        print(len(waits), "wait")

asyncio.run(main())
"""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )


def test_retried_call_prints_nothing_without_logging_configuration() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1 wait\n", "")


@pytest.mark.parametrize("value", ["debug", "DEBUG"])
def test_each_attempt_is_printed_with_the_variable(value: str) -> None:
    done = run(PROGRAM, DIALLER_LOG=value)
    assert done.stdout == "1 wait\n", done.stderr
    lines = [re.sub(r"[0-9]+[.,:-][0-9.,:-]*", "…", line) for line in done.stderr.splitlines()]
    assert lines == [
        "… … DEBUG dialler_async: GET /dialler/campaigns: 503 in … ms, attempt 1",
        "… … WARNING dialler_async: GET /dialler/campaigns failed (503), attempt 1; retry in … s",
        "… … DEBUG dialler_async: GET /dialler/campaigns: 200 in … ms, attempt 2",
    ]


def test_unknown_value_of_the_variable_is_a_warning_without_the_value() -> None:
    done = run("import dialler_async.client", DIALLER_LOG="s3cret")
    assert "DIALLER_LOG has only the value debug" in done.stderr
    assert "s3cret" not in done.stderr
