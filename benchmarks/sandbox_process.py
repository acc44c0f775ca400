"""A sandbox in another process: `python -m benchmarks.sandbox_process '{"campaigns": 500}'`.

Prints its base URL and token, then takes what to set from standard input, a JSON object a line, until that ends.
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
    process: "subprocess.Popen[str]"

    def set(self, **attributes: Any) -> None:
        """Sets attributes of the sandbox, such as `capacity`, and waits until that is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(attributes) + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


@contextmanager
def sandbox_process(**options: Any) -> Iterator[SandboxProcess]:
    """A sandbox with these options, while open."""
    command = [sys.executable, "-m", "benchmarks.sandbox_process", json.dumps(options)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        yield SandboxProcess(*json.loads(process.stdout.readline()), process)


async def _serve() -> None:
    from dialler_async.sandbox import Sandbox

    async with Sandbox(**json.loads(sys.argv[1])) as sandbox:
        print(json.dumps([sandbox.base_url, sandbox.token]), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            for name, value in json.loads(line).items():
                setattr(sandbox, name, value)
            sandbox.journal.clear()
            print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
