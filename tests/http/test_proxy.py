"""Proxies: which proxy is used, and calls through a real proxy, with and without credentials."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import pickle
import socket
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from yarl import URL

from dialler_async import (
    ConfigurationError,
    ConnectError,
    DiallerClient,
    NotFoundError,
    PoolConfig,
    RetryPolicy,
    StatusError,
)
from dialler_async._http.urls import Proxy, proxy_for
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Status

if TYPE_CHECKING:
    from tests.http.conftest import Listening

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
SERVER = URL("https://acd.example.com:8443/rest/v1.0/1")
ONCE = RetryPolicy(attempts=1)
SECRET = "pr0xy-s3cret"
HTTPS = "https://127.0.0.1:9/rest/v1.0/1"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *map(str.lower, VARIABLES), "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "acd.example.com:8443"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.org"}, "http://p:1"),
    ],
)
def test_proxy_of_the_environment_is_used_by_default(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(SERVER, PoolConfig().proxy) == (None if proxy is None else Proxy(URL(proxy)))
    assert proxy_for(SERVER, None) is None
    assert proxy_for(SERVER, "http://own:3") == Proxy(URL("http://own:3"))


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_used"),
    [
        ("10.0.0.0/8", "10.1.2.3", False),
        ("localhost, 192.168.0.0/16, 10.0.0.0/8", "10.1.2.3", False),
        ("10.1.2.3/8", "10.9.9.9", False),
        ("10.0.0.0/8", "11.1.2.3", True),
        ("10.0.0.0/8", "10.example.com", True),
        ("10.0.0.0/99,/,:", "10.1.2.3", True),
        ("fd00::/8", "[fd00::7]", False),
        ("[fd00::7]", "[fd00::7]", False),
        ("fd00::/8", "10.1.2.3", True),
        ("*.corp.local", "acd.corp.local", False),
        ("*.Corp.Local", "a.b.corp.LOCAL", False),
        (".corp.local", "acd.corp.local", False),
        ("*.corp.local", "acd.corp.example", True),
        ("*.corp.local", "notcorp.local", True),
        ("corp.local", "notcorp.local", True),
        ("corp.local:8443", "acd.corp.local", False),
        ("corp.local:443", "acd.corp.local", True),
        ("example.com, *", "acd.corp.local", False),
        (", ,.,*.", "acd.corp.local", True),
    ],
)
def test_names_and_networks_in_no_proxy_are_known(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, is_used: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(URL(f"https://{host}:8443"), PoolConfig().proxy) is not None) == is_used


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "dialler.localhost"])
def test_loopback_host_has_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    assert proxy_for(URL(f"http://{host}:8080"), PoolConfig().proxy) is None


def test_http_proxy_is_ignored_in_a_cgi_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert proxy_for(URL("http://acd.example.com"), PoolConfig().proxy) is None


REFUSED = {
    "socks": "socks5://u:{}@p:1",
    "no host": "u:{}@",
    "port out of range": "http://u:{}@p:99999",
    "label of 64 characters": f"http://u:{{}}@{'a' * 64}.example.com:1",
    "empty label": "http://u:{}@a..b:1",
    "label that is not IDNA": "http://u:{}@xn--:1",
    "short IPv4 address": "http://u:{}@127.1:1",
    "IPv6 address out of range": "http://u:{}@[::12345]:1",
    "IPv6 address with a zone": "http://u:{}@[fe80::1%25eth0]:1",
    "slash in the password": "http://u:1/{}@p:1",
    "question mark in the password": "http://u:1?{}@p:1",
    "number sign in the password": "http://u:1#{}@p:1",
    "empty": "",
}


def environment_proxy(proxy: str, monkeypatch: pytest.MonkeyPatch) -> PoolConfig:
    monkeypatch.setenv("ALL_PROXY", proxy)
    return PoolConfig()


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("source", [r"PoolConfig\(proxy=…\)", "ALL_PROXY"])
def test_url_that_is_not_an_http_proxy_is_refused_and_not_shown(
    case: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = REFUSED[case].format(SECRET)
    if source == "ALL_PROXY":
        if not proxy:
            proxy = "http://"
        pool = environment_proxy(proxy, monkeypatch)
    else:
        pool = PoolConfig(proxy=proxy)
    with pytest.raises(ConfigurationError, match=f"{source} must be like http://PROXY:PORT") as caught:
        DiallerClient("https://acd.example.com/rest/v1.0/1", "token", pool=pool)
    assert_hidden(caught.value)


@pytest.mark.parametrize("source", ["PoolConfig", "ALL_PROXY"])
def test_colon_in_the_user_of_a_proxy_is_refused(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"http://user%3A{SECRET}:{SECRET}@p:1"
    pool = PoolConfig(proxy=proxy) if source == "PoolConfig" else environment_proxy(proxy, monkeypatch)
    with pytest.raises(ConfigurationError, match=rf"the user in {source}\S* must not contain a colon") as caught:
        DiallerClient("https://acd.example.com/rest/v1.0/1", "token", pool=pool)
    assert_hidden(caught.value)


def assert_hidden(error: BaseException) -> None:
    """Raise AssertionError if the error, or a frame of this package in its traceback, shows the secret."""
    assert SECRET not in str(error) + repr(error)
    assert SECRET.encode() not in pickle.dumps(error)
    assert error.__context__ is None
    frames = [*traceback.walk_tb(error.__traceback__)]
    shown = [repr(frame.f_locals) for frame, _ in frames if "dialler_async" in frame.f_globals.get("__name__", "")]
    assert shown
    assert SECRET not in "".join(shown)


def test_repr_of_pool_config_does_not_show_the_proxy() -> None:
    assert SECRET not in repr(PoolConfig(proxy=f"http://u:{SECRET}@p:1"))


async def test_user_session_with_trust_env_is_refused() -> None:
    async with aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(
            ConfigurationError, match="must not have trust_env=True, because credentials from a netrc file"
        ):
            DiallerClient("https://acd.example.com/rest/v1.0/1", "token", session=session)


class RunningProxy:
    """An HTTP proxy for CONNECT and plain http requests. It requires credentials if it has any."""

    def __init__(self, credentials: bytes = b"") -> None:
        self.required = f"Basic {base64.b64encode(credentials).decode()}" if credentials else ""
        self.heads: list[str] = []
        self.refusal = 0
        self.scheme = "Basic"
        self.url = URL()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await self._relay(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target, _ = head.split(" ", 2)
        if self.required and f"Proxy-Authorization: {self.required}" not in head:
            writer.write(f"HTTP/1.1 407 X\r\nProxy-Authenticate: {self.scheme}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        if self.refusal:
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.refusal)
            return
        url = URL(f"//{target}" if method == "CONNECT" else target)
        up_reader, up_writer = await asyncio.open_connection(url.host, url.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 X\r\n\r\n")
        else:
            up_writer.write(f"{method} {url.raw_path_qs} {head.split(' ', 2)[2]}".encode())

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)

        try:
            await asyncio.wait(
                [asyncio.create_task(copy(reader, up_writer)), asyncio.create_task(copy(up_reader, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            up_writer.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def running_proxy(credentials: bytes = b"", context: ssl.SSLContext | None = None) -> AsyncIterator[RunningProxy]:
    proxy = RunningProxy(credentials)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=context)
    proxy.url = URL(f"{'http' if context is None else 'https'}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()


@asynccontextmanager
async def https_sandbox() -> AsyncIterator[tuple[Sandbox, str]]:
    """A sandbox with https, and the file of its CA."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with ca.cert_pem.tempfile() as ca_file:
        async with Sandbox(3, ssl_context=context) as sandbox:
            yield sandbox, ca_file


