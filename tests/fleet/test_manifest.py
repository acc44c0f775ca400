"""`fleet.toml`: keys, errors, permissions, and the sources of tokens."""

import errno
import os
import ssl
from pathlib import Path

import attrs
import pytest
import trustme

from dialler_async import ConfigurationError, DiallerClient, PoolConfig, RetryPolicy
from dialler_async.fleet import Account, Fleet, Server, audit_fleet, read_fleet
from dialler_async.fleet.clients import client_options
from dialler_async.fleet.manifest import write_fleet
from dialler_async.sandbox import Sandbox

SERVER = '[[servers]]\nname = "north"\nurl = "https://acd.example.com"\n'
ACCOUNT = '[[accounts]]\nname = "acme"\nserver = "north"\nclients_id = 1\ntoken_env = "ACME_TOKEN"\n'
BAD_URL = (
    "fleet.toml: server 1 (“north”): “url” must be like https://acd.example.com, "
    "without user, query, and the path from /rest on"
)


def error_of(directory: Path, text: str) -> str:
    path = directory / "fleet.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_fleet(path)
    message = str(raised.value)
    assert str(path) in message
    return message.replace(f"{path}", "fleet.toml")


def test_read_fleet_returns_servers_and_accounts(tmp_path: Path) -> None:
    limited = '[[servers]]\nname = "süd"\nurl = "http://localhost/pbx"\nmax_rate = 0.5\nmax_concurrency = 4\n'
    other = '[[accounts]]\nname = "globex"\nserver = "süd"\nclients_id = 1\ntoken_file = "secrets/globex"\n'
    (tmp_path / "fleet.toml").write_text(SERVER + limited + ACCOUNT + other)
    fleet = read_fleet(tmp_path / "fleet.toml")
    assert list(fleet.servers.values()) == [
        Server(name="north", url="https://acd.example.com"),
        Server(name="süd", url="http://localhost/pbx", max_rate=0.5, max_concurrency=4),
    ]
    assert [(account.name, account.server, account.clients_id) for account in fleet.accounts.values()] == [
        ("acme", "north", 1),
        ("globex", "süd", 1),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "fleet.toml: there is no account: add [[accounts]]"),
        ("[fleet]", "fleet.toml: unknown key “fleet”: the keys are [[servers]] and [[accounts]]"),
        ("[servers]\nname = 1", "fleet.toml: “servers” must be a list of tables: write [[servers]]"),
        (
            SERVER.replace("url", "uri"),
            "fleet.toml: server 1 (“north”): unknown key “uri”: the keys are name, url, max_rate, max_concurrency, "
            "deadline, attempts, proxy, ca_file, client_cert, client_key",
        ),
        ('[[servers]]\nname = "north"', "fleet.toml: server 1 (“north”): “url” is missing"),
        (
            '[[servers]]\nname = ""\nurl = "http://localhost"',
            "fleet.toml: server 1: “name” must be a non-empty, printable text",
        ),
        (SERVER.replace("https", "ftp"), BAD_URL),
        (SERVER.replace("acd", "user:secret@acd"), BAD_URL),
        (SERVER.replace(".com", ".com/rest/v1.0/1"), BAD_URL),
        (SERVER + SERVER, "fleet.toml: two servers have the name “north”"),
        (
            SERVER + "max_rate = true",
            "fleet.toml: server 1 (“north”): “max_rate” must be a positive number of calls per second",
        ),
        (
            SERVER + "max_rate = inf",
            "fleet.toml: server 1 (“north”): “max_rate” must be a positive number of calls per second",
        ),
        (
            SERVER + "max_concurrency = 0",
            "fleet.toml: server 1 (“north”): “max_concurrency” must be a positive number of concurrent calls",
        ),
        (SERVER + "deadline = true", "fleet.toml: server 1 (“north”): “deadline” must be a positive number of seconds"),
        (SERVER + "deadline = inf", "fleet.toml: server 1 (“north”): “deadline” must be a positive number of seconds"),
        (SERVER + "attempts = 1.0", "fleet.toml: server 1 (“north”): “attempts” must be a positive whole number"),
        (SERVER + "attempts = true", "fleet.toml: server 1 (“north”): “attempts” must be a positive whole number"),
        (SERVER + "ca_file = 5", "fleet.toml: server 1 (“north”): “ca_file” must be the path of a file"),
        (SERVER + 'client_cert = ""', "fleet.toml: server 1 (“north”): “client_cert” must be the path of a file"),
        (
            SERVER + 'client_key = "k"',
            "fleet.toml: server 1 (“north”): “client_key” needs a “client_cert”, which is missing",
        ),
        (
            SERVER + ACCOUNT.replace("name", "nam"),
            "fleet.toml: account 1: unknown key “nam”: the keys are name, server, clients_id, token_env, token_file",
        ),
        (
            SERVER + ACCOUNT + ACCOUNT.replace("server = ", "# "),
            "fleet.toml: account 2 (“acme”): “server” is missing",
        ),
        (
            SERVER + ACCOUNT.replace('"north"', '["north"]'),
            "fleet.toml: account 1 (“acme”): “server” must be the name of a server",
        ),
        (
            SERVER + ACCOUNT.replace("north", "east"),
            "fleet.toml: account “acme”: unknown “server”; known servers: north",
        ),
        (ACCOUNT, "fleet.toml: account “acme”: unknown “server”; known servers: none"),
        (
            SERVER + ACCOUNT.replace("= 1", "= true"),
            "fleet.toml: account 1 (“acme”): “clients_id” must be the account's ClientsID, a positive whole number",
        ),
        (SERVER + ACCOUNT + ACCOUNT, "fleet.toml: two accounts have the name “acme”"),
        (
            SERVER + SERVER.replace("north", "south").replace("acd.", "ACD.").replace('com"', 'com:443/"') + ACCOUNT,
            "fleet.toml: servers “north” and “south” have the same URL",
        ),
        (
            SERVER + ACCOUNT + ACCOUNT.replace("acme", "globex"),
            "fleet.toml: accounts “acme” and “globex” have the same server and clients_id",
        ),
        (
            SERVER + ACCOUNT.replace("token_env", "#"),
            "fleet.toml: account 1 (“acme”): set either token_env or token_file",
        ),
        (
            SERVER + ACCOUNT + 'token_file = "acme"',
            "fleet.toml: account 1 (“acme”): set either token_env or token_file",
        ),
        (SERVER + ACCOUNT.replace('"ACME_TOKEN"', '""'), "fleet.toml: account 1 (“acme”): “token_env” must be a text"),
    ],
)
def test_error_in_the_manifest_names_the_entry_and_the_reason(tmp_path: Path, text: str, message: str) -> None:
    assert error_of(tmp_path, text) == message


