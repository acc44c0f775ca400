"""Audits of many accounts on many servers, in this process or spread over workers (extra `fleet`).

`fleet.toml` lists the servers, the accounts, and where their tokens are. It holds no token. It is refused if users
other than you and root can write it:

    [[servers]]
    name = "north"
    url = "https://acd-north.example.com"       # with the path in front of `rest`, if there is one
    max_rate = 50                               # calls a second, over all workers together; default: no limit
    max_concurrency = 16                        # calls at once, over all workers together; default: no limit
    deadline = 300                              # seconds that a call may take, with its retries; default: 120
    attempts = 12                               # how often a call is sent at most; default: 12
    proxy = "http://proxy.example.com:3128"     # "" for none; default: the proxy of the environment
    ca_file = "tls/ca.pem"                      # CAs to trust; paths are relative to fleet.toml
    client_cert = "tls/worker.pem"              # client certificate of the worker (mTLS)
    client_key = "tls/worker.key"               # if it is not in the same file

    [[accounts]]
    name = "acme"                               # its name in reports and messages
    server = "north"
    clients_id = 1
    token_env = "ACME_TOKEN"                    # an environment variable of the worker

    [[accounts]]
    name = "globex"
    server = "north"
    clients_id = 2
    token_file = "secrets/globex"               # a file of the worker, relative to fleet.toml; read again after a 401

`dialler fleet audit fleet.toml` runs all jobs in one process. To spread them, start a Redis and some workers, on any
number of machines. Each machine has a `fleet.toml` of its own with the same names, and its own tokens:

    dialler fleet worker fleet.toml --broker redis://broker.example.com
    dialler fleet audit fleet.toml --broker redis://broker.example.com --html report.html

Large accounts are split into chunks of campaigns. If a worker dies, another one repeats its chunk, which is safe since
audits only read. A chunk that keeps failing becomes a finding (`not-audited`), and the audit goes on.
Each worker uses its own settings (`--config`, `--select`, `--ignore`, `--rules`, as for the audit). A job of an audit
with other settings fails, and the report says so.

If coordinator and workers have the same `DIALLER_FLEET_KEY`, jobs and results are signed, and unsigned ones are
rejected.

Messages hold names of accounts, campaigns and findings, but no tokens. Independent fleets use different databases of a
Redis: `redis://broker.example.com/1`.

    from pathlib import Path

    from dialler_async.fleet import audit_fleet, read_fleet

    report = await audit_fleet(read_fleet(Path("fleet.toml")))
"""

from typing import TYPE_CHECKING

from dialler_async._lazy import lazy_names

from .manifest import Account, Fleet, Server, read_fleet

if TYPE_CHECKING:
    from .broker import BrokerError
    from .coordinator import FleetProgress, audit_fleet
    from .redis_broker import RedisBroker
    from .worker import run_worker

__all__ = [
    "Account",
    "BrokerError",
    "Fleet",
    "FleetProgress",
    "RedisBroker",
    "Server",
    "audit_fleet",
    "read_fleet",
    "run_worker",
]

_MODULE_OF = {
    "BrokerError": "broker",
    "FleetProgress": "coordinator",
    "RedisBroker": "redis_broker",
    "audit_fleet": "coordinator",
    "run_worker": "worker",
}
"""Where names are defined that are imported on first use, since taskiq takes a quarter of a second to import."""


# Type checkers read the imports above instead: with this function, they would accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, globals(), _MODULE_OF, __all__)
