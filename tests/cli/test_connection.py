"""The connection options and their environment variables, and the client that they configure."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dialler_async import DiallerClient, RetryPolicy, Timeouts
from dialler_async.cli.connection import ConnectionOptions
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
def client_options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the options that the command passes to its client."""
    options: dict[str, Any] = {}
    original_init = DiallerClient.__init__

    def record(client: DiallerClient, base_url: str, token: str, **passed: Any) -> None:
        options.update(passed)
        original_init(client, base_url, token, **passed)

    monkeypatch.setattr(DiallerClient, "__init__", record)
    return options


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_every_command_takes_rate_deadline_and_attempts(
    run: Run, sandbox: Sandbox, client_options: dict[str, Any], argv: list[str]
) -> None:
    assert run(*argv, "--max-rate", "500.5", "--deadline", "7.5", "--attempts", "3").exit == 0
    assert (client_options["max_rate"], client_options["timeouts"], client_options["retry"].attempts) == (
        500.5,
        Timeouts(deadline=7.5),
        3,
    )


def test_environment_sets_options_that_are_not_given(
    run: Run, sandbox: Sandbox, client_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MAX_RATE", "500"), ("DEADLINE", "20"), ("ATTEMPTS", "5")):
        monkeypatch.setenv(f"DIALLER_{name}", value)
    assert run("campaigns", "list").exit == 0
    assert (client_options["max_rate"], client_options["timeouts"], client_options["retry"]) == (
        500,
        Timeouts(deadline=20),
        RetryPolicy(attempts=5),
    )
    assert run("campaigns", "list", "--attempts", "2").exit == 0
    assert client_options["retry"].attempts == 2


def test_empty_environment_variable_counts_as_missing(
    run: Run, sandbox: Sandbox, client_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_RATE", "DEADLINE", "ATTEMPTS"):
        monkeypatch.setenv(f"DIALLER_{name}", "")
    assert run("campaigns", "list").exit == 0
    assert {"max_rate", "timeouts"}.isdisjoint(client_options)
    assert client_options["retry"] == RetryPolicy()


@pytest.mark.parametrize("argv", [["audit"], ["export", "--output", "account.json"]], ids=["audit", "export"])
def test_audit_and_export_use_the_patient_retry_policy(
    run: Run, sandbox: Sandbox, client_options: dict[str, Any], argv: list[str]
) -> None:
    assert run(*argv).exit == 0
    assert client_options["retry"] == RetryPolicy.patient()


def test_attempts_1_sends_a_call_only_once(run: Run, sandbox: Sandbox) -> None:
    sandbox.faults.chance(1.0, [Status(503)], match="list")
    assert run("audit", "--attempts", "1").exit == 3
    assert len(sandbox.journal) == 1


@pytest.mark.parametrize(
    "value", ["0", "-1", "1e3", "0x1", "1_0", ".5", "5.", "inf", "nan", "0.0", "\u0663", "9" * 400]
)
@pytest.mark.parametrize("name", ["max-rate", "deadline"])
def test_rate_or_deadline_that_is_not_a_plain_decimal_is_refused(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    variable = f"DIALLER_{name.upper().replace('-', '_')}"
    result = run("campaigns", "list", f"--{name}", value)
    assert (result.exit, result.out, result.err.count("\n"), sandbox.journal) == (2, "", 1, [])
    assert f"--{name}: it must be a number above 0 in digits, such as 30 or 0.5" in result.err
    monkeypatch.setenv(variable, value)
    result = run("campaigns", "list")
    assert (result.exit, result.out, result.err.count("\n"), sandbox.journal) == (2, "", 1, [])
    assert f"{variable} must be a number above 0 in digits, such as 30 or 0.5" in result.err


@pytest.mark.parametrize("value", ["0", "1.0", "0x1"])
def test_attempts_that_are_not_a_positive_whole_number_are_refused(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    assert "it must be a whole number in digits, 1 or more" in run("campaigns", "list", "--attempts", value).err
    monkeypatch.setenv("DIALLER_ATTEMPTS", value)
    assert "DIALLER_ATTEMPTS must be a whole number in digits, 1 or more" in run("campaigns", "list").err
    assert sandbox.journal == []


NETWORK = {
    "ca_file": "company-ca.pem",
    "client_cert": "me.pem",
    "client_key": "me.key",
    "proxy": "http://proxy.example.com:3128",
}


@pytest.fixture
def pool_settings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the pool settings of each command, and apply none of them, because the files do not exist."""
    seen: list[dict[str, Any]] = []
    original = ConnectionOptions._network

    def record(connection: ConnectionOptions) -> dict[str, Any]:
        seen.append(original(connection))
        return {}

    monkeypatch.setattr(ConnectionOptions, "_network", record)
    return seen


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_every_command_takes_certificates_and_a_proxy(
    run: Run, sandbox: Sandbox, pool_settings: list[dict[str, Any]], argv: list[str]
) -> None:
    options = [part for name, value in NETWORK.items() for part in (f"--{name.replace('_', '-')}", value)]
    assert run(*argv, *options).exit == 0
    assert pool_settings == [NETWORK]


def test_environment_sets_network_options_that_are_not_given(
    run: Run, sandbox: Sandbox, pool_settings: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NETWORK.items():
        monkeypatch.setenv(f"DIALLER_{name.upper()}", value)
    run("campaigns", "list")
    run("campaigns", "list", "--ca-file", "other.pem")
    assert pool_settings == [NETWORK, {**NETWORK, "ca_file": "other.pem"}]


def test_pool_settings_are_empty_without_options_and_environment(
    run: Run, sandbox: Sandbox, pool_settings: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("campaigns", "list")
    monkeypatch.setenv("DIALLER_PROXY", "")
    run("campaigns", "list")
    assert pool_settings == [{}, {"proxy": None}], "an empty DIALLER_PROXY means no proxy"


@pytest.mark.parametrize("options", [["--proxy", f"http://me:{TOKEN}@proxy"], [f"--proxy=me:{TOKEN}@proxy"]])
def test_proxy_option_with_a_password_is_refused_and_not_printed(
    run: Run, sandbox: Sandbox, options: list[str]
) -> None:
    result = run("campaigns", "list", *options)
    assert (result.exit, result.out, sandbox.journal) == (2, "", [])
    assert result.err == "dialler: other users can read a proxy's password in the arguments: use DIALLER_PROXY\n"


@pytest.mark.parametrize("option", ["--ca-file", "--client-cert", "--client-key", "--proxy"])
def test_sandbox_option_refuses_network_options(run: Run, option: str) -> None:
    result = run("campaigns", "list", "--sandbox", option, "anything")
    assert (result.exit, result.out) == (2, "")
    assert "leave out certificates and --proxy" in result.err


def test_sandbox_option_ignores_proxies_of_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIALLER_PROXY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run("campaigns", "list", "--sandbox", "--attempts", "1").exit == 0


def test_proxy_option_sends_the_request_to_the_proxy(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        result = run("campaigns", "list", "--base-url", "http://dialler.invalid/rest/v1.0/1", "--proxy", url)
        thread.join(timeout=10)
    assert result.exit == 0
    assert received[0].startswith(b"GET http://dialler.invalid/rest/v1.0/1/dialler/campaigns")


@pytest.mark.parametrize("option", ["--ca-file", "--client-cert"])
def test_missing_certificate_file_is_a_usage_error_of_one_line(run: Run, sandbox: Sandbox, option: str) -> None:
    result = run("campaigns", "list", option, "none.pem", "--base-url", "https://dialler.invalid/rest/v1.0/1")
    assert (result.exit, result.out, result.err.count("\n")) == (2, "", 1)
    assert "none.pem" in result.err


@pytest.mark.parametrize("argv", [["audit"], ["export", "--output", "account.json"]], ids=" ".join)
@pytest.mark.parametrize(("failures", "lines"), [(2, 0), (3, 1), (8, 1)])
def test_audit_and_export_print_one_notice_after_three_failed_attempts(
    run: Run, sandbox: Sandbox, argv: list[str], failures: int, lines: int
) -> None:
    sandbox.faults.next(*[Status(503)] * failures)
    with instant_waits():
        result = run(*argv)
    assert result.exit == 0
    notice = "dialler: requests to the server fail and are retried; --attempts limits the retries\n"
    assert result.err.count(notice) == lines
