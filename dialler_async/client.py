"""`DiallerClient`: the session manager. It owns the connection pool, and has the resources as attributes."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypedDict, TypeVar, Unpack, cast, final, overload

import aiohttp

from . import _environment as environment
from ._api.other_calls import other_call, probe
from ._caller import find_caller
from ._debug_log import set_up_log
from ._http.headers import RequestHeaders
from ._http.pool import Pool, rate_limiter
from ._http.token import Token
from ._http.transport import Shared, Transport
from ._http.urls import check_base_url, check_server_url, checked_clients_id, cleartext_warning
from ._public import public
from .campaigns import Campaigns
from .config import BASE_PATH, HeaderSource, PoolConfig, RateLimiter, RetryPolicy, Timeouts, TokenSource
from .errors import ConfigurationError, NotFoundError, ResponseInfo, is_number, require
from .models import Campaign
from .observer import Observer
from .result_codes import ResultCodes

T = TypeVar("T")

set_up_log()


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of `DiallerClient`, for type checkers."""

    pool: PoolConfig
    retry: RetryPolicy
    timeouts: Timeouts
    headers: HeaderSource | None
    max_rate: float | RateLimiter | None
    session: aiohttp.ClientSession | None
    trace_configs: Sequence[aiohttp.TraceConfig]
    observer: Observer | None


_GRACE_AFTER_ERROR: Final = 5.0
"""Seconds that calls in flight may still take after an error has left the `async with` block of a client."""


