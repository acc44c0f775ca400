"""TLS with real certificates: which servers are trusted, and the errors for the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
import yarl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dialler_async import ConfigurationError, ConnectError, DiallerClient, NoReplyError, PoolConfig, RetryPolicy
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Reset

if TYPE_CHECKING:
    from tests.http.conftest import Listening

ONCE = RetryPolicy(attempts=1)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """A company's own CA, which is not in the system's trust store."""
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting_context(ca: trustme.CA) -> ssl.SSLContext:
    """An SSL context that trusts the CA."""
    with ca.cert_pem.tempfile() as path:
        return ssl.create_default_context(cafile=path)


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@asynccontextmanager
async def https(certificate: trustme.LeafCert) -> AsyncIterator[Sandbox]:
    """A sandbox with https."""
    async with Sandbox(5, ssl_context=server_context(certificate)) as sandbox:
        assert sandbox.base_url.startswith("https://")
        yield sandbox


async def refusal(sandbox: Sandbox, pool: PoolConfig, base_url: str | None = None) -> str:
    """Return the error message for an untrusted server. The server has received no request."""
    async with DiallerClient(base_url or sandbox.base_url, sandbox.token, pool=pool, retry=ONCE) as dialler:
        with pytest.raises(ConnectError) as caught:
            await dialler.campaigns.delete(535)
    assert sandbox.journal == []
    assert caught.value.__context__ is None
    assert "nothing was sent" in str(caught.value)
    return str(caught.value)


async def openssl_reason(sandbox: Sandbox, context: ssl.SSLContext, host: str = "127.0.0.1") -> str:
    """Return OpenSSL's own words for the refusal of the sandbox's certificate."""
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        await asyncio.open_connection("127.0.0.1", yarl.URL(sandbox.base_url).port, ssl=context, server_hostname=host)
    return caught.value.verify_message


async def test_ssl_context_with_a_custom_ca_is_used(ca: trustme.CA, trusting_context: ssl.SSLContext) -> None:
    async with https(ca.issue_cert("127.0.0.1")) as sandbox:
        pool = PoolConfig(ssl=trusting_context)
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool) as dialler:
            assert len(await dialler.campaigns.list()) == 5
            await asyncio.gather(*(dialler.campaigns.get(id) for id in sandbox.campaigns))
            sibling = dialler.for_account(1, sandbox.token)
            assert len(await sibling.campaigns.list()) == 5
        assert len(sandbox.journal) == 7


async def test_https_works_with_a_host_name(ca: trustme.CA, trusting_context: ssl.SSLContext) -> None:
    async with https(ca.issue_cert("localhost")) as sandbox:
        base_url = sandbox.base_url.replace("127.0.0.1", "localhost")
        async with DiallerClient(base_url, sandbox.token, pool=PoolConfig(ssl=trusting_context)) as dialler:
            assert len(await dialler.campaigns.list()) == 5


async def test_user_session_uses_its_own_ssl_context(ca: trustme.CA, trusting_context: ssl.SSLContext) -> None:
    async with https(ca.issue_cert("127.0.0.1")) as sandbox:
        connector = aiohttp.TCPConnector(ssl=trusting_context)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with DiallerClient(sandbox.base_url, sandbox.token, session=session) as dialler:
                assert len(await dialler.campaigns.list()) == 5
            assert not session.closed
            with pytest.raises(ConfigurationError, match="session"):
                DiallerClient(sandbox.base_url, sandbox.token, session=session, pool=PoolConfig(ssl=trusting_context))


async def test_unknown_ca_is_not_trusted(ca: trustme.CA) -> None:
    async with https(ca.issue_cert("127.0.0.1")) as sandbox:
        message = await refusal(sandbox, PoolConfig())
        reason = await openssl_reason(sandbox, ssl.create_default_context())
    assert f"is not trusted ({reason})" in message
    assert "For your own CA, set PoolConfig(ca_file=…)" in message


async def test_certificate_that_is_not_trusted_is_not_asked_for_again(ca: trustme.CA) -> None:
    async with https(ca.issue_cert("127.0.0.1")) as sandbox, DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        with pytest.raises(ConnectError) as caught:
            await dialler.campaigns.list()
    assert caught.value.attempts == 1
    assert caught.value.permanent


class TestHint:
    """The error for a certificate says what to do, if there is something to do."""

    async def test_with_a_ca_file_the_error_says_that_the_ca_is_not_in_it(self, ca: trustme.CA, tmp_path: Path) -> None:
        async with https(trustme.CA().issue_cert("127.0.0.1")) as sandbox:
            message = await refusal(sandbox, PoolConfig(ca_file=files(ca, tmp_path)["ca_file"]))
        assert message.endswith("Its CA is not in the given CA file")

    async def test_with_a_context_the_error_names_the_context(self, trusting_context: ssl.SSLContext) -> None:
        async with https(trustme.CA().issue_cert("127.0.0.1")) as sandbox:
            message = await refusal(sandbox, PoolConfig(ssl=trusting_context))
        assert message.endswith("Load its CA into the SSL context")

    async def test_with_a_session_the_error_names_the_context_of_the_session(self, ca: trustme.CA) -> None:
        async with (
            https(ca.issue_cert("127.0.0.1")) as sandbox,
            aiohttp.ClientSession() as session,
            DiallerClient(sandbox.base_url, sandbox.token, session=session, retry=ONCE) as dialler,
        ):
            with pytest.raises(ConnectError, match="Load its CA into the SSL context of the session"):
                await dialler.campaigns.list()

    @pytest.mark.parametrize("host", ["127.0.0.1", "acd.example.com"])
    async def test_expired_certificate_or_another_host_has_no_hint_about_a_ca(self, ca: trustme.CA, host: str) -> None:
        dates = {} if host != "127.0.0.1" else {"not_before": YESTERDAY - timedelta(days=9), "not_after": YESTERDAY}
        async with https(ca.issue_cert(host, **dates)) as sandbox:
            default = ssl.create_default_context()
            ca.configure_trust(default)
            message = await refusal(sandbox, PoolConfig(ssl=default))
        assert "CA" not in message
        assert message.endswith("nothing was sent")

    @pytest.mark.skipif(
        ssl.OPENSSL_VERSION_INFO < (3,), reason="OpenSSL 1.1.1 does not check the key identifier of the issuer"
    )
    async def test_certificate_that_only_the_strict_mode_refuses_has_a_hint_about_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority, server = without_key_identifier(tmp_path)
        strict = ssl.create_default_context(cafile=authority)
        # This is the default from Python 3.13 on.
        strict.verify_flags |= ssl.VERIFY_X509_STRICT
        async with Sandbox(5, ssl_context=server) as sandbox:
            message = await refusal(sandbox, PoolConfig(ssl=strict))
            assert "ssl.VERIFY_X509_STRICT" in message
            assert "CA" not in message
            # The hint helps.
            strict.verify_flags &= ~ssl.VERIFY_X509_STRICT
            async with DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(ssl=strict)) as dialler:
                assert len(await dialler.campaigns.list()) == 5


async def test_certificate_of_another_custom_ca_is_not_trusted(trusting_context: ssl.SSLContext) -> None:
    async with https(trustme.CA().issue_cert("127.0.0.1")) as sandbox:
        assert "is not trusted (" in await refusal(sandbox, PoolConfig(ssl=trusting_context))


def without_key_identifier(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the file of a CA, and a server's context whose certificate does not identify the key of the CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old company CA")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)

    def certificate(subject: x509.Name, public_key: ec.EllipticCurvePublicKey, **extensions: bool) -> bytes:
        builder = x509.CertificateBuilder(name, subject, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(YESTERDAY).not_valid_after(YESTERDAY + timedelta(days=9))
        if extensions["is_ca"]:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            builder = builder.add_extension(usage, critical=True)
            identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
            builder = builder.add_extension(identifier, critical=False)
        else:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    leaf_key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    authority, server = directory / "ca.pem", directory / "server.pem"
    authority.write_bytes(certificate(name, key.public_key(), is_ca=True))
    private = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server.write_bytes(private + certificate(subject, leaf_key.public_key(), is_ca=False))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    return authority, context


async def test_self_signed_certificate_is_named_in_the_error(ca: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The CA's own certificate is self-signed.
    with ca.private_key_pem.tempfile() as key, ca.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    async with Sandbox(5, ssl_context=context) as sandbox:
        reason = await openssl_reason(sandbox, ssl.create_default_context())
        assert f"is not trusted ({reason})" in await refusal(sandbox, PoolConfig())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_certificate_for_another_host_is_not_trusted(
    ca: trustme.CA, trusting_context: ssl.SSLContext, host: str
) -> None:
    async with https(ca.issue_cert("acd.example.com")) as sandbox:
        base_url = sandbox.base_url.replace("127.0.0.1", host)
        message = await refusal(sandbox, PoolConfig(ssl=trusting_context), base_url)
        reason = await openssl_reason(sandbox, trusting_context, host)
    assert f"is not trusted ({reason})" in message
    assert host in reason


async def test_expired_certificate_is_not_trusted(ca: trustme.CA, trusting_context: ssl.SSLContext) -> None:
    certificate = ca.issue_cert("127.0.0.1", not_before=YESTERDAY - timedelta(days=9), not_after=YESTERDAY)
    async with https(certificate) as sandbox:
        reason = await openssl_reason(sandbox, trusting_context)
        assert f"is not trusted ({reason})" in await refusal(sandbox, PoolConfig(ssl=trusting_context))


async def test_https_to_a_server_without_tls_is_a_connect_error() -> None:
    async with Sandbox(5) as sandbox:
        base_url = sandbox.base_url.replace("http:", "https:")
        async with DiallerClient(base_url, sandbox.token, retry=ONCE) as dialler:
            with pytest.raises(ConnectError, match="nothing was sent"):
                await dialler.campaigns.delete(535)
        assert sandbox.journal == []


async def test_lost_tls_connection_is_handled_like_a_lost_tcp_connection(
    ca: trustme.CA, trusting_context: ssl.SSLContext
) -> None:
    async with https(ca.issue_cert("127.0.0.1")) as sandbox:
        campaign = next(iter(sandbox.campaigns))
        sandbox.faults.next(Reset(carried_out=True), match="delete")
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(ssl=trusting_context)) as dialler:
            await dialler.campaigns.delete(campaign)
        assert [received.carried_out for received in sandbox.journal] == [True, False]


async def test_closing_leaves_no_tls_connection_open(ca: trustme.CA, trusting_context: ssl.SSLContext) -> None:
    async with https(ca.issue_cert("127.0.0.1")) as sandbox:
        with warnings.catch_warnings(record=True, action="always") as warned:
            async with DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(ssl=trusting_context)) as dialler:
                await asyncio.gather(*(dialler.campaigns.list() for _ in range(8)))
                assert sandbox.connections.open == 8
            del dialler
            gc.collect()
        assert [str(warning.message) for warning in warned] == []
        async with asyncio.timeout(10):
            while sandbox.connections.open:  # noqa: ASYNC110  # the server runs in this loop and must notice the closed connection
                await asyncio.sleep(0)


def test_loop_can_end_right_after_closing_a_tls_client(ca: trustme.CA, trusting_context: ssl.SSLContext) -> None:
    async def use() -> None:
        async with (
            https(ca.issue_cert("127.0.0.1")) as sandbox,
            DiallerClient(sandbox.base_url, sandbox.token, pool=PoolConfig(ssl=trusting_context)) as dialler,
        ):
            await dialler.campaigns.list()

    with warnings.catch_warnings(record=True, action="always") as warned:
        asyncio.run(use())
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


@pytest.mark.parametrize(
    "host", ["acd.example.com", "10.0.0.7", "[fd00::7]", "localhost.example.com", "127.0.0.1.nip.io"]
)
def test_plain_http_to_another_host_warns_once(host: str) -> None:
    with warnings.catch_warnings(record=True, action="always") as warned:
        dialler = DiallerClient(f"http://{host}:8080/rest/v1.0/1", "token")
        dialler.for_account(2, "token")
    assert len(warned) == 1
    assert host.strip("[]") in str(warned[0].message)
    assert "https" in str(warned[0].message)
    assert warned[0].filename == __file__


@pytest.mark.parametrize("make", ["for_server", "from_env"])
def test_warning_of_plain_http_shows_the_line_that_made_the_client(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIALLER_BASE_URL", "http://acd.example.com/rest/v1.0/1")
    monkeypatch.setenv("DIALLER_TOKEN", "token")
    with warnings.catch_warnings(record=True, action="always") as warned:
        if make == "for_server":
            DiallerClient.for_server("http://acd.example.com", 1, "token")
        else:
            DiallerClient.from_env()
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8080/rest/v1.0/1",
        "http://127.8.9.1/rest/v1.0/1",
        "http://[::1]:8080/rest/v1.0/1",
        "http://localhost/rest/v1.0/1",
        "http://LOCALHOST:8080/rest/v1.0/1",
        "http://dialler.localhost/rest/v1.0/1",
        "https://acd.example.com/rest/v1.0/1",
    ],
)
def test_https_and_plain_http_to_loopback_give_no_warning(base_url: str) -> None:
    with warnings.catch_warnings(record=True, action="always") as warned:
        DiallerClient(base_url, "token")
    assert warned == []


def test_ssl_that_is_not_a_context_is_refused(tmp_path: Path) -> None:
    for wrong in (False, True, str(tmp_path)):
        with pytest.raises(ConfigurationError, match="SSLContext"):
            PoolConfig(ssl=wrong)  # type: ignore[arg-type]  the mistake that is tested


class TestFiles:
    """The settings for a CA file and client certificate files."""

    async def test_ca_file_and_client_certificate_are_used(self, ca: trustme.CA, tmp_path: Path) -> None:
        async with mutual(ca) as sandbox:
            pool = PoolConfig(**files(ca, tmp_path))
            async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool) as dialler:
                assert len(await dialler.campaigns.list()) == 5

    async def test_certificate_and_key_in_one_file_are_used(self, ca: trustme.CA, tmp_path: Path) -> None:
        async with mutual(ca) as sandbox:
            paths = files(ca, tmp_path)
            both = tmp_path / "both.pem"
            both.write_bytes(paths["client_key"].read_bytes() + paths["client_cert"].read_bytes())
            pool = PoolConfig(ca_file=paths["ca_file"], client_cert=both)
            async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool) as dialler:
                assert len(await dialler.campaigns.list()) == 5

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_missing_client_certificate_is_named(
        self, ca: trustme.CA, tmp_path: Path, version: ssl.TLSVersion
    ) -> None:
        # Not an asyncio server, because those abort the connection without a TLS alert.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            refusing = asyncio.create_task(asyncio.to_thread(refuse_handshake, listener, mutual_context(ca, version)))
            pool = PoolConfig(ca_file=files(ca, tmp_path)["ca_file"])
            base_url = f"https://127.0.0.1:{listener.getsockname()[1]}/rest/v1.0/1"
            async with DiallerClient(base_url, "token", pool=pool, retry=ONCE) as dialler:
                with pytest.raises(ConnectError, match="client certificate") as caught:
                    await dialler.campaigns.delete(535)
            await refusing
        assert "Set PoolConfig(client_cert=…)" in str(caught.value)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_client_certificate_that_the_server_does_not_trust_is_named(
        self, ca: trustme.CA, tmp_path: Path, version: ssl.TLSVersion
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            refusing = asyncio.create_task(asyncio.to_thread(refuse_handshake, listener, mutual_context(ca, version)))
            paths = files(trustme.CA(), tmp_path) | {"ca_file": tmp_path / "server_ca.pem"}
            paths["ca_file"].write_bytes(ca.cert_pem.bytes())
            base_url = f"https://127.0.0.1:{listener.getsockname()[1]}/rest/v1.0/1"
            async with DiallerClient(base_url, "token", pool=PoolConfig(**paths)) as dialler:
                with pytest.raises(
                    ConnectError, match=r"does not accept the client certificate \(unknown ca\)"
                ) as caught:
                    await dialler.campaigns.delete(535)
            await refusing
        assert caught.value.permanent
        assert "set PoolConfig(client_cert" not in str(caught.value)

    @pytest.mark.parametrize("option", ["ca_file", "client_cert", "client_key"])
    @pytest.mark.parametrize("content", [None, b"", b"no PEM"])
    def test_file_that_can_not_be_loaded_is_named(
        self, ca: trustme.CA, tmp_path: Path, option: str, content: bytes | None
    ) -> None:
        paths = files(ca, tmp_path)
        if content is None:
            paths[option].unlink()
        else:
            paths[option].write_bytes(content)
        with pytest.raises(ConfigurationError, match="can't load") as caught:
            DiallerClient("https://acd.example.com/rest/v1.0/1", "t", pool=PoolConfig(**paths))
        assert str(paths[option]) in str(caught.value)

    def test_context_with_files_is_refused(self, trusting_context: ssl.SSLContext) -> None:
        with pytest.raises(ConfigurationError, match="can't be combined with ca_file"):
            PoolConfig(ssl=trusting_context, ca_file="ca.pem")

    def test_key_without_certificate_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="needs client_cert"):
            PoolConfig(client_key="key.pem")


async def test_error_says_that_the_port_does_not_support_https() -> None:
    async with Sandbox(5) as sandbox:
        message = await not_connected(sandbox, PoolConfig(), sandbox.base_url.replace("http:", "https:"))
    assert "does not support https" in message


@pytest.mark.usefixtures("c_parser")
async def test_error_says_that_the_port_does_not_speak_http(listening: Listening) -> None:
    async def tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        # This is the TLS alert "unexpected message", which OpenSSL sends.
        writer.write(bytes.fromhex("15030100020246"))

    async with listening(tls) as base_url, DiallerClient(base_url, "token", retry=ONCE) as dialler:
        with pytest.raises(NoReplyError, match="Check the scheme and port of the base URL"):
            await dialler.campaigns.list()


def refuse_handshake(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Accept one connection, and end its handshake with an alert."""
    connection, _ = listener.accept()
    with connection:
        with pytest.raises(ssl.SSLError), context.wrap_socket(connection.dup(), server_side=True):
            pass
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while connection.recv(65536):
                pass


