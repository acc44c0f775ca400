"""The log output of the library if the application does not configure logging."""

import subprocess
import sys

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


def test_retried_call_prints_nothing_without_logging_configuration() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1 wait\n", "")