def test_manifest_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    assert error_of(tmp_path, "[[servers]").startswith("fleet.toml is not TOML: ")


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"^can't read .*fleet\.toml: {os.strerror(errno.ENOENT)}$"):
        read_fleet(tmp_path / "fleet.toml")


class TestTokens:
    SECRET = "tok3n-of-acme"

    def test_token_in_the_manifest_is_refused_and_not_in_the_message(self, tmp_path: Path) -> None:
        message = error_of(tmp_path, SERVER + ACCOUNT.replace("token_env", "token").replace("ACME_TOKEN", self.SECRET))
        assert message.startswith("fleet.toml: account 1 (“acme”): a token must not be in this file")
        assert self.SECRET not in message

    def test_token_is_read_from_the_environment_for_each_call(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "fleet.toml").write_text(SERVER + ACCOUNT)
        account = read_fleet(tmp_path / "fleet.toml").accounts["acme"]
        for token in (self.SECRET, "another"):
            monkeypatch.setenv("ACME_TOKEN", f"{token}\n")
            assert account.token() == token
        assert self.SECRET not in repr(account)

    def test_token_file_is_relative_to_the_manifest_and_read_for_each_call(self, tmp_path: Path) -> None:
        (tmp_path / "fleet.toml").write_text(SERVER + ACCOUNT.replace("token_env", "token_file"))
        account = read_fleet(tmp_path / "fleet.toml").accounts["acme"]
        for token in (self.SECRET, "another"):
            (tmp_path / "ACME_TOKEN").write_text(f"{token}\n")
            assert account.token() == token

    @pytest.mark.parametrize(
        ("key", "content", "message"),
        [
            ("token_env", None, "account “acme”: the environment variable that token_env names is not set"),
            ("token_file", None, f"account “acme”: can't read its token_file: {os.strerror(errno.ENOENT)}"),
            ("token_file", b"\xff", "account “acme”: can't read its token_file: it is not text"),
            ("token_file", b"\n", "account “acme”: its token_file is empty"),
        ],
    )
    def test_error_of_a_missing_token_does_not_contain_its_source(
        self, tmp_path: Path, key: str, content: bytes | None, message: str
    ) -> None:
        # A user may have put the token itself into token_env or token_file.
        manifest = ACCOUNT.replace("token_env", key).replace("ACME_TOKEN", self.SECRET)
        (tmp_path / "fleet.toml").write_text(SERVER + manifest)
        account = read_fleet(tmp_path / "fleet.toml").accounts["acme"]
        if content is not None:
            (tmp_path / self.SECRET).write_bytes(content)
        with pytest.raises(ConfigurationError) as raised:
            account.token()
        assert str(raised.value) == message

    def test_read_fleet_warns_about_an_unencrypted_token(self, tmp_path: Path) -> None:
        (tmp_path / "fleet.toml").write_text(SERVER.replace("https", "http") + ACCOUNT)
        with pytest.warns(UserWarning, match="unencrypted"):
            read_fleet(tmp_path / "fleet.toml")


