"""Audits of many accounts on many servers: in this process, or spread over workers (extra `fleet`).

`fleet.toml` names the servers, the accounts, and where their tokens are; it never holds a token:

    [[servers]]
    name = "north"
    url = "https://acd-north.example.com"       # with the path in front of `rest`, if there is one
    max_rate = 50                               # calls a second, over all workers together; no limit, if left out
    max_concurrency = 16                        # calls at once, over all workers together; likewise
    deadline = 300                              # seconds that a call may take, with its retries; 120, if left out
    attempts = 12                               # how often a call is tried in all; 12, if left out
    proxy = "http://proxy.example.com:3128"     # "" for none; that of the environment, if left out
    ca_file = "tls/ca.pem"                      # CAs to trust; paths are relative to fleet.toml
    client_cert = "tls/worker.pem"              # shows who the worker is (mTLS)
    client_key = "tls/worker.key"               # if it is not in the same file

    [[accounts]]
    name = "acme"                               # as reports and messages call it
    server = "north"
    clients_id = 1
    token_env = "ACME_TOKEN"                    # an environment variable of the worker

    [[accounts]]
    name = "globex"
    server = "north"
    clients_id = 2
    token_file = "secrets/globex"               # a file of the worker, seen from fleet.toml; asked anew after a 401

`dialler fleet audit fleet.toml` works in this one process. To spread the work, start a Redis and, on as many machines
as it takes, a few workers; each has a `fleet.toml` of its own with the same names, and its own tokens:

    dialler fleet worker fleet.toml --broker redis://broker.example.com
    dialler fleet audit fleet.toml --broker redis://broker.example.com --html report.html

Big accounts are cut into chunks of campaigns. A chunk whose worker dies is done by another, so it may be done twice,
which is safe: nothing but reads. One that keeps failing is a finding (`not-audited`), and the rest goes on.
Each worker judges by its own settings (`--config`, `--select`, `--ignore`, `--rules`, as for the audit). A job of an
audit with other settings fails, and the report says so.

With the same `DIALLER_FLEET_KEY` set for coordinator and workers, jobs and results are signed, and unsigned ones are
rejected.

Messages name accounts, and hold campaigns and findings; tokens they never hold. Fleets that have nothing to do with
each other use different databases of a Redis: `redis://broker.example.com/1`.

    from pathlib import Path

    from dialler_async.fleet import audit_fleet, read_fleet

    report = await audit_fleet(read_fleet(Path("fleet.toml")))
"""

from typing import TYPE_CHECKING

from .manifest import Account, Fleet, Server, read_fleet

if TYPE_CHECKING:
    from .coordinator import audit_fleet

__all__ = ["Account", "Fleet", "Server", "audit_fleet", "read_fleet"]


# Type checkers read the import above instead: with this function, they would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Only when asked for: it takes taskiq, and a quarter of a second, to import.
        if name == "audit_fleet":
            from .coordinator import audit_fleet

            globals()[name] = audit_fleet
            return audit_fleet
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
