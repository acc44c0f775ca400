"""The options about the connection: what they do to the client, and what the environment gives in their place."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import DiallerClient, RetryPolicy, Timeouts
from dialler_async.cli.connection import Connection
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Status
from dialler_async.testing import instant_waits

if TYPE_CHECKING:
    from tests.cli.conftest import Run

TOKEN = "a-secret-that-nobody-may-see"

COMMANDS = [
    ["campaigns", "list"],
    ["campaigns", "get", "1"],
    ["campaigns", "find", "Spring"],
    ["campaigns", "clone", "Spring", "New"],
    ["campaigns", "delete", "1", "--yes"],
    ["result-codes", "1"],
    ["audit"],
    ["export", "--output", "account.json"],
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ATTEMPTS", "DEADLINE", "MAX_RATE", "CA_FILE", "CLIENT_CERT", "CLIENT_KEY", "PROXY"):
        monkeypatch.delenv(f"DIALLER_{name}", raising=False)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command makes its client of."""
    options: dict[str, Any] = {}
    really_make = DiallerClient.__init__

    def make(client: DiallerClient, base_url: str, token: str, **given: Any) -> None:
        options.update(given)
        really_make(client, base_url, token, **given)

    monkeypatch.setattr(DiallerClient, "__init__", make)
    return options


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_every_command_takes_rate_deadline_and_attempts(
    run: Run, sandbox: Sandbox, given: dict[str, Any], argv: list[str]
) -> None:
    assert run(*argv, "--max-rate", "500.5", "--deadline", "7.5", "--attempts", "3").exit == 0
    assert (given["max_rate"], given["timeouts"], given["retry"].attempts) == (500.5, Timeouts(deadline=7.5), 3)