@public
@final
class DiallerClient:
    """A client of the dialler REST API for one account.

        async with DiallerClient("https://acd.example.com/rest/v1.0/1", token="…") as dialler:
            campaigns = await dialler.campaigns.list()

    A client may be made outside an event loop. It belongs to the event loop of its first call. Without `async with`,
    the first call opens the pool, and `aclose` closes it.

    The client retries calls within the limits of `retry`. A write is sent again only if the server did not run it, or
    if a second run changes nothing. If its outcome is uncertain, it raises OutcomeUnknownError. The guide,
    `dialler_async/README.md`, has the table of what is retried.

    Args:
        base_url: `http(s)://HOST:PORT/rest/v1.0/CLIENTS_ID`. A path before `rest` and a trailing slash are allowed.
            User info, a query and a fragment are refused.
        token: the bearer token, or a function that returns one, directly or as an awaitable. The function is called
            for the first request, and after a 401: at most twice in a call.
        pool: options of the connection pool.
        retry: number of attempts, and the delays between them.
        timeouts: limits for an attempt and for a whole call.
        headers: headers for every request, or a function that returns them for each call, such as the request ID of a
            web app. The function runs in the context of the caller. Calls with `max_age` may share a response, which
            was requested with the headers of one of them. Headers that the client sets itself are refused, such as
            `Authorization`. A `User-Agent` is put before the client's own.
        max_rate: calls per second, evenly spaced; None for no limit. Needs the extra `rate`. Or a limiter of your own,
            such as one that several processes share: its `acquire()` is awaited before each attempt.
        session: an aiohttp session to use. The client never closes it. Its own limits apply besides `pool.limit`.
            Without this argument, each write has a connection of its own. In your session, its idle connections to
            the server are closed before a write. So a write gets a used connection only if it waits for a free one:
            give the connector at least `pool.limit` connections.
        trace_configs: aiohttp's trace configs, for the session that this client makes. They see the token in the
            headers.
        observer: its methods are called for every call and response; see `dialler_async.observer`.
    Raises:
        ConfigurationError: an argument is invalid.
    Attributes:
        campaigns: the account's campaigns.
        result_codes: the result codes of the campaigns.

    Source: API reference, "Access".
    """

    # `unittest.mock.create_autospec` knows only the attributes of the class. Each client has resources of its own.
    campaigns: Campaigns = Campaigns.__new__(Campaigns)
    """The account's campaigns: `list`, `iterate`, `get`, `find`, `get_by_name`, `clone`, `delete`, …"""
    result_codes: ResultCodes = ResultCodes.__new__(ResultCodes)
    """The result codes of the account's campaigns: `list` for one campaign, `for_campaigns` for many."""

    def __init__(
        self,
        base_url: str,
        token: TokenSource,
        *,
        pool: PoolConfig = PoolConfig(),
        retry: RetryPolicy = RetryPolicy(),
        timeouts: Timeouts = Timeouts(),
        headers: HeaderSource | None = None,
        max_rate: float | RateLimiter | None = None,
        session: aiohttp.ClientSession | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        observer: Observer | None = None,
    ) -> None:
        # From here on, no local variable holds a secret: tools that record tracebacks would record it. For the same
        # reason, the class methods pass a `Token` here.
        held = Token(token)
        checked = check_base_url(base_url)
        del token, base_url
        held.check()
        if isinstance(checked, ConfigurationError):
            raise checked
        request_headers = RequestHeaders() if headers is None else RequestHeaders(headers)
        if (warning := cleartext_warning(checked)) is not None:
            warnings.warn(warning, stacklevel=find_caller().stacklevel)
        made_pool = Pool(pool, session, trace_configs, max_rate)
        self._owns_pool = True
        self._set_up(str(checked), held, Shared(made_pool, retry, timeouts, observer, request_headers))

    def _set_up(self, base_url: str, token: Token, shared: Shared) -> None:
        self._connect(base_url, shared, Transport(base_url, token, shared))

    def _connect(self, base_url: str, shared: Shared, transport: Transport) -> None:
        self._base_url = base_url
        self._shared = shared
        self._transport = transport
        self.result_codes = ResultCodes(transport, shared.pool.config.limit)
        self.campaigns = Campaigns(transport)

    @classmethod
    def for_server(cls, server: str, clients_id: int, token: TokenSource, **options: Unpack[ClientOptions]) -> Self:
        """Return a client for an account on a server. The base URL is `SERVER/rest/v1.0/CLIENTS_ID`.

        Args:
            server: URL of the server, such as `https://acd.example.com`. It may have a path.
            clients_id: the account's ClientsID.
            token: as for the class.
            **options: the keyword arguments of the class.
        Raises:
            ConfigurationError: an argument is invalid.
        """
        held = Token(token)
        checked = check_server_url(server)
        del token, server
        if isinstance(checked, ConfigurationError):
            raise checked
        require(
            BASE_PATH not in checked.path,
            f"the server must be given without {BASE_PATH}: DiallerClient(base_url, token) takes a whole base URL",
        )
        return cls(f"{checked}{BASE_PATH}/{checked_clients_id(clients_id)}", cast(TokenSource, held), **options)

    def for_account(self, clients_id: int, token: TokenSource) -> Self:
        """Return a client for another account on the same server. It shares this client's pool and options.

        It needs no closing. It works until this client is closed.

        Args:
            clients_id: ClientsID of the other account.
            token: token of the other account; a str or a function, as for the class.
        Raises:
            ConfigurationError: an argument is invalid, or this client's base URL doesn't end in a ClientsID.
        """
        held = Token(token)
        del token
        held.check()
        above, _, own_id = self._base_url.rpartition("/")
        require(
            own_id.isdigit(),
            "this client's base URL doesn't end in a ClientsID, so it has no other account",
        )
        return self._sharing(f"{above}/{checked_clients_id(clients_id)}", held, self._shared)

    @classmethod
    def _sharing(cls, base_url: str, token: Token, shared: Shared) -> Self:
        """Return a client that uses the pool of another client. It does not close the pool."""
        client = object.__new__(cls)
        client._owns_pool = False
        client._set_up(base_url, token, shared)
        return client

    @classmethod
    def from_env(cls, **options: Unpack[ClientOptions]) -> Self:
        """Return a client for the base URL and token in the environment: `DIALLER_BASE_URL`, `DIALLER_TOKEN`.

        Other variables set options: `DIALLER_CA_FILE`, `DIALLER_CLIENT_CERT`, `DIALLER_CLIENT_KEY` and `DIALLER_PROXY`
        set `pool`, `DIALLER_ATTEMPTS` sets `retry`, `DIALLER_DEADLINE` (seconds) sets `timeouts`, and
        `DIALLER_MAX_RATE` (calls per second) sets `max_rate`. An argument replaces what the environment sets.

        Args:
            **options: the keyword arguments of the class.
        Raises:
            ConfigurationError: a variable is missing, or a variable or argument is invalid.
        """
        require(bool(environment.base_url()), "the environment variable DIALLER_BASE_URL is not set")
        require(bool(environment.token()), "the environment variable DIALLER_TOKEN is not set")
        all_options: ClientOptions = {**environment.network_options(), **options}
        held = Token(environment.token())
        return cls(environment.base_url(), cast(TokenSource, held), **all_options)

    @property
    def base_url(self) -> str:
        """The base URL, without a trailing slash."""
        return self._base_url

    def with_options(
        self,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        headers: HeaderSource | None = None,
        max_rate: float | RateLimiter | None = None,
        on_response: Callable[[ResponseInfo], object] | None = None,
    ) -> Self:
        """Return a client with other options for a group of calls.

        It shares this client's pool, token, cache and retry gate, and costs far less than a call. It needs no
        closing. It works until this client is closed.

        Args:
            timeouts: other timeouts; None keeps this client's.
            retry: another retry policy; None keeps this client's.
            headers: further headers, which replace this client's headers of the same name; see the class.
            max_rate: calls per second of this group. The limit of this client applies, too.
            on_response: called with status, headers and request ID of each response, also of a successful one:
                `with_options(on_response=responses.append)`. Not called for a cached response. It must not block.
        Raises:
            ConfigurationError: an argument is invalid.
        """
        require(on_response is None or callable(on_response), "on_response=… must be a function, or None")
        shared = self._shared
        shared = Shared(
            shared.pool,
            shared.policy if retry is None else retry,
            shared.timeouts if timeouts is None else timeouts,
            shared.observer,
            shared.headers if headers is None else shared.headers.extended(headers),
            shared.limiter if max_rate is None else rate_limiter(max_rate),
            shared.on_response if on_response is None else on_response,
        )
        client = object.__new__(type(self))
        client._owns_pool = False
        client._connect(self._base_url, shared, self._transport.with_options(shared))
        return client

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        idempotent: bool = False,
    ) -> dict[str, Any]: ...
    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        idempotent: bool = False,
        decoder: type[T],
    ) -> T: ...
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        idempotent: bool = False,
        decoder: type[Any] = dict,
    ) -> Any:
        """Call any function of the server, and return the decoded body of a 200.

        The call has the pool, token, limits, deadline and errors of all other calls. Nothing is retried unless
        `idempotent` is True, not even a GET: this server has GETs with side effects. Only after a 401, a token function
        is called and the request is sent again, because the server did not run it. Logs and error messages show the
        method, but neither path nor query. `error.about` shows the path.

        Args:
            method: DELETE, GET, PATCH, POST or PUT.
            path: path below the base URL, such as `/dialler/campaigns`, not percent-encoded.
            query: names and values, not percent-encoded.
            body: a value to send as JSON; None for no body.
            idempotent: whether the request may be retried after an attempt that may have run.
            decoder: type of the JSON in the response: any type that msgspec decodes, such as a dataclass. `bytes`
                returns the body undecoded. Decoding blocks the event loop.
        Raises:
            ConfigurationError: an argument is invalid. Nothing was sent.
            OutcomeUnknownError: the request may have run.
            PayloadError: the body is not JSON of this type.
        """
        call = other_call(method, path, query=query, body=body, idempotent=idempotent, decoder=decoder)
        return await self._transport.send(call)

    async def ping(self) -> None:
        """Return if the server can be reached and accepts the token, for readiness probes. Sends one small request.

        It raises the same errors as all other calls. For a short deadline without retries, use `with_options`.

        Raises:
            AuthenticationError: the token, the ClientsID, or their combination is wrong.
            EndpointNotFoundError: the base URL is wrong.
            NoReplyError: the server can't be reached.
        """
        # The campaign need not exist: a wrong token is a 401 whatever the ID.
        with suppress(NotFoundError):
            await self._transport.send(probe())

    def forget(self, campaign: Campaign | int | None = None) -> None:
        """Remove cached responses, after a campaign was changed elsewhere.

        Writes through this client remove them by themselves.

        Args:
            campaign: the changed campaign or its ID. Its own responses, lists and searches are removed. None, or a
                `Campaign` without an ID, removes all responses.
        """
        self._transport.cache.forget(campaign)

    async def aclose(self, timeout: float | None = None) -> None:
        """Close the connections. Connections of another client or of your own session stay open.

        Calls in flight may finish. Queued calls and new calls raise ClientStateError. A second `aclose` does nothing.

        Args:
            timeout: seconds that calls in flight may still take. Then they are cancelled: a read raises
                ClientStateError, a write OutcomeUnknownError. None waits until each call finishes, at the latest at its
                deadline.
        Raises:
            ClientStateError: the client belongs to another event loop that still exists. Close it there.
            ConfigurationError: the timeout is not a number, or negative.
        """
        is_valid = timeout is None or (is_number(timeout) and timeout >= 0)
        require(is_valid, "aclose(timeout=…) must be a number of seconds, and not negative")
        if self._owns_pool:
            await self._shared.pool.aclose(timeout)

    async def __aenter__(self) -> Self:
        self._shared.pool.check()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After an error, nobody may be left who ends the calls of background tasks.
        await self.aclose(None if exc_type is None else _GRACE_AFTER_ERROR)

    def __repr__(self) -> str:
        # Tools that record tracebacks call this on a client whose `__init__` has raised.
        return f"DiallerClient({getattr(self, '_base_url', '…')!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a DiallerClient has a token and open connections, so it can't be pickled or copied: make another"
        )
