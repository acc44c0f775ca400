"""The embedded dialler server: its options, start and stop, and the handling of requests."""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from random import Random
from secrets import token_urlsafe
from types import MappingProxyType, TracebackType
from typing import Self, TypeVar
from urllib.parse import parse_qsl

from aiohttp import ClientPayloadError, web

from .account import SandboxAccount
from .calls import (
    Calls,
    DeleteByName,
    FindWithoutMatch,
    Target,
    parse_target,
)
from .codes import WireRecord
from .connections import Connection, ConnectionCounts
from .contents import Contents, from_records, generate
from .control import PREFIX, Control, is_foreign
from .dates import DateStyle
from .fault_plan import FaultPlan
from .generator import Generator
from .in_flight_request import InFlightRequest
from .journal import Received, redact_headers
from .listener import AlreadySent, Listener
from .loop_thread import LoopThread
from .outage import Outage
from .response import NO_SUCH_ENDPOINT, SandboxResponse, error
from .slots import Slots

T = TypeVar("T")


class Sandbox(SandboxAccount):
    """An embedded dialler server. `async with` runs it in the event loop, a plain `with` in its own thread.

        with Sandbox(campaigns=3) as sandbox:
            requests.get(f"{sandbox.base_url}/dialler/campaigns", headers={"Authorization": f"Bearer {sandbox.token}"})

    All methods and attributes can be used from any thread. `campaigns` and `journal` are live, so read them while no
    request is in flight. A sandbox is also its own first account; `accounts` contains all accounts.

    Args:
        campaigns: the number of campaigns to generate, or the wire records to serve. `load` adds campaigns with result
            codes.
        seed: the seed of the generated data and tokens.
        accounts: the number of accounts to serve. Their ClientsIDs count up from `clients_id`. Each has its own token
            and campaigns.
        clients_id: the ClientsID of the first account.
        token: the token of the first account; by default, it is generated from the seed.
        delete_by_name: which campaign a deletion by name deletes, because the API reference doesn't specify it.
            "first-partial-match" deletes the campaign with the lowest ID whose name contains the text. "exact" deletes
            the campaign with exactly this name.
        find_without_match: the response to a search without a match, because the API reference doesn't specify it.
            "404" sends a 404 with the JSON error body, "empty" a 200 without records.
        dates: the format of dates, because the API reference doesn't specify it. "naive" has no time zone, "zulu" ends
            in `Z`.
        filler_keys: the number of extra keys of each generated campaign, to make it larger. With 60, it has 73 keys.
        invalid_record: whether one generated record has a value of a wrong type.
        latency: the seconds that each request takes. It can be changed at any time.
        capacity: how many requests are processed at once; further requests are queued. None means no limit. It can be
            changed at any time.
        host: the address to listen on.
        port: the port to listen on; 0 means a free port.
        ssl_context: the context to serve https with; None means http.
        now: the naive wall-clock time that generated dates are relative to; by default, the current time. Set it to
            generate the same dates every day.
    Raises:
        ValueError: `accounts` or `capacity` is below 1, or two records have the same ID.
    Attributes:
        journal: all received requests. The list only grows, so clear it in long runs.
        connections: the numbers of TCP connections.
        faults: the plan of faults for the next requests.
        latency: the seconds that each request takes.
    """

    def __init__(
        self,
        campaigns: int | Iterable[WireRecord] = 500,
        seed: int = 1,
        *,
        accounts: int = 1,
        clients_id: int = 1,
        token: str | None = None,
        delete_by_name: DeleteByName = "first-partial-match",
        find_without_match: FindWithoutMatch = "404",
        dates: DateStyle = "naive",
        filler_keys: int = 0,
        invalid_record: bool = False,
        latency: float = 0.0,
        capacity: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        now: datetime | None = None,
    ) -> None:
        current_time = now or datetime.now(UTC)
        records = campaigns if isinstance(campaigns, int) else list(campaigns)

        def make_contents(seed: int | str, clients_id: int) -> Contents:
            if not isinstance(records, int):
                return from_records(records)
            random = Random(seed)  # noqa: S311  generated data is no secret
            return generate(
                records, Generator(random, clients_id, current_time, dates, filler_keys), invalid=invalid_record
            )

        if accounts < 1:
            raise ValueError("a sandbox needs one account or more")
        super().__init__(clients_id, seed, make_contents)
        if token is not None:
            self.token = token
        # Generates the data now, so that invalid records raise here and the first request is not slow.
        _ = self.store
        others = {
            clients_id + index: SandboxAccount(clients_id + index, f"{seed}, account {index + 1}", make_contents)
            for index in range(1, accounts)
        }
        self._accounts: dict[int, SandboxAccount] = {clients_id: self, **others}
        self._by_path = {str(id): account for id, account in self._accounts.items()}
        self.journal: list[Received] = []
        self.connections: ConnectionCounts = ConnectionCounts()
        self.faults: FaultPlan = FaultPlan()
        self.latency = latency
        self._slots = Slots(capacity)
        self._delete_by_name = delete_by_name
        self._find_without_match = find_without_match
        self._dates = dates
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._running: Listener | None = None
        self._thread: LoopThread | None = None
        self._control: Control | None = None

    @property
    def server(self) -> str:
        """The URL of the server without an account, for `DiallerClient.for_server(sandbox.server, 2, …)`.

        Raises:
            RuntimeError: the sandbox is closed.
        """
        return self._listener.origin

    @property
    def base_url(self) -> str:
        """The base URL for clients of the first account.

        Raises:
            RuntimeError: the sandbox is closed.
        """
        return f"{self.server}/rest/v1.0/{self.clients_id}"

    @property
    def accounts(self) -> Mapping[int, SandboxAccount]:
        """All accounts by ClientsID. The first account is the sandbox itself."""
        return MappingProxyType(self._accounts)

    @property
    def capacity(self) -> int | None:
        """How many requests are processed at once. Further requests are queued. None means no limit."""
        return self._slots.number

    @capacity.setter
    def capacity(self, capacity: int | None) -> None:
        self._in_loop(lambda: self._slots.resize(capacity))

    def refusing(self) -> Outage:
        """Return a context manager that simulates an outage: the server resets connections and refuses new ones.

        At its end, the server listens on the same port again. Use `async with`, or a plain `with` if the
        sandbox runs in a thread.

        Raises:
            RuntimeError: the sandbox is closed.
        """
        return Outage(self._listener, self._thread)

    def enable_control(self, rotate_token: Callable[[], object]) -> str:
        """Serve the control endpoint of `dialler_async.sandbox.control`, and refuse requests of pages in browsers.

        Args:
            rotate_token: a function that is called for each request for a new token. It must call `revoke`.
        Returns:
            The key of the control endpoint, which is random.
        Raises:
            ValueError: the sandbox doesn't listen on a loopback address.
        """
        if not ip_address(self._host).is_loopback:
            raise ValueError(f"the control endpoint works on a loopback address only, not on {self._host}")
        key = token_urlsafe()
        self._control = Control(key, self.faults, self.journal, rotate_token)
        return key

    def close_idle(self) -> None:
        """Close the kept-alive connections that have no request in flight.

        Raises:
            RuntimeError: the sandbox is closed.
        """
        self._in_loop(self._listener.close_idle)

    def __enter__(self) -> Self:
        self._check_closed()
        thread = LoopThread()
        try:
            thread.run(self.__aenter__())
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            raise RuntimeError("the sandbox is not open")
        try:
            thread.run(self.__aexit__(exc_type, exc, traceback))
        finally:
            thread.close()

    async def __aenter__(self) -> Self:
        self._check_closed()
        listener = Listener(self._respond, self.connections, self._host, self._ssl_context)
        await listener.start(self._port)
        self._running = listener
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        listener, self._running = self._listener, None
        await listener.stop()

    @property
    def _listener(self) -> Listener:
        if self._running is None:
            raise RuntimeError("the sandbox is not open")
        return self._running

    def _check_closed(self) -> None:
        if self._running is not None:
            raise RuntimeError("the sandbox is open already")

    def _in_loop(self, action: Callable[[], T]) -> T:
        return action() if self._thread is None else self._thread.call(action)

    async def _respond(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        authorization = request.headers.get("Authorization", "")
        if self._control is not None and is_foreign(request.headers.get("Host", ""), request.headers.get("Origin")):
            return _to_aiohttp(error(403, "The sandbox refuses other host names than localhost, and pages in browsers"))
        if self._control is not None and path.startswith(PREFIX):
            return _to_aiohttp(self._control.respond(request.method, path, authorization, await request.read()))
        target = parse_target(request.method, path)
        received = Received(
            method=request.method,
            target=request.raw_path,
            query=_parse_query(query),
            headers=redact_headers(request.headers),
            authorised=self._is_authorised(authorization, target),
            call=None if target is None else target.call,
            connection=connection.number,
            nth_on_connection=connection.requests,
        )
        self.journal.append(received)

        async def carry_out() -> SandboxResponse:
            await self._wait_for_slot_and_latency()
            # The token may have been replaced since the headers arrived.
            received.authorised = self._is_authorised(authorization, target)
            response = self._execute(target, received)
            received.carried_out = response.status == 200
            return response

        fault = self.faults.pick(received)
        if request.body_exists and (fault is None or fault.reads_body):
            try:
                received.body = await request.read()
            except (ConnectionError, ClientPayloadError):
                return AlreadySent()
            except web.HTTPRequestEntityTooLarge as too_large:
                received.status = too_large.status
                raise
        in_flight = InFlightRequest(received, connection, carry_out)
        response = await (carry_out() if fault is None else fault.apply(in_flight))
        if response is None or connection.closed.is_set():
            return AlreadySent(keep_alive=in_flight.keep_open)
        received.status = response.status
        return _to_aiohttp(response)

    async def _wait_for_slot_and_latency(self) -> None:
        """Wait for a free slot, and then for the configured latency."""
        async with self._slots:
            if self.latency:
                await asyncio.sleep(self.latency)

    def _is_authorised(self, authorization: str, target: Target | None) -> bool:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        if target is None:
            return any(account.token == token.strip() for account in self._accounts.values())
        account = self._by_path.get(target.clients_id)
        return account is not None and account.token == token.strip()

    def _execute(self, target: Target | None, received: Received) -> SandboxResponse:
        if target is None:
            return NO_SUCH_ENDPOINT
        if not received.authorised:
            return error(401, "Token or ClientsID is wrong")
        account = self._by_path[target.clients_id]
        with account.lock:
            calls = Calls(account.store, self._delete_by_name, self._find_without_match, self._dates)
            return calls.respond(target, received)


def _to_aiohttp(response: SandboxResponse) -> web.Response:
    return web.Response(status=response.status, body=response.body, headers=response.headers)


def _parse_query(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        # If a name occurs twice, the first value counts.
        values.setdefault(name, value)
    return values
