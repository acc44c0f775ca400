"""`dialler ping`."""

import time

from .. import RetryPolicy
from .connection import FROM_ENVIRONMENT, ConnectionOptions
from .output import print_line


async def ping(*, connection: ConnectionOptions = FROM_ENVIRONMENT) -> None:
    """Check that the server can be reached and accepts the token, with one small request and no retries."""
    async with connection.open(retry=RetryPolicy(attempts=1)) as dialler:
        started_at = time.monotonic()
        await dialler.ping()
        milliseconds = (time.monotonic() - started_at) * 1000
        print_line(f"{dialler.base_url} responds and accepts the token ({milliseconds:.0f} ms)")
