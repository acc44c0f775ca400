"""The control endpoint of a sandbox, and the options of `dialler sandbox` for faults and tokens."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import aiohttp
import pytest

from dialler_async.cli import main
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.fault_names import fault_of
from dialler_async.sandbox.faults import HangUp, Reset, StallBeforeHeaders, Status

TOKEN = "the-first-token"


class Controlled:
    """A sandbox with its control endpoint, and methods that send requests to both."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.rotations = 0
        self.key = ""

    def rotate(self) -> None:
        self.rotations += 1
        self.sandbox.revoke()

    async def control(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {self.key}"} | headers
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.sandbox.server}/sandbox/{path}"
        async with self.session.request(method, url, data=data, headers=headers) as response:
            return response.status, await response.text()

    async def status(self, path: str = "/dialler/campaigns", token: str | None = None) -> int:
        headers = {"Authorization": f"Bearer {token or self.sandbox.token}", "Cookie": "session=s3cret", "X-Own": "1"}
        async with self.session.get(self.sandbox.base_url + path, headers=headers) as response:
            return response.status


@pytest.fixture
async def controlled() -> AsyncIterator[Controlled]:
    async with Sandbox([{"ID": 7, "Name": "x"}], token=TOKEN) as sandbox, aiohttp.ClientSession() as session:
        controlled = Controlled(sandbox, session)
        controlled.key = sandbox.enable_control(controlled.rotate)
        yield controlled


async def test_planned_faults_are_applied_to_the_next_matching_requests(controlled: Controlled) -> None:
    plan = {"faults": ["503", "429-retry-after-2"], "call": "get", "after": 1}
    assert (await controlled.control("POST", "faults", plan))[0] == 200
    assert await controlled.status() == 200
    path = "/dialler/campaigns/7"
    assert [await controlled.status(path) for _ in range(4)] == [200, 503, 429, 200]


async def test_random_faults_are_applied_until_they_are_deleted(controlled: Controlled) -> None:
    assert (await controlled.control("POST", "faults", {"faults": ["500"], "share": 1.0}))[0] == 200
    assert [await controlled.status() for _ in range(3)] == [500] * 3
    assert (await controlled.control("DELETE", "faults"))[0] == 200
    assert await controlled.status() == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no JSON", "not a plan of faults"),
        ({"faults": ["x"]}, "there is no fault 'x'; use one of close-after-response"),
        ({"faults": ["503"], "call": "clones"}, "no such call: 'clones'"),
        ({"faults": ["503"], "share": 2}, "a share between 0 and 1"),
        ({"faults": ["503"], "tokens": 1}, "not a plan of faults"),
    ],
)
async def test_invalid_plan_of_faults_returns_400_with_the_reason(
    controlled: Controlled, body: Any, message: str
) -> None:
    status, text = await controlled.control("POST", "faults", body)
    assert status == 400
    assert message in json.loads(text)["error"]
    assert await controlled.status() == 200


async def test_post_token_replaces_the_token_and_does_not_return_it(controlled: Controlled) -> None:
    for rotation in (1, 2):
        old = controlled.sandbox.token
        status, text = await controlled.control("POST", "token")
        assert (status, controlled.rotations) == (200, rotation)
        assert controlled.sandbox.token != old
        assert controlled.sandbox.token not in text
        assert await controlled.status(token=old) == 401
        assert await controlled.status() == 200


async def test_journal_has_redacted_headers_and_no_control_requests(controlled: Controlled) -> None:
    await controlled.status()
    controlled.sandbox.revoke()
    await controlled.status()
    _, text = await controlled.control("GET", "journal")
    assert all(secret not in text for secret in (controlled.key, TOKEN, controlled.sandbox.token, "s3cret"))
    first, second = json.loads(text)["records"]
    assert first == second | {"nth_on_connection": 1}
    headers = dict(first["headers"])
    assert (headers["Authorization"], headers["Cookie"], headers["X-Own"]) == ("Bearer [redacted]", "[redacted]", "1")
    assert (first["method"], first["call"], first["status"], first["carried_out"]) == ("GET", "list", 200, True)
    await controlled.control("DELETE", "journal")
    assert controlled.sandbox.journal == []


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic x", f"Bearer {TOKEN}", "Bearer ä"])
@pytest.mark.parametrize(("method", "path"), [("GET", "journal"), ("POST", "token"), ("DELETE", "faults")])
async def test_control_request_without_the_key_returns_401_and_does_nothing(
    controlled: Controlled, method: str, path: str, authorization: str
) -> None:
    await controlled.status()
    status, text = await controlled.control(method, path, Authorization=authorization)
    assert status == 401
    assert "records" not in text
    assert controlled.rotations == 0


