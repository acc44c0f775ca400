"""A server that is never the bottleneck: nginx if it is installed, or else a small server in two processes."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    open_file_cache max=16;
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        root {directory};
        location ~ ^/rest/v1.0/[0-9]+/dialler/campaigns/campaign/[0-9]+/resultCodes$ {{ try_files /codes.json =404; }}
        location ~ ^/rest/v1.0/[0-9]+/dialler/campaigns$ {{ try_files /list.json =404; }}
    }}
}}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_TARGET = re.compile(rb"GET /rest/v1\.0/\d+/dialler/campaigns(/campaign/\d+/resultCodes\?languagesID=\d+)? ")


@contextmanager
def static_server(directory: Path) -> Iterator[tuple[str, str]]:
    """Serve the bodies in a directory. Yield the origin and the name of the server."""
    port = _free_port()
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        commands = [[sys.executable, "-m", __spec__.name, str(port), str(directory)]] * 2
        name = "a small asyncio server"
    else:
        configuration = directory / "nginx.conf"
        user = "user root;" if directory.owner() == "root" else ""
        temporary = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in _TEMPORARY)
        configuration.write_text(_CONFIGURATION.format(directory=directory, port=port, user=user, temporary=temporary))
        commands = [[nginx, "-p", str(directory), "-c", str(configuration)]]
        version = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True)
        name = version.stderr.strip().removeprefix("nginx version: ")
    servers = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
    try:
        wait_until_listening(port)
        yield f"http://127.0.0.1:{port}", name
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(10)


def wait_until_listening(port: int, timeout: float = 20.0) -> None:
    """Wait until the port accepts connections.

    Raises:
        OSError: the port accepts no connection within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            os.sched_yield()
        else:
            return


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class _Static(asyncio.Protocol):
    """Responds to requests, of which it parses only the first line."""

    def __init__(self, codes: bytes, rows: bytes) -> None:
        self._codes, self._rows = _response(codes), _response(rows)
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            target = _TARGET.match(request)
            response = _NOT_FOUND if target is None else self._codes if target[1] else self._rows
            self._transport.write(response)  # type: ignore[attr-defined]  # asyncio gives TCP connections a Transport


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


async def _serve(port: int, directory: Path) -> None:
    codes, rows = ((directory / name).read_bytes() for name in ("codes.json", "list.json"))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Static(codes, rows), "127.0.0.1", port, reuse_port=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
