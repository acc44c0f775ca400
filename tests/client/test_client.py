"""Making a client: base URLs, accounts, the environment, user sessions, and its lifecycle."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import pydoc
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints
from unittest.mock import create_autospec

import aiohttp
import pytest

import dialler_async
from dialler_async import (
    Campaigns,
    ClientOptions,
    ClientStateError,
    ConfigurationError,
    DiallerClient,
    PoolConfig,
    ResultCodes,
    RetryPolicy,
    Timeouts,
)

if TYPE_CHECKING:
    from tests.conftest import PlayedServer

BASE = "https://acd.example.com/rest/v1.0/1"
EMPTY = b'{"records": [], "count": 0, "status": 200}'
LIST = "/dialler/campaigns"


class TestBaseUrl:
    """Base URLs: which are valid, and how they are normalized."""

    @pytest.mark.parametrize(
        ("given", "normalized"),
        [
            (BASE, BASE),
            (f"{BASE}/", BASE),
            (f"{BASE}///", BASE),
            ("HTTPS://ACD.Example.COM/rest/v1.0/1", BASE),
            ("https://acd.example.com:443/rest/v1.0/1", BASE),
            ("https://acd.example.com:8443/rest/v1.0/1", "https://acd.example.com:8443/rest/v1.0/1"),
            (
                "https://acd.example.com/behind/a/proxy/rest/v1.0/1",
                "https://acd.example.com/behind/a/proxy/rest/v1.0/1",
            ),
            ("https://acd.example.com/a%2Fb/%7e/1", "https://acd.example.com/a%2Fb/~/1"),
            ("https://acd.example.com/zürich/1", "https://acd.example.com/z%C3%BCrich/1"),
            ("https://zürich.example.com/rest/v1.0/1", "https://xn--zrich-kva.example.com/rest/v1.0/1"),
            ("https://acd.example.com/account/", "https://acd.example.com/account"),
            ("http://localhost:8080/rest/v1.0/1", "http://localhost:8080/rest/v1.0/1"),
            ("http://127.0.0.1:8080/rest/v1.0/1", "http://127.0.0.1:8080/rest/v1.0/1"),
            ("http://[::1]:8080/rest/v1.0/1/", "http://[::1]:8080/rest/v1.0/1"),
            ("https://[2001:DB8::1]/rest/v1.0/1", "https://[2001:db8::1]/rest/v1.0/1"),
        ],
    )
    async def test_base_url_is_normalized_and_calls_are_sent_below_it(
        self, given: str, normalized: str, played: PlayedServer
    ) -> None:
        played.get(f"{normalized}{LIST}", body=EMPTY)
        async with DiallerClient(given, "token") as dialler:
            assert dialler.base_url == normalized
            assert repr(dialler) == f"DiallerClient('{normalized}')"
            assert await dialler.campaigns.list() == []
        assert [sent.url for sent in played.sent] == [f"{normalized}{LIST}"]

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "acd.example.com/rest/v1.0/1",
            "//acd.example.com/rest/v1.0/1",
            "/rest/v1.0/1",
            "ftp://acd.example.com/rest/v1.0/1",
            "wss://acd.example.com/rest/v1.0/1",
            "https:///rest/v1.0/1",
            "https://",
            "https://:8443/rest/v1.0/1",
            "https://acd.example.com:https/rest/v1.0/1",
            "https://[::1/rest/v1.0/1",
            "https://acd.example.com\\@elsewhere/rest/v1.0/1",
            f"https://{'x' * 64}.example.com/rest/v1.0/1",
            "https://acd..example.com/rest/v1.0/1",
        ],
    )
    def test_invalid_base_url_is_refused(self, given: str) -> None:
        with pytest.raises(ConfigurationError, match=r"must be like http\(s\)://HOST:PORT/rest/v1.0/CLIENTS_ID"):
            DiallerClient(given, "token")

    @pytest.mark.parametrize("host", ["[fe80::1%25eth0]", "[fe80::1%eth0]:8080"])
    def test_ipv6_address_with_a_zone_is_refused(self, host: str) -> None:
        with pytest.raises(ConfigurationError, match="zones, such as %eth0, are not supported"):
            DiallerClient(f"http://{host}/rest/v1.0/1", "token")

    @pytest.mark.parametrize(
        "given",
        [
            f" {BASE}",
            f"{BASE} ",
            f"{BASE}\n",
            "https://acd example.com/rest/v1.0/1",
            "https://acd.example.com/rest/ v1.0/1",
            "https://acd.example.com/rest\r\n/v1.0/1",
        ],
    )
    def test_base_url_with_a_space_or_a_line_break_is_refused(self, given: str) -> None:
        with pytest.raises(ConfigurationError, match="the base URL contains a space or a line break: remove it"):
            DiallerClient(given, "token")

    @pytest.mark.parametrize(
        "given",
        [
            "https://user:hidden@acd.example.com/rest/v1.0/1",
            "https://hidden@acd.example.com/rest/v1.0/1",
            "https://:hidden@acd.example.com/rest/v1.0/1",
            "https://user:@acd.example.com/rest/v1.0/1?hidden",
        ],
    )
    def test_base_url_with_user_info_is_refused_and_not_shown(self, given: str) -> None:
        with pytest.raises(ConfigurationError, match="must not contain a user or password") as caught:
            DiallerClient(given, "token")
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("tail", ["?", "?token=hidden", "/?a=b", "#", "#hidden", "?a#b"])
    def test_base_url_with_query_or_fragment_is_refused_and_not_shown(self, tail: str) -> None:
        with pytest.raises(ConfigurationError, match="query or a fragment") as caught:
            DiallerClient(BASE + tail, "token")
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("given", [None, 1, BASE.encode(), ["https://acd.example.com"]])
    def test_base_url_that_is_not_a_str_is_refused(self, given: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"a str, not {type(given).__name__}"):
            DiallerClient(given, "token")


class TestForServer:
    """`DiallerClient.for_server` builds the base URL from a server and a ClientsID."""

    @pytest.mark.parametrize(
        ("server", "base_url"),
        [
            ("https://acd.example.com", "https://acd.example.com/rest/v1.0/42"),
            ("https://acd.example.com/", "https://acd.example.com/rest/v1.0/42"),
            ("https://acd.example.com:8443//", "https://acd.example.com:8443/rest/v1.0/42"),
            ("https://acd.example.com/proxy/", "https://acd.example.com/proxy/rest/v1.0/42"),
            ("http://[::1]:8080", "http://[::1]:8080/rest/v1.0/42"),
        ],
    )
    async def test_for_server_builds_the_base_url(self, server: str, base_url: str, played: PlayedServer) -> None:
        played.get(f"{base_url}{LIST}", body=EMPTY)
        async with DiallerClient.for_server(server, 42, "abc") as dialler:
            assert dialler.base_url == base_url
            await dialler.campaigns.list()
        [sent] = played.sent
        assert (sent.url, sent.headers["Authorization"]) == (f"{base_url}{LIST}", "Bearer abc")

    def test_for_server_accepts_the_options_of_the_class(self) -> None:
        options: dict[str, Any] = {
            "pool": PoolConfig(limit=3),
            "retry": RetryPolicy(attempts=2),
            "timeouts": Timeouts(read=5),
        }
        dialler = DiallerClient.for_server("https://acd.example.com", 42, "abc", **options)
        shared = dialler._shared
        assert (shared.pool.config, shared.policy, shared.timeouts) == tuple(options.values())

    def test_options_have_the_types_of_the_keyword_arguments(self) -> None:
        parameters = inspect.signature(DiallerClient).parameters.values()
        by_keyword = {one.name: one.annotation for one in parameters if one.kind is one.KEYWORD_ONLY}
        assert get_type_hints(ClientOptions) == by_keyword

    @pytest.mark.parametrize(
        ("name", "parameters", "summary"),
        [
            ("for_server", ["server", "clients_id", "token", "options"], "a client for an account on a server"),
            ("for_account", ["clients_id", "token"], "a client for another account on the same server"),
        ],
    )
    def test_for_server_and_for_account_are_ordinary_methods(
        self, name: str, parameters: list[str], summary: str
    ) -> None:
        method = getattr(DiallerClient(BASE, "abc"), name)
        assert inspect.ismethod(method)
        assert list(inspect.signature(method).parameters) == parameters
        assert summary in pydoc.plain(pydoc.render_doc(method))

    @pytest.mark.parametrize("clients_id", [0, -1, True, "42", None, 4.2])
    def test_for_server_refuses_an_invalid_clients_id(self, clients_id: Any) -> None:
        with pytest.raises(ConfigurationError, match="a ClientsID must be a positive int"):
            DiallerClient.for_server("https://acd.example.com", clients_id, "abc")

    @pytest.mark.parametrize("server", ["acd.example.com", "https://acd.example.com?a=b", "https://u:p@acd", None, 5])
    def test_for_server_refuses_an_invalid_server(self, server: Any) -> None:
        with pytest.raises(ConfigurationError, match="the server must"):
            DiallerClient.for_server(server, 42, "abc")

    @pytest.mark.parametrize(
        ("server", "clients_id", "token"),
        [
            ("https://acd.example.com", 0, "hidden"),
            ("https://user:hidden@acd.example.com", 42, "abc"),
            ("https://user:hidden@acd.example.com", 0, "hidden"),
            ("https://acd.example.com?hidden", 42, "hidden"),
            (None, 42, "hidden"),
            ("https://acd.example.com", 42, "hidden hidden"),
        ],
    )
    def test_no_frame_of_a_configuration_error_holds_a_secret(self, server: Any, clients_id: int, token: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            DiallerClient.for_server(server, clients_id, token)
        frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack[1:]
        assert frames
        assert "hidden" not in "".join(str(frame.locals) for frame in frames)


class TestForAccount:
    """`client.for_account` returns a client for another account on the same pool."""

    async def test_for_account_sends_calls_with_its_own_url_and_token(self, played: PlayedServer) -> None:
        played.get(f"{BASE}{LIST}", body=EMPTY)
        played.get(f"https://acd.example.com/rest/v1.0/42{LIST}", body=EMPTY)
        async with DiallerClient(BASE, "one") as dialler:
            other = dialler.for_account(42, "two")
            assert other.base_url == "https://acd.example.com/rest/v1.0/42"
            assert repr(other) == "DiallerClient('https://acd.example.com/rest/v1.0/42')"
            await other.campaigns.list()
            await dialler.campaigns.list()
        assert [(sent.url, sent.headers["Authorization"]) for sent in played.sent] == [
            (f"https://acd.example.com/rest/v1.0/42{LIST}", "Bearer two"),
            (f"{BASE}{LIST}", "Bearer one"),
        ]

    async def test_for_account_shares_the_pool_and_keeps_it_open(self, played: PlayedServer) -> None:
        played.get(f"{BASE}{LIST}", body=EMPTY)
        async with DiallerClient(BASE, "one") as dialler:
            async with dialler.for_account(42, "two") as other:
                assert other._shared is dialler._shared
            await dialler.campaigns.list()
        with pytest.raises(ClientStateError, match="closed"):
            await other.campaigns.list()

    async def test_for_account_of_for_account_uses_the_same_server(self) -> None:
        one = DiallerClient("http://127.0.0.1:8080/proxy/rest/v1.0/1", "one")
        assert one.for_account(2, "two").for_account(3, "three").base_url == "http://127.0.0.1:8080/proxy/rest/v1.0/3"

    def test_for_account_accepts_a_token_function(self) -> None:
        assert DiallerClient(BASE, "one").for_account(2, lambda: "two").base_url.endswith("/2")

    @pytest.mark.parametrize("clients_id", [0, -1, True, "42", None])
    def test_for_account_refuses_an_invalid_clients_id(self, clients_id: Any) -> None:
        with pytest.raises(ConfigurationError, match="a ClientsID must be a positive int"):
            DiallerClient(BASE, "one").for_account(clients_id, "two")

    @pytest.mark.parametrize("token", ["", "has space", None, 5])
    def test_for_account_refuses_an_invalid_token(self, token: Any) -> None:
        with pytest.raises(ConfigurationError, match="the token"):
            DiallerClient(BASE, "one").for_account(2, token)

    @pytest.mark.parametrize("base_url", ["https://acd.example.com/v1", "https://acd.example.com/api/v1"])
    def test_for_account_is_refused_when_the_base_url_does_not_end_in_a_clients_id(self, base_url: str) -> None:
        with pytest.raises(ConfigurationError, match="doesn't end in a ClientsID"):
            DiallerClient(base_url, "one").for_account(2, "two")


class TestFromEnv:
    """`DiallerClient.from_env`."""

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DIALLER_BASE_URL", BASE)
        monkeypatch.setenv("DIALLER_TOKEN", "of-the-environment")

    async def test_from_env_uses_both_variables(self, played: PlayedServer) -> None:
        played.get(f"{BASE}{LIST}", body=EMPTY)
        async with DiallerClient.from_env(retry=RetryPolicy(attempts=2)) as dialler:
            assert dialler._shared.policy.attempts == 2
            await dialler.campaigns.list()
        [sent] = played.sent
        assert (sent.url, sent.headers["Authorization"]) == (f"{BASE}{LIST}", "Bearer of-the-environment")

    @pytest.mark.parametrize("name", ["DIALLER_BASE_URL", "DIALLER_TOKEN"])
    def test_from_env_names_a_missing_or_empty_variable(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, "")
        with pytest.raises(ConfigurationError, match=f"{name} is not set"):
            DiallerClient.from_env()
        monkeypatch.delenv(name)
        with pytest.raises(ConfigurationError, match=f"{name} is not set"):
            DiallerClient.from_env()

    def test_from_env_refuses_a_token_with_a_line_break_and_does_not_show_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DIALLER_TOKEN", "hidden\n")
        with pytest.raises(ConfigurationError, match="line break") as caught:
            DiallerClient.from_env()
        assert "hidden" not in str(caught.value)


class TestToken:
    """Invalid tokens are refused when the client is made. A token function is called at the first call."""

    @pytest.mark.parametrize("token", ["", "has space", "line\nbreak", None, 5, b"bytes"])
    def test_invalid_token_is_refused(self, token: Any) -> None:
        with pytest.raises(ConfigurationError, match="the token"):
            DiallerClient(BASE, token)

    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_token_function_is_called_once_at_the_first_call(
        self, asynchronous: bool, played: PlayedServer
    ) -> None:
        played.get(f"{BASE}{LIST}", body=EMPTY, repeat=True)
        calls = []

        def source() -> str:
            calls.append("token")
            return "given"

        async def async_source() -> str:
            return source()

        async with DiallerClient(BASE, async_source if asynchronous else source) as dialler:
            assert calls == []
            await asyncio.gather(*(dialler.campaigns.list() for _ in range(3)))
        assert calls == ["token"]
        assert {sent.headers["Authorization"] for sent in played.sent} == {"Bearer given"}


class TestSession:
    """The client uses the user's session, and never closes it."""

    async def test_user_session_is_used_and_stays_open(self, played: PlayedServer) -> None:
        played.get(f"{BASE}{LIST}", body=EMPTY)
        async with aiohttp.ClientSession() as session:
            async with DiallerClient(BASE, "token", session=session) as dialler:
                await dialler.campaigns.list()
            assert not session.closed
            [sent] = played.sent
            assert sent.session is session
            assert sent.headers["Authorization"] == "Bearer token"

    async def test_closed_user_session_raises_client_state_error(self) -> None:
        session = aiohttp.ClientSession()
        await session.close()
        with pytest.raises(ClientStateError, match="closed"):
            await DiallerClient(BASE, "token", session=session).campaigns.list()

    async def test_trace_configs_with_a_user_session_are_refused(self) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ConfigurationError, match="set these on the session"):
                DiallerClient(BASE, "token", session=session, trace_configs=[aiohttp.TraceConfig()])


