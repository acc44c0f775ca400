"""`dialler sandbox`: run the embedded dialler as a process."""

import asyncio
import shlex
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from .._text.files import whole_file
from ..fleet.manifest import write_fleet
from .exits import UsageError
from .numbers import NotNegative, Port, Positive, PositiveDecimal
from .output import print_line
from .stopping import stop_signal

if TYPE_CHECKING:
    from ..sandbox import Sandbox


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

    Print the settings for other commands, and a curl command to try. With several
    accounts, also print a command that audits all of them. The fleet.toml for that
    command is deleted at the end.

    Requests with the bearer token DIALLER_SANDBOX_KEY, which is printed, too,
    control the running server:

    - POST /sandbox/faults plans faults, for example
      {"faults": ["503", "reset"], "call": "clone"}.
    - DELETE /sandbox/faults removes them.
    - POST /sandbox/token replaces the token.
    - GET /sandbox/journal shows the received requests, with secrets redacted.
      DELETE clears the journal.

    The faults are reset, hang-up, stall, stall-in-body, cut-short, trickle, html,
    close-after-response, and statuses such as 503 or 429-retry-after-2. With the
    suffix -when-done, such as in reset-when-done or 502-when-done, the server
    carries out the request before the fault.

    Args:
        port: Port on 127.0.0.1; 0 means a free port.
        campaigns: Number of campaigns in each account.
        accounts: Number of accounts. Their ClientsIDs are 1, 2 and so on; each has its own token and campaigns.
        seed: Seed of the random generator. The same seed generates the same campaigns and tokens.
        filler_keys: Number of extra keys in each campaign, to make it larger. With 60, it has 73 keys.
        delete_by_name: Which campaign a deletion by name deletes. The API reference doesn't specify it.
        find_without_match: Response to a search without matches. The API reference doesn't specify it.
        dates: Format of dates: without a time zone, or in UTC with a Z. The API reference doesn't specify it.
        fault: Fault to inject into some requests. Can be given several times.
        fault_share: Share of the requests that get a fault, such as 0.1.
        rotate_token: Seconds between two replacements of the token. Each new token is printed.
        token_file: File to write the token to. It is rewritten when the token is replaced.
    """
    # Imported here, because the import is slow and `--help` doesn't need it.
    from ..sandbox import Sandbox

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
        _plan_faults(server, fault, fault_share, seed)
    token_files = [] if token_file is None else [token_file]

    def replace_token() -> None:
        server.revoke()
        _write_token(server.token, token_files)
        print_line(f"DIALLER_TOKEN={server.token}")

    key = server.enable_control(replace_token)
    with stop_signal() as stop:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise UsageError(f"can't listen on port {port}: {error.strerror or error}") from None
            _write_token(server.token, token_files)
            _print_settings(server.base_url, server.token, key)
            if accounts > 1:
                directory = Path(stack.enter_context(TemporaryDirectory(prefix="dialler-sandbox-")))
                tokens = {id: account.token for id, account in server.accounts.items()}
                manifest = write_fleet(directory, server.server, tokens)
                token_files.append(directory / f"{server.clients_id}.token")
                print_line(f"dialler fleet audit {shlex.quote(str(manifest))}")
            await _rotate_until_stopped(stop, rotate_token, replace_token)


def _plan_faults(server: "Sandbox", names: tuple[str, ...], share: float, seed: int) -> None:
    from ..sandbox.fault_names import fault_of

    try:
        server.faults.chance(share, [fault_of(name) for name in names], seed=seed)
    except ValueError as error:
        raise UsageError(str(error)) from None


async def _rotate_until_stopped(stop: asyncio.Event, seconds: float | None, replace_token: Callable[[], None]) -> None:
    """Replace the token at this interval until the stop signal comes."""
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


def _print_settings(base_url: str, token: str, key: str) -> None:
    print_line(f"DIALLER_BASE_URL={base_url}")
    print_line(f"DIALLER_TOKEN={token}")
    print_line(f"DIALLER_SANDBOX_KEY={key}")
    print_line(f"curl -H 'Authorization: Bearer {token}' {base_url}/dialler/campaigns")
