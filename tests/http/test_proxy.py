"""Proxies: which proxy is used, and calls through a real proxy, with and without credentials."""

import asyncio
import base64
import pickle
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import trustme
from yarl import URL

from dialler_async import ConfigurationError, ConnectError, DiallerClient, NotFoundError, PoolConfig, RetryPolicy
from dialler_async._http.proxy import proxy_for
from dialler_async.sandbox import Sandbox

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
SERVER = URL("https://acd.example.com:8443/rest/v1.0/1")
ONCE = RetryPolicy(attempts=1)
SECRET = "pr0xy-s3cret"


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
    assert proxy_for(SERVER, PoolConfig().proxy) == (None if proxy is None else URL(proxy))
    assert proxy_for(SERVER, None) is None
    assert proxy_for(SERVER, "http://own:3") == URL("http://own:3")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "dialler.localhost"])
def test_loopback_host_has_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    assert proxy_for(URL(f"http://{host}:8080"), PoolConfig().proxy) is None


def test_http_proxy_is_ignored_in_a_cgi_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert proxy_for(URL("http://acd.example.com"), PoolConfig().proxy) is None


@pytest.mark.parametrize("proxy", [f"socks5://u:{SECRET}@p:1", f"u:{SECRET}@", f"http://u:{SECRET}@p:99999", ""])
def test_url_that_is_not_an_http_proxy_is_refused_and_not_shown(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match=r"PoolConfig\(proxy=…\) must be like http://PROXY:PORT") as caught:
        DiallerClient("https://acd.example.com/rest/v1.0/1", "token", pool=PoolConfig(proxy=proxy))
    assert SECRET not in str(caught.value)


def test_invalid_proxy_of_the_environment_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5://u:{SECRET}@p:1")
    with pytest.raises(ConfigurationError, match="ALL_PROXY must be like") as caught:
        DiallerClient("https://acd.example.com/rest/v1.0/1", "token")
    assert SECRET not in str(caught.value)


def test_repr_of_pool_config_does_not_show_the_proxy() -> None:
    assert SECRET not in repr(PoolConfig(proxy=f"http://u:{SECRET}@p:1"))


async def test_user_session_with_trust_env_is_refused() -> None:
    async with aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(
            ConfigurationError, match="must not have trust_env=True, since credentials from a netrc file"
        ):
            DiallerClient("https://acd.example.com/rest/v1.0/1", "token", session=session)


class Proxy:
    """An HTTP proxy for CONNECT and plain http requests. It requires credentials if it has any."""

    def __init__(self, credentials: str = "") -> None:
        self.required = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else ""
        self.heads: list[str] = []
        self.refuse = False
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
            writer.write(b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            return
        if self.refuse:
            writer.write(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n")
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
async def running_proxy(credentials: str = "") -> AsyncIterator[Proxy]:
    proxy = Proxy(credentials)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()


@pytest.mark.parametrize("credentials", ["", f"user:{SECRET}"])
async def test_https_calls_use_a_tunnel(credentials: str) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with ca.cert_pem.tempfile() as ca_file:
        async with running_proxy(credentials) as proxy, Sandbox(3, ssl_context=context) as sandbox:
            url = proxy.url.with_user("user").with_password(SECRET) if credentials else proxy.url
            pool = PoolConfig(proxy=str(url), ca_file=ca_file)
            async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, retry=ONCE) as dialler:
                assert len(await dialler.campaigns.list()) == 3
    assert [head.split(" ")[0] for head in proxy.heads] == ["CONNECT"]
    assert sandbox.token not in proxy.heads[0]


async def test_http_calls_use_the_proxy_and_raise_the_usual_errors() -> None:
    async with running_proxy() as proxy, Sandbox(3) as sandbox:
        pool = PoolConfig(proxy=str(proxy.url))
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, retry=ONCE) as dialler:
            with pytest.raises(NotFoundError):
                await dialler.campaigns.get(404404)
        base_url = sandbox.base_url
    assert proxy.heads[0].startswith(f"GET {base_url}/")


@pytest.mark.parametrize(
    ("refuse", "text"),
    [(False, "refused the credentials; nothing was sent"), (True, r"the proxy refused a connection to \S+ \(403\)")],
)
async def test_proxy_that_refuses_a_tunnel_is_a_connect_error_without_its_credentials(refuse: bool, text: str) -> None:
    credentials = f"user:{SECRET}"
    async with running_proxy(credentials) as proxy:
        proxy.refuse = refuse
        url = proxy.url.with_user("user").with_password(SECRET if refuse else SECRET + "2")
        pool = PoolConfig(proxy=str(url))
        async with DiallerClient("https://127.0.0.1:9/rest/v1.0/1", "token", pool=pool, retry=ONCE) as dialler:
            with pytest.raises(ConnectError, match=text) as caught:
                await dialler.campaigns.list()
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert SECRET.encode() not in pickle.dumps(caught.value)
    assert caught.value.__context__ is None


async def test_error_says_that_the_proxy_is_down() -> None:
    async with running_proxy() as proxy:
        pass
    pool = PoolConfig(proxy=str(proxy.url))
    async with DiallerClient("https://127.0.0.1:9/rest/v1.0/1", "token", pool=pool, retry=ONCE) as dialler:
        with pytest.raises(ConnectError, match=r"no connection to the proxy for 127\.0\.0\.1:9"):
            await dialler.campaigns.list()