class TestLifecycle:
    """A client can be made anywhere. It is opened at its first call, and closed once."""

    def test_client_can_be_made_outside_a_loop(self, played: PlayedServer) -> None:
        played.get(f"{BASE}{LIST}", body=EMPTY)
        dialler = DiallerClient(BASE, "token")

        async def use() -> None:
            async with dialler:
                assert await dialler.campaigns.list() == []

        asyncio.run(use())
        assert len(played.sent) == 1

    async def test_first_call_opens_and_aclose_closes_the_client(self, played: PlayedServer) -> None:
        played.get(f"{BASE}{LIST}", body=EMPTY)
        dialler = DiallerClient(BASE, "token")
        assert await dialler.campaigns.list() == []
        await dialler.aclose()
        await dialler.aclose()
        with pytest.raises(ClientStateError, match="this client is closed"):
            await dialler.campaigns.list()
        assert len(played.sent) == 1

    async def test_closed_client_can_not_be_entered_again(self) -> None:
        dialler = DiallerClient(BASE, "token")
        async with dialler:
            pass
        with pytest.raises(ClientStateError, match="this client is closed"):
            await dialler.__aenter__()

    async def test_async_with_returns_the_client(self) -> None:
        dialler = DiallerClient(BASE, "token")
        async with dialler as entered:
            assert entered is dialler

    @pytest.mark.parametrize("resource", [Campaigns, ResultCodes])
    def test_return_types_of_all_methods_are_exported(self, resource: type) -> None:
        for _, method in inspect.getmembers(resource, inspect.isfunction):
            result = get_type_hints(method)["return"]
            for kind in (result, get_origin(result), *get_args(result)):
                if getattr(kind, "__module__", "").startswith("dialler_async."):
                    assert kind.__name__ in dialler_async.__all__

    async def test_autospec_of_the_client_has_the_resources_and_their_signatures(self) -> None:
        for dialler in (create_autospec(DiallerClient), create_autospec(DiallerClient, instance=True)):
            dialler.campaigns.list.return_value = []
            assert await dialler.campaigns.list(max_age=60) == []
            with pytest.raises(TypeError):
                await dialler.result_codes.list()
            with pytest.raises(AttributeError):
                dialler.campaigns.no_method  # noqa: B018  the test needs this mistake

    def test_client_has_campaigns_and_result_codes(self) -> None:
        dialler = DiallerClient(BASE, "token")
        assert isinstance(dialler.campaigns, Campaigns)
        assert isinstance(dialler.result_codes, ResultCodes)


