"""An asyncio client, with connection pooling, for the REST API of a call-centre dialler.

    async with DiallerClient("https://acd.example.com/rest/v1.0/1", token="…") as dialler:
        for campaign in await dialler.campaigns.list():
            print(campaign.name)

`DiallerClient` is where to begin. Its `campaigns` are `Campaigns`, its `result_codes` are `ResultCodes`: one method for
each call of the API, and `result_codes.for_campaigns` for many campaigns at once, as `fan_out` is for many calls of any
kind. `dialler_async.errors` has the tree of what can go wrong.

Imported by themselves:

    dialler_async.audit     what is wrong with an account's campaigns, by rules
    dialler_async.export    an account as JSON, CSV or Parquet
    dialler_async.fleet     audits of many accounts, over any number of workers (extra `fleet`)
    dialler_async.contrib   the client in FastAPI and aiohttp.web, OpenTelemetry for it
    dialler_async.testing   what tests of your own code need; the pytest plugin comes with it
    dialler_async.sandbox   an embedded dialler server

The client logs to `dialler_async`: what it repeats as warnings, each attempt at level DEBUG; no names, IDs or secrets.
"""

import logging

from .campaigns import Campaigns
from .client import DiallerClient
from .codec import Readable, Unreadable
from .concurrency import AutoConcurrency
from .errors import (
    AmbiguousNameError,
    AuthenticationError,
    BadRequestError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    DeadlineError,
    DiallerError,
    EndpointNotFoundError,
    InvalidTokenError,
    ItemCancelledError,
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    RateLimitedError,
    RedirectError,
    ServerError,
    StatusError,
    TokenSourceError,
)
from .fanout import fan_out
from .models import Campaign, Language, Records, ResultCode
from .observer import ObservedCall, Observer
from .pool import PoolConfig
from .result_codes import Outcome, ResultCodes
from .retry import RetryPolicy
from .transport import Timeouts
from .version import __version__

# Not to be printed where nobody has set up logging: what fails for good is raised.
logging.getLogger("dialler_async").addHandler(logging.NullHandler())

__all__ = [
    "AmbiguousNameError",
    "AuthenticationError",
    "AutoConcurrency",
    "BadRequestError",
    "Campaign",
    "Campaigns",
    "ClientStateError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "DeadlineError",
    "DiallerClient",
    "DiallerError",
    "EndpointNotFoundError",
    "InvalidTokenError",
    "ItemCancelledError",
    "Language",
    "NoReplyError",
    "NotFoundError",
    "ObservedCall",
    "Observer",
    "Outcome",
    "OutcomeUnknownError",
    "PayloadError",
    "PoolConfig",
    "RateLimitedError",
    "Readable",
    "Records",
    "RedirectError",
    "ResultCode",
    "ResultCodes",
    "RetryPolicy",
    "ServerError",
    "StatusError",
    "Timeouts",
    "TokenSourceError",
    "Unreadable",
    "__version__",
    "fan_out",
]
