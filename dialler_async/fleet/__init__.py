"""Audits of many accounts on many servers, in this process or on workers (extra `fleet`).

`fleet.toml` lists the servers, the accounts, and where their tokens are. It contains no token. The file is refused if
users other than you and root can write it:

    [[servers]]
    name = "north"
    url = "https://acd-north.example.com"       # with the path before `/rest`, if any
    max_rate = 50                               # calls per second of all workers together; default: no limit
    max_concurrency = 16                        # concurrent calls of all workers together; default: no limit
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

`dialler fleet audit fleet.toml` runs all jobs in one process. To distribute them, start a Redis and some workers, on
any number of machines. Each machine has its own tokens, and its own `fleet.toml` with the same names:

    dialler fleet worker fleet.toml --broker redis://broker.example.com
    dialler fleet audit fleet.toml --broker redis://broker.example.com --html report.html

Large accounts are split into slices. If a worker dies, another worker runs its jobs again. This is safe, because audits
only read. A job that keeps failing becomes a finding (`not-audited`), and the audit continues.

Each worker uses its own settings (`--config`, `--select`, `--ignore`, `--rules`, as for the audit). A job of an audit
with other settings fails, and the report contains the reason. In an `[[audit.accept]]` entry with the ID of a campaign,
`account` is required. A fleet is audited as a whole: `template` is refused, and no option selects campaigns.

If the audit and the workers have the same `DIALLER_FLEET_KEY`, jobs and results are signed, and unsigned ones are
rejected.

Messages contain names of accounts, campaigns and findings, but no tokens. Independent fleets need different databases
of a Redis, such as `redis://broker.example.com/1`.

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
"""The modules of names that are imported on first use, because importing taskiq takes a quarter of a second."""


# Hidden from type checkers, because with `__getattr__` they would accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, globals(), _MODULE_OF, __all__)