async def test_https_calls_use_a_tunnel() -> None:
    async with running_proxy() as proxy, https_sandbox() as (sandbox, ca_file):
        pool = PoolConfig(proxy=str(proxy.url), ca_file=ca_file)
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, retry=ONCE) as dialler:
            assert len(await dialler.campaigns.list()) == 3
    assert [head.split(" ")[0] for head in proxy.heads] == ["CONNECT"]
    assert sandbox.token not in proxy.heads[0]


async def test_https_calls_use_a_tunnel_through_an_https_proxy() -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with ca.cert_pem.tempfile() as ca_file:
        async with running_proxy(b"u:p", context) as proxy, Sandbox(3, ssl_context=context) as sandbox:
            pool = PoolConfig(proxy=str(proxy.url.with_user("u").with_password("p")), ca_file=ca_file)
            async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, retry=ONCE) as dialler:
                assert len(await dialler.campaigns.list()) == 3
                assert len(await dialler.campaigns.list()) == 3
    assert [head.split(" ")[0] for head in proxy.heads] == ["CONNECT"]


CREDENTIALS = {
    f"user:{SECRET}": f"user:{SECRET}".encode(),
    "user:%E2%82%AC": "user:€".encode(),
    "user:€": "user:€".encode(),
    "m%C3%BCller:%3A%40%2F": "müller::@/".encode(),
    "user:%E9": b"user:\xe9",
    "user": b"user:",
    ":secret": b":secret",
}


