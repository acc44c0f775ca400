"""An embedded dialler server that follows the API reference, for demos, tests and benchmarks.

    async with Sandbox(campaigns=500, seed=1) as sandbox:
        sandbox.base_url, sandbox.token     # what a client needs
        sandbox.campaigns[535]["Name"]      # the live records, by ID; read-only
        sandbox.result_codes(535, 2)        # the result codes of a campaign in German
        sandbox.seeded_defects              # the defects that an audit should find
        sandbox.journal                     # every request that arrived, and what became of it
        sandbox.connections.peak            # how many TCP connections there were at once

`async with` runs it in the event loop; a plain `with` runs it in a thread of its own, for synchronous clients. It
imports nothing of the client, and any HTTP client can use it.

- Many accounts on one server: `Sandbox(campaigns=500, accounts=100)`. `sandbox.accounts[7]` has a `token`, `campaigns`,
  `seeded_defects` and the other members of an account. `sandbox.server` is the address without an account.
- Your own data: `Sandbox(records)`, or `sandbox.load(envelope_or_record, codes={2: envelope})`.
- Changes by somebody else: `sandbox.change(535, Name="x")`, `sandbox.remove(535)`, `sandbox.revoke()`,
  `sandbox.token = "new"`.
- Faults: `sandbox.faults.next(...)` and `.chance(...)` with the faults of `dialler_async.sandbox.faults`,
  `sandbox.refusing()`, `sandbox.close_idle()`.

The API reference leaves some behaviour open. If there is no option for it, the sandbox does this:

- It checks the path before token and ClientsID: an unknown endpoint is 404 without a body for everybody. A path whose
  ID is not an integer is an unknown endpoint.
- Empty `name` and `languagesID`, and a wrong content type, are 400. In an unknown language, the texts of result codes
  are their translation keys.
- A clone finds source and destination as MySQL compares: without case and trailing spaces. Names of more than 64
  characters are 400. If `userData`, `dtFrom` or `dtTo` is missing or null, the clone keeps the value of the source. The
  ID of a deleted campaign is never used again.
- Campaigns of two accounts can have the same ID.
- The wall clock of the server is UTC: it converts dates with an offset.
- A request is carried out even if its client closes the connection early.
"""

from dialler_async.sandbox.account import SandboxAccount
from dialler_async.sandbox.connections import ConnectionCounts
from dialler_async.sandbox.defects import SeededDefect, Template
from dialler_async.sandbox.exchange import Exchange
from dialler_async.sandbox.fault_plan import FaultPlan
from dialler_async.sandbox.journal import Received
from dialler_async.sandbox.outage import Outage
from dialler_async.sandbox.response import Response
from dialler_async.sandbox.server import Sandbox

__all__ = [
    "ConnectionCounts",
    "Exchange",
    "FaultPlan",
    "Outage",
    "Received",
    "Response",
    "Sandbox",
    "SandboxAccount",
    "SeededDefect",
    "Template",
]
