"""`dialler sandbox`: the embedded dialler as a process."""

import shlex
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from dialler_async._text.files import whole_file

from .exits import UsageError
from .numbers import NotNegative, Port, Positive
from .output import print_line
from .stopping import stop_signal

if TYPE_CHECKING:
    from dialler_async.sandbox import SandboxAccount


async def sandbox(
    *,
    port: Port = 8080,
    campaigns: NotNegative = 500,
    accounts: Positive = 1,
    seed: NotNegative = 1,
    filler_keys: NotNegative = 0,
    delete_by_name: Literal["first-partial-match", "exact"] = "first-partial-match",
    find_without_match: Literal["404", "empty"] = "404",
    dates: Literal["naive", "zulu"] = "naive",
) -> None:
    """Serve made-up campaigns on this machine, until Ctrl-C or SIGTERM.

    Prints the settings that other commands need, and a call to try. With several accounts also the command that
    audits them all: it reads a fleet.toml and tokens that are written to a temporary directory, and gone in the end.

    Parameters
    ----------
    port
        Where to listen, on 127.0.0.1; 0 takes a free port.
    campaigns
        How many to make up for each account.
    accounts
        How many accounts to serve; each has a ClientsID from 1 up, a token and campaigns of its own.
    seed
        The same seed makes up the same campaigns and tokens.
    filler_keys
        How many neutral keys to add to each campaign, for size; with 60 it has 73.
    delete_by_name
        What a delete by name hits; no page of the API says.
    find_without_match
        What a search that finds nothing answers; no page of the API says.
    dates
        How dates are printed: without a zone, or in UTC with a Z; no page of the API says.
    """
    # Only here, as no other command needs a server.
    from dialler_async.sandbox import Sandbox

    server = Sandbox(
        campaigns=campaigns,
        accounts=accounts,
        seed=seed,
        port=port,
        filler_keys=filler_keys,
        delete_by_name=delete_by_name,
        find_without_match=find_without_match,
        dates=dates,
    )
    with stop_signal() as stop:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise UsageError(f"can't listen on port {port}: {error.strerror or error}") from None
            _introduce(server.base_url, server.token)
            if accounts > 1:
                directory = Path(stack.enter_context(TemporaryDirectory(prefix="dialler-sandbox-")))
                manifest = _written_fleet(directory, server.server, server.accounts)
                print_line(f"dialler fleet audit {shlex.quote(str(manifest))}")
            await stop.wait()


def _introduce(base_url: str, token: str) -> None:
    print_line(f"DIALLER_BASE_URL={base_url}")
    print_line(f"DIALLER_TOKEN={token}")
    print_line(f"curl -H 'Authorization: Bearer {token}' {base_url}/dialler/campaigns")


def _written_fleet(directory: Path, url: str, accounts: "Mapping[int, SandboxAccount]") -> Path:
    """Write what `dialler_async.fleet` reads, the tokens in files beside it."""
    tables = [f'[[servers]]\nname = "sandbox"\nurl = "{url}"\n']
    for id, account in accounts.items():
        with whole_file(directory / f"{id}.token") as file:
            file.write(account.token.encode())
        tables.append(
            f'[[accounts]]\nname = "account {id}"\nserver = "sandbox"\nclients_id = {id}\ntoken_file = "{id}.token"\n'
        )
    manifest = directory / "fleet.toml"
    with whole_file(manifest) as file:
        file.write("\n".join(tables).encode())
    return manifest
