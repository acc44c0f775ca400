"""`dialler sandbox`: the embedded dialler as a process."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from .exits import UsageError
from .output import print_line

NOT_NEGATIVE = Parameter(validator=validators.Number(gte=0))


async def sandbox(
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))] = 8080,
    campaigns: Annotated[int, NOT_NEGATIVE] = 500,
    seed: int = 1,
    filler_keys: Annotated[int, NOT_NEGATIVE] = 0,
    delete_by_name: Literal["first-partial-match", "exact"] = "first-partial-match",
    find_without_match: Literal["404", "empty"] = "404",
    dates: Literal["naive", "zulu"] = "naive",
) -> None:
    """Serve made-up campaigns on this machine, until Ctrl-C or SIGTERM.

    Prints the settings that other commands need, and a call to try.

    Parameters
    ----------
    port
        Where to listen, on 127.0.0.1; 0 takes a free port.
    campaigns
        How many to make up.
    seed
        The same seed makes up the same campaigns and token.
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
        seed=seed,
        port=port,
        filler_keys=filler_keys,
        delete_by_name=delete_by_name,
        find_without_match=find_without_match,
        dates=dates,
    )
    with _stop_signal() as stop:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise UsageError(f"can't listen on port {port}: {error.strerror or error}") from None
            _introduce(server.base_url, server.token)
            await stop.wait()


def _introduce(base_url: str, token: str) -> None:
    print_line(f"DIALLER_BASE_URL={base_url}")
    print_line(f"DIALLER_TOKEN={token}")
    print_line(f"curl -H 'Authorization: Bearer {token}' {base_url}/dialler/campaigns")


@contextmanager
def _stop_signal() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set, in place of what they do otherwise."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