FOREIGN = [
    {"Host": "attacker.example"},
    {"Host": "attacker.example:8080"},
    {"Host": "127.0.0.1.attacker.example"},
    {"Host": "192.0.2.1"},
    {"Host": "[::2"},
    {"Host": ""},
    {"Origin": "https://attacker.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_request_of_a_foreign_page_is_refused(controlled: Controlled, headers: dict[str, str]) -> None:
    assert (await controlled.control("POST", "token", **headers))[0] in (400, 403)
    authorization = {"Authorization": f"Bearer {controlled.sandbox.token}"}
    url = f"{controlled.sandbox.base_url}/dialler/campaigns/campaign/7"
    async with controlled.session.delete(url, headers=authorization | headers) as response:
        assert response.status in (400, 403)
    assert controlled.rotations == 0
    assert 7 in controlled.sandbox.campaigns


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:9", "[::1]:8080", "127.0.0.2"])
async def test_request_to_a_name_of_the_loopback_address_is_answered(controlled: Controlled, host: str) -> None:
    for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
        assert (await controlled.control("GET", "journal", **headers))[0] == 200


async def test_unknown_control_path_or_method_returns_404(controlled: Controlled) -> None:
    for method, path in (("GET", "faults"), ("GET", "token"), ("POST", "journal"), ("POST", "x"), ("GET", "")):
        assert await controlled.control(method, path) == (404, "")


async def test_control_is_off_by_default_and_needs_a_loopback_address() -> None:
    async with Sandbox([]) as sandbox, aiohttp.ClientSession() as session:
        controlled = Controlled(sandbox, session)
        assert await controlled.control("GET", "journal") == (404, "")
        assert sandbox.journal[0].target == "/sandbox/journal"
    with pytest.raises(ValueError, match=r"loopback address only, not on 0\.0\.0\.0"):
        Sandbox([], host="0.0.0.0").enable_control(lambda: None)  # noqa: S104  the call is refused


def test_fault_names_give_faults_and_unknown_names_raise() -> None:
    assert [fault_of(name) for name in ("reset-when-done", "hang-up", "stall-when-done", "404", "502-when-done")] == [
        Reset(carried_out=True),
        HangUp(),
        StallBeforeHeaders(carried_out=True),
        Status(404),
        Status(502, carried_out=True),
    ]
    assert fault_of("503-retry-after-7-when-done") == Status(503, retry_after=7, carried_out=True)
    for name in ("200", "600", "503-retry-after", "Reset", ""):
        with pytest.raises(ValueError, match="there is no fault"):
            fault_of(name)


@contextmanager
def running_command(*options: str) -> Iterator[tuple[str, str, str, Any]]:
    """Run `dialler sandbox`. Yield its base URL, its first token and its key, and its stdout from the fifth line on."""
    program = "import sys; from dialler_async.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "sandbox", "--port", "0", "--campaigns", "3", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            base_url, token, key = (process.stdout.readline().strip().partition("=")[2] for _ in range(3))
            process.stdout.readline()
            yield base_url, token, key, process.stdout
        finally:
            process.terminate()
            # The command may still print a token, and a closed pipe would change its exit code.
            process.stdout.read()
    assert process.returncode == 0


def status_of(url: str, token: str, method: str = "GET", body: bytes | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    request = Request(url, body, headers, method=method)  # noqa: S310  the URL of the sandbox
    try:
        with urlopen(request, timeout=10) as response:  # noqa: S310  the URL of the sandbox
            return response.status
    except HTTPError as error:
        with error:
            return error.code


def test_running_command_accepts_control_requests(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with running_command("--token-file", str(file)) as (base_url, token, key, stdout):
        assert file.read_text() == token
        control = base_url.replace("/rest/v1.0/1", "/sandbox")
        calls = f"{base_url}/dialler/campaigns"
        assert status_of(f"{control}/faults", key, "POST", b'{"faults": ["418"]}') == 200
        assert [status_of(calls, token), status_of(calls, token)] == [418, 200]
        assert status_of(f"{control}/token", key, "POST") == 200
        new = stdout.readline().strip().partition("=")[2]
        assert new == file.read_text() != token
        assert [status_of(calls, token), status_of(calls, new)] == [401, 200]
        assert [status_of(f"{control}/journal", secret) for secret in (key, token, new)] == [200, 401, 401]


def test_options_fault_and_rotate_token_work() -> None:
    with running_command("--fault", "503", "--fault-share", "1", "--rotate-token", "0.01") as (
        base_url,
        first,
        _,
        stdout,
    ):
        tokens = [first, *(stdout.readline().strip().partition("=")[2] for _ in range(3))]
        assert len(set(tokens)) == 4
        assert status_of(f"{base_url}/dialler/campaigns", tokens[-1]) == 503


def test_rotated_token_is_written_to_the_fleet_of_several_accounts() -> None:
    with running_command("--accounts", "2", "--rotate-token", "0.3") as (_, first, _, stdout):
        directory = Path(stdout.readline().split()[-1]).parent
        new = stdout.readline().strip().partition("=")[2]
        assert (directory / "1.token").read_text() != first != new


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fault", "x"], "there is no fault 'x'"),
        (["--fault", "503", "--fault-share", "1.5"], "a share between 0 and 1"),
        (["--token-file", "/nowhere/token", "--port", "0"], "can't write the token to /nowhere/token"),
    ],
)
def test_wrong_sandbox_options_are_usage_errors(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["sandbox", "--campaigns", "1", *options]) == 2
    assert message in capsys.readouterr().err
