"""The embedded dialler server: its life, its switches, and what it shows of itself."""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from random import Random
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import ClientPayloadError, web

from dialler_async.sandbox.account import Account
from dialler_async.sandbox.calls import (
    Calls,
    DeleteByName,
    FindWithoutMatch,
    Target,
    target_of,
)
from dialler_async.sandbox.codes import WireRecord
from dialler_async.sandbox.connections import Connection, ConnectionCounts
from dialler_async.sandbox.contents import Contents, generated, given
from dialler_async.sandbox.dates import DateStyle
from dialler_async.sandbox.defects import SeededDefect, Template
from dialler_async.sandbox.exchange import Exchange
from dialler_async.sandbox.fault_plan import FaultPlan
from dialler_async.sandbox.generator import Generator
from dialler_async.sandbox.journal import Received
from dialler_async.sandbox.listener import AnsweredByHand, Listener
from dialler_async.sandbox.reply import NO_SUCH_ENDPOINT, Reply, error
from dialler_async.sandbox.slots import Slots
from dialler_async.sandbox.vocabulary import ENGLISH


class Sandbox:
    """An embedded dialler server; open it with `async with`.

    `campaigns`: how many to generate, or wire records to serve as they are (see `load` for result
    codes). `seed`: decides generated data and tokens. `clients_id`: the account in the URL.
    `token`: the valid one, else made from the seed.

    `accounts`: how many to serve, with ClientsIDs from `clients_id` up. Each has a token and campaigns of its own, and
    is to be had from the attribute of this name; what else is said here of an account is said of the first.

    What the API reference leaves open is a switch. `delete_by_name`: "first-partial-match" deletes
    the campaign with the lowest ID whose name contains the text, "exact" the one with that name.
    `find_without_match`: "404" answers with the JSON error body, "empty" with 200 and no records.
    `dates`: "naive" prints them without zone, "zulu" with a `Z`.

    `filler_keys`: neutral keys added to each generated campaign record; 60 make a whole row of 73
    keys. `invalid_record`: adds a record with a value of a wrong type. `latency`: seconds of work a
    request. `capacity`: how many it works on at once, further ones queue; None for all. Both are attributes that may
    be set at any time. `host`, `port`: where to listen; port 0 takes a free one. `ssl_context`: serve https.
    `now`: the naive wall-clock time that generated dates are relative to; today by default, so
    give one where data must be the same tomorrow.
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
        self.journal: list[Received] = []
        self.connections: ConnectionCounts = ConnectionCounts()
        self.faults: FaultPlan = FaultPlan()
        self.latency = latency
        self._slots = Slots(capacity)
        moment = now or datetime.now(UTC)
        records = campaigns if isinstance(campaigns, int) else list(campaigns)

        def contents(seed: int | str, clients_id: int) -> Contents:
            if not isinstance(records, int):
                return given(records)
            random = Random(seed)  # noqa: S311  # made-up data, no secret
            return generated(records, Generator(random, clients_id, moment, dates, filler_keys), invalid=invalid_record)

        if accounts < 1:
            raise ValueError("a sandbox serves one account or more")
        seeds: list[int | str] = [seed, *(f"{seed}, account {nth}" for nth in range(2, accounts + 1))]
        self._accounts = {id: Account(id, own_seed, contents) for id, own_seed in enumerate(seeds, clients_id)}
        self._account = self._accounts[clients_id]
        if token is not None:
            self._account.token = token
        # Made now, and not in the time of the first request; wrong records are told of here.
        _ = self._account.store
        self._by_path = {str(id): account for id, account in self._accounts.items()}
        self._delete_by_name = delete_by_name
        self._find_without_match = find_without_match
        self._dates = dates
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._listener: Listener | None = None

    @property
    def server(self) -> str:
        """The server's address, without account: `DiallerClient.for_account(sandbox.server, 2, …)`.

        Raises RuntimeError when closed.
        """
        return self._listening.origin

    @property
    def accounts(self) -> Mapping[int, Account]:
        """All accounts by their ClientsIDs, with a token and campaigns each."""
        return MappingProxyType(self._accounts)

    @property
    def base_url(self) -> str:
        """The base URL with the ClientsID, as clients want it. Raises RuntimeError when closed."""
        return f"{self.server}/rest/v1.0/{self._account.clients_id}"

    @property
    def token(self) -> str:
        """The only valid token. Setting another makes the old one invalid at once."""
        return self._account.token

    @token.setter
    def token(self, token: str) -> None:
        self._account.token = token

    @property
    def capacity(self) -> int | None:
        """How many requests it works on at once; further ones queue, first come first served. None for all."""
        return self._slots.number

    @capacity.setter
    def capacity(self, capacity: int | None) -> None:
        self._slots.number = capacity

    def revoke(self) -> str:
        """Replace the token by a new one, as the portal does, and answer with the new one."""
        return self._account.revoke()

    @property
    def campaigns(self) -> Mapping[int, WireRecord]:
        """The campaign records by ID, live and read-only; see `change` and `remove`."""
        return self._account.campaigns

    def result_codes(self, campaign_id: int, languages_id: int = ENGLISH) -> list[dict[str, Any]]:
        """The result-code records of a campaign in a language.

        Raises KeyError when there is no such campaign.
        """
        return self._account.result_codes(campaign_id, languages_id)

    @property
    def seeded_defects(self) -> list[SeededDefect]:
        """What an audit should find, and nothing else, in the campaigns as generated."""
        return self._account.seeded_defects

    @property
    def template(self) -> Template | None:
        """The generated template campaign; None where there was no room for one."""
        return self._account.template

    def load(
        self,
        payload: WireRecord,
        *,
        campaign_id: int | None = None,
        codes: Mapping[int, Any] | None = None,
    ) -> list[int]:
        """Add campaigns from an envelope or a single record, and answer with their IDs.

        Records are served as given. One without an `ID` is reached by `campaign_id`, or else by
        the ID that is made up for it. `codes` are a single campaign's result codes: by LanguagesID
        an envelope or a list of records. Raises ValueError when an ID is taken.
        """
        return self._account.load(payload, campaign_id=campaign_id, codes=codes)

    def change(self, campaign_id: int, **keys: Any) -> None:
        """Set wire keys of a campaign, as somebody in the portal would.

        Raises KeyError when there is no such campaign.
        """
        self._account.change(campaign_id, **keys)

    def remove(self, campaign_id: int) -> None:
        """Delete a campaign, as somebody in the portal would.

        Raises KeyError when there is no such campaign.
        """
        self._account.remove(campaign_id)

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("the sandbox is open already")
        listener = Listener(self._answer, self.connections, self._host, self._ssl_context)
        await listener.start(self._port)
        self._listener = listener
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        listener, self._listener = self._listening, None
        await listener.stop()

    def refusing(self) -> AbstractAsyncContextManager[None]:
        """Be down inside an `async with`: connections are reset, and new ones refused.

        Afterwards the same port is served again. Raises RuntimeError when closed.
        """
        return self._listening.refusing()

    def close_idle(self) -> None:
        """Close the kept-alive connections that no request is in flight on.

        Raises RuntimeError when closed.
        """
        self._listening.close_idle()

    @property
    def _listening(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the sandbox is not open")
        return self._listener

    async def _answer(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        target = target_of(request.method, path)
        headers = request.headers.copy()
        authorisation = headers.popall("Authorization", [""])[0]
        received = Received(
            method=request.method,
            target=request.raw_path,
            query=_decoded(query),
            headers=headers,
            authorised=self._lets_in(authorisation, target),
            call=None if target is None else target.call,
            connection=connection.number,
            nth_on_connection=connection.requests,
        )
        self.journal.append(received)

        async def carry_out() -> Reply:
            await self._work()
            # Looked at again: the token may have been replaced in the meantime.
            received.authorised = self._lets_in(authorisation, target)
            reply = self._reply(target, received)
            received.carried_out = reply.status == 200
            return reply

        fault = self.faults.pick(received)
        if request.body_exists and (fault is None or fault.reads_body):
            try:
                received.body = await request.read()
            except (ConnectionError, ClientPayloadError):
                return AnsweredByHand()
            except web.HTTPRequestEntityTooLarge as refusal:
                received.status = refusal.status
                raise
        exchange = Exchange(received, connection, carry_out)
        reply = await (carry_out() if fault is None else fault.play(exchange))
        if reply is None or connection.closed.is_set():
            return AnsweredByHand(keep_alive=exchange.keep_open)
        received.status = reply.status
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    async def _work(self) -> None:
        """Take the time that a request takes on a real server, and wait for a place to work at before."""
        async with self._slots:
            if self.latency:
                await asyncio.sleep(self.latency)

    def _lets_in(self, authorisation: str, target: Target | None) -> bool:
        scheme, _, token = authorisation.partition(" ")
        if scheme.lower() != "bearer":
            return False
        if target is None:
            return any(account.token == token.strip() for account in self._accounts.values())
        account = self._by_path.get(target.clients_id)
        return account is not None and account.token == token.strip()

    def _reply(self, target: Target | None, received: Received) -> Reply:
        if target is None:
            return NO_SUCH_ENDPOINT
        if not received.authorised:
            return error(401, "Token or ClientsID is wrong")
        store = self._by_path[target.clients_id].store
        return Calls(store, self._delete_by_name, self._find_without_match, self._dates).answer(target, received)


def _decoded(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        # Where a name comes twice, servers of this kind take the first.
        values.setdefault(name, value)
    return values
