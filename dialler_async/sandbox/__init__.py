"""An embedded dialler server: a faithful twin of the API reference, for demos, tests, benchmarks.

    async with Sandbox(campaigns=500, seed=1) as sandbox:
        sandbox.base_url, sandbox.token     # what a client needs
        sandbox.campaigns[535]["Name"]      # the live store, by ID; read-only
        sandbox.result_codes(535, 2)        # a campaign's codes in German
        sandbox.seeded_defects                     # the findings that an audit should come to
        sandbox.journal                     # every request that arrived, and what became of it
        sandbox.connections.peak            # how many TCP connections there were at once

It needs nothing of the client, and any HTTP client can talk to it.

Many accounts on one server: `Sandbox(campaigns=500, accounts=100)`. `sandbox.accounts[7]` has a
`token`, `campaigns`, `seeded_defects` and the rest of its own; what the sandbox has besides, from latency to
journal, is the server's. `sandbox.server` is the address without an account.

Data of one's own: `Sandbox(records)`, or `sandbox.load(envelope_or_record, codes={2: envelope})`.
What others do meanwhile: `sandbox.change(535, Name="x")`, `sandbox.remove(535)`,
`sandbox.revoke()`, `sandbox.token = "new"`. What goes wrong: `sandbox.faults.next(...)` and
`.chance(...)` with the faults of `dialler_async.sandbox.faults`, `sandbox.refusing()`,
`sandbox.close_idle()`. The journal is a list that grows: `sandbox.journal.clear()` in long runs.

Where the API reference is silent, and there is no switch for it:

- Token and ClientsID are looked at after the path: an unknown endpoint is 404 without a body for
  everybody. An ID in the path that is not an integer makes an unknown endpoint.
- Empty `name` and `languagesID`, and a wrong content type, are 400. In an unknown language codes
  come with their translation keys for texts.
- A clone finds source and destination as MySQL compares, without case and trailing spaces. Names
  of more than 64 characters are 400. Where `userData`, `dtFrom` or `dtTo` is left out or null, the
  clone keeps the source's. A deleted campaign's ID never comes again.
- Of two accounts, campaigns may have the same ID.
- The server's wall clock is UTC: dates with an offset are converted to it.
- A client that hangs up early doesn't stop its request from being carried out.
"""

from dialler_async.sandbox.account import Account
from dialler_async.sandbox.connections import ConnectionCounts
from dialler_async.sandbox.defects import SeededDefect, Template
from dialler_async.sandbox.journal import Received
from dialler_async.sandbox.server import Sandbox

__all__ = ["Account", "ConnectionCounts", "Received", "Sandbox", "SeededDefect", "Template"]