@pytest.mark.parametrize("given", CREDENTIALS)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_gets_the_credentials_byte_by_byte(given: str, scheme: str) -> None:
    async with running_proxy(CREDENTIALS[given]) as proxy, https_sandbox() as (secure, ca_file), Sandbox(3) as plain:
        sandbox = secure if scheme == "https" else plain
        url = str(proxy.url).replace("http://", f"http://{given}@")
        pool = PoolConfig(proxy=url, ca_file=ca_file)
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, retry=ONCE) as dialler:
            assert len(await dialler.campaigns.list()) == 3
    if scheme == "https":
        assert [head.split(" ")[0] for head in proxy.heads] == ["CONNECT"]


async def test_server_behind_a_tunnel_does_not_get_the_credentials_of_the_proxy() -> None:
    sent: list[str] = []

    async def record(session: object, context: object, params: aiohttp.TraceRequestHeadersSentParams) -> None:
        sent.extend(params.headers)

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(record)
    async with running_proxy(b"user:secret") as proxy, https_sandbox() as (sandbox, ca_file):
        pool = PoolConfig(proxy=str(proxy.url.with_user("user").with_password("secret")), ca_file=ca_file)
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, trace_configs=[trace]) as dialler:
            await dialler.campaigns.list()
    assert "Authorization" in sent
    assert "Proxy-Authorization" not in sent


async def test_http_calls_use_the_proxy_and_raise_the_usual_errors() -> None:
    async with running_proxy() as proxy, Sandbox(3) as sandbox:
        pool = PoolConfig(proxy=str(proxy.url))
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, retry=ONCE) as dialler:
            with pytest.raises(NotFoundError):
                await dialler.campaigns.get(404404)
        base_url = sandbox.base_url
    assert proxy.heads[0].startswith(f"GET {base_url}/")


async def connect_error(proxy: URL | str, base_url: str, attempts: int = 1) -> str:
    """Return the message of the ConnectError of a delete. It says neither the token nor the password of the proxy."""
    pool, retry = PoolConfig(proxy=str(proxy)), RetryPolicy(attempts=4, base_delay=0)
    async with DiallerClient(base_url, "token", pool=pool, retry=retry) as dialler:
        with pytest.raises(ConnectError) as caught:
            await dialler.campaigns.delete(535)
    assert_hidden(caught.value)
    assert "nothing was sent" in str(caught.value)
    assert caught.value.attempts == attempts
    assert caught.value.permanent == (attempts == 1)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_refuses_the_credentials_is_named_and_not_asked_again(scheme: str) -> None:
    async with running_proxy(f"user:{SECRET}".encode()) as proxy:
        url = proxy.url.with_user("user").with_password(SECRET + "2")
        message = await connect_error(url, f"{scheme}://127.0.0.1:9/rest/v1.0/1")
    assert f"the proxy 127.0.0.1:{proxy.url.port} refused the credentials" in message
    assert "PoolConfig(proxy=…)" in message
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_error_says_that_the_proxy_requires_another_scheme_than_basic(scheme: str) -> None:
    async with running_proxy(b"user:secret") as proxy:
        proxy.scheme = "NTLM"
        url = proxy.url.with_user("user").with_password(SECRET)
        message = await connect_error(url, f"{scheme}://127.0.0.1:9/rest/v1.0/1")
    assert f"the proxy 127.0.0.1:{proxy.url.port} refused the credentials" in message
    assert "no other scheme is supported, such as NTLM" in message