def test_environment_takes_the_place_of_options(
    run: Run, sandbox: Sandbox, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MAX_RATE", "500"), ("DEADLINE", "20"), ("ATTEMPTS", "5")):
        monkeypatch.setenv(f"DIALLER_{name}", value)
    assert run("campaigns", "list").exit == 0
    assert (given["max_rate"], given["timeouts"], given["retry"]) == (
        500,
        Timeouts(deadline=20),
        RetryPolicy(attempts=5),
    )
    assert run("campaigns", "list", "--attempts", "2").exit == 0
    assert given["retry"].attempts == 2


def test_empty_environment_variable_counts_as_missing(
    run: Run, sandbox: Sandbox, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_RATE", "DEADLINE", "ATTEMPTS"):
        monkeypatch.setenv(f"DIALLER_{name}", "")
    assert run("campaigns", "list").exit == 0
    assert {"max_rate", "timeouts"}.isdisjoint(given)
    assert given["retry"] == RetryPolicy()


@pytest.mark.parametrize("argv", [["audit"], ["export", "--output", "account.json"]], ids=["audit", "export"])
def test_nightly_work_retries_patiently(run: Run, sandbox: Sandbox, given: dict[str, Any], argv: list[str]) -> None:
    assert run(*argv).exit == 0
    assert given["retry"] == RetryPolicy.patient()


def test_attempts_limit_how_often_a_call_is_sent(run: Run, sandbox: Sandbox) -> None:
    sandbox.faults.chance(1.0, [Status(503)], match="list")
    assert run("audit", "--attempts", "1").exit == 3
    assert len(sandbox.journal) == 1


@pytest.mark.parametrize(
    "value", ["0", "-1", "1e3", "0x1", "1_0", ".5", "5.", "inf", "nan", "0.0", "\u0663", "9" * 400]
)
@pytest.mark.parametrize("name", ["max-rate", "deadline"])
def test_number_that_is_no_plain_decimal_is_refused(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    variable = f"DIALLER_{name.upper().replace('-', '_')}"
    ran = run("campaigns", "list", f"--{name}", value)
    assert (ran.exit, ran.out, ran.err.count("\n"), sandbox.journal) == (2, "", 1, [])
    assert f"--{name}: give a number above 0 in digits, such as 30 or 0.5" in ran.err
    monkeypatch.setenv(variable, value)
    ran = run("campaigns", "list")
    assert (ran.exit, ran.out, ran.err.count("\n"), sandbox.journal) == (2, "", 1, [])
    assert f"{variable}: give a number above 0 in digits, such as 30 or 0.5" in ran.err


@pytest.mark.parametrize("value", ["0", "1.0", "0x1"])
def test_attempts_are_a_whole_number(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert "give a whole number in digits, 1 or more" in run("campaigns", "list", "--attempts", value).err
    monkeypatch.setenv("DIALLER_ATTEMPTS", value)
    assert "DIALLER_ATTEMPTS: give a whole number in digits, 1 or more" in run("campaigns", "list").err
    assert sandbox.journal == []


NETWORK = {
    "ca_file": "company-ca.pem",
    "client_cert": "me.pem",
    "client_key": "me.key",
    "proxy": "http://proxy.example.com:3128",
}


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command settles of the pool; the files need not be there."""
    seen: list[dict[str, Any]] = []
    really_settle = Connection._network

    def settle(connection: Connection) -> dict[str, Any]:
        seen.append(really_settle(connection))
        return {}

    monkeypatch.setattr(Connection, "_network", settle)
    return seen


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_every_command_takes_certificates_and_a_proxy(
    run: Run, sandbox: Sandbox, settled: list[dict[str, Any]], argv: list[str]
) -> None:
    options = [part for name, value in NETWORK.items() for part in (f"--{name.replace('_', '-')}", value)]
    assert run(*argv, *options).exit == 0
    assert settled == [NETWORK]


def test_environment_takes_the_place_of_network_options(
    run: Run, sandbox: Sandbox, settled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NETWORK.items():
        monkeypatch.setenv(f"DIALLER_{name.upper()}", value)
    run("campaigns", "list")
    run("campaigns", "list", "--ca-file", "other.pem")
    assert settled == [NETWORK, {**NETWORK, "ca_file": "other.pem"}]


def test_without_options_and_environment_nothing_is_settled(
    run: Run, sandbox: Sandbox, settled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("campaigns", "list")
    monkeypatch.setenv("DIALLER_PROXY", "")
    run("campaigns", "list")
    assert settled == [{}, {"proxy": None}], "an empty DIALLER_PROXY means no proxy"


@pytest.mark.parametrize("given", [["--proxy", f"http://me:{TOKEN}@proxy"], [f"--proxy=me:{TOKEN}@proxy"]])
def test_proxy_with_a_password_is_no_argument_and_is_not_repeated(run: Run, sandbox: Sandbox, given: list[str]) -> None:
    ran = run("campaigns", "list", *given)
    assert (ran.exit, ran.out, sandbox.journal) == (2, "", [])
    assert ran.err == "dialler: a proxy's password is never an argument, where others can read it: use DIALLER_PROXY\n"


@pytest.mark.parametrize("option", ["--ca-file", "--client-cert", "--client-key", "--proxy"])
def test_embedded_dialler_takes_no_network_options(run: Run, option: str) -> None:
    ran = run("campaigns", "list", "--sandbox", option, "anything")
    assert (ran.exit, ran.out) == (2, "")
    assert "leave out certificates and --proxy" in ran.err


def test_embedded_dialler_is_reached_without_a_proxy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIALLER_PROXY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run("campaigns", "list", "--sandbox", "--attempts", "1").exit == 0


def test_request_goes_through_the_proxy(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[bytes] = []
    body = b'{"records": [], "count": 0}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def serve() -> None:
            connection, _ = proxy.accept()
            with connection:
                received.append(connection.recv(65536))
                connection.sendall(head % len(body) + body)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        ran = run("campaigns", "list", "--base-url", "http://dialler.invalid/rest/v1.0/1", "--proxy", url)
        thread.join(timeout=10)
    assert ran.exit == 0
    assert received[0].startswith(b"GET http://dialler.invalid/rest/v1.0/1/dialler/campaigns")


@pytest.mark.parametrize("option", ["--ca-file", "--client-cert"])
def test_certificate_file_that_is_not_there_is_one_line(run: Run, sandbox: Sandbox, option: str) -> None:
    ran = run("campaigns", "list", option, "none.pem", "--base-url", "https://dialler.invalid/rest/v1.0/1")
    assert (ran.exit, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "none.pem" in ran.err


@pytest.mark.parametrize("argv", [["audit"], ["export", "--output", "account.json"]], ids=" ".join)
@pytest.mark.parametrize(("failures", "lines"), [(2, 0), (3, 1), (8, 1)])
def test_patient_command_says_once_that_it_retries(
    run: Run, sandbox: Sandbox, argv: list[str], failures: int, lines: int
) -> None:
    sandbox.faults.next(*[Status(503)] * failures)
    with instant_waits():
        ran = run(*argv)
    assert ran.exit == 0
    notice = "dialler: the server fails requests; they are retried (--attempts sets how often)\n"
    assert ran.err.count(notice) == lines
