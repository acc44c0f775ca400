"""`DiallerClient`: the session manager. Owns the pool, and hangs the resources on it."""

import logging
import os
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import ClassVar, NoReturn, Protocol, Self, TypedDict, Unpack, final, overload

import aiohttp
import attrs
from yarl import URL

from ._http import environment
from ._http.backpressure import Backpressure
from ._http.cache import AccountCache
from ._http.caller import find_caller
from ._http.pool import Pool
from ._http.pool_config import PoolConfig
from ._http.proxy import is_loopback
from ._http.rate_limit import RateLimiter
from ._http.retry import RetryPolicy
from ._http.timeouts import Timeouts
from ._http.token import Token, TokenSource
from ._http.transport import Transport
from .campaigns import Campaigns
from .errors import ConfigurationError, require
from .models import Campaign
from .observer import Observer
from .result_codes import ResultCodes

# Not to be printed where nobody has set up logging: an error that is not retried is raised.
logging.getLogger("dialler_async").addHandler(logging.NullHandler())


class Options(TypedDict, total=False):
    """What `DiallerClient` takes by keyword, so that type checkers know it wherever one is made."""

    pool: PoolConfig
    retry: RetryPolicy
    timeouts: Timeouts
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
    """`for_account`, which is a constructor on the class, and another account on a client."""

    @overload
    def __get__(self, client: None, cls: type["DiallerClient"]) -> _ForServer: ...
    @overload
    def __get__(self, client: "DiallerClient", cls: type["DiallerClient"]) -> _ForSibling: ...
    def __get__(self, client: "DiallerClient | None", cls: type["DiallerClient"]) -> _ForServer | _ForSibling:
        return cls._for_server if client is None else client._for_sibling


@final
@attrs.frozen
class _Shared:
    """What clients of several accounts on one server have in common."""

    pool: Pool
    policy: RetryPolicy
    timeouts: Timeouts
    backpressure: Backpressure
    observer: Observer | None


@final
class DiallerClient:
    """A client of the dialler REST API for one account.

        async with DiallerClient("https://acd.example.com/rest/v1.0/1", token="…") as dialler:
            campaigns = await dialler.campaigns.list()

    May be made outside an event loop, and belongs to the one it is first used in. Without `async with`, the first
    call opens the pool and `aclose` closes it.

    What is repeated, as `retry` says:

    - reads, and a clone with `exist_ok`, whenever no answer or a 429 or 5xx came;
    - a delete by ID when none or a 429, 502, 503 or 504 came; a 404 to a repeat means done;
    - a plain clone, and the API's own delete by name, only when they were surely not carried out. Otherwise they raise
      OutcomeUnknownError.

    Args:
        base_url: `http(s)://HOST:PORT/rest/v1.0/CLIENTS_ID`. A path in front of `rest` and a trailing slash are
            fine; user info, a query and a fragment are not.
        token: the bearer token, or a function that returns one, at once or awaited; it is asked anew after a 401.
        pool: connections, and what they may carry.
        retry: how often and how patiently calls are repeated.
        timeouts: for an attempt, and for a call as a whole.
        max_rate: calls per second, evenly spaced but for one that may go ahead; None for no limit. Needs the extra
            `rate`. Or a limiter of your own, such as one that several processes share: its `acquire()` is awaited
            before each attempt.
        session: an aiohttp session to use; it is never closed. Its own limits apply besides `pool.limit`. Kept
            connections that received anything unasked are closed before a call, but not those that a call gets after
            it waited for a free one: give its connector at least `pool.limit` connections.
        trace_configs: aiohttp's, for the session that this client makes. They see the token in the headers.
        observer: is told of every call; see `dialler_async.observer`.
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
        max_rate: float | RateLimiter | None = None,
        session: aiohttp.ClientSession | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        observer: Observer | None = None,
    ) -> None:
        # No local variable holds a secret from here on: whoever records a traceback would record it.
        held = Token(token)
        checked = _base_url(base_url)
        del token, base_url
        held.check()
        if isinstance(checked, ConfigurationError):
            raise checked
        if checked.scheme == "http" and not is_loopback(checked.host or ""):
            warnings.warn(
                f"the token goes to {checked.host} in clear: use https, which the server's port 80 redirects to anyway",
                stacklevel=find_caller().stacklevel,
            )
        made_pool = Pool(pool, session, trace_configs, max_rate)
        self._owns_pool = True
        self._set_up(str(checked), held, _Shared(made_pool, retry, timeouts, Backpressure(retry), observer))

    def _set_up(self, base_url: str, token: Token, shared: _Shared) -> None:
        self._base_url = base_url
        self._shared = shared
        transport = Transport(
            base_url, token, shared.pool, shared.policy, shared.timeouts, shared.backpressure, shared.observer
        )
        self._cache = AccountCache()
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
        checked = _base_url(server)
        del token, server
        if isinstance(checked, ConfigurationError):
            raise checked
        return cls(f"{checked}/rest/v1.0/{_clients_id(clients_id)}", held, **options)

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
        return self._sharing(f"{above}/{_clients_id(clients_id)}", held, self._shared)

    @classmethod
    def _sharing(cls, base_url: str, token: Token, shared: _Shared) -> Self:
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

    def forget(self, campaign: Campaign | int | None = None) -> None:
        """Remove responses that calls with `max_age` keep, after somebody else changed a campaign.

        Writes through this client do so by themselves.

        Args:
            campaign: the campaign or its ID. Lists and searches are removed, too. None, or a `Campaign` without an ID,
                removes everything.
        """
        self._cache.forget(campaign)

    async def aclose(self) -> None:
        """Closes the pool, unless another client's or a session brought along. Safe to call twice.

        Calls whose request is on its way finish, within their own time; calls that still wait for their turn, and
        new ones, raise ClientStateError.

        Raises:
            ClientStateError: it was used in another event loop: close it there.
        """
        if self._owns_pool:
            await self._shared.pool.aclose()

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


def _base_url(given: object) -> URL | ConfigurationError:
    """The base URL without a trailing slash, or what is wrong with it, told without what may be secret in it."""
    if not isinstance(given, str):
        return ConfigurationError(f"the base URL is a str, not {type(given).__name__}")
    try:
        url = URL(given)
        port = url.port
        # What can't be looked up would fail in every call, and with no error of ours.
        (url.host or "").encode("idna")
    except ValueError:
        url, port = URL(), None
    # yarl drops line breaks and takes spaces, even in a host.
    unlikely = not given.isprintable() or " " in given
    if url.scheme not in ("http", "https") or not url.host or port is None or unlikely:
        return ConfigurationError("the base URL is not like http(s)://HOST:PORT/rest/v1.0/CLIENTS_ID")
    if url.raw_user is not None or url.raw_password is not None:
        return ConfigurationError(
            "the base URL holds user info, a secret in a URL; the API takes only its bearer token"
        )
    if url.raw_query_string or url.raw_fragment or "?" in given or "#" in given:
        return ConfigurationError("the base URL holds a query or a fragment, which no call could be appended to")
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


def _clients_id(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ConfigurationError(f"a ClientsID is a positive int, not {given!r}")
    return given
