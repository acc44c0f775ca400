"""An asyncio client, with connection pooling, for the REST API of a call-centre dialler.

    async with DiallerClient("https://acd.example.com/rest/v1.0/1", token="…") as dialler:
        for campaign in await dialler.campaigns.list():
            print(campaign.name)

Begin with `DiallerClient`. `dialler.campaigns` (class `Campaigns`) and `dialler.result_codes` (class `ResultCodes`)
have one method for each call of the API. `result_codes.for_campaigns` fetches the codes of many campaigns concurrently.
`fan_out` calls a coroutine function with many items. `dialler_async.errors` shows the tree of errors.

These modules are imported separately:

- `dialler_async.config`, `dialler_async.models`, `dialler_async.errors` and `dialler_async.observer`: their names are
  here, too
- `dialler_async.audit`: check an account's campaigns by rules
- `dialler_async.export`: export an account as JSON, CSV or Parquet
- `dialler_async.fleet`: audit many accounts with any number of workers (extra `fleet`)
- `dialler_async.store`: results and findings over time (extra `store`)
- `dialler_async.contrib`: use the client in web apps, and with OpenTelemetry
- `dialler_async.testing`: factories and faults for tests of your own code; there is a plugin for pytest, too
  (`dialler_async.pytest_plugin`)
- `dialler_async.sandbox`: run an embedded dialler server
- `dialler_async.cli`: the `dialler` command (extra `cli`)

The guides are the files `README.md` beside these modules. The guide to the client, with the table of what is retried,
is included in `dialler_async.config`.

The logger is `dialler_async`. Each retry is logged as a warning, and each attempt at level DEBUG. No log line contains
a name, an ID or a secret. The environment variable `DIALLER_LOG=debug` prints the log on stderr.
"""

from ._lazy import lazy_names
from .version import __version__

# Not imported from `typing`: that import takes most of the 10 ms that `import dialler_async` may take. Type checkers
# know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._api.partial_records import InvalidRecord, PartialRecords
    from ._bulk.auto_concurrency import AutoConcurrency
    from ._bulk.fan_out import Concurrency, OnProgress, fan_out
    from ._bulk.outcome import Failure, Outcome, Success
    from .campaigns import Campaigns, CloneResult
    from .client import ClientOptions, DiallerClient
    from .config import HeaderSource, PoolConfig, RateLimiter, RetryPolicy, Timeouts, TokenSource
    from .errors import (
        AmbiguousNameError,
        AuthenticationError,
        BadRequestError,
        ClientClosedError,
        ClientStateError,
        ConfigurationError,
        ConflictError,
        ConnectError,
        DeadlineError,
        DiallerError,
        EndpointNotFoundError,
        InvalidInputError,
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
    "ClientClosedError",
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
    "InvalidInputError",
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
    "ClientClosedError": "errors",
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
    "HeaderSource": "config",
    "InvalidInputError": "errors",
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
    "PoolConfig": "config",
    "RateLimitedError": "errors",
    "RateLimiter": "config",
    "Records": "models",
    "RedirectError": "errors",
    "RequestError": "errors",
    "ResponseInfo": "errors",
    "ResultCode": "models",
    "ResultCodes": "result_codes",
    "RetryPolicy": "config",
    "SentRequest": "errors",
    "ServerError": "errors",
    "StatusError": "errors",
    "Success": "_bulk.outcome",
    "Timeouts": "config",
    "TokenSource": "config",
    "TokenSourceError": "errors",
    "fan_out": "_bulk.fan_out",
}
"""The module of each public name. Names are imported on first use, because aiohttp and attrs take 0.2 s to import."""

# Hidden from type checkers, which use the imports above. If they saw `__getattr__`, they would accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, globals(), _MODULE_OF, __all__)
