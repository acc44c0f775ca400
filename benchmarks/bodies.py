"""The response bodies of the static server, which the sandbox generates."""

from pathlib import Path

import aiohttp

from dialler_async.sandbox import Sandbox

CODES = 7
"""Number of result codes in the response to a lookup, 3 kB."""
ROWS = 10_000
"""Number of campaigns in the list, with 73 keys each, 12 MB."""


async def write_bodies(directory: Path, rows: int = ROWS) -> None:
    """Write `codes.json` and `list.json` to a directory, as the sandbox sends them."""
    async with (
        Sandbox(campaigns=rows, seed=1, filler_keys=60) as sandbox,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {sandbox.token}"}) as session,
    ):
        campaign = next(id for id in sandbox.campaigns if len(sandbox.result_codes(id, 2)) == CODES)
        lookup = f"campaigns/campaign/{campaign}/resultCodes?languagesID=2"
        for name, path in {"codes.json": lookup, "list.json": "campaigns"}.items():
            async with session.get(f"{sandbox.base_url}/dialler/{path}", raise_for_status=True) as response:
                body = await response.read()
                # The ID is removed, because the client refuses codes of another campaign than the requested one.
                body = body.replace(b'"DiallerCampaignsID":%d,' % campaign, b'"DiallerCampaignsID":null,')
                (directory / name).write_bytes(body)
