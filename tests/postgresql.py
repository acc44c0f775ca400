"""A plugin of pytest with a real PostgreSQL, which the tests start themselves. Where there is none, they say so."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import psycopg
import pytest


@attrs.define
class PostgreSQL:
    """A server on a Unix socket, without files to keep."""

    directory: Path
    programs: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        options = ["-k", str(self.directory), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50"]
        command = [str(self.programs / "postgres"), "-D", str(self.directory / "data"), *options]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **_unprivileged())
        # No test sleeps: the shell does, and asks the server.
        ready = f"until {self.programs / 'pg_isready'} -q -h {self.directory}; do sleep 0.05; done"
        subprocess.run(["/usr/bin/timeout", "60", "/bin/sh", "-c", ready], check=True)

    def stop(self) -> None:
        """Stop the server at once, as a fast shutdown does, and wait for its end."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            self.process = None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}@/{database}?host={self.directory}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """Yield a PostgreSQL that runs for all tests of this process."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or [Path(shutil.which("postgres") or "/none")]
    if not found[-1].exists():
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # A socket needs a short path.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres")
        initialise = [str(found[-1].parent / "initdb"), "-A", "trust", "-U", "postgres", "-N", "-D", f"{name}/data"]
        subprocess.run(initialise, check=True, stdout=subprocess.DEVNULL, **_unprivileged())
        server = PostgreSQL(directory, found[-1].parent)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def postgresql(postgresql_server: PostgreSQL) -> Iterator[str]:
    """Yield the URL of an empty database of a PostgreSQL."""
    name = f"test_{secrets.token_hex(6)}"
    postgresql_server.run(f"CREATE DATABASE {name}")
    yield postgresql_server.url(name)
    postgresql_server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the location of a new store: a test that uses it runs on both databases."""
    if request.param == "sqlite":
        return str(tmp_path / "audits.db")
    url: str = request.getfixturevalue("postgresql")
    return url


def _unprivileged() -> dict[str, str]:
    """Return the options of a process that is not root, as which PostgreSQL refuses to run."""
    return {"user": "postgres", "cwd": "/"} if os.geteuid() == 0 else {}
