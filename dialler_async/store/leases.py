"""Who has a server of the dialler, and which workers run.

A lease is one row for each server, whatever the run and the settings, so that two runs never have one server. It is
claimed by one statement with the clock of the database, because the clocks of the workers differ. A worker has a lease
of itself, too, which shows that it runs.
"""

import os
import socket
from hashlib import sha256
from typing import Final, final
from uuid import uuid4

import attrs
from sqlalchemy import Connection, delete, select, update

from .database import Database, insert
from .schema import LEASES, database_now

_FORGET_SECONDS: Final = 3600.0
"""Time after which a lease that has ended is deleted."""


@attrs.frozen(kw_only=True)
class Lease:
    """The right of a process to send requests to a server, until the time is over.

    Attributes:
        server: the digest of the server's URL.
        owner: an identifier of this claim. Each claim has another.
        seconds: the length. It begins again with each renewal.
    """

    server: str
    owner: str
    seconds: float


@attrs.frozen(kw_only=True)
class Held:
    """A lease that a process holds.

    Attributes:
        url: the URL of the server; "" for the worker itself.
        host: the host and process ID of the worker.
        run: the ID of the run; None for the worker itself.
        note: what the worker can't take, and why.
    """

    url: str
    host: str
    run: int | None
    note: str


@final
class Leases:
    """The leases of a store. Each method is one transaction, and raises StoreError if the database refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, url: str, seconds: float, *, run: int | None = None) -> Lease | None:
        """Return the lease of a server, or with "" of this worker; None if another process has the server."""
        owner = uuid4().hex
        lease = Lease(server=sha256(url.encode()).hexdigest() if url else owner, owner=owner, seconds=seconds)
        host = f"{socket.gethostname()}:{os.getpid()}"
        values = {"owner": owner, "url": url, "host": host, "run": run, "note": "", "until": database_now() + seconds}
        # Its own claim, if the transaction is repeated after the connection was lost.
        is_free = (LEASES.c.until < database_now()) | (LEASES.c.owner == owner)

        def work(connection: Connection) -> Lease | None:
            new = insert(connection.dialect.name, LEASES).values(server=lease.server, **values)
            claim = new.on_conflict_do_update(index_elements=[LEASES.c.server], set_=values, where=is_free)
            return lease if connection.execute(claim.returning(LEASES.c.owner)).scalar() else None

        return await self._database.write(work)

    async def renew(self, lease: Lease, note: str = "") -> bool:
        """Begin the time of a lease again. Return False if another process has the server now."""
        renewal = update(LEASES).where(LEASES.c.server == lease.server, LEASES.c.owner == lease.owner)

        def work(connection: Connection) -> bool:
            renewed = connection.execute(renewal.values(until=database_now() + lease.seconds, note=note))
            return renewed.rowcount == 1

        return await self._database.write(work, patience=lease.seconds)

    async def release(self, lease: Lease) -> None:
        """Give a server back. Without a connection, the lease ends by itself."""
        own = (LEASES.c.server == lease.server) & (LEASES.c.owner == lease.owner)

        def work(connection: Connection) -> None:
            is_old = LEASES.c.until < database_now() - _FORGET_SECONDS
            connection.execute(delete(LEASES).where(own | is_old))

        await self._database.write(work, patience=0)

    async def held(self) -> list[Held]:
        """Return the leases that have not ended."""
        columns = [LEASES.c[field.name] for field in attrs.fields(Held)]
        query = select(*columns).where(LEASES.c.until > database_now()).order_by(LEASES.c.url, LEASES.c.host)
        return [Held(**row._mapping) for row in await self._database.rows(query)]
