"""An asyncio client, with connection pooling, for the REST API of a call-centre dialler.

    async with DiallerClient("https://acd.example.com/rest/v1.0/1", token="…") as dialler:
        for campaign in await dialler.campaigns.list():
            print(campaign.name)

`DiallerClient` is where to begin; `dialler_async.errors` has the tree of what can go wrong.
"""

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
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    RateLimitedError,
    RedirectError,
    ServerError,
    StatusError,
)
from .fanout import fan_out
from .models import Campaign, Language, Records, ResultCode
from .observer import ObservedCall, Observer
from .pool import PoolConfig
from .result_codes import Outcome, ResultCodes
from .retry import RetryPolicy
from .transport import Timeouts
from .version import __version__

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
    "Unreadable",
    "__version__",
    "fan_out",
]
