"""An embedded dialler server: a faithful twin of the API reference, for demos, tests, benchmarks.

    async with Sandbox(campaigns=500, seed=1) as sandbox:
        sandbox.base_url, sandbox.token     # what a client needs
        sandbox.campaigns[535]["Name"]      # the live store, by ID; read-only
        sandbox.result_codes(535, 2)        # a campaign's codes in German
        sandbox.planted                     # the findings that an audit should come to
        sandbox.journal                     # every request that arrived, and what became of it
        sandbox.connections.peak            # how many TCP connections there were at once

It needs nothing of the client, and any HTTP client can talk to it.
"""

from dialler_async.sandbox.connections import ConnectionCounts
from dialler_async.sandbox.journal import Received
from dialler_async.sandbox.planting import Planted, Template
from dialler_async.sandbox.server import Sandbox

__all__ = ["ConnectionCounts", "Planted", "Received", "Sandbox", "Template"]
