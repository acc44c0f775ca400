"""Audits of many accounts on many servers, in this process or on workers (extra `fleet`).

`fleet.toml` lists the servers, the accounts, and where their tokens are. It contains no token. The file is refused if
users other than you and root can write it:

    [[servers]]
    name = "north"
    url = "https://acd-north.example.com"       # with the path before `/rest`, if any
    max_rate = 50                               # calls per second; default: no limit
    max_concurrency = 16                        # concurrent calls; default: no limit
    deadline = 300                              # seconds that a call may take, including retries; default: 120
    attempts = 12                               # maximum number of attempts of a call; default: 12
    proxy = "http://proxy.example.com:3128"     # "" for none; default: the proxy of the environment
    ca_file = "tls/ca.pem"                      # CAs to trust; the path is relative to fleet.toml
    client_cert = "tls/worker.pem"              # client certificate of the worker (mTLS)
    client_key = "tls/worker.key"               # the private key, if it is in another file

    [[accounts]]
    name = "acme"                               # the name in reports and messages
    server = "north"
    clients_id = 1
    token_env = "ACME_TOKEN"                    # an environment variable of the worker

    [[accounts]]
    name = "globex"
    server = "north"
    clients_id = 2
    token_file = "secrets/globex"               # a file of the worker; it is read again after a 401

Results go into a store, account by account, so that a run that was killed goes on where it stopped. A server belongs to
one worker at a time. The guide, `dialler_async/fleet/README.md`, has the commands for one machine and for many.

    from pathlib import Path

    from dialler_async.fleet import audit_fleet, read_fleet
    from dialler_async.store import Store

    async with Store("audits.db") as store:
        report = await audit_fleet(read_fleet(Path("fleet.toml")), store=store)
    for finding in report.findings:
        print(finding.account, finding.message)

.. include:: README.md
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names
from .manifest import Account, Fleet, Server, read_fleet

if TYPE_CHECKING:
    from .coordinator import audit_fleet
    from .unit import Auditor
    from .worker import Worker

__all__ = ["Account", "Auditor", "Fleet", "Server", "Worker", "audit_fleet", "read_fleet"]

_MODULE_OF = {
    "Auditor": "unit",
    "Worker": "worker",
    "audit_fleet": "coordinator",
}
"""The modules of names that are imported on first use, because importing SQLAlchemy takes a quarter of a second."""


# Hidden from type checkers, because with `__getattr__` they would accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, globals(), _MODULE_OF, __all__)
