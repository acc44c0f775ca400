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

The client logs to `dialler_async`: what it retries as warnings, each attempt at level DEBUG; no names, IDs or secrets.
"""

from ._lazy import lazy_names
from .version import __version__

# Not from `typing`, whose import takes most of the 10 ms that this module may take. Type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._api.partial_records import InvalidRecord, PartialRecords
    from ._bulk.auto_concurrency import AutoConcurrency
    from ._bulk.fan_out import Concurrency, OnProgress, fan_out
    from ._bulk.outcome import Failure, Outcome, Success
    from ._http.headers import HeaderSource
    from ._http.pool_config import PoolConfig
    from ._http.rate_limit import RateLimiter
    from ._http.retry import RetryPolicy
    from ._http.timeouts import Timeouts
    from ._http.token import TokenSource
    from .campaigns import Campaigns, CloneResult
    from .client import ClientOptions, DiallerClient
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
        RequestError,
        ResponseInfo,
        SentRequest,
        ServerError,
        StatusError,
        TokenSourceError,
    )
    from .models import Campaign, Language, Records, ResultCode
    from .observer import ObservedCall, Observer
    from .result_codes import Lookup, ResultCodes

__all__ = [
    "AmbiguousNameError",
    "AuthenticationError",
    "AutoConcurrency",
    "BadRequestError",
    "Campaign",
    "Campaigns",
    "ClientOptions",
    "ClientStateError",
    "CloneResult",
    "Concurrency",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "DeadlineError",
    "DiallerClient",
    "DiallerError",
    "EndpointNotFoundError",
    "Failure",
    "HeaderSource",
    "InvalidRecord",
    "InvalidTokenError",
    "ItemCancelledError",
    "Language",
    "Lookup",
    "NoReplyError",
    "NotFoundError",
    "ObservedCall",
    "Observer",
    "OnProgress",
    "Outcome",
    "OutcomeUnknownError",
    "PartialRecords",
    "PayloadError",
    "PoolConfig",
    "RateLimitedError",
    "RateLimiter",
    "Records",
    "RedirectError",
    "RequestError",
    "ResponseInfo",
    "ResultCode",
    "ResultCodes",
    "RetryPolicy",
    "SentRequest",
    "ServerError",
    "StatusError",
    "Success",
    "Timeouts",
    "TokenSource",
    "TokenSourceError",
    "__version__",
    "fan_out",
]

_MODULE_OF = {
    "AmbiguousNameError": "errors",
    "AuthenticationError": "errors",
    "AutoConcurrency": "_bulk.auto_concurrency",
    "BadRequestError": "errors",
    "Campaign": "models",
    "Campaigns": "campaigns",
    "ClientOptions": "client",
    "ClientStateError": "errors",
    "CloneResult": "campaigns",
    "Concurrency": "_bulk.fan_out",
    "ConfigurationError": "errors",
    "ConflictError": "errors",
    "ConnectError": "errors",
    "DeadlineError": "errors",
    "DiallerClient": "client",
    "DiallerError": "errors",
    "EndpointNotFoundError": "errors",
    "Failure": "_bulk.outcome",
    "HeaderSource": "_http.headers",
    "InvalidRecord": "_api.partial_records",
    "InvalidTokenError": "errors",
    "ItemCancelledError": "errors",
    "Language": "models",
    "Lookup": "result_codes",
    "NoReplyError": "errors",
    "NotFoundError": "errors",
    "ObservedCall": "observer",
    "Observer": "observer",
    "OnProgress": "_bulk.fan_out",
    "Outcome": "_bulk.outcome",
    "OutcomeUnknownError": "errors",
    "PartialRecords": "_api.partial_records",
    "PayloadError": "errors",
    "PoolConfig": "_http.pool_config",
    "RateLimitedError": "errors",
    "RateLimiter": "_http.rate_limit",
    "Records": "models",
    "RedirectError": "errors",
    "RequestError": "errors",
    "ResponseInfo": "errors",
    "ResultCode": "models",
    "ResultCodes": "result_codes",
    "RetryPolicy": "_http.retry",
    "SentRequest": "errors",
    "ServerError": "errors",
    "StatusError": "errors",
    "Success": "_bulk.outcome",
    "Timeouts": "_http.timeouts",
    "TokenSource": "_http.token",
    "TokenSourceError": "errors",
    "fan_out": "_bulk.fan_out",
}
"""Where each public name is defined. It is imported on first use, since aiohttp and attrs take 0.2 s to import."""

# Type checkers read the imports above instead: with this function, they would accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, globals(), _MODULE_OF, __all__)