class TestPickleAndRepr:
    """A client holds a token and connections, so it can not be pickled or copied."""

    @pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_client_can_not_be_pickled_or_copied(self, duplicate: Callable[[object], object]) -> None:
        with pytest.raises(TypeError, match="can't be pickled or copied: make another"):
            duplicate(DiallerClient(BASE, "token"))

    @pytest.mark.parametrize("duplicate", [pickle.dumps, copy.deepcopy])
    @pytest.mark.parametrize("part", ["campaigns", "result_codes"])
    def test_resources_can_not_be_pickled_or_copied(self, duplicate: Callable[[object], object], part: str) -> None:
        with pytest.raises(TypeError):
            duplicate(getattr(DiallerClient(BASE, "token"), part))

    def test_repr_shows_the_base_url_and_no_token(self) -> None:
        assert repr(DiallerClient(BASE, "hidden")) == f"DiallerClient('{BASE}')"

    def test_repr_works_before_init(self) -> None:
        assert repr(object.__new__(DiallerClient)) == "DiallerClient('…')"


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("http://acd.example.com/rest/v1.0/1", "acd.example.com"),
        ("http://10.0.0.5/rest/v1.0/1", "10.0.0.5"),
        ("http://[2001:db8::1]/rest/v1.0/1", "2001:db8::1"),
        ("http://localhost.example.com/rest/v1.0/1", "localhost.example.com"),
    ],
)
def test_plain_http_to_another_host_warns(base_url: str, host: str) -> None:
    with pytest.warns(UserWarning, match=f"the token is sent to {host} unencrypted") as caught:
        DiallerClient(base_url, "token")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("host", ["localhost", "dialler.localhost", "127.0.0.1", "127.8.9.10", "[::1]"])
def test_plain_http_to_loopback_does_not_warn(host: str) -> None:
    # pytest raises warnings as errors.
    assert DiallerClient(f"http://{host}/rest/v1.0/1", "token").base_url == f"http://{host}/rest/v1.0/1"