def mutual_context(ca: trustme.CA, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = server_context(ca.issue_cert("127.0.0.1"))
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    return context


def files(ca: trustme.CA, directory: Path) -> dict[str, Any]:
    """Return the files of a CA and of a client certificate, by the names of their options."""
    client = ca.issue_cert("client.example.com")
    paths = {name: directory / f"{name}.pem" for name in ("ca_file", "client_cert", "client_key")}
    paths["ca_file"].write_bytes(ca.cert_pem.bytes())
    paths["client_cert"].write_bytes(b"".join(pem.bytes() for pem in client.cert_chain_pems))
    paths["client_key"].write_bytes(client.private_key_pem.bytes())
    return paths


@asynccontextmanager
async def mutual(ca: trustme.CA) -> AsyncIterator[Sandbox]:
    """A sandbox that requires a client certificate of the CA."""
    async with Sandbox(5, ssl_context=mutual_context(ca)) as sandbox:
        yield sandbox


async def not_connected(sandbox: Sandbox, pool: PoolConfig, base_url: str | None = None) -> str:
    async with DiallerClient(base_url or sandbox.base_url, sandbox.token, pool=pool, retry=ONCE) as dialler:
        with pytest.raises(ConnectError) as caught:
            await dialler.campaigns.list()
    assert sandbox.journal == []
    return str(caught.value)
