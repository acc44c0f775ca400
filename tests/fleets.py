"""Fleets to audit, and a Redis to do it by."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from dialler_async import DiallerClient
from dialler_async.audit import AuditReport, Finding, audit
from dialler_async.fleet import Account, Fleet, Server
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.exchange import Exchange
from dialler_async.sandbox.faults import Fault
from dialler_async.sandbox.response import Response

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


def name_of(clients_id: int) -> str:
    return f"account {clients_id}"


def fleet_on(sandbox: Sandbox, **limits: Any) -> Fleet:
    """All accounts of a sandbox, on a server with these limits."""
    return Fleet.of(
        [Server(name="sandbox", url=sandbox.server, **limits)],
        [
            Account(name=name_of(id), server="sandbox", clients_id=id, token=partial(getattr, account, "token"))
            for id, account in sandbox.accounts.items()
        ],
    )


def write_fleet(sandbox: Sandbox, directory: Path, **limits: Any) -> Path:
    """The same as a file, with the tokens beside it."""
    told = "".join(f"{key} = {value}\n" for key, value in limits.items())
    tables = [f'[[servers]]\nname = "sandbox"\nurl = "{sandbox.server}"\n{told}']
    for id, account in sandbox.accounts.items():
        (directory / f"{id}.token").write_text(account.token)
        tables.append(
            f'[[accounts]]\nname = "{name_of(id)}"\nserver = "sandbox"\nclients_id = {id}\ntoken_file = "{id}.token"\n'
        )
    manifest = directory / "fleet.toml"
    manifest.write_text("\n".join(tables))
    return manifest


async def findings_one_by_one(sandbox: Sandbox) -> tuple[Finding, ...]:
    """What audits of each account by itself find."""
    findings: list[Finding] = []
    for id, account in sandbox.accounts.items():
        async with DiallerClient.for_account(sandbox.server, id, account.token) as dialler:
            report = await audit(dialler, now=NOW)
        findings += [attrs.evolve(finding, account=name_of(id)) for finding in report.findings]
    return tuple(findings)


def told(report: AuditReport) -> AuditReport:
    """A report without what differs from run to run."""
    return attrs.evolve(report, seconds=0.0, started=NOW)


class Counting(Fault):
    """None at all: it counts how many requests are worked on at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def play(self, exchange: Exchange) -> Response:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await exchange.carry_out()
        finally:
            self.now -= 1


@attrs.frozen
class RunningRedis:
    """A Redis that is there for one test."""

    url: str
    process: "subprocess.Popen[str]"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running_redis() -> Iterator[RunningRedis]:
    """A Redis on a socket that nobody else knows of, which keeps nothing on disk; skips where there is none."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server on this machine")
    # Not pytest's directory, whose name can be longer than that of a socket.
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True))
        path = os.path.join(directory, "socket")
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", directory]
        process = stack.enter_context(subprocess.Popen([server, *options], stdout=subprocess.PIPE, text=True))
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if re.search("ready to accept connections", line, re.IGNORECASE):
                    break
            else:
                raise AssertionError("".join(said))
            yield RunningRedis(f"unix://{path}", process)
        finally:
            process.terminate()
