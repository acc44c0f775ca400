"""`dialler sandbox`: the embedded dialler as a process."""

import asyncio
import shlex
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from dialler_async._text.files import whole_file
from dialler_async.fleet.manifest import write_fleet

from .exits import UsageError
from .numbers import NotNegative, Port, Positive, PositiveDecimal
from .output import print_line
from .stopping import stop_signal

if TYPE_CHECKING:
    from dialler_async.sandbox import Sandbox


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
    fault: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    fault_share: PositiveDecimal = 0.1,
    rotate_token: PositiveDecimal | None = None,
    token_file: Path | None = None,
) -> None:
    """Serve generated campaigns on 127.0.0.1 until Ctrl-C or SIGTERM.

    Prints the settings for other commands, and a curl command to try. With several accounts, it also
    prints the command that audits them all. Its fleet.toml is deleted at the end.

    While it runs, requests with the token that was printed first control it:

    - POST /sandbox/faults plans faults, such as {"faults": ["503", "reset"], "call": "clone"}.
    - DELETE /sandbox/faults removes them.
    - POST /sandbox/token replaces the token.
    - GET /sandbox/journal shows the requests that arrived, secrets redacted; DELETE clears it.

    Args:
        port: Port to listen on, on 127.0.0.1; 0 takes a free port.
        campaigns: How many to generate for each account.
        accounts: How many accounts to serve; each has a ClientsID from 1 up, a token and campaigns of its own.
        seed: The same seed generates the same campaigns and tokens.
        filler_keys: How many neutral keys to add to each campaign, for size; with 60 it has 73.
        delete_by_name: What a delete by name deletes; the API reference doesn't say.
        find_without_match: The response to a search without a match; the API reference doesn't say.
        dates: Dates without a zone, or in UTC with a Z; the API reference doesn't say.
        fault: What goes wrong with some requests: reset, hang-up, stall, stall-in-body, cut-short, trickle, html,
            close-after-response, or a status such as 503 or 429-retry-after-2. With -when-done, as in reset-when-done
            or 502-when-done, the request is carried out before. Repeat it for several.
        fault_share: Share of the requests that meet a --fault, such as 0.1.
        rotate_token: Replace the token each time so many seconds have passed. The new one is printed.
        token_file: File for the token; it is rewritten when the token is replaced.
    """
    # Imported here, because no other command needs a server.
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
    if fault:
        _plan(server, fault, fault_share, seed)
    token_files = [] if token_file is None else [token_file]

    def replace_token() -> None:
        server.revoke()
        _write_token(server.token, token_files)
        print_line(f"DIALLER_TOKEN={server.token}")

    server.enable_control(replace_token)
    with stop_signal() as stop:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise UsageError(f"can't listen on port {port}: {error.strerror or error}") from None
            _write_token(server.token, token_files)
            _print_settings(server.base_url, server.token)
            if accounts > 1:
                directory = Path(stack.enter_context(TemporaryDirectory(prefix="dialler-sandbox-")))
                tokens = {id: account.token for id, account in server.accounts.items()}
                manifest = write_fleet(directory, server.server, tokens)
                token_files.append(directory / f"{server.clients_id}.token")
                print_line(f"dialler fleet audit {shlex.quote(str(manifest))}")
            await _wait(stop, rotate_token, replace_token)


def _plan(server: "Sandbox", names: tuple[str, ...], share: float, seed: int) -> None:
    from dialler_async.sandbox.fault_names import fault_of

    try:
        server.faults.chance(share, [fault_of(name) for name in names], seed=seed)
    except ValueError as error:
        raise UsageError(str(error)) from None


async def _wait(stop: asyncio.Event, seconds: float | None, replace_token: Callable[[], None]) -> None:
    """Wait for the stop signal, and replace the token each time so many seconds have passed."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
                return
        except TimeoutError:
            replace_token()


def _write_token(token: str, paths: list[Path]) -> None:
    for path in paths:
        try:
            with whole_file(path) as file:
                file.write(token.encode())
        except OSError as error:
            raise UsageError(f"can't write the token to {path}: {error.strerror}") from None


def _print_settings(base_url: str, token: str) -> None:
    print_line(f"DIALLER_BASE_URL={base_url}")
    print_line(f"DIALLER_TOKEN={token}")
    print_line(f"curl -H 'Authorization: Bearer {token}' {base_url}/dialler/campaigns")
