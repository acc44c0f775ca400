"""`DiallerClient`: the session manager. Owns the pool, and hangs the resources on it."""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, ClassVar, NoReturn, Protocol, Self, TypedDict, TypeVar, Unpack, final, overload

import aiohttp

from ._api.other_calls import other_call, probe
from ._http import environment
from ._http.backpressure import Backpressure
from ._http.base_url import check_base_url, checked_clients_id, cleartext_warning
from ._http.cache import AccountCache
from ._http.caller import find_caller
from ._http.headers import HeaderSource, RequestHeaders
from ._http.pool import Pool
from ._http.pool_config import PoolConfig
from ._http.rate_limit import RateLimiter, rate_limiter
from ._http.retry import RetryPolicy
from ._http.shared import Shared
from ._http.timeouts import Timeouts
from ._http.token import Token, TokenSource
from ._http.transport import Transport
from .campaigns import Campaigns
from .errors import ConfigurationError, NotFoundError, is_number, require
from .models import Campaign
from .observer import Observer
from .result_codes import ResultCodes

T = TypeVar("T")

# Without configured logging, nothing is printed: an error that is not retried is raised.
logging.getLogger("dialler_async").addHandler(logging.NullHandler())


class Options(TypedDict, total=False):
    """What `DiallerClient` takes by keyword, so that type checkers know it wherever one is made."""

    pool: PoolConfig
    retry: RetryPolicy
    timeouts: Timeouts
    headers: HeaderSource | None
    max_rate: float | RateLimiter | None
    session: aiohttp.ClientSession | None
    trace_configs: Sequence[aiohttp.TraceConfig]
    observer: Observer | None


class _ForServer(Protocol):
    def __call__(
        self, server: str, clients_id: int, token: TokenSource, **options: Unpack[Options]
    ) -> "DiallerClient": ...


class _ForSibling(Protocol):
    def __call__(self, clients_id: int, token: TokenSource) -> "DiallerClient": ...


class _ForAccount:
    """Make `for_account` a constructor on the class, and a method for another account on a client."""

    @overload
    def __get__(self, client: None, cls: type["DiallerClient"]) -> _ForServer: ...
    @overload
    def __get__(self, client: "DiallerClient", cls: type["DiallerClient"]) -> _ForSibling: ...
    def __get__(self, client: "DiallerClient | None", cls: type["DiallerClient"]) -> _ForServer | _ForSibling:
        return cls._for_server if client is None else client._for_sibling


