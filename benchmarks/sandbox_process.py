"""Run a sandbox in another process: `python -m benchmarks.sandbox_process '{"campaigns": 500}'`.

The process prints its base URL, its token, the tokens of all accounts, and with `"tls": true` the PEM file of its CA.
Then it reads JSON objects from standard input, one per line, until the input ends. For each object, it sets the
attributes and prints new counts.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from .harness import ROOT


@attrs.frozen
class SandboxProcess:
    """A running sandbox in another process."""

    base_url: str
    token: str
    tokens: dict[str, str]
    ca_file: str | None
    process: "subprocess.Popen[str]"

    def set(self, **attributes: Any) -> dict[str, int]:
        """Set attributes of the sandbox, such as `capacity`, and clear its journal.

        Return the numbers since the last call: `requests`, `opened` connections, and the `peak` of open ones.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(attributes) + "\n")
        self.process.stdin.flush()
        counts: dict[str, int] = json.loads(self.process.stdout.readline())
        return counts


@contextmanager
def sandbox_process(**options: Any) -> Iterator[SandboxProcess]:
    """Run a sandbox with these options in another process."""
    command = [sys.executable, "-m", "benchmarks.sandbox_process", json.dumps(options)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        yield SandboxProcess(**json.loads(process.stdout.readline()), process=process)


def _tls() -> tuple[str, ssl.SSLContext]:
    """Return the PEM file of a new CA, and a context with a certificate of it."""
    import trustme

    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    file = Path(tempfile.mkdtemp()) / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return str(file), context


async def _serve() -> None:
    from dialler_async.sandbox import Sandbox

    options = json.loads(sys.argv[1])
    ca_file, ssl_context = _tls() if options.pop("tls", False) else (None, None)
    async with Sandbox(**options, ssl_context=ssl_context) as sandbox:
        tokens = {str(id): account.token for id, account in sandbox.accounts.items()}
        settings = {"base_url": sandbox.base_url, "token": sandbox.token, "tokens": tokens, "ca_file": ca_file}
        print(json.dumps(settings), flush=True)
        connections, opened = sandbox.connections, 0
        while line := await asyncio.to_thread(sys.stdin.readline):
            for name, value in json.loads(line).items():
                setattr(sandbox, name, value)
            counts = {
                "requests": len(sandbox.journal),
                "opened": connections.opened - opened,
                "peak": connections.peak,
            }
            sandbox.journal.clear()
            opened, connections.peak = connections.opened, connections.open
            print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
