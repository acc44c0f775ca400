"""An embedded dialler server that implements the API reference, for demos, tests and benchmarks.

    async with Sandbox(campaigns=500, seed=1) as sandbox:
        sandbox.base_url, sandbox.token     # the arguments of a client
        sandbox.campaigns[535]["Name"]      # the records by ID, live and read-only
        sandbox.result_codes(535, 2)        # the result codes of a campaign in German
        sandbox.seeded_defects              # the defects that an audit should find
        sandbox.journal                     # every received request and its outcome
        sandbox.connections.peak            # the largest number of open TCP connections

`async with` runs the server in the event loop. A plain `with` runs it in its own thread, for synchronous clients. Any
HTTP client can use the server. The package imports nothing of the client library.

- Many accounts on one server: `Sandbox(campaigns=500, accounts=100)`. `sandbox.accounts[7]` is a `SandboxAccount` with
  its own `token`, `campaigns` and `seeded_defects`. `sandbox.server` is the URL without an account.
- Your own data: `Sandbox(records)`, or `sandbox.load(envelope_or_record, codes={2: envelope})`.
- Changes by another user of the server: `sandbox.change(535, Name="x")`, `sandbox.remove(535)`, `sandbox.revoke()`,
  `sandbox.token = "new"`.
- Faults: `sandbox.faults.next(...)` and `.chance(...)` with the faults of `dialler_async.sandbox.faults`,
  `sandbox.refusing()`, `sandbox.close_idle()`.

The API reference doesn't specify everything. Where no option decides, the sandbox behaves as follows:

- It checks the path before the token and the ClientsID. An unknown endpoint is a 404 without a body, even with a wrong
  token. A path whose ID is not an integer is an unknown endpoint.
- An empty `name` or `languagesID` and a wrong content type are a 400. In an unknown language, the texts of result codes
  are their translation keys.
- A clone compares names as MySQL does: it ignores case and trailing spaces. A name of more than 64 characters is a 400.
  If `userData`, `dtFrom` or `dtTo` is missing or null, the clone keeps the value of the source. The ID of a deleted
  campaign is never used again.
- Campaigns of two accounts can have the same ID.
- The time zone of the server is UTC. Dates with an offset are converted.
- A request is carried out even if the client closes the connection before the response.

The guide to testing is `dialler_async/sandbox/README.md`.

.. include:: README.md
"""

from .account import SandboxAccount
from .connections import ConnectionCounts
from .defects import SeededDefect, Template
from .fault_plan import FaultPlan
from .in_flight_request import InFlightRequest
from .journal import Received
from .outage import Outage
from .response import SandboxResponse
from .server import Sandbox

__all__ = [
    "ConnectionCounts",
    "FaultPlan",
    "InFlightRequest",
    "Outage",
    "Received",
    "Sandbox",
    "SandboxAccount",
    "SandboxResponse",
    "SeededDefect",
    "Template",
]
