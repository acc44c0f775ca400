"""Synchronous views as Django has them. `async_to_sync` is the one that Django uses.

Under WSGI, each `async_to_sync` call runs in an event loop of its own, and a client belongs to one loop. So a view
makes all its calls in one async function with a client of its own. Async views (ASGI) share one client, as in any async
app.
"""

import asyncio
from typing import Any

from asgiref.sync import async_to_sync

from dialler_async import DiallerClient, NotFoundError


async def load_campaign(id: int) -> dict[str, Any]:
    async with DiallerClient.from_env() as dialler:
        campaign, codes = await asyncio.gather(dialler.campaigns.get(id), dialler.result_codes.list(id))
    return campaign.wire | {"codes": [code.content for code in codes]}


def campaign_view(id: int) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of the response."""
    try:
        return 200, async_to_sync(load_campaign)(id)
    except NotFoundError:
        return 404, {"detail": "There is no such campaign."}