@pytest.mark.parametrize(("status", "attempts"), [(403, 1), (404, 1), (429, 4), (502, 4), (504, 4)])
async def test_proxy_that_refuses_a_tunnel_is_named_and_asked_again_if_that_can_help(
    status: int, attempts: int
) -> None:
    async with running_proxy() as proxy:
        proxy.refusal = status
        message = await connect_error(proxy.url, HTTPS, attempts=attempts)
    assert f"the proxy 127.0.0.1:{proxy.url.port} refused a connection to 127.0.0.1:9 ({status})" in message
    assert len(proxy.heads) == attempts


@pytest.mark.parametrize("base_url", [HTTPS, "http://127.0.0.1:9/rest/v1.0/1"])
async def test_error_says_that_the_proxy_is_down(base_url: str) -> None:
    async with running_proxy() as proxy:
        pass
    message = await connect_error(proxy.url, base_url, attempts=4)
    assert f"no connection to the proxy 127.0.0.1:{proxy.url.port} ({os.strerror(errno.ECONNREFUSED)})" in message


@pytest.mark.parametrize("base_url", [HTTPS, "http://127.0.0.1:9/rest/v1.0/1"])
async def test_error_names_the_proxy_whose_name_can_not_be_resolved(
    base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*args: Any, **options: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    message = await connect_error(f"http://user:{SECRET}@proxy.invalid:3128", base_url, attempts=4)
    assert "no connection to the proxy proxy.invalid:3128 (" in message


@pytest.mark.parametrize("base_url", [HTTPS, "http://127.0.0.1:9/rest/v1.0/1"])
async def test_error_names_the_proxy_whose_certificate_is_not_trusted(base_url: str) -> None:
    async with https_sandbox() as (sandbox, _):
        proxy = URL(sandbox.base_url).origin().with_user("user").with_password(SECRET)
        message = await connect_error(proxy, base_url)
    assert f"the certificate of the proxy 127.0.0.1:{proxy.port} is not trusted" in message
    assert "set PoolConfig(ca_file=…)" in message


async def test_error_names_the_server_whose_certificate_is_not_trusted_behind_a_proxy() -> None:
    async with running_proxy() as proxy, https_sandbox() as (sandbox, _):
        message = await connect_error(proxy.url, sandbox.base_url)
        server = URL(sandbox.base_url)
    assert f"the certificate of 127.0.0.1:{server.port} through the proxy 127.0.0.1:{proxy.url.port} is not" in message


async def test_error_names_the_proxy_that_hangs_up(listening: Listening) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with listening(hang_up) as url:
        message = await connect_error(URL(url).origin(), HTTPS, attempts=4)
    assert f"the proxy 127.0.0.1:{URL(url).port} closed the connection; nothing" in message


async def test_error_says_that_the_proxy_does_not_support_https(listening: Listening) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(plain) as url:
        message = await connect_error(URL(url).origin().with_scheme("https").with_port(URL(url).port), HTTPS)
    assert f"the proxy 127.0.0.1:{URL(url).port} does not support https; nothing was sent." in message
    assert "Check the scheme and port of the proxy's URL" in message


@pytest.mark.usefixtures("c_parser")
async def test_error_says_that_the_proxy_is_not_an_http_proxy(listening: Listening) -> None:
    async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await reader.read()

    async with listening(ssh) as url:
        message = await connect_error(URL(url).origin(), HTTPS, attempts=4)
    assert f"the response of the proxy 127.0.0.1:{URL(url).port} is not HTTP; nothing was sent" in message
    assert "Check the scheme and port of the proxy's URL" in message


async def test_407_of_a_server_without_a_proxy_is_a_status_error() -> None:
    async with Sandbox(1) as sandbox:
        sandbox.faults.next(Status(407))
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=ONCE) as dialler:
            with pytest.raises(StatusError) as caught:
                await dialler.campaigns.list()
    assert caught.value.status == 407