class TestServerOptions:
    async def test_deadline_attempts_and_tls_files_reach_the_client(self, tmp_path: Path) -> None:
        tls = 'ca_file = "tls/ca.pem"\nclient_cert = "tls/worker.pem"\n'
        options_toml = tls + 'proxy = "http://proxy.example.com:3128"\ndeadline = 7\nattempts = 3\n'
        (tmp_path / "fleet.toml").write_text(SERVER + options_toml + ACCOUNT)
        fleet = read_fleet(tmp_path / "fleet.toml")
        server = fleet.servers["north"]
        assert server.ca_file == tmp_path / "tls/ca.pem"
        options = client_options(server)
        assert options["pool"] == PoolConfig(
            ca_file=tmp_path / "tls/ca.pem",
            client_cert=tmp_path / "tls/worker.pem",
            proxy="http://proxy.example.com:3128",
        )
        assert options["timeouts"].deadline == 7
        assert options["retry"] == attrs.evolve(RetryPolicy.patient(), attempts=3)

    async def test_fleet_audits_a_server_that_requires_a_client_certificate(self, tmp_path: Path) -> None:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        ca.issue_cert("worker.example.com").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "worker.pem"))
        server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert("127.0.0.1").configure_cert(server_context)
        ca.configure_trust(server_context)
        server_context.verify_mode = ssl.CERT_REQUIRED
        async with Sandbox(3, ssl_context=server_context) as sandbox:
            server = f'url = "{sandbox.server}"\nca_file = "ca.pem"\nclient_cert = "worker.pem"\nproxy = ""\n'
            account = 'name = "acme"\nserver = "s"\nclients_id = 1\ntoken_file = "token"\n'
            (tmp_path / "token").write_text(sandbox.token)
            (tmp_path / "fleet.toml").write_text(f'[[servers]]\nname = "s"\n{server}[[accounts]]\n{account}')
            report = await audit_fleet(read_fleet(tmp_path / "fleet.toml"))
        assert (report.campaign_count, report.unfinished) == (3, False)

    def test_client_uses_the_patient_retry_policy_by_default(self) -> None:
        server = Server(name="north", url="https://acd.example.com")
        options = client_options(server)
        assert options["retry"] == RetryPolicy.patient()

    @pytest.mark.parametrize(
        "proxy", ["5", '"socks5://p:1"', '"http://user:hidden@p:1"', '"p:3128"', '"environment"', '"http://[hidden"']
    )
    def test_invalid_proxy_or_proxy_with_credentials_is_refused(self, proxy: str, tmp_path: Path) -> None:
        message = error_of(tmp_path, SERVER + f"proxy = {proxy}")
        assert message.startswith("fleet.toml: server 1 (“north”): “proxy” must be a URL like http://PROXY:PORT")
        assert "hidden" not in message

    def test_empty_proxy_disables_the_proxy(self) -> None:
        server = Server(name="north", url="https://acd.example.com", proxy="")
        assert client_options(server)["pool"].proxy is None

    async def test_missing_tls_file_fails_the_account_and_is_named_in_the_finding(self, tmp_path: Path) -> None:
        server = Server(name="north", url="https://127.0.0.1:9", ca_file=tmp_path / "missing.pem", attempts=1)
        account = Account(name="acme", server="north", clients_id=1, token=lambda: "t")
        report = await audit_fleet(Fleet.of([server], [account]))
        [finding] = [finding for finding in report.findings if finding.rule == "not-audited"]
        assert "missing.pem" in finding.message


def test_server_is_validated_without_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a client was created")

    monkeypatch.setattr(DiallerClient, "__init__", fail)
    assert Server(name="north", url="https://acd.example.com").url == "https://acd.example.com"


def test_warning_about_an_unencrypted_token_has_the_file_of_the_caller() -> None:
    with pytest.warns(UserWarning, match="unencrypted") as warnings:
        Server(name="north", url="http://acd.example.com")
    assert warnings[0].filename == __file__


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX owners and modes")
@pytest.mark.parametrize("writable", ["fleet.toml", "."])
def test_manifest_that_other_users_can_write_is_refused(tmp_path: Path, writable: str) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(SERVER + ACCOUNT)
    read_fleet(path)
    (tmp_path / writable).chmod(0o777)
    with pytest.raises(ConfigurationError, match=r"other users can write .* decides where your tokens are sent"):
        read_fleet(path)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX owners and modes")
def test_manifest_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(SERVER + ACCOUNT)
    if os.getuid() == 0:
        os.chown(path, 12_345, -1)
    else:
        another = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: another)
    with pytest.raises(ConfigurationError, match=r"it belongs to another user .* decides where your tokens are sent"):
        read_fleet(path)


def test_written_manifest_is_read_back_with_its_tokens(tmp_path: Path) -> None:
    fleet = read_fleet(write_fleet(tmp_path, "http://127.0.0.1:8080", {1: "first", 2: "second"}))
    assert [(account.clients_id, account.token()) for account in fleet.accounts.values()] == [
        (1, "first"),
        (2, "second"),
    ]
