"""A sandbox in another process: `python -m benchmarks.sandbox_process '{"campaigns": 500}'`.

Prints its base URL, its token and those of all its accounts, then takes what to set from standard input, a JSON object
a line, until that ends. Each is answered with what has come in since the one before.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from .harness import ROOT


@attrs.frozen
class SandboxProcess:
    """Where it listens, and how it is changed."""

    base_url: str
    token: str
    tokens: dict[str, str]
    process: "subprocess.Popen[str]"

    def set(self, **attributes: Any) -> dict[str, int]:
        """Sets attributes of the sandbox, such as `capacity`, and waits until that is done.

        Answers with what has come in since the last time: `requests`, connections `opened`, and their `peak`.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(attributes) + "\n")
        self.process.stdin.flush()
        counted: dict[str, int] = json.loads(self.process.stdout.readline())
        return counted


@contextmanager
def sandbox_process(**options: Any) -> Iterator[SandboxProcess]:
    """A sandbox with these options, while open."""
    command = [sys.executable, "-m", "benchmarks.sandbox_process", json.dumps(options)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        yield SandboxProcess(**json.loads(process.stdout.readline()), process=process)


async def _serve() -> None:
    from dialler_async.sandbox import Sandbox

    async with Sandbox(**json.loads(sys.argv[1])) as sandbox:
        tokens = {str(id): account.token for id, account in sandbox.accounts.items()}
        told = {"base_url": sandbox.base_url, "token": sandbox.token, "tokens": tokens}
        print(json.dumps(told), flush=True)
        connections, opened = sandbox.connections, 0
        while line := await asyncio.to_thread(sys.stdin.readline):
            for name, value in json.loads(line).items():
                setattr(sandbox, name, value)
            counted = {
                "requests": len(sandbox.journal),
                "opened": connections.opened - opened,
                "peak": connections.peak,
            }
            sandbox.journal.clear()
            opened, connections.peak = connections.opened, connections.open
            print(json.dumps(counted), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