@final
class DiallerClient:
    """A client of the dialler REST API for one account.

        async with DiallerClient("https://acd.example.com/rest/v1.0/1", token="…") as dialler:
            campaigns = await dialler.campaigns.list()

    A client may be made outside an event loop. It belongs to the loop of its first call. Without `async with`, the
    first call opens the pool and `aclose` closes it.

    The retry rules, with the limits of `retry`:

    - A read, and a clone with `exist_ok`, is retried after no response, a 429 or a 5xx.
    - A delete by ID is retried after no response, a 429, 502, 503 or 504. A 404 after a retry means that it is done.
    - A plain clone, and the API's own delete by name, is retried only if the server surely did not run it. Otherwise
      it raises OutcomeUnknownError.

    Args:
        base_url: `http(s)://HOST:PORT/rest/v1.0/CLIENTS_ID`. A path in front of `rest` and a trailing slash are
            fine; user info, a query and a fragment are not.
        token: the bearer token, or a function that returns one, directly or as an awaitable; it is called again
            after a 401.
        pool: options of the connection pool.
        retry: how often and after which delays calls are retried.
        timeouts: limits for an attempt and for a whole call.
        headers: headers for every request, or a function that returns them for each call, such as the request ID of a
            web app. They can't set `Authorization` and other headers that the client sets itself. A `User-Agent` is put
            before the client's own.
        max_rate: calls per second, evenly spaced but for one that may go ahead; None for no limit. Needs the extra
            `rate`. Or a limiter of your own, such as one that several processes share: its `acquire()` is awaited
            before each attempt.
        session: an aiohttp session to use; it is never closed. Its own limits apply besides `pool.limit`. A kept-alive
            connection with unrequested data is closed before a call. This check does not run if the call waits for a
            free connection, so give the connector at least `pool.limit` connections.
        trace_configs: aiohttp's, for the session that this client makes. They see the token in the headers.
        observer: its methods are called for every call; see `dialler_async.observer`.
    Raises:
        ConfigurationError: an argument that can't work.

    Attributes:
        campaigns: the account's campaigns.
        result_codes: their result codes.

    Source: API reference, "Access".
    """

    for_account: ClassVar[_ForAccount] = _ForAccount()
    """`DiallerClient.for_account(server, clients_id, token, …)` builds the base URL from a server, such as
    `https://acd.example.com`, and takes the same options. `dialler.for_account(clients_id, token)` is a client for
    another account on the same pool; it needs no closing, and lives as long as the client it came from."""

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
        # No local variable holds a secret from here on: tools that record tracebacks would record it.
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
        self._set_up(
            str(checked), held, Shared(made_pool, retry, timeouts, Backpressure(retry), observer, request_headers)
        )

    def _set_up(self, base_url: str, token: Token, shared: Shared) -> None:
        self._connect(base_url, shared, Transport(base_url, token, shared), AccountCache())

    def _connect(self, base_url: str, shared: Shared, transport: Transport, cache: AccountCache) -> None:
        self._base_url = base_url
        self._shared = shared
        self._transport = transport
        self._cache = cache.for_options((shared.timeouts, shared.policy))
        self.result_codes: ResultCodes = ResultCodes(transport, self._cache, shared.pool.config.limit)
        """The result codes of the account's campaigns: `list`, and `for_campaigns` for many at once."""
        self.campaigns: Campaigns = Campaigns(transport, self._cache)
        """The account's campaigns: `list`, `iterate`, `get`, `find`, `get_by_name`, `clone`, `delete`, …"""

    @classmethod
    def _for_server(cls, server: str, clients_id: int, token: TokenSource, **options: Unpack[Options]) -> Self:
        """A client for an account on a server, whose base URL is built of the two.

        Args:
            server: such as `https://acd.example.com`, with the path in front of `rest` if there is one.
            clients_id: the account's ClientsID.
            token: as for the class.
            options: the keyword arguments of the class.
        Raises:
            ConfigurationError: an argument that can't work.
        """
        held = Token(token)
        checked = check_base_url(server)
        del token, server
        if isinstance(checked, ConfigurationError):
            raise checked
        return cls(f"{checked}/rest/v1.0/{checked_clients_id(clients_id)}", held, **options)

    def _for_sibling(self, clients_id: int, token: TokenSource) -> Self:
        """A client for another account on the same server and pool, with this one's options.

        It needs no closing, and lives as long as the client it came from.

        Args:
            clients_id: the other account's ClientsID.
            token: as for the class, but the other account's.
        Raises:
            ConfigurationError: an argument that can't work, or this client's base URL doesn't end in a ClientsID.
        """
        held = Token(token)
        del token
        held.check()
        above, _, own_id = self._base_url.rpartition("/")
        require(
            own_id.isdigit(),
            "this client's base URL doesn't end in a ClientsID that another account's could take the place of",
        )
        return self._sharing(f"{above}/{checked_clients_id(clients_id)}", held, self._shared)

    @classmethod
    def _sharing(cls, base_url: str, token: Token, shared: Shared) -> Self:
        """Return a client on the pool of another client, which alone closes it."""
        client = object.__new__(cls)
        client._owns_pool = False
        client._set_up(base_url, token, shared)
        return client

    @classmethod
    def from_env(cls, **options: Unpack[Options]) -> Self:
        """Return a client by the environment variables `DIALLER_BASE_URL` and `DIALLER_TOKEN`.

        These set options, unless they are given as arguments: `DIALLER_CA_FILE`, `DIALLER_CLIENT_CERT`,
        `DIALLER_CLIENT_KEY` and `DIALLER_PROXY` of `pool`, `DIALLER_ATTEMPTS` of `retry`, `DIALLER_DEADLINE` of
        `timeouts` (seconds), and `DIALLER_MAX_RATE` (calls per second).

        Args:
            options: the keyword arguments of the class.
        Raises:
            ConfigurationError: one of them is missing or can't work.
        """
        require(bool(environment.base_url(os.environ)), "the environment variable DIALLER_BASE_URL is not set")
        require(bool(environment.token(os.environ)), "the environment variable DIALLER_TOKEN is not set")
        all_options: Options = {**environment.network_options(os.environ), **options}
        return cls(environment.base_url(os.environ), Token(environment.token(os.environ)), **all_options)

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
    ) -> Self:
        """Return a client with other options for a group of calls.

        It shares this client's pool, token, kept responses and backpressure. It costs less than a call. It needs no
        closing, and lives as long as the client it came from.

        Args:
            timeouts: other timeouts; None keeps this client's.
            retry: another retry policy; None keeps this client's.
            headers: more headers, which override this client's; see the class.
            max_rate: calls per second of this group. The limit of this client applies as well.
        Raises:
            ConfigurationError: an argument is invalid.
        """
        shared = self._shared
        shared = Shared(
            shared.pool,
            shared.policy if retry is None else retry,
            shared.timeouts if timeouts is None else timeouts,
            shared.backpressure,
            shared.observer,
            shared.headers if headers is None else shared.headers.extended(headers),
            shared.limiter if max_rate is None else rate_limiter(max_rate),
        )
        client = object.__new__(type(self))
        client._owns_pool = False
        client._connect(self._base_url, shared, self._transport.with_options(shared), self._cache)
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
        """Call any function of the server, and return what a 200 contains.

        The call has the pool, the token, the limits, the deadline and the errors of all other calls. Nothing is retried
        unless `idempotent`, not even a GET: this server has GETs with side effects. Only a 401 renews the token and
        sends the request again, since the server refused it unread. Logs and error messages show the method, but
        neither path nor query; `error.about` shows the path.

        Args:
            method: DELETE, GET, PATCH, POST or PUT.
            path: path below the base URL, such as `/dialler/campaigns`, not percent-encoded.
            query: names and values, not percent-encoded.
            body: a value to send as JSON; None for no body.
            idempotent: whether the request may be sent again after an attempt that may have run.
            decoder: the type to decode the JSON of the response as: anything that msgspec decodes, such as a dataclass.
                `bytes` returns the body as it came. The event loop waits while a body is decoded.
        Raises:
            ConfigurationError: an argument is invalid. Nothing was sent.
            OutcomeUnknownError: the request may have run.
            PayloadError: the body is not JSON of this type.
        """
        call = other_call(method, path, query=query, body=body, idempotent=idempotent, decoder=decoder)
        try:
            return await self._transport.send(call)
        finally:
            if call.is_write:
                self._cache.forget()

    async def ping(self) -> None:
        """Return if the server answers and accepts the token, as for a readiness probe. Sends one small request.

        The errors are those of all other calls. `with_options` gives the probe shorter timeouts and no retries.

        Raises:
            AuthenticationError: the token, the ClientsID, or the combination of both is wrong.
            EndpointNotFoundError: the base URL is wrong.
            NoReplyError: the server can't be reached.
        """
        # The campaign need not exist: the server looks it up only for a valid token.
        with suppress(NotFoundError):
            await self._transport.send(probe())

    def forget(self, campaign: Campaign | int | None = None) -> None:
        """Remove responses that calls with `max_age` keep, after somebody else changed a campaign.

        Writes through this client do so by themselves.

        Args:
            campaign: the campaign or its ID. Lists and searches are removed, too. None, or a `Campaign` without an ID,
                removes everything.
        """
        self._cache.forget(campaign)

    async def aclose(self, timeout: float | None = None) -> None:
        """Close the connections, unless they belong to another client or to a session of yours. Safe to call twice.

        Calls in flight may finish. Calls that wait for their turn, and new calls, raise ClientStateError.

        Args:
            timeout: seconds that calls in flight may take. Then they are cancelled: a read raises ClientStateError, a
                write OutcomeUnknownError. None waits until they finish, which each does by its own deadline.
        Raises:
            ClientStateError: the client was used in another event loop: close it there.
            ConfigurationError: the timeout is not a number, or negative.
        """
        valid = timeout is None or (is_number(timeout) and timeout >= 0)
        require(valid, "aclose(timeout=…) is a number of seconds, and not negative")
        if self._owns_pool:
            await self._shared.pool.aclose(timeout)

    async def __aenter__(self) -> Self:
        self._shared.pool.check()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        # Tools that record tracebacks call this on one that its arguments kept from being made.
        return f"DiallerClient({getattr(self, '_base_url', '…')!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a DiallerClient holds a token and open connections, and can't be pickled or copied: make another"
        )
